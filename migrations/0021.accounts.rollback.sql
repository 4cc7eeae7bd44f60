DROP VIEW nsfw_viewers;

CREATE VIEW nsfw_viewers AS
SELECT own.user_id
FROM nsfw_settings AS own
INNER JOIN nsfw_settings AS instance ON COALESCE(instance.user_id, 0) = 0
WHERE own.user_id IS NOT NULL
    AND own.enabled = TRUE AND own.age_verified = TRUE
    AND instance.enabled = TRUE AND instance.age_verified = TRUE;

DROP TABLE password_links;

DROP TABLE api_keys;

DROP INDEX refresh_tokens_parent;

ALTER TABLE refresh_tokens DROP COLUMN issued_at;

ALTER TABLE refresh_tokens DROP COLUMN parent;

DROP INDEX sessions_handle;

ALTER TABLE sessions DROP COLUMN user_agent;

ALTER TABLE sessions DROP COLUMN last_used_at;

ALTER TABLE sessions DROP COLUMN handle;

ALTER TABLE users DROP COLUMN nsfw_allowed;
