DROP TRIGGER media_collection_count_update ON media_items;

DROP TRIGGER media_collection_count_delete ON media_items;

DROP TRIGGER media_collection_count_insert ON media_items;

DROP FUNCTION count_in_collections;

DROP TRIGGER collection_media_count_delete ON collection_media;

DROP TRIGGER collection_media_count_insert ON collection_media;

DROP FUNCTION count_collected;

DROP TABLE collection_counts;
