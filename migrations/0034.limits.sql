-- What an administrator lets accounts have and use, and who had how much.
-- account_groups: settings that several accounts share; name_key is the folded name.
-- Of a group and of an account alike: engines and models: which may be used, JSON: names, or NULL for no word on it.
-- engine_minutes_a_day, max_pictures and max_bytes: NULL for no word. may_share: NULL for no word.
-- usage_days: what an account had of the engines and what it made there, by the UTC day.

CREATE TABLE account_groups (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL CONSTRAINT account_groups_name_length CHECK (LENGTH(name) BETWEEN 1 AND 100),
    name_key TEXT NOT NULL CONSTRAINT account_groups_name_taken UNIQUE,
    nsfw_allowed INTEGER NOT NULL DEFAULT 1 CONSTRAINT account_groups_nsfw_allowed CHECK (nsfw_allowed IN (0, 1)),
    engines TEXT CONSTRAINT account_groups_engines_json CHECK (engines IS NULL OR JSON_VALID(engines)),
    models TEXT CONSTRAINT account_groups_models_json CHECK (models IS NULL OR JSON_VALID(models)),
    engine_minutes_a_day INTEGER CONSTRAINT account_groups_engine_minutes CHECK (engine_minutes_a_day >= 0),
    max_pictures INTEGER CONSTRAINT account_groups_max_pictures CHECK (max_pictures >= 1),
    max_bytes INTEGER CONSTRAINT account_groups_max_bytes CHECK (max_bytes >= 1),
    may_share INTEGER CONSTRAINT account_groups_may_share CHECK (may_share IN (0, 1)),
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;

ALTER TABLE users ADD COLUMN group_id INTEGER REFERENCES account_groups (id) ON DELETE SET NULL;

ALTER TABLE users ADD COLUMN engines TEXT
CONSTRAINT users_engines_json CHECK (engines IS NULL OR JSON_VALID(engines));

ALTER TABLE users ADD COLUMN models TEXT
CONSTRAINT users_models_json CHECK (models IS NULL OR JSON_VALID(models));

ALTER TABLE users ADD COLUMN engine_minutes_a_day INTEGER
CONSTRAINT users_engine_minutes CHECK (engine_minutes_a_day >= 0);

ALTER TABLE users ADD COLUMN max_pictures INTEGER CONSTRAINT users_max_pictures CHECK (max_pictures >= 1);

ALTER TABLE users ADD COLUMN max_bytes INTEGER CONSTRAINT users_max_bytes CHECK (max_bytes >= 1);

ALTER TABLE users ADD COLUMN may_share INTEGER CONSTRAINT users_may_share CHECK (may_share IN (0, 1));

CREATE INDEX users_group ON users (group_id);

CREATE TABLE usage_days (
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    day TEXT NOT NULL,
    engine_seconds REAL NOT NULL,
    pictures INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (user_id, day)
) STRICT, WITHOUT ROWID;

CREATE INDEX usage_days_day ON usage_days (day, user_id);

DROP VIEW nsfw_viewers;

-- The one NSFW predicate: the users for whom NSFW things are in force (their own word, the administrator's word for
-- the account and for its group, AND the default).
CREATE VIEW nsfw_viewers AS
SELECT own.user_id
FROM nsfw_settings AS own
INNER JOIN users AS account ON account.id = own.user_id
INNER JOIN nsfw_settings AS instance ON COALESCE(instance.user_id, 0) = 0
WHERE own.user_id IS NOT NULL
    AND own.enabled = TRUE AND own.age_verified = TRUE
    AND account.nsfw_allowed = TRUE
    AND NOT EXISTS (
        SELECT 1 FROM account_groups AS own_group
        WHERE own_group.id = account.group_id AND own_group.nsfw_allowed = FALSE
    )
    AND instance.enabled = TRUE AND instance.age_verified = TRUE;
