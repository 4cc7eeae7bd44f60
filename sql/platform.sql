-- name: summary^
-- How much there is in the whole instance, from the counters.
SELECT
    (SELECT COUNT(*) FROM users WHERE deleted_at IS NULL) AS users,
    (SELECT COALESCE(SUM(n), 0) FROM persona_counts) AS personas,
    (SELECT COALESCE(SUM(n), 0) FROM job_counts) AS jobs,
    (SELECT COALESCE(SUM(n), 0) FROM media_counts) AS media;

-- name: ping$
-- Whether the database answers.
SELECT 1;

-- name: jobs_by_status
-- How many jobs of the instance have each status.
SELECT status, SUM(n) AS n FROM job_counts GROUP BY status;

-- name: oldest_queued$
-- Since when the job that waits longest could have been claimed.
SELECT MIN(run_after) FROM generation_jobs WHERE status = 'queued';

-- name: media_bytes$
-- How many bytes all media have.
SELECT COALESCE(SUM(bytes), 0) FROM media_counts;

-- name: state$
-- What the instance remembers under a name.
SELECT value FROM platform_state WHERE name = :name;

-- name: remember!
-- Remember something under a name.
INSERT INTO platform_state (name, value, created_at) VALUES (:name, :value, :now)
ON CONFLICT (name) DO UPDATE SET value = excluded.value, created_at = excluded.created_at;
