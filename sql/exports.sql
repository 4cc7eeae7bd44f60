-- name: create!
-- Ask for an export.
INSERT INTO exports (id, user_id, target, chosen, status, total, created_at, expires_at)
VALUES (:id, :user_id, :target, :chosen, 'queued', :total, :now, :expires_at);

-- name: count$
-- How many exports a user has.
SELECT COUNT(*) FROM exports WHERE user_id = :user_id;

-- name: page
-- A page of a user's exports, the newest first.
SELECT
    e.id, e.target, e.status, e.done, e.total, e.lost, e.error_code, e.error_message, e.file_key, e.file_name,
    e.file_size, e.created_at, e.started_at, e.completed_at, e.expires_at
FROM (
    SELECT id FROM exports
    WHERE user_id = :user_id
    ORDER BY created_at DESC, id DESC
    LIMIT :limit OFFSET :offset
) AS page
INNER JOIN exports AS e ON e.id = page.id
ORDER BY e.created_at DESC, e.id DESC;

-- name: get^
-- One export of a user.
SELECT
    e.id, e.target, e.status, e.done, e.total, e.lost, e.error_code, e.error_message, e.file_key, e.file_name,
    e.file_size, e.created_at, e.started_at, e.completed_at, e.expires_at
FROM exports AS e
WHERE e.id = :id AND e.user_id = :user_id;

-- name: linked^
-- The file that a signed link to an export gives, while it has not expired and its owner is live.
SELECT e.file_key, e.file_name, e.expires_at
FROM exports AS e
INNER JOIN users AS u ON u.id = e.user_id
WHERE e.id = :id AND e.user_id = :user_id AND e.file_key IS NOT NULL AND e.expires_at > :now AND u.is_active = TRUE;

-- name: delete!
-- Delete an export, whatever becomes of it; a trigger queues its file, and whoever writes it finds it gone.
DELETE FROM exports WHERE id = :id AND user_id = :user_id;

-- name: due$
-- Whether an export waits, or has a worker that is silent (or one whose clock was ahead); asked without the write lock.
SELECT 1 FROM exports AS e
WHERE e.status IN ('queued', 'processing')
    AND (e.status = 'queued' OR e.leased_until <= :now OR e.leased_until > :horizon)
LIMIT 1;

-- name: claim^
-- Take the oldest export that is due, of the owners of whom none is being written.
UPDATE exports
SET status = 'processing', claim = :claim, leased_until = :leased_until, attempts = attempts + 1, done = 0,
    started_at = COALESCE(started_at, :now)
WHERE id = (
    SELECT e.id FROM exports AS e
    WHERE e.status IN ('queued', 'processing')
        AND (e.status = 'queued' OR e.leased_until <= :now OR e.leased_until > :horizon)
        AND NOT EXISTS (
            SELECT 1 FROM exports AS o
            WHERE o.user_id = e.user_id AND o.status = 'processing' AND o.id <> e.id
                AND o.leased_until > :now AND o.leased_until <= :horizon
        )
    ORDER BY e.created_at, e.id LIMIT 1
)
RETURNING id, user_id, target, chosen, attempts;

-- name: heartbeat!
-- Say how far it is and that its worker is there; 0 where it is gone or somebody else's.
UPDATE exports SET done = :done, total = :total, leased_until = :leased_until
WHERE id = :id AND claim = :claim AND status = 'processing';

-- name: give_back!
-- Let another worker begin it again.
UPDATE exports SET status = 'queued', claim = NULL, leased_until = NULL, attempts = attempts - 1, done = 0
WHERE id = :id AND claim = :claim AND status = 'processing';

-- name: finish!
-- Name the file of an export that is whole; 0 where it is gone or somebody else's.
UPDATE exports
SET status = 'completed', claim = NULL, leased_until = NULL, done = total, lost = :lost, file_key = :file_key,
    file_name = :file_name, file_size = :file_size, completed_at = :now, expires_at = :expires_at
WHERE id = :id AND claim = :claim AND status = 'processing';

-- name: fail!
-- Say why there will be no file.
UPDATE exports
SET status = 'failed', claim = NULL, leased_until = NULL, error_code = :error_code, error_message = :error_message,
    completed_at = :now
WHERE id = :id AND claim = :claim AND status = 'processing';

-- name: expired$
-- Whether an export has had its time, asked without the write lock; one that is being written has not.
SELECT 1 FROM exports WHERE expires_at <= :now AND status <> 'processing' LIMIT 1;

-- name: prune!
-- Delete some of the exports that have had their time.
DELETE FROM exports WHERE id IN (
    SELECT e.id FROM exports AS e WHERE e.expires_at <= :now AND e.status <> 'processing' LIMIT :limit
);
