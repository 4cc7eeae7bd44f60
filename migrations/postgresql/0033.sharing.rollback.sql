DROP INDEX media_cover;

CREATE INDEX media_cover ON media_items (persona_id, is_nsfw, created_at DESC, id DESC);

DROP INDEX media_persona;

CREATE INDEX media_persona ON media_items (persona_id, created_at DESC, id DESC);

DROP INDEX jobs_persona;

CREATE INDEX jobs_persona ON generation_jobs (persona_id, created_at DESC, id DESC);

DROP TRIGGER personas_shared_update ON personas;

DROP TRIGGER personas_shared_delete ON personas;

DROP TRIGGER personas_shared_insert ON personas;

DROP FUNCTION count_shared_persona;

DROP TABLE shared_persona_counts;

DROP INDEX personas_shared_avatar;

DROP INDEX personas_shared_name;

DROP INDEX personas_shared_updated;

DROP INDEX personas_shared;

ALTER TABLE personas DROP COLUMN visibility;
