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
