-- name: in_force^
-- What holds for an account: its own word, else that of its group; NSFW things where both allow them.
SELECT
    (u.nsfw_allowed = TRUE AND COALESCE(g.nsfw_allowed, TRUE) = TRUE) AS nsfw_in_force,
    COALESCE(u.engines, g.engines) AS engines_in_force,
    COALESCE(u.models, g.models) AS models_in_force,
    COALESCE(u.engine_minutes_a_day, g.engine_minutes_a_day) AS minutes_in_force,
    COALESCE(u.max_pictures, g.max_pictures) AS pictures_in_force,
    COALESCE(u.max_bytes, g.max_bytes) AS bytes_in_force,
    COALESCE(u.may_share, g.may_share, TRUE) AS share_in_force
FROM users AS u
LEFT JOIN account_groups AS g ON g.id = u.group_id
WHERE u.id = :user_id;

-- name: of_account^
-- What an administrator has said of an account itself.
SELECT group_id, engines, models, engine_minutes_a_day, max_pictures, max_bytes, may_share
FROM users WHERE id = :user_id AND deleted_at IS NULL;

-- name: write!
-- Write what an administrator says of an account.
UPDATE users
SET group_id = :group_id, engines = :engines, models = :models, engine_minutes_a_day = :engine_minutes_a_day,
    max_pictures = :max_pictures, max_bytes = :max_bytes, may_share = :may_share, updated_at = :now
WHERE id = :user_id;

-- name: group_page
-- A page of the groups with how many accounts are in each, in the order they were made, or one of them.
-- family: which all: g.id > 0
-- family: which one: g.id = :id
SELECT
    g.id, g.name, g.nsfw_allowed, g.engines, g.models, g.engine_minutes_a_day, g.max_pictures, g.max_bytes,
    g.may_share, g.created_at, g.updated_at,
    (SELECT COUNT(*) FROM users AS u WHERE u.group_id = g.id) AS members
FROM account_groups AS g
WHERE g.id > 0
ORDER BY g.id LIMIT :limit OFFSET :offset;

-- name: group_count$
-- How many groups there are.
SELECT COUNT(*) FROM account_groups;

-- name: group_by_name$
-- Which group has a name.
SELECT id FROM account_groups WHERE name_key = :name_key;

-- name: group_create$
-- Make a group; answers its id.
INSERT INTO account_groups (
    name, name_key, nsfw_allowed, engines, models, engine_minutes_a_day, max_pictures, max_bytes, may_share,
    created_at, updated_at
)
VALUES (
    :name, :name_key, :nsfw_allowed, :engines, :models, :engine_minutes_a_day, :max_pictures, :max_bytes, :may_share,
    :now, :now
)
RETURNING id;

-- name: group_update!
-- Write what an administrator says of a group.
UPDATE account_groups
SET name = :name, name_key = :name_key, nsfw_allowed = :nsfw_allowed, engines = :engines, models = :models,
    engine_minutes_a_day = :engine_minutes_a_day, max_pictures = :max_pictures, max_bytes = :max_bytes,
    may_share = :may_share, updated_at = :now
WHERE id = :id;

-- name: group_delete!
-- Delete a group; its members are in none from then on.
DELETE FROM account_groups WHERE id = :id;

-- name: join!
-- Put an account into a group, and out of the one that it was in.
UPDATE users SET group_id = :group_id, updated_at = :now WHERE id = :user_id AND deleted_at IS NULL;

-- name: leave!
-- Take an account out of a group.
UPDATE users SET group_id = NULL, updated_at = :now WHERE id = :user_id AND group_id = :group_id;
