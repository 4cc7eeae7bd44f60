CREATE OR REPLACE VIEW nsfw_viewers AS
SELECT own.user_id
FROM nsfw_settings AS own
INNER JOIN users AS account ON account.id = own.user_id
INNER JOIN nsfw_settings AS instance ON COALESCE(instance.user_id, 0) = 0
WHERE own.user_id IS NOT NULL
    AND own.enabled = TRUE AND own.age_verified = TRUE
    AND account.nsfw_allowed = TRUE
    AND instance.enabled = TRUE AND instance.age_verified = TRUE;

DROP TABLE usage_days;

DROP INDEX users_group;

ALTER TABLE users DROP COLUMN may_share;

ALTER TABLE users DROP COLUMN max_bytes;

ALTER TABLE users DROP COLUMN max_pictures;

ALTER TABLE users DROP COLUMN engine_minutes_a_day;

ALTER TABLE users DROP COLUMN models;

ALTER TABLE users DROP COLUMN engines;

ALTER TABLE users DROP COLUMN group_id;

DROP TABLE account_groups;
