DROP INDEX media_model;

CREATE INDEX media_model ON media_items (user_id, model, created_at DESC, id DESC);
