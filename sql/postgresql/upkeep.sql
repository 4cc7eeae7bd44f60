-- name: take_chores$
-- Whether housekeeping is this session's from now on: one node at a time does it.
SELECT PG_TRY_ADVISORY_LOCK(CAST(:number AS INTEGER), 0);

-- name: leave_chores$
-- Let another node keep house.
SELECT PG_ADVISORY_UNLOCK(CAST(:number AS INTEGER), 0);

-- name: server_clock$
-- The seconds since 1970 by the server's clock.
SELECT CAST(EXTRACT(EPOCH FROM CLOCK_TIMESTAMP()) AS DOUBLE PRECISION);

-- name: server^
-- The server's version, the database's encoding and rules for letters, and whether trigrams have those beyond ASCII.
SELECT
    CURRENT_SETTING('server_version') AS version, CAST(CURRENT_SETTING('server_version_num') AS INTEGER) AS number,
    CURRENT_SETTING('server_encoding') AS encoding, d.datctype AS letters,
    CARDINALITY(SHOW_TRGM('ж')) > 0 AS sees_letters
FROM pg_database AS d
WHERE d.datname = CURRENT_DATABASE();

-- name: size$
-- The bytes of the database on the server's disk.
SELECT PG_DATABASE_SIZE(CURRENT_DATABASE());

-- name: fold_persona_counts!
-- Bring together what triggers have counted of personas since the last time.
WITH gone AS (
    DELETE FROM persona_counts
    WHERE (user_id, is_nsfw, is_favorite) IN (
        SELECT c.user_id, c.is_nsfw, c.is_favorite FROM persona_counts AS c
        GROUP BY c.user_id, c.is_nsfw, c.is_favorite
        HAVING COUNT(*) > 1
    )
    RETURNING user_id, is_nsfw, is_favorite, n
)

INSERT INTO persona_counts (user_id, is_nsfw, is_favorite, n)
SELECT user_id, is_nsfw, is_favorite, SUM(n) AS n
FROM gone
GROUP BY user_id, is_nsfw, is_favorite
HAVING SUM(n) <> 0;

-- name: fold_job_counts!
-- Bring together what triggers have counted of jobs since the last time.
WITH gone AS (
    DELETE FROM job_counts
    WHERE (user_id, is_nsfw, status, job_type) IN (
        SELECT c.user_id, c.is_nsfw, c.status, c.job_type FROM job_counts AS c
        GROUP BY c.user_id, c.is_nsfw, c.status, c.job_type
        HAVING COUNT(*) > 1
    )
    RETURNING user_id, is_nsfw, status, job_type, n, seconds
)

INSERT INTO job_counts (user_id, is_nsfw, status, job_type, n, seconds)
SELECT user_id, is_nsfw, status, job_type, SUM(n) AS n, SUM(seconds) AS seconds
FROM gone
GROUP BY user_id, is_nsfw, status, job_type
HAVING SUM(n) <> 0;

-- name: fold_media_counts!
-- Bring together what triggers have counted of media since the last time.
WITH gone AS (
    DELETE FROM media_counts
    WHERE (user_id, is_nsfw, is_favorite, file_type) IN (
        SELECT c.user_id, c.is_nsfw, c.is_favorite, c.file_type FROM media_counts AS c
        GROUP BY c.user_id, c.is_nsfw, c.is_favorite, c.file_type
        HAVING COUNT(*) > 1
    )
    RETURNING user_id, is_nsfw, is_favorite, file_type, n, bytes
)

INSERT INTO media_counts (user_id, is_nsfw, is_favorite, file_type, n, bytes)
SELECT user_id, is_nsfw, is_favorite, file_type, SUM(n) AS n, SUM(bytes) AS bytes
FROM gone
GROUP BY user_id, is_nsfw, is_favorite, file_type
HAVING SUM(n) <> 0 OR SUM(bytes) <> 0;

-- name: fold_shared_persona_counts!
-- Bring together what triggers have counted of shared personas since the last time.
WITH gone AS (
    DELETE FROM shared_persona_counts
    WHERE (user_id, is_nsfw) IN (
        SELECT c.user_id, c.is_nsfw FROM shared_persona_counts AS c GROUP BY c.user_id, c.is_nsfw HAVING COUNT(*) > 1
    )
    RETURNING user_id, is_nsfw, n
)

INSERT INTO shared_persona_counts (user_id, is_nsfw, n)
SELECT user_id, is_nsfw, SUM(n) AS n
FROM gone
GROUP BY user_id, is_nsfw
HAVING SUM(n) <> 0;

-- name: fold_shared_media_counts!
-- Bring together what triggers have counted of shared media since the last time.
WITH gone AS (
    DELETE FROM shared_media_counts
    WHERE (user_id, is_nsfw) IN (
        SELECT c.user_id, c.is_nsfw FROM shared_media_counts AS c GROUP BY c.user_id, c.is_nsfw HAVING COUNT(*) > 1
    )
    RETURNING user_id, is_nsfw, n, bytes
)

INSERT INTO shared_media_counts (user_id, is_nsfw, n, bytes)
SELECT user_id, is_nsfw, SUM(n) AS n, SUM(bytes) AS bytes
FROM gone
GROUP BY user_id, is_nsfw
HAVING SUM(n) <> 0;

-- name: fold_collection_counts!
-- Bring together what triggers have counted of the pictures of collections since the last time.
WITH gone AS (
    DELETE FROM collection_counts
    WHERE (collection_id, user_id, is_nsfw) IN (
        SELECT c.collection_id, c.user_id, c.is_nsfw FROM collection_counts AS c
        GROUP BY c.collection_id, c.user_id, c.is_nsfw
        HAVING COUNT(*) > 1
    )
    RETURNING collection_id, user_id, is_nsfw, n
)

INSERT INTO collection_counts (collection_id, user_id, is_nsfw, n)
SELECT collection_id, user_id, is_nsfw, SUM(n) AS n
FROM gone
GROUP BY collection_id, user_id, is_nsfw
HAVING SUM(n) <> 0;
