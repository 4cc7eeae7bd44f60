-- Exports that take a while, such as a whole library with its pictures: asked for, written by a worker, kept for a day.
-- target: the format. chosen: which personas, JSON: {"ids": null for all or [...], "nsfw": whether NSFW things too}.
-- claim and leased_until: which worker writes it, and until when its silence is nothing. done and total: personas and
-- pictures. lost: how many things the format cannot carry. file_key: the file, once it is whole; it goes with the row.

CREATE TABLE exports (
    id TEXT PRIMARY KEY NOT NULL,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    target TEXT NOT NULL,
    chosen TEXT NOT NULL CONSTRAINT exports_chosen_json CHECK (JSON_VALID(chosen)),
    status TEXT NOT NULL CONSTRAINT exports_status CHECK (status IN ('queued', 'processing', 'completed', 'failed')),
    done INTEGER NOT NULL DEFAULT 0,
    total INTEGER NOT NULL DEFAULT 0,
    lost INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    claim TEXT,
    leased_until TEXT,
    error_code TEXT,
    error_message TEXT,
    file_key TEXT,
    file_name TEXT,
    file_size INTEGER,
    created_at TEXT NOT NULL,
    started_at TEXT,
    completed_at TEXT,
    expires_at TEXT NOT NULL
) STRICT;

CREATE INDEX exports_owner ON exports (user_id, created_at DESC, id DESC);

CREATE INDEX exports_status ON exports (status, created_at, id);

CREATE INDEX exports_expiry ON exports (expires_at);

CREATE INDEX exports_file ON exports (file_key) WHERE file_key IS NOT NULL;

-- A row never goes, by whatever way, without its file being queued to go too.
CREATE TRIGGER export_file_deletion AFTER DELETE ON exports
WHEN old.file_key IS NOT NULL
BEGIN
    INSERT INTO file_deletions (key) VALUES (old.file_key)
    ON CONFLICT (key) DO UPDATE SET due_at = NULL;
END;

-- The pictures of a library of our own on their way in: the plan, and the journal once it is applied. entry: the entry
-- of their persona. document: zlib'd JSON of what the library says of one.
CREATE TABLE import_pictures (
    import_id TEXT NOT NULL REFERENCES imports (id) ON DELETE CASCADE,
    n INTEGER NOT NULL,
    entry INTEGER,
    media_id TEXT NOT NULL,
    file_key TEXT NOT NULL,
    size INTEGER NOT NULL,
    is_nsfw INTEGER NOT NULL CONSTRAINT import_pictures_is_nsfw CHECK (is_nsfw IN (0, 1)),
    document BLOB NOT NULL,
    state TEXT NOT NULL DEFAULT 'planned' CONSTRAINT import_pictures_state CHECK (
        state IN ('planned', 'done', 'skipped', 'undone', 'kept')
    ),
    PRIMARY KEY (import_id, n)
) STRICT;

CREATE INDEX import_pictures_state ON import_pictures (import_id, state, n);

CREATE INDEX import_pictures_file ON import_pictures (file_key);

CREATE TRIGGER import_pictures_file_deletion AFTER DELETE ON import_pictures
WHEN NOT EXISTS (SELECT 1 FROM media_items AS m WHERE m.file_key = old.file_key AND m.id = old.media_id)
    AND NOT EXISTS (SELECT 1 FROM trash AS t WHERE t.kind = 'media' AND t.item_id = old.media_id)
BEGIN
    INSERT INTO file_deletions (key) VALUES (old.file_key)
    ON CONFLICT (key) DO UPDATE SET due_at = NULL;
END;
