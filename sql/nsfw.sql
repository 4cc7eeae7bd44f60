-- name: seed_default!
-- Make the default of the instance where it is absent.
INSERT INTO nsfw_settings (user_id, enabled, age_verified, intensity, categories, overrides, updated_at)
VALUES (NULL, :enabled, :age_verified, :intensity, :categories, :overrides, :now)
ON CONFLICT DO NOTHING;

-- name: get_default^
-- The default of the instance.
SELECT enabled, age_verified, intensity, categories, overrides
FROM nsfw_settings WHERE COALESCE(user_id, 0) = 0;

-- name: get^
-- What a user has said, if anything.
SELECT enabled, age_verified, intensity, categories, overrides
FROM nsfw_settings WHERE COALESCE(user_id, 0) = :user_id;

-- name: put!
-- Write what a user says.
INSERT INTO nsfw_settings (user_id, enabled, age_verified, intensity, categories, overrides, updated_at)
VALUES (:user_id, :enabled, :age_verified, :intensity, :categories, :overrides, :now)
ON CONFLICT (COALESCE(user_id, 0)) DO UPDATE
SET enabled = excluded.enabled, age_verified = excluded.age_verified, intensity = excluded.intensity,
    categories = excluded.categories, overrides = excluded.overrides, updated_at = excluded.updated_at;

-- name: in_force$
-- A row where NSFW things are in force for a user.
SELECT 1 FROM nsfw_viewers WHERE user_id = :user_id;
