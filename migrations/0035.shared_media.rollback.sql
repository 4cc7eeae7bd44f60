-- Nothing is given to anybody any more.

DROP VIEW shared_media;

DROP TABLE share_links;

DROP TRIGGER media_collection_deletion;

DROP TRIGGER trash_collection_deletion;

DROP TABLE collection_media;

DROP TABLE collections;

DROP TRIGGER media_shared_insert;

DROP TRIGGER media_shared_delete;

DROP TRIGGER media_shared_leave;

DROP TRIGGER media_shared_come;

DROP TABLE shared_media_counts;

DROP INDEX media_shared;

ALTER TABLE media_items DROP COLUMN with_details;

ALTER TABLE media_items DROP COLUMN visibility;
