-- name: get^
-- What a user's request under this key made, unless it is too long ago.
SELECT request, digest, status, location, made
FROM idempotency_keys WHERE user_id = :user_id AND key = :key AND created_at > :since;

-- name: keep!
-- Remember what a request under this key makes; 0 when another one has just made something.
INSERT INTO idempotency_keys (user_id, key, request, digest, status, location, made, created_at)
VALUES (:user_id, :key, :request, :digest, :status, :location, :made, :now)
ON CONFLICT (user_id, key) DO UPDATE SET
    request = excluded.request, digest = excluded.digest, status = excluded.status, location = excluded.location,
    made = excluded.made, created_at = excluded.created_at
WHERE idempotency_keys.created_at <= :since;

-- name: prune!
-- Forget what requests made too long ago.
DELETE FROM idempotency_keys WHERE created_at <= :since;
