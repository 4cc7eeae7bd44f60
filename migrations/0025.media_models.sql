-- A page of a model's pictures, their number and their months are read from the index alone.
DROP INDEX media_model;

CREATE INDEX media_model ON media_items (user_id, model, created_at DESC, id DESC, is_nsfw);
