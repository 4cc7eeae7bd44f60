-- The table personas is made again as the way here did it (0019.real_presets.sql says why). 0.1 holds shorter texts, a
-- style always, and LoRAs that are used, without weights: where a text does not fit, nothing is done (`flask db rollback`
-- says it in a sentence before).

CREATE TABLE personas_fitting (
    too_long INTEGER CONSTRAINT personas_fit CHECK (too_long = 0)
);

INSERT INTO personas_fitting (too_long)
SELECT COUNT(*) AS too_long FROM personas
WHERE LENGTH(description) > 500 OR LENGTH(style_prompt) NOT BETWEEN 1 AND 1000 OR LENGTH(negative_prompt) > 1000;

DROP TABLE personas_fitting;

ALTER TABLE generation_jobs DROP COLUMN submissions;

ALTER TABLE generation_jobs DROP COLUMN warnings;

ALTER TABLE generation_jobs DROP COLUMN error_code;

ALTER TABLE generation_jobs DROP COLUMN persona_revision;

ALTER TABLE generation_jobs DROP COLUMN count;

ALTER TABLE generation_jobs ADD COLUMN lora_models TEXT NOT NULL DEFAULT '[]'
    CONSTRAINT jobs_lora_models_json CHECK (JSON_VALID(lora_models));

UPDATE generation_jobs
SET lora_models = (
    SELECT JSON_GROUP_ARRAY(l.name)
    FROM (SELECT JSON_EXTRACT(value, '$.name') AS name FROM JSON_EACH(generation_jobs.loras) ORDER BY key) AS l
)
WHERE loras <> '[]';

ALTER TABLE generation_jobs DROP COLUMN loras;

CREATE TABLE personas_kept AS
SELECT
    p.id, p.user_id, p.name, p.description, p.style_prompt, p.negative_prompt, p.generation_params, p.tags,
    p.is_favorite, p.is_nsfw, p.avatar_url, p.avatar_media_id, p.name_key, p.version, p.created_at, p.updated_at,
    (
        SELECT JSON_GROUP_ARRAY(l.name)
        FROM (
            SELECT JSON_EXTRACT(value, '$.name') AS name FROM JSON_EACH(p.loras)
            WHERE COALESCE(JSON_EXTRACT(value, '$.enabled'), TRUE) = TRUE
            ORDER BY key
        ) AS l
    ) AS lora_models
FROM personas AS p;

CREATE TABLE personas_reached AS
SELECT seq FROM sqlite_sequence WHERE name = 'personas';

DROP TABLE personas;

CREATE TABLE personas (
    id INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id BETWEEN 1 AND 4294967295),
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name TEXT NOT NULL CONSTRAINT personas_name_length CHECK (LENGTH(name) BETWEEN 1 AND 100),
    description TEXT NOT NULL DEFAULT '' CONSTRAINT personas_description_length CHECK (LENGTH(description) <= 500),
    style_prompt TEXT NOT NULL CONSTRAINT personas_style_prompt_length CHECK (LENGTH(style_prompt) BETWEEN 1 AND 1000),
    negative_prompt TEXT NOT NULL DEFAULT ''
        CONSTRAINT personas_negative_prompt_length CHECK (LENGTH(negative_prompt) <= 1000),
    lora_models TEXT NOT NULL DEFAULT '[]' CONSTRAINT personas_lora_models_json CHECK (JSON_VALID(lora_models)),
    generation_params TEXT NOT NULL DEFAULT '{}'
        CONSTRAINT personas_generation_params_json CHECK (JSON_VALID(generation_params)),
    tags TEXT NOT NULL DEFAULT '[]' CONSTRAINT personas_tags_json CHECK (JSON_VALID(tags)),
    is_favorite INTEGER NOT NULL DEFAULT 0 CONSTRAINT personas_is_favorite CHECK (is_favorite IN (0, 1)),
    is_nsfw INTEGER NOT NULL DEFAULT 0 CONSTRAINT personas_is_nsfw CHECK (is_nsfw IN (0, 1)),
    avatar_url TEXT,
    avatar_media_id TEXT,
    name_key TEXT NOT NULL,
    version INTEGER NOT NULL DEFAULT 1,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    CONSTRAINT personas_one_avatar CHECK (avatar_url IS NULL OR avatar_media_id IS NULL)
) STRICT;

INSERT INTO personas (
    id, user_id, name, description, style_prompt, negative_prompt, lora_models, generation_params, tags,
    is_favorite, is_nsfw, avatar_url, avatar_media_id, name_key, version, created_at, updated_at
)
SELECT
    id, user_id, name, description, style_prompt, negative_prompt, lora_models, generation_params, tags,
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

CREATE TABLE personas_checked (
    dangling INTEGER CONSTRAINT personas_none_dangling CHECK (dangling = 0)
);

INSERT INTO personas_checked (dangling)
SELECT COUNT(*) AS dangling FROM pragma_foreign_key_check WHERE parent = 'personas';

DROP TABLE personas_checked;
