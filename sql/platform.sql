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
