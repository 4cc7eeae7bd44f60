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
    FOR UPDATE SKIP LOCKED
)
RETURNING id, user_id, target, chosen, attempts;
