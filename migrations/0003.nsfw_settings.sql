-- NSFW settings: one row a user, and one row without a user, the instance's default.

CREATE TABLE nsfw_settings (
    id INTEGER PRIMARY KEY,
    user_id INTEGER REFERENCES users (id) ON DELETE CASCADE,
    enabled INTEGER NOT NULL CONSTRAINT nsfw_enabled CHECK (enabled IN (0, 1)),
    age_verified INTEGER NOT NULL CONSTRAINT nsfw_age_verified CHECK (age_verified IN (0, 1)),
    intensity TEXT NOT NULL CONSTRAINT nsfw_intensity CHECK (intensity IN ('low', 'medium', 'high')),
    categories TEXT NOT NULL CONSTRAINT nsfw_categories_json CHECK (JSON_VALID(categories)),
    overrides TEXT NOT NULL CONSTRAINT nsfw_overrides_json CHECK (JSON_VALID(overrides)),
    updated_at TEXT NOT NULL
) STRICT;

CREATE UNIQUE INDEX nsfw_settings_owner ON nsfw_settings (COALESCE(user_id, 0));

CREATE INDEX nsfw_settings_user ON nsfw_settings (user_id);

-- The one NSFW predicate: the users for whom NSFW things are in force (their own word AND the default).
CREATE VIEW nsfw_viewers AS
SELECT own.user_id
FROM nsfw_settings AS own
INNER JOIN nsfw_settings AS instance ON COALESCE(instance.user_id, 0) = 0
WHERE own.user_id IS NOT NULL
    AND own.enabled = TRUE AND own.age_verified = TRUE
    AND instance.enabled = TRUE AND instance.age_verified = TRUE;
