-- SQLite cannot add a stored column, so the table personas is made again, under its own name: its rows wait in a copy,
-- for a table that is renamed would take the references of others with it. What its ids have reached is carried too
-- (a deleted persona's never comes back), and at the end nothing may refer to a persona that is not there.
-- That its triggers are made after it is filled leaves counters and texts as they are.

CREATE TABLE personas_kept AS
SELECT
    id, user_id, name, description, style_prompt, negative_prompt, lora_models, generation_params, tags,
    is_favorite, is_nsfw, avatar_url, avatar_media_id, name_key, version, created_at, updated_at
FROM personas;

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

CREATE TABLE persona_spans (
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    span TEXT NOT NULL,
    is_nsfw INTEGER NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (user_id, span, is_nsfw)
) STRICT, WITHOUT ROWID;

INSERT INTO persona_spans (user_id, span, is_nsfw, n)
SELECT user_id, SUBSTR(created_at, 1, 9) AS span, is_nsfw, COUNT(*) AS n FROM personas
GROUP BY user_id, SUBSTR(created_at, 1, 9), is_nsfw;

CREATE TRIGGER personas_span_insert AFTER INSERT ON personas
BEGIN
    INSERT INTO persona_spans (user_id, span, is_nsfw, n)
    VALUES (new.user_id, SUBSTR(new.created_at, 1, 9), new.is_nsfw, 1)
    ON CONFLICT (user_id, span, is_nsfw) DO UPDATE SET n = n + 1;
END;

CREATE TRIGGER personas_span_delete AFTER DELETE ON personas
BEGIN
    UPDATE persona_spans SET n = n - 1
    WHERE user_id = old.user_id AND span = SUBSTR(old.created_at, 1, 9) AND is_nsfw = old.is_nsfw;
END;

CREATE TRIGGER personas_span_update AFTER UPDATE OF is_nsfw, created_at ON personas
WHEN old.is_nsfw <> new.is_nsfw OR old.created_at <> new.created_at
BEGIN
    UPDATE persona_spans SET n = n - 1
    WHERE user_id = old.user_id AND span = SUBSTR(old.created_at, 1, 9) AND is_nsfw = old.is_nsfw;
    INSERT INTO persona_spans (user_id, span, is_nsfw, n)
    VALUES (new.user_id, SUBSTR(new.created_at, 1, 9), new.is_nsfw, 1)
    ON CONFLICT (user_id, span, is_nsfw) DO UPDATE SET n = n + 1;
END;

CREATE VIEW persona_cards (id, user_id, is_nsfw, version, card, safe_card) AS
SELECT
    p.id, p.user_id, p.is_nsfw, p.version,
    p.card || CASE
        WHEN p.avatar_url IS NULL AND p.avatar_media_id IS NULL THEN ',"avatar_url":null}'
        ELSE ',"avatar_url":' || COALESCE((
            SELECT CHAR(1) || m.id || CHAR(1) FROM media_items AS m
            WHERE m.id = p.avatar_media_id AND m.user_id = p.user_id
        ), JSON_QUOTE(p.avatar_url)) || '}'
    END AS card,
    p.card || CASE
        WHEN p.avatar_url IS NULL AND p.avatar_media_id IS NULL THEN ',"avatar_url":null}'
        ELSE ',"avatar_url":' || COALESCE((
            SELECT CHAR(1) || m.id || CHAR(1) FROM media_items AS m
            WHERE m.id = p.avatar_media_id AND m.user_id = p.user_id AND m.is_nsfw = FALSE
        ), JSON_QUOTE(p.avatar_url)) || '}'
    END AS safe_card
FROM personas AS p;

DROP TRIGGER persona_texts_insert;

DROP TRIGGER persona_texts_delete;

DROP TRIGGER persona_texts_update;

INSERT INTO persona_search (persona_search, rank) VALUES ('automerge', 0);

DROP VIEW persona_search_texts;

DROP VIEW persona_search_sentinels;

CREATE TABLE persona_search_queue (
    doc_id INTEGER PRIMARY KEY
) STRICT;

CREATE VIEW persona_search_fences (doc_id, marked_text) AS
SELECT CAST((u.id << 32) | 4294967294 AS INTEGER) AS doc_id, CAST('END' AS TEXT) AS marked_text FROM users AS u
UNION ALL
SELECT CAST((u.id << 32) | 4294967295 AS INTEGER) AS doc_id, CAST('END' AS TEXT) AS marked_text FROM users AS u;

CREATE VIEW persona_search_texts (doc_id, marked_text) AS
SELECT t.doc_id, t.marked_text
FROM persona_texts AS t
WHERE NOT EXISTS (SELECT 1 FROM persona_search_queue AS q WHERE q.doc_id = t.doc_id)
UNION ALL
SELECT f.doc_id, f.marked_text FROM persona_search_fences AS f;

CREATE TRIGGER persona_texts_insert AFTER INSERT ON persona_texts
BEGIN
    INSERT INTO persona_search_queue (doc_id) VALUES (new.doc_id)
    ON CONFLICT (doc_id) DO NOTHING;
END;

CREATE TRIGGER persona_texts_delete AFTER DELETE ON persona_texts
BEGIN
    INSERT INTO persona_search (persona_search, rowid, marked_text)
    SELECT 'delete' AS command, old.doc_id, old.marked_text
    WHERE NOT EXISTS (SELECT 1 FROM persona_search_queue AS q WHERE q.doc_id = old.doc_id);
    DELETE FROM persona_search_queue WHERE doc_id = old.doc_id;
END;

CREATE TRIGGER persona_texts_update AFTER UPDATE ON persona_texts
WHEN old.doc_id <> new.doc_id OR old.marked_text <> new.marked_text
BEGIN
    INSERT INTO persona_search (persona_search, rowid, marked_text)
    SELECT 'delete' AS command, old.doc_id, old.marked_text
    WHERE NOT EXISTS (SELECT 1 FROM persona_search_queue AS q WHERE q.doc_id = old.doc_id);
    DELETE FROM persona_search_queue WHERE doc_id = old.doc_id;
    INSERT INTO persona_search_queue (doc_id) VALUES (new.doc_id)
    ON CONFLICT (doc_id) DO NOTHING;
END;

CREATE TRIGGER persona_search_queue_full AFTER INSERT ON persona_search_queue
WHEN (SELECT COUNT(*) FROM persona_search_queue) >= 16
BEGIN
    INSERT INTO persona_search (rowid, marked_text)
    SELECT t.doc_id, t.marked_text
    FROM persona_search_queue AS q
    CROSS JOIN persona_texts AS t ON t.doc_id = q.doc_id;
    DELETE FROM persona_search_queue;
    INSERT INTO persona_search (persona_search, rank) VALUES ('merge', 32);
END;

CREATE TABLE persona_search_versions (
    user_id INTEGER PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    version INTEGER NOT NULL DEFAULT (RANDOM())
) STRICT, WITHOUT ROWID;

INSERT INTO persona_search_versions (user_id)
SELECT u.id FROM users AS u;

CREATE TRIGGER users_search_version AFTER INSERT ON users
BEGIN
    INSERT INTO persona_search_versions (user_id) VALUES (new.id);
END;

CREATE TRIGGER persona_texts_version_delete AFTER DELETE ON persona_texts
BEGIN
    UPDATE persona_search_versions SET version = RANDOM() WHERE user_id = old.doc_id >> 32;
END;

CREATE TRIGGER persona_texts_version_update AFTER UPDATE ON persona_texts
WHEN old.doc_id <> new.doc_id OR old.marked_text <> new.marked_text
BEGIN
    UPDATE persona_search_versions SET version = RANDOM() WHERE user_id IN (old.doc_id >> 32, new.doc_id >> 32);
END;

-- Sixteen leave the queue when they enter the index.
CREATE TRIGGER persona_search_queue_version AFTER DELETE ON persona_search_queue
BEGIN
    UPDATE persona_search_versions SET version = RANDOM() WHERE user_id = old.doc_id >> 32;
END;

CREATE TABLE personas_checked (
    dangling INTEGER CONSTRAINT personas_none_dangling CHECK (dangling = 0)
);

INSERT INTO personas_checked (dangling)
SELECT COUNT(*) AS dangling FROM pragma_foreign_key_check WHERE parent = 'personas';

DROP TABLE personas_checked;
