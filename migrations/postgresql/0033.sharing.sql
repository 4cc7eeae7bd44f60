-- As on SQLite: a persona is its owner's alone, or everybody's on the instance; lists and totals of the shared ones have
-- indexes and counters of their own.

ALTER TABLE personas ADD COLUMN visibility TEXT COLLATE "C" NOT NULL DEFAULT 'private'
CONSTRAINT personas_visibility CHECK (visibility IN ('private', 'shared'));

CREATE INDEX personas_shared ON personas (created_at DESC, id DESC, is_nsfw, user_id) WHERE visibility = 'shared';

CREATE INDEX personas_shared_updated ON personas (updated_at DESC, id DESC, is_nsfw, user_id)
WHERE visibility = 'shared';

CREATE INDEX personas_shared_name ON personas (name_key, id, is_nsfw, user_id) WHERE visibility = 'shared';

CREATE INDEX personas_shared_avatar ON personas (avatar_media_id)
WHERE visibility = 'shared' AND avatar_media_id IS NOT NULL;

CREATE TABLE shared_persona_counts (
    user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    is_nsfw BOOLEAN NOT NULL,
    n BIGINT NOT NULL
);

CREATE INDEX shared_persona_counts_user ON shared_persona_counts (user_id, is_nsfw);

CREATE FUNCTION count_shared_persona() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' AND old.visibility = 'shared' THEN
        INSERT INTO shared_persona_counts (user_id, is_nsfw, n)
        SELECT old.user_id, old.is_nsfw, -1 FROM users WHERE id = old.user_id;
    END IF;
    IF TG_OP <> 'DELETE' AND new.visibility = 'shared' THEN
        INSERT INTO shared_persona_counts (user_id, is_nsfw, n) VALUES (new.user_id, new.is_nsfw, 1);
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER personas_shared_insert AFTER INSERT ON personas
FOR EACH ROW WHEN (new.visibility = 'shared') EXECUTE FUNCTION count_shared_persona();

CREATE TRIGGER personas_shared_delete AFTER DELETE ON personas
FOR EACH ROW WHEN (old.visibility = 'shared') EXECUTE FUNCTION count_shared_persona();

CREATE TRIGGER personas_shared_update AFTER UPDATE OF visibility, is_nsfw ON personas
FOR EACH ROW WHEN (
    old.visibility <> new.visibility OR (new.visibility = 'shared' AND old.is_nsfw <> new.is_nsfw)
)
EXECUTE FUNCTION count_shared_persona();

DROP INDEX jobs_persona;

CREATE INDEX jobs_persona ON generation_jobs (persona_id, user_id, created_at DESC, id DESC);

DROP INDEX media_persona;

CREATE INDEX media_persona ON media_items (persona_id, user_id, created_at DESC, id DESC);

DROP INDEX media_cover;

CREATE INDEX media_cover ON media_items (persona_id, user_id, is_nsfw, created_at DESC, id DESC);
