-- name: pulse^
-- How far the events are complete, and whether NSFW things are in force; no row once user, or session and API key, are over.
SELECT
    COALESCE((SELECT MAX(e.id) FROM job_events AS e), 0) AS horizon,
    (SELECT COUNT(*) FROM nsfw_viewers AS v WHERE v.user_id = u.id) AS nsfw
FROM users AS u
WHERE u.id = :user_id AND u.is_active = TRUE AND (
    EXISTS (SELECT 1 FROM sessions AS s WHERE s.id = :session_id AND s.user_id = u.id AND s.expires_at > :now)
    OR EXISTS (
        SELECT 1 FROM api_keys AS k
        WHERE k.id = :key_id AND k.user_id = u.id AND (k.expires_at IS NULL OR k.expires_at > :now)
    )
);

-- name: oldest$
-- The first event that is kept.
SELECT MIN(id) FROM job_events;

-- name: changes
-- The jobs of a user that changed after one event and up to another, each once, in the order of their last change.
-- seen counts the changes before which the job was not NSFW, frames those that are a new frame, n all.
SELECT e.job_id, MAX(e.id) AS id, COUNT(*) FILTER (WHERE e.was_nsfw = FALSE) AS seen,
    COUNT(*) FILTER (WHERE e.of_frame = TRUE) AS frames, COUNT(*) AS n
FROM job_events AS e
WHERE e.user_id = :user_id AND e.id > :position AND e.id <= :horizon
    AND (CAST(:job_id AS TEXT) IS NULL OR e.job_id = :job_id)
GROUP BY e.job_id
ORDER BY MAX(e.id)
LIMIT :limit;

-- name: prune!
-- Drop some of the oldest events, and such as a clock that jumped has put into the future; the newest one stays.
DELETE FROM job_events
WHERE id BETWEEN 0 AND (
    SELECT MAX(page.id)
    FROM (SELECT id, created_at FROM job_events ORDER BY id LIMIT :limit) AS page
    WHERE (page.created_at < :before OR page.created_at > :beyond) AND page.id < (SELECT MAX(e.id) FROM job_events AS e)
);
