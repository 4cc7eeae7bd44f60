ALTER TABLE personas DROP COLUMN avatar_crop;

ALTER TABLE media_items DROP COLUMN source;
