-- What real presets need: longer prompts, LoRAs with weights, a name that goes with every export, and for a job what it
-- was asked for and what came of it.
-- SQLite cannot change a CHECK, so the table personas is made again, under its own name: its rows wait in a copy, for a
-- table that is renamed would take the references of others with it. What its ids have reached is carried too (a
-- deleted persona's never comes back), and at the end nothing may refer to a persona that is not there.
-- That its triggers are made after it is filled leaves counters and texts as they are.
-- loras: [{name, weight, clip_weight?, enabled}]. uid: a UUID of version 7, never given twice. revision: counts the
-- changes of what a picture is made of.

CREATE TABLE personas_kept AS
SELECT
    p.id, p.user_id, p.name, p.description, p.style_prompt, p.negative_prompt, p.generation_params, p.tags,
    p.is_favorite, p.is_nsfw, p.avatar_url, p.avatar_media_id, p.name_key, p.version, p.created_at, p.updated_at,
    (
        SELECT JSON_GROUP_ARRAY(JSON_OBJECT('name', l.value, 'weight', 1, 'enabled', JSON('true')))
        FROM (SELECT value FROM JSON_EACH(p.lora_models) ORDER BY key) AS l
    ) AS loras,
    -- The milliseconds of its making, and random bits.
    PRINTF(
        '%012x', COALESCE(STRFTIME('%s', p.created_at) * 1000 + CAST(SUBSTR(p.created_at, 21, 3) AS INTEGER), 0)
    ) AS milliseconds,
    LOWER(HEX(RANDOMBLOB(10))) AS random
FROM personas AS p;

CREATE TABLE personas_reached AS
SELECT seq FROM sqlite_sequence WHERE name = 'personas';

DROP TABLE personas;

CREATE TABLE personas (
    id INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id BETWEEN 1 AND 4294967295),
    uid TEXT NOT NULL CONSTRAINT personas_uid UNIQUE,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name TEXT NOT NULL CONSTRAINT personas_name_length CHECK (LENGTH(name) BETWEEN 1 AND 100),
    description TEXT NOT NULL DEFAULT '' CONSTRAINT personas_description_length CHECK (LENGTH(description) <= 8000),
    style_prompt TEXT NOT NULL DEFAULT ''
        CONSTRAINT personas_style_prompt_length CHECK (LENGTH(style_prompt) <= 8000),
    negative_prompt TEXT NOT NULL DEFAULT ''
        CONSTRAINT personas_negative_prompt_length CHECK (LENGTH(negative_prompt) <= 16000),
    loras TEXT NOT NULL DEFAULT '[]' CONSTRAINT personas_loras_json CHECK (JSON_VALID(loras)),
    generation_params TEXT NOT NULL DEFAULT '{}'
        CONSTRAINT personas_generation_params_json CHECK (JSON_VALID(generation_params)),
    tags TEXT NOT NULL DEFAULT '[]' CONSTRAINT personas_tags_json CHECK (JSON_VALID(tags)),
    is_favorite INTEGER NOT NULL DEFAULT 0 CONSTRAINT personas_is_favorite CHECK (is_favorite IN (0, 1)),
    is_nsfw INTEGER NOT NULL DEFAULT 0 CONSTRAINT personas_is_nsfw CHECK (is_nsfw IN (0, 1)),
    avatar_url TEXT,
    avatar_media_id TEXT,
    name_key TEXT NOT NULL,
    revision INTEGER NOT NULL DEFAULT 1,
    version INTEGER NOT NULL DEFAULT 1,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    CONSTRAINT personas_one_avatar CHECK (avatar_url IS NULL OR avatar_media_id IS NULL),
    CONSTRAINT personas_a_prompt CHECK (LENGTH(style_prompt) + LENGTH(negative_prompt) > 0)
) STRICT;

INSERT INTO personas (
    id, uid, user_id, name, description, style_prompt, negative_prompt, loras, generation_params, tags,
    is_favorite, is_nsfw, avatar_url, avatar_media_id, name_key, version, created_at, updated_at
)
SELECT
    id,
    SUBSTR(milliseconds, 1, 8) || '-' || SUBSTR(milliseconds, 9, 4) || '-7' || SUBSTR(random, 1, 3)
    || '-' || SUBSTR('89ab', 1 + (RANDOM() & 3), 1) || SUBSTR(random, 4, 3) || '-' || SUBSTR(random, 7, 12) AS uid,
    user_id, name, description, style_prompt, negative_prompt, loras, generation_params, tags,
    is_favorite, is_nsfw, avatar_url, avatar_media_id, name_key, version, created_at, updated_at
FROM personas_kept
ORDER BY id;

DELETE FROM sqlite_sequence WHERE name = 'personas';

INSERT INTO sqlite_sequence (name, seq)
SELECT 'personas' AS name, seq FROM personas_reached;

DROP TABLE personas_kept;

