-- What jobs made. The files' names follow from the id; file_deletions holds the ids whose files are to go.

CREATE TABLE media_items (
    id TEXT PRIMARY KEY NOT NULL,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    job_id TEXT REFERENCES generation_jobs (id) ON DELETE SET NULL,
    position INTEGER NOT NULL DEFAULT 0,
    persona_id INTEGER REFERENCES personas (id) ON DELETE SET NULL,
    file_type TEXT NOT NULL CONSTRAINT media_file_type CHECK (file_type IN ('image', 'video')),
    mime_type TEXT NOT NULL,
    width INTEGER NOT NULL CONSTRAINT media_width CHECK (width > 0),
    height INTEGER NOT NULL CONSTRAINT media_height CHECK (height > 0),
    file_size INTEGER NOT NULL CONSTRAINT media_file_size CHECK (file_size >= 0),
    metadata TEXT NOT NULL CONSTRAINT media_metadata_json CHECK (JSON_VALID(metadata)),
    tags TEXT NOT NULL DEFAULT '[]' CONSTRAINT media_tags_json CHECK (JSON_VALID(tags)),
    is_favorite INTEGER NOT NULL DEFAULT 0 CONSTRAINT media_is_favorite CHECK (is_favorite IN (0, 1)),
    is_nsfw INTEGER NOT NULL DEFAULT 0 CONSTRAINT media_is_nsfw CHECK (is_nsfw IN (0, 1)),
    nsfw_tags TEXT NOT NULL DEFAULT '[]' CONSTRAINT media_nsfw_tags_json CHECK (JSON_VALID(nsfw_tags)),
    search_text TEXT NOT NULL,
    version INTEGER NOT NULL DEFAULT 1,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;

CREATE UNIQUE INDEX media_job ON media_items (job_id, position);

CREATE INDEX media_created ON media_items (user_id, created_at DESC, id DESC);

CREATE INDEX media_created_safe ON media_items (user_id, is_nsfw, created_at DESC, id DESC);

CREATE INDEX media_favorite ON media_items (user_id, created_at DESC, id DESC, is_nsfw) WHERE is_favorite = TRUE;

CREATE INDEX media_persona ON media_items (persona_id, created_at DESC, id DESC);

CREATE TABLE media_tags (
    user_id INTEGER NOT NULL,
    tag_key TEXT NOT NULL,
    media_id TEXT NOT NULL REFERENCES media_items (id) ON DELETE CASCADE,
    PRIMARY KEY (user_id, tag_key, media_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX media_tags_media ON media_tags (media_id);

CREATE TABLE media_counts (
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    is_nsfw INTEGER NOT NULL,
    is_favorite INTEGER NOT NULL,
    file_type TEXT NOT NULL,
    n INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (user_id, is_nsfw, is_favorite, file_type)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER media_count_insert AFTER INSERT ON media_items
BEGIN
    INSERT INTO media_counts (user_id, is_nsfw, is_favorite, file_type, n, bytes)
    VALUES (new.user_id, new.is_nsfw, new.is_favorite, new.file_type, 1, new.file_size)
    ON CONFLICT (user_id, is_nsfw, is_favorite, file_type) DO UPDATE SET n = n + 1, bytes = bytes + excluded.bytes;
END;

CREATE TRIGGER media_count_delete AFTER DELETE ON media_items
BEGIN
    UPDATE media_counts SET n = n - 1, bytes = bytes - old.file_size
    WHERE user_id = old.user_id AND is_nsfw = old.is_nsfw
        AND is_favorite = old.is_favorite AND file_type = old.file_type;
END;

CREATE TRIGGER media_count_update AFTER UPDATE OF is_nsfw, is_favorite ON media_items
WHEN old.is_nsfw <> new.is_nsfw OR old.is_favorite <> new.is_favorite
BEGIN
    UPDATE media_counts SET n = n - 1, bytes = bytes - old.file_size
    WHERE user_id = old.user_id AND is_nsfw = old.is_nsfw
        AND is_favorite = old.is_favorite AND file_type = old.file_type;
    INSERT INTO media_counts (user_id, is_nsfw, is_favorite, file_type, n, bytes)
    VALUES (new.user_id, new.is_nsfw, new.is_favorite, new.file_type, 1, new.file_size)
    ON CONFLICT (user_id, is_nsfw, is_favorite, file_type) DO UPDATE SET n = n + 1, bytes = bytes + excluded.bytes;
END;

CREATE TABLE file_deletions (
    media_id TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

-- A media row never goes, by whatever way, without its files being queued to go too.
CREATE TRIGGER media_file_deletion AFTER DELETE ON media_items
BEGIN
    INSERT INTO file_deletions (media_id) VALUES (old.id)
    ON CONFLICT (media_id) DO NOTHING;
END;
