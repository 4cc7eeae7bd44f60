ALTER TABLE media_items DROP COLUMN source;
