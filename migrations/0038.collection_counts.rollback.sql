DROP TRIGGER media_collection_count_update;

DROP TRIGGER media_collection_count_delete;

DROP TRIGGER media_collection_count_insert;

DROP TRIGGER collection_media_count_delete;

DROP TRIGGER collection_media_count_insert;

DROP TABLE collection_counts;
