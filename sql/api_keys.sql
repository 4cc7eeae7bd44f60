-- name: create^
-- Remember an API key that was handed out, by its digest.
INSERT INTO api_keys (user_id, name, scope, digest, last_four, created_at, expires_at)
VALUES (:user_id, :name, :scope, :digest, :last_four, :now, :expires_at)
RETURNING id, name, scope, last_four, created_at, expires_at, last_used_at;

-- name: list_all
-- The API keys of a user, newest first.
SELECT id, name, scope, last_four, created_at, expires_at, last_used_at
FROM api_keys WHERE user_id = :user_id ORDER BY id DESC;

-- name: user_by_digest^
-- Who a live API key belongs to: the one query that guards each request with a key.
SELECT
    u.id, u.username, u.email, u.is_active, u.is_admin, u.settings, u.created_at,
    NULL AS session_id, k.id AS key_id, k.scope, k.last_used_at
FROM api_keys AS k
INNER JOIN users AS u ON u.id = k.user_id
WHERE k.digest = :digest AND (k.expires_at IS NULL OR k.expires_at > :now) AND u.is_active = TRUE;

-- name: user_by_id^
-- Who a live API key belongs to, for a ticket that was made with it.
SELECT
    u.id, u.username, u.email, u.is_active, u.is_admin, u.settings, u.created_at,
    NULL AS session_id, k.id AS key_id, k.scope
FROM api_keys AS k
INNER JOIN users AS u ON u.id = k.user_id
WHERE k.id = :id AND k.user_id = :user_id AND (k.expires_at IS NULL OR k.expires_at > :now) AND u.is_active = TRUE;

-- name: used!
-- Write that an API key was used, unless another request has just done so.
UPDATE api_keys SET last_used_at = :now
WHERE id = :id AND (last_used_at IS NULL OR last_used_at < :before);

-- name: delete!
-- End an API key.
DELETE FROM api_keys WHERE id = :id AND user_id = :user_id;

-- name: end_all!
-- End all API keys of an account.
DELETE FROM api_keys WHERE user_id = :user_id;

-- name: prune!
-- Drop API keys past their end.
DELETE FROM api_keys WHERE expires_at < :now;