DROP TABLE personas_reached;

CREATE INDEX personas_created ON personas (user_id, created_at DESC, id DESC);

CREATE INDEX personas_created_safe ON personas (user_id, is_nsfw, created_at DESC, id DESC);

CREATE INDEX personas_updated ON personas (user_id, updated_at DESC, id DESC, is_nsfw);

CREATE INDEX personas_name ON personas (user_id, name_key, id, is_nsfw);

CREATE INDEX personas_favorite ON personas (user_id, created_at DESC, id DESC, is_nsfw) WHERE is_favorite = TRUE;

CREATE INDEX personas_favorite_updated ON personas (user_id, updated_at DESC, id DESC, is_nsfw)
WHERE is_favorite = TRUE;

CREATE INDEX personas_favorite_name ON personas (user_id, name_key, id, is_nsfw) WHERE is_favorite = TRUE;

CREATE TRIGGER personas_count_insert AFTER INSERT ON personas
BEGIN
    INSERT INTO persona_counts (user_id, is_nsfw, is_favorite, n)
    VALUES (new.user_id, new.is_nsfw, new.is_favorite, 1)
    ON CONFLICT (user_id, is_nsfw, is_favorite) DO UPDATE SET n = n + 1;
END;

CREATE TRIGGER personas_count_delete AFTER DELETE ON personas
BEGIN
    UPDATE persona_counts SET n = n - 1
    WHERE user_id = old.user_id AND is_nsfw = old.is_nsfw AND is_favorite = old.is_favorite;
END;

CREATE TRIGGER personas_count_update AFTER UPDATE OF is_nsfw, is_favorite ON personas
WHEN old.is_nsfw <> new.is_nsfw OR old.is_favorite <> new.is_favorite
BEGIN
    UPDATE persona_counts SET n = n - 1
    WHERE user_id = old.user_id AND is_nsfw = old.is_nsfw AND is_favorite = old.is_favorite;
    INSERT INTO persona_counts (user_id, is_nsfw, is_favorite, n)
    VALUES (new.user_id, new.is_nsfw, new.is_favorite, 1)
    ON CONFLICT (user_id, is_nsfw, is_favorite) DO UPDATE SET n = n + 1;
END;

CREATE TRIGGER personas_text_delete AFTER DELETE ON personas
BEGIN
    DELETE FROM persona_texts WHERE doc_id = (old.user_id << 32) | old.id;
END;

CREATE TRIGGER personas_text_flags AFTER UPDATE OF is_nsfw, is_favorite ON personas
WHEN old.is_nsfw <> new.is_nsfw OR old.is_favorite <> new.is_favorite
BEGIN
    UPDATE persona_texts
    SET safety = CASE new.is_nsfw WHEN TRUE THEN 'nsf' ELSE 'sfw' END,
        favor = CASE new.is_favorite WHEN TRUE THEN 'fav' ELSE 'oth' END
    WHERE doc_id = (new.user_id << 32) | new.id;
END;

-- loras: as they were asked for, composed; [{name, weight, clip_weight?}]. count: how many pictures.
-- persona_revision: which look of the persona made it. error_code: the word for programs beside error_message.
-- warnings: what was not done as it was asked, [{code, field, detail}]. submissions: how often the engine got it.

ALTER TABLE generation_jobs ADD COLUMN loras TEXT NOT NULL DEFAULT '[]'
    CONSTRAINT jobs_loras_json CHECK (JSON_VALID(loras));

UPDATE generation_jobs
SET loras = (
    SELECT JSON_GROUP_ARRAY(JSON_OBJECT('name', l.value, 'weight', 1))
    FROM (SELECT value FROM JSON_EACH(generation_jobs.lora_models) ORDER BY key) AS l
)
WHERE lora_models <> '[]';

ALTER TABLE generation_jobs DROP COLUMN lora_models;

ALTER TABLE generation_jobs ADD COLUMN count INTEGER NOT NULL DEFAULT 1
    CONSTRAINT jobs_count CHECK (count BETWEEN 1 AND 8);

ALTER TABLE generation_jobs ADD COLUMN persona_revision INTEGER;

ALTER TABLE generation_jobs ADD COLUMN error_code TEXT;

ALTER TABLE generation_jobs ADD COLUMN warnings TEXT NOT NULL DEFAULT '[]'
    CONSTRAINT jobs_warnings_json CHECK (JSON_VALID(warnings));

ALTER TABLE generation_jobs ADD COLUMN submissions INTEGER NOT NULL DEFAULT 0
    CONSTRAINT jobs_submissions CHECK (submissions >= 0);

CREATE TABLE personas_checked (
    dangling INTEGER CONSTRAINT personas_none_dangling CHECK (dangling = 0)
);

INSERT INTO personas_checked (dangling)
SELECT COUNT(*) AS dangling FROM pragma_foreign_key_check WHERE parent = 'personas';

DROP TABLE personas_checked;
