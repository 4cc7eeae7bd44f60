-- Accounts, and what the instance remembers about itself.
-- username_key and email_key are the folded forms: unique without case.

CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id BETWEEN 1 AND 2147483647),
    username TEXT NOT NULL CONSTRAINT users_username_length CHECK (LENGTH(username) BETWEEN 1 AND 50),
    username_key TEXT NOT NULL CONSTRAINT users_username_taken UNIQUE,
    email TEXT NOT NULL,
    email_key TEXT NOT NULL CONSTRAINT users_email_taken UNIQUE,
    password_hash TEXT,
    is_active INTEGER NOT NULL DEFAULT 1 CONSTRAINT users_is_active CHECK (is_active IN (0, 1)),
    is_admin INTEGER NOT NULL DEFAULT 0 CONSTRAINT users_is_admin CHECK (is_admin IN (0, 1)),
    settings TEXT NOT NULL CONSTRAINT users_settings_json CHECK (JSON_VALID(settings)),
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    deleted_at TEXT,
    CONSTRAINT users_deleted_is_inactive CHECK (deleted_at IS NULL OR is_active = 0)
) STRICT;

CREATE INDEX users_deleted ON users (deleted_at) WHERE deleted_at IS NOT NULL;

CREATE INDEX users_active_admins ON users (id) WHERE is_admin = TRUE AND is_active = TRUE;

CREATE TABLE platform_state (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    created_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
