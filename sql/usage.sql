-- name: add!
-- Add to what an account had of the engines in a day, and made there. The account may be gone meanwhile.
INSERT INTO usage_days (user_id, day, engine_seconds, pictures, bytes)
SELECT u.id, CAST(:day AS TEXT) AS day, CAST(:engine_seconds AS REAL) AS engine_seconds,
    CAST(:pictures AS INTEGER) AS pictures, CAST(:bytes AS BIGINT) AS bytes
FROM users AS u
WHERE u.id = :user_id
ON CONFLICT (user_id, day) DO UPDATE
SET engine_seconds = usage_days.engine_seconds + excluded.engine_seconds,
    pictures = usage_days.pictures + excluded.pictures,
    bytes = usage_days.bytes + excluded.bytes;

-- name: of_day^
-- What an account had of the engines in a day, and made there; no row for nothing.
SELECT engine_seconds, pictures, bytes FROM usage_days WHERE user_id = :user_id AND day = :day;

-- name: stored^
-- How many media items an account has, and the bytes of all, with those in the trash.
SELECT
    COALESCE(SUM(c.n), 0) AS pictures,
    COALESCE(SUM(c.bytes), 0)
    + (SELECT COALESCE(SUM(t.bytes), 0) FROM trash AS t WHERE t.user_id = :user_id AND t.bytes > 0) AS bytes
FROM media_counts AS c
WHERE c.user_id = :user_id;

-- name: by_day
-- What all accounts, or one of them, had by the day; the first day first.
SELECT
    d.day, SUM(d.engine_seconds) AS engine_seconds, SUM(d.pictures) AS pictures, SUM(d.bytes) AS bytes
FROM usage_days AS d
INNER JOIN users AS u ON u.id = d.user_id
WHERE d.day BETWEEN :first AND :last
    AND u.deleted_at IS NULL
    AND (CAST(:user_id AS BIGINT) IS NULL OR d.user_id = :user_id)
GROUP BY d.day
ORDER BY d.day
LIMIT :limit OFFSET :offset;

-- name: by_account
-- What each account, or one of them, had in some days; who had most of the engines first.
SELECT
    u.id AS user_id, u.username, SUM(d.engine_seconds) AS engine_seconds, SUM(d.pictures) AS pictures,
    SUM(d.bytes) AS bytes
FROM usage_days AS d
INNER JOIN users AS u ON u.id = d.user_id
WHERE d.day BETWEEN :first AND :last
    AND u.deleted_at IS NULL
    AND (CAST(:user_id AS BIGINT) IS NULL OR d.user_id = :user_id)
GROUP BY u.id, u.username
ORDER BY SUM(d.engine_seconds) DESC, u.id
LIMIT :limit OFFSET :offset;

-- name: total^
-- What all accounts, or one of them, had in some days, and how many days and accounts there were in them.
SELECT
    COALESCE(SUM(d.engine_seconds), 0) AS engine_seconds, COALESCE(SUM(d.pictures), 0) AS pictures,
    COALESCE(SUM(d.bytes), 0) AS bytes, COUNT(DISTINCT d.day) AS days, COUNT(DISTINCT d.user_id) AS accounts
FROM usage_days AS d
INNER JOIN users AS u ON u.id = d.user_id
WHERE d.day BETWEEN :first AND :last
    AND u.deleted_at IS NULL
    AND (CAST(:user_id AS BIGINT) IS NULL OR d.user_id = :user_id);

-- name: promised$
-- The seconds that the engines are going to need for an account: for all its jobs that are not over, or for those in
-- hand beside one. Estimated by what a picture took there lately.
-- family: which all: AND j.status IN ('queued', 'processing')
-- family: which held: AND j.status = 'processing' AND j.id <> :id
WITH latest (engine, seconds, n) AS (
    SELECT c.engine, c.seconds, c.count AS n FROM generation_jobs AS c
    WHERE c.completed_at IS NOT NULL
    ORDER BY c.completed_at DESC
    LIMIT 100
),

paces (engine, pace) AS (
    SELECT d.engine, SUM(d.seconds) / SUM(d.n) AS pace FROM latest AS d
    WHERE d.seconds IS NOT NULL
    GROUP BY d.engine
)

SELECT COALESCE(SUM(COALESCE(p.pace, CAST(:first AS REAL)) * j.count * (1 - j.progress)), 0) AS seconds
FROM generation_jobs AS j
LEFT JOIN paces AS p ON p.engine = j.engine
WHERE j.user_id = :user_id
    AND j.status IN ('queued', 'processing');

-- name: prune!
-- Forget what was had before a day.
DELETE FROM usage_days WHERE day < :before;
