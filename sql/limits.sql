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
