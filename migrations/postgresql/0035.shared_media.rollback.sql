-- Nothing is given to anybody any more.

DROP VIEW shared_media;

DROP TABLE share_links;

DROP TRIGGER trash_collection_deletion ON trash;

DROP FUNCTION forget_collections;

DROP TRIGGER media_collection_deletion ON media_items;

DROP FUNCTION leave_collections;

DROP TABLE collection_media;

DROP TABLE collections;

DROP TRIGGER media_shared_update ON media_items;

DROP TRIGGER media_shared_delete ON media_items;

DROP TRIGGER media_shared_insert ON media_items;

DROP FUNCTION count_shared_media;

DROP TABLE shared_media_counts;

DROP INDEX media_shared;

ALTER TABLE media_items DROP COLUMN with_details;

ALTER TABLE media_items DROP COLUMN visibility;
