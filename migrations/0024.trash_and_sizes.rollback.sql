-- What lies in the trash goes, with its files; what referred to it refers to nothing again, as foreign keys would have it.

DELETE FROM trash;

DROP TRIGGER media_file_deletion;

DROP TRIGGER trash_file_deletion;

DROP TABLE trash;

DROP TABLE media_loras;

DROP INDEX media_model;

ALTER TABLE media_items DROP COLUMN model;

ALTER TABLE media_items DROP COLUMN color;

DROP INDEX media_job;

DROP INDEX media_persona;

DROP INDEX media_cover;

ALTER TABLE media_items ADD COLUMN bound_job_id TEXT REFERENCES generation_jobs (id) ON DELETE SET NULL;

ALTER TABLE media_items ADD COLUMN bound_persona_id INTEGER REFERENCES personas (id) ON DELETE SET NULL;

UPDATE media_items
SET bound_job_id = (SELECT j.id FROM generation_jobs AS j WHERE j.id = media_items.job_id),
    bound_persona_id = (SELECT p.id FROM personas AS p WHERE p.id = media_items.persona_id);

ALTER TABLE media_items DROP COLUMN job_id;

ALTER TABLE media_items DROP COLUMN persona_id;

ALTER TABLE media_items RENAME COLUMN bound_job_id TO job_id;

ALTER TABLE media_items RENAME COLUMN bound_persona_id TO persona_id;

CREATE UNIQUE INDEX media_job ON media_items (job_id, position);

CREATE INDEX media_persona ON media_items (persona_id, created_at DESC, id DESC);

CREATE INDEX media_cover ON media_items (persona_id, is_nsfw, created_at DESC, id DESC);

DROP INDEX jobs_persona;

ALTER TABLE generation_jobs ADD COLUMN bound_persona_id INTEGER REFERENCES personas (id) ON DELETE SET NULL;

UPDATE generation_jobs
SET bound_persona_id = (SELECT p.id FROM personas AS p WHERE p.id = generation_jobs.persona_id);

ALTER TABLE generation_jobs DROP COLUMN persona_id;

ALTER TABLE generation_jobs RENAME COLUMN bound_persona_id TO persona_id;

CREATE INDEX jobs_persona ON generation_jobs (persona_id, created_at DESC, id DESC);

CREATE TRIGGER media_file_deletion AFTER DELETE ON media_items
BEGIN
    INSERT INTO file_deletions (key)
    VALUES (COALESCE(old.file_key, SUBSTR(old.id, 1, 2) || '/' || old.id || CASE old.mime_type
        WHEN 'image/png' THEN '.png' WHEN 'image/jpeg' THEN '.jpg' WHEN 'image/webp' THEN '.webp' ELSE '.mp4'
    END))
    ON CONFLICT (key) DO UPDATE SET due_at = NULL;
END;
