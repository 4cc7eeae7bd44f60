-- What owners and administrators do with accounts: API keys, one-time links to a new password, sessions that can be
-- told apart, and whether an account may have NSFW things at all.
-- refresh_tokens.parent is the token that one was exchanged for: while no successor of a used token was used itself,
-- its answer may have been lost. sessions.handle names a session to its owner: the id itself stands in the tokens.

ALTER TABLE users ADD COLUMN nsfw_allowed INTEGER NOT NULL DEFAULT 1
CONSTRAINT users_nsfw_allowed CHECK (nsfw_allowed IN (0, 1));

ALTER TABLE sessions ADD COLUMN handle TEXT;

ALTER TABLE sessions ADD COLUMN last_used_at TEXT;

ALTER TABLE sessions ADD COLUMN user_agent TEXT NOT NULL DEFAULT '';

UPDATE sessions SET handle = LOWER(HEX(RANDOMBLOB(8)));

CREATE UNIQUE INDEX sessions_handle ON sessions (handle);

ALTER TABLE refresh_tokens ADD COLUMN parent TEXT;

ALTER TABLE refresh_tokens ADD COLUMN issued_at TEXT NOT NULL DEFAULT '';

-- A session's last used token was exchanged for those that are not used yet.
UPDATE refresh_tokens SET parent = (
    SELECT used.digest FROM refresh_tokens AS used
    WHERE used.session_id = refresh_tokens.session_id AND used.used_at IS NOT NULL
    ORDER BY used.used_at DESC LIMIT 1
)
WHERE used_at IS NULL;

UPDATE refresh_tokens SET issued_at = COALESCE(
    (SELECT used.used_at FROM refresh_tokens AS used WHERE used.digest = refresh_tokens.parent),
    (SELECT s.created_at FROM sessions AS s WHERE s.id = refresh_tokens.session_id)
);

CREATE INDEX refresh_tokens_parent ON refresh_tokens (parent);

CREATE TABLE api_keys (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name TEXT NOT NULL CONSTRAINT api_keys_name_length CHECK (LENGTH(name) BETWEEN 1 AND 100),
    scope TEXT NOT NULL CONSTRAINT api_keys_scope CHECK (scope IN ('read', 'generate', 'all')),
    digest TEXT NOT NULL CONSTRAINT api_keys_digest UNIQUE,
    last_four TEXT NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT,
    last_used_at TEXT
) STRICT;

CREATE INDEX api_keys_user ON api_keys (user_id);

CREATE INDEX api_keys_expiry ON api_keys (expires_at);

CREATE TABLE password_links (
    user_id INTEGER PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    digest TEXT NOT NULL CONSTRAINT password_links_digest UNIQUE,
    expires_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX password_links_expiry ON password_links (expires_at);

DROP VIEW nsfw_viewers;

-- The one NSFW predicate: the users for whom NSFW things are in force (their own word, the administrator's word for
-- the account, AND the default).
CREATE VIEW nsfw_viewers AS
SELECT own.user_id
FROM nsfw_settings AS own
INNER JOIN users AS account ON account.id = own.user_id
INNER JOIN nsfw_settings AS instance ON COALESCE(instance.user_id, 0) = 0
WHERE own.user_id IS NOT NULL
    AND own.enabled = TRUE AND own.age_verified = TRUE
    AND account.nsfw_allowed = TRUE
    AND instance.enabled = TRUE AND instance.age_verified = TRUE;
