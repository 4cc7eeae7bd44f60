-- name: seen!
-- Say that a worker is at work.
INSERT INTO workers (id, host, pid, engine, started_at, seen_at)
VALUES (:id, :host, :pid, :engine, :now, :now)
ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at;

-- name: gone!
-- Take away the row of a worker that stops.
DELETE FROM workers WHERE id = :id;

-- name: prune!
-- Take away the rows of workers that ended without a word.
DELETE FROM workers WHERE seen_at < :before;

-- name: list_all
-- Every worker that is at work, or was a little while ago.
SELECT id, host, pid, engine, started_at, seen_at FROM workers ORDER BY started_at, id;
