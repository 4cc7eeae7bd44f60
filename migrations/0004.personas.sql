-- Personas, the tags they are filtered by, and how many each user has.
-- name_key sorts without case and accents; it is folded by the application.
-- avatar_media_id is a plain reference: media that is gone reads as no avatar.
-- card is the persona as JSON, open at its end, where the statements add the avatar: made once when it is written
-- instead of at each reading (a list of 20 takes 24 us instead of 78), and by the database itself, so that it
-- cannot be stale.

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
    card TEXT NOT NULL GENERATED ALWAYS AS (RTRIM(JSON_OBJECT(
        'id', id, 'name', name, 'description', description,
        'style_prompt', style_prompt, 'negative_prompt', negative_prompt,
        'lora_models', JSON(lora_models), 'generation_params', JSON(generation_params), 'tags', JSON(tags),
        'is_favorite', JSON(CASE is_favorite WHEN 1 THEN 'true' ELSE 'false' END),
        'is_nsfw', JSON(CASE is_nsfw WHEN 1 THEN 'true' ELSE 'false' END),
        'created_at', created_at, 'updated_at', updated_at
    ), '}')) STORED,
    CONSTRAINT personas_one_avatar CHECK (avatar_url IS NULL OR avatar_media_id IS NULL)
) STRICT;

CREATE INDEX personas_created ON personas (user_id, created_at DESC, id DESC);

CREATE INDEX personas_created_safe ON personas (user_id, is_nsfw, created_at DESC, id DESC);

-- The orders that are asked for less share one index with and without NSFW: passing over an entry takes 30 ns.
CREATE INDEX personas_updated ON personas (user_id, updated_at DESC, id DESC, is_nsfw);

CREATE INDEX personas_name ON personas (user_id, name_key, id, is_nsfw);

CREATE INDEX personas_favorite ON personas (user_id, created_at DESC, id DESC, is_nsfw) WHERE is_favorite = TRUE;

CREATE INDEX personas_favorite_updated ON personas (user_id, updated_at DESC, id DESC, is_nsfw)
WHERE is_favorite = TRUE;

CREATE INDEX personas_favorite_name ON personas (user_id, name_key, id, is_nsfw) WHERE is_favorite = TRUE;

CREATE TABLE persona_tags (
    user_id INTEGER NOT NULL,
    tag_key TEXT NOT NULL,
    persona_id INTEGER NOT NULL REFERENCES personas (id) ON DELETE CASCADE,
    PRIMARY KEY (user_id, tag_key, persona_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX persona_tags_persona ON persona_tags (persona_id);

CREATE TABLE persona_counts (
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    is_nsfw INTEGER NOT NULL,
    is_favorite INTEGER NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (user_id, is_nsfw, is_favorite)
) STRICT, WITHOUT ROWID;

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
