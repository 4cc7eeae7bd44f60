-- What is deleted lies in the trash for a while and can come back under its own id; pictures say their mean colour and
-- what they were made with.
-- What can lie in the trash is referred to by plain columns without a foreign key: persona_id, job_id (and avatar_media_id,
-- which always was one). Whoever reads one joins the table, so that a persona that comes back finds its jobs and media
-- again, and none of them is written when it goes. The columns are made anew in place, not the tables, so whatever
-- other columns there are stay as they are; ids of media and jobs are no numbers, so no sequence is touched.

DROP INDEX jobs_persona;

ALTER TABLE generation_jobs ADD COLUMN plain_persona_id INTEGER;

UPDATE generation_jobs SET plain_persona_id = persona_id WHERE persona_id IS NOT NULL;

ALTER TABLE generation_jobs DROP COLUMN persona_id;

ALTER TABLE generation_jobs RENAME COLUMN plain_persona_id TO persona_id;

CREATE INDEX jobs_persona ON generation_jobs (persona_id, created_at DESC, id DESC);

DROP INDEX media_job;

DROP INDEX media_persona;

DROP INDEX media_cover;

ALTER TABLE media_items ADD COLUMN plain_persona_id INTEGER;

ALTER TABLE media_items ADD COLUMN plain_job_id TEXT;

-- color: the mean colour of the picture, #rrggbb; NULL where it was made before. model: what it was made with.
ALTER TABLE media_items ADD COLUMN color TEXT
CONSTRAINT media_color CHECK (LENGTH(color) = 7 AND SUBSTR(color, 1, 1) = '#');

ALTER TABLE media_items ADD COLUMN model TEXT;

UPDATE media_items
SET plain_persona_id = persona_id, plain_job_id = job_id,
    model = (SELECT j.model_name FROM generation_jobs AS j WHERE j.id = media_items.job_id);

ALTER TABLE media_items DROP COLUMN persona_id;

ALTER TABLE media_items DROP COLUMN job_id;

ALTER TABLE media_items RENAME COLUMN plain_persona_id TO persona_id;

ALTER TABLE media_items RENAME COLUMN plain_job_id TO job_id;

CREATE UNIQUE INDEX media_job ON media_items (job_id, position);

CREATE INDEX media_persona ON media_items (persona_id, created_at DESC, id DESC);

CREATE INDEX media_cover ON media_items (persona_id, is_nsfw, created_at DESC, id DESC);

CREATE INDEX media_model ON media_items (user_id, model, created_at DESC, id DESC);

-- The LoRAs that pictures were made with, for the filter.
CREATE TABLE media_loras (
    user_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    media_id TEXT NOT NULL REFERENCES media_items (id) ON DELETE CASCADE,
    PRIMARY KEY (user_id, name, media_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX media_loras_media ON media_loras (media_id);

INSERT INTO media_loras (user_id, name, media_id)
SELECT DISTINCT m.user_id, JSON_EXTRACT(l.value, '$.name') AS name, m.id AS media_id
FROM media_items AS m
INNER JOIN generation_jobs AS j ON j.id = m.job_id
CROSS JOIN JSON_EACH(j.loras) AS l
WHERE JSON_EXTRACT(l.value, '$.name') IS NOT NULL;

-- document: the whole row, as JSON with the number of its schema. kind and item_id: what it was. name, is_nsfw, bytes,
-- avatar_media_id: what the list shows. file_key: the picture that is kept with it. persona_id, job_id and position of
-- media: whose they are, so that what is decided of these reaches them here too.
CREATE TABLE trash (
    id TEXT PRIMARY KEY NOT NULL,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    kind TEXT NOT NULL CONSTRAINT trash_kind CHECK (kind IN ('persona', 'media')),
    item_id TEXT NOT NULL,
    name TEXT NOT NULL,
    is_nsfw INTEGER NOT NULL CONSTRAINT trash_is_nsfw CHECK (is_nsfw IN (0, 1)),
    bytes INTEGER NOT NULL CONSTRAINT trash_bytes CHECK (bytes >= 0),
    document TEXT NOT NULL CONSTRAINT trash_document_json CHECK (JSON_VALID(document)),
    file_key TEXT,
    persona_id INTEGER,
    job_id TEXT,
    position INTEGER,
    avatar_media_id TEXT,
    deleted_at TEXT NOT NULL,
    CONSTRAINT trash_item UNIQUE (kind, item_id)
) STRICT;

CREATE INDEX trash_owner ON trash (user_id, deleted_at DESC, id DESC, is_nsfw, kind);

CREATE INDEX trash_deleted ON trash (deleted_at);

CREATE INDEX trash_file ON trash (file_key) WHERE file_key IS NOT NULL;

CREATE INDEX trash_persona ON trash (persona_id) WHERE persona_id IS NOT NULL;

CREATE INDEX trash_job ON trash (job_id) WHERE job_id IS NOT NULL;

-- A row never goes, by whatever way, without its file being queued to go too; but where the trash has taken it over, or
-- where the row has come back from there.
DROP TRIGGER media_file_deletion;

CREATE TRIGGER media_file_deletion AFTER DELETE ON media_items
WHEN NOT EXISTS (SELECT 1 FROM trash AS t WHERE t.kind = 'media' AND t.item_id = old.id)
BEGIN
    INSERT INTO file_deletions (key)
    VALUES (COALESCE(old.file_key, SUBSTR(old.id, 1, 2) || '/' || old.id || CASE old.mime_type
        WHEN 'image/png' THEN '.png' WHEN 'image/jpeg' THEN '.jpg' WHEN 'image/webp' THEN '.webp' ELSE '.mp4'
    END))
    ON CONFLICT (key) DO UPDATE SET due_at = NULL;
END;

CREATE TRIGGER trash_file_deletion AFTER DELETE ON trash
WHEN old.file_key IS NOT NULL AND NOT EXISTS (SELECT 1 FROM media_items AS m WHERE m.id = old.item_id)
BEGIN
    INSERT INTO file_deletions (key) VALUES (old.file_key)
    ON CONFLICT (key) DO UPDATE SET due_at = NULL;
END;
