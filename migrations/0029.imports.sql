-- What people bring from elsewhere: a plan with an entry for each persona that it would make or change, which is the
-- journal once it is applied, and where each persona came from.

-- status: `planning` while its entries are being written, which nobody sees. files: [{name, format, tool, facts,
-- warnings}]. choices: what its owner decided, by entry. done: how many entries a run has behind it (on the way back:
-- before it). claim, leased_until: who works on it, and until when that counts. error_code: why it could not be applied,
-- from when it is being taken back.
CREATE TABLE imports (
    id TEXT PRIMARY KEY NOT NULL,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    status TEXT NOT NULL CONSTRAINT imports_status CHECK (status IN (
        'planning', 'planned', 'applying', 'applied', 'undoing', 'undone', 'failed', 'expired'
    )),
    options TEXT NOT NULL CONSTRAINT imports_options_json CHECK (JSON_VALID(options)),
    files TEXT NOT NULL CONSTRAINT imports_files_json CHECK (JSON_VALID(files)),
    summary TEXT NOT NULL DEFAULT '{}' CONSTRAINT imports_summary_json CHECK (JSON_VALID(summary)),
    choices TEXT NOT NULL DEFAULT '{}' CONSTRAINT imports_choices_json CHECK (JSON_VALID(choices)),
    entries INTEGER NOT NULL DEFAULT 0 CONSTRAINT imports_entries CHECK (entries >= 0),
    done INTEGER NOT NULL DEFAULT 0 CONSTRAINT imports_done CHECK (done BETWEEN 0 AND entries),
    claim TEXT,
    leased_until TEXT,
    error_code TEXT,
    error_message TEXT,
    version INTEGER NOT NULL DEFAULT 1,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    expires_at TEXT NOT NULL
) STRICT;

CREATE INDEX imports_owner ON imports (user_id, created_at DESC, id DESC, status);

CREATE INDEX imports_expiry ON imports (expires_at);

CREATE INDEX imports_working ON imports (user_id) WHERE status IN ('applying', 'undoing');

-- file: the stem of the file's name; with the format and `entry` it tells the same entry again. document: zlib'd JSON of
-- what the plan shows and what the file said. original: zlib'd, verbatim. media_id: the avatar; file_key: its file, where
-- it came along. version: that of the persona when it was planned. written_id: the persona that was made or changed;
-- replaced: zlib'd JSON of what it was before; left_version: as the import left it. note: what went otherwise.
CREATE TABLE import_entries (
    import_id TEXT NOT NULL REFERENCES imports (id) ON DELETE CASCADE,
    n INTEGER NOT NULL CONSTRAINT import_entries_n CHECK (n >= 0),
    locator TEXT NOT NULL,
    format TEXT NOT NULL,
    tool TEXT NOT NULL,
    file TEXT NOT NULL,
    entry TEXT NOT NULL,
    action TEXT NOT NULL CONSTRAINT import_entries_action CHECK (action IN (
        'create', 'update', 'unchanged', 'skip', 'conflict', 'error'
    )),
    match TEXT CONSTRAINT import_entries_match CHECK (match IN ('uid', 'source', 'hash', 'name')),
    persona_id INTEGER,
    version INTEGER,
    is_nsfw INTEGER NOT NULL CONSTRAINT import_entries_is_nsfw CHECK (is_nsfw IN (0, 1)),
    document BLOB NOT NULL,
    original BLOB CONSTRAINT import_entries_original_size CHECK (LENGTH(original) <= 1048576),
    sha256 TEXT,
    media_id TEXT,
    file_key TEXT,
    state TEXT NOT NULL DEFAULT 'planned' CONSTRAINT import_entries_state CHECK (state IN (
        'planned', 'done', 'undone', 'kept'
    )),
    note TEXT,
    written_id INTEGER,
    replaced BLOB,
    left_version INTEGER,
    PRIMARY KEY (import_id, n)
) STRICT;

CREATE INDEX import_entries_actions ON import_entries (import_id, action, n);

CREATE INDEX import_entries_file ON import_entries (file_key) WHERE file_key IS NOT NULL;

-- A picture that came along and became no media item goes with its entry.
CREATE TRIGGER import_entries_file_deletion AFTER DELETE ON import_entries
WHEN old.file_key IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM media_items AS m WHERE m.id = old.media_id)
    AND NOT EXISTS (SELECT 1 FROM trash AS t WHERE t.kind = 'media' AND t.item_id = old.media_id)
BEGIN
    INSERT INTO file_deletions (key) VALUES (old.file_key)
    ON CONFLICT (key) DO UPDATE SET due_at = NULL;
END;

-- base: zlib'd JSON of what the source said at the last import: what is compared when it comes again. revision: the
-- persona's, as that import left it.
CREATE TABLE persona_sources (
    persona_id INTEGER NOT NULL CONSTRAINT persona_sources_persona UNIQUE REFERENCES personas (id) ON DELETE CASCADE,
    user_id INTEGER NOT NULL,
    format TEXT NOT NULL,
    tool TEXT NOT NULL,
    file TEXT NOT NULL,
    entry TEXT NOT NULL,
    facts TEXT NOT NULL CONSTRAINT persona_sources_facts_json CHECK (JSON_VALID(facts)),
    sha256 TEXT,
    original BLOB CONSTRAINT persona_sources_original_size CHECK (LENGTH(original) <= 1048576),
    base BLOB NOT NULL,
    revision INTEGER NOT NULL,
    imported_at TEXT NOT NULL
) STRICT;

CREATE INDEX persona_sources_entry ON persona_sources (user_id, format, file, entry, persona_id);
