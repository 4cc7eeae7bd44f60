-- name: media_total^
-- How many media items there are, those in the trash too, and the bytes of their files.
SELECT COUNT(*) AS n, COALESCE(SUM(m.file_size), 0) AS bytes
FROM (
    SELECT file_size FROM media_items
    UNION ALL
    SELECT bytes AS file_size FROM trash WHERE file_key IS NOT NULL
) AS m;

-- name: media_after
-- Some media items after an id, those in the trash too: a walk over all of them.
SELECT id, mime_type, width, height, file_size, file_key FROM media_items
WHERE id > :after
UNION ALL
SELECT
    item_id AS id, JSON_EXTRACT(document, '$.media.mime_type') AS mime_type,
    JSON_EXTRACT(document, '$.media.width') AS width, JSON_EXTRACT(document, '$.media.height') AS height,
    bytes AS file_size, file_key
FROM trash
WHERE kind = 'media' AND item_id > :after
ORDER BY id LIMIT :limit;

-- name: media_drop!
-- Delete an item whose picture is lost, whoever owns it.
DELETE FROM media_items WHERE id = :id;

-- name: frames_drop!
-- Drop the unfinished pictures of all jobs.
DELETE FROM job_frames;

-- name: idempotency_drop!
-- Forget what requests with an Idempotency-Key made.
DELETE FROM idempotency_keys;

-- name: exports_drop!
-- Drop all exports; their files are no part of a backup.
DELETE FROM exports;

-- name: imports_drop!
-- Drop all imports with their entries; triggers queue the files of pictures that became no items.
DELETE FROM imports;

-- name: sessions_end!
-- End all sessions of all accounts; their refresh tokens go with them.
DELETE FROM sessions;

-- name: api_keys_end!
-- End all API keys of all accounts: one that was ended after the backup must not come back.
DELETE FROM api_keys;

-- name: password_links_end!
-- End all links to new passwords.
DELETE FROM password_links;

-- name: share_links_end!
-- End all links for outsiders: one that was taken back after the backup must not come back.
DELETE FROM share_links;

-- name: invitations_end!
-- End all invitations that nobody has used, likewise.
DELETE FROM invitations WHERE used_at IS NULL;

-- name: media_deletion_queued$
-- Whether a file is about to go anyway, or is about to be named by a row.
SELECT 1 FROM file_deletions WHERE key = :key;

-- name: media_unname*!
-- Forget the key of an item whose file has the name of 0.1 again.
UPDATE media_items SET file_key = NULL WHERE id = :id;

-- name: personas_too_long$
-- How many personas have texts that 0.1 has no room for.
SELECT COUNT(*) FROM personas
WHERE LENGTH(description) > 500 OR LENGTH(style_prompt) NOT BETWEEN 1 AND 1000 OR LENGTH(negative_prompt) > 1000;

-- name: wrong_counts^
-- How many of the counters that triggers keep differ from what they count.
SELECT
    (
        SELECT COUNT(*) FROM (
            SELECT d.user_id FROM (
                SELECT user_id, is_nsfw, is_favorite, -n AS n FROM persona_counts
                UNION ALL
                SELECT user_id, is_nsfw, is_favorite, COUNT(*) AS n FROM personas
                GROUP BY user_id, is_nsfw, is_favorite
            ) AS d
            GROUP BY d.user_id, d.is_nsfw, d.is_favorite
            HAVING SUM(d.n) <> 0
        ) AS wrong
    ) AS personas,
    (
        SELECT COUNT(*) FROM (
            SELECT d.user_id FROM (
                SELECT user_id, is_nsfw, -n AS n FROM shared_persona_counts
                UNION ALL
                SELECT user_id, is_nsfw, COUNT(*) AS n FROM personas
                WHERE visibility = 'shared'
                GROUP BY user_id, is_nsfw
            ) AS d
            GROUP BY d.user_id, d.is_nsfw
            HAVING SUM(d.n) <> 0
        ) AS wrong
    ) AS shared_personas,
    (
        SELECT COUNT(*) FROM (
            SELECT d.user_id FROM (
                SELECT user_id, is_nsfw, status, job_type, -n AS n FROM job_counts
                UNION ALL
                SELECT user_id, is_nsfw, status, job_type, COUNT(*) AS n FROM generation_jobs
                GROUP BY user_id, is_nsfw, status, job_type
            ) AS d
            GROUP BY d.user_id, d.is_nsfw, d.status, d.job_type
            HAVING SUM(d.n) <> 0
        ) AS wrong
    ) AS jobs,
    (
        SELECT COUNT(*) FROM (
            SELECT d.user_id FROM (
                SELECT user_id, is_nsfw, is_favorite, file_type, -n AS n, -bytes AS bytes FROM media_counts
                UNION ALL
                SELECT user_id, is_nsfw, is_favorite, file_type, COUNT(*) AS n, SUM(file_size) AS bytes
                FROM media_items
                GROUP BY user_id, is_nsfw, is_favorite, file_type
            ) AS d
            GROUP BY d.user_id, d.is_nsfw, d.is_favorite, d.file_type
            HAVING SUM(d.n) <> 0 OR SUM(d.bytes) <> 0
        ) AS wrong
    ) AS media,
    (
        SELECT COUNT(*) FROM (
            SELECT d.user_id FROM (
                SELECT user_id, is_nsfw, -n AS n, -bytes AS bytes FROM shared_media_counts
                UNION ALL
                SELECT user_id, is_nsfw, COUNT(*) AS n, SUM(file_size) AS bytes FROM media_items
                WHERE visibility = 'shared'
                GROUP BY user_id, is_nsfw
            ) AS d
            GROUP BY d.user_id, d.is_nsfw
            HAVING SUM(d.n) <> 0 OR SUM(d.bytes) <> 0
        ) AS wrong
    ) AS shared_media,
    (
        SELECT COUNT(*) FROM (
            SELECT d.collection_id FROM (
                SELECT collection_id, user_id, is_nsfw, -n AS n FROM collection_counts
                UNION ALL
                SELECT x.collection_id, m.user_id, m.is_nsfw, COUNT(*) AS n
                FROM collection_media AS x
                CROSS JOIN media_items AS m
                WHERE m.id = x.media_id
                GROUP BY x.collection_id, m.user_id, m.is_nsfw
            ) AS d
            GROUP BY d.collection_id, d.user_id, d.is_nsfw
            HAVING SUM(d.n) <> 0
        ) AS wrong
    ) AS collections;

-- name: overdue_jobs^
-- How many jobs have waited for a worker since before a moment, and how many a worker holds now.
SELECT
    COUNT(*) FILTER (WHERE run_after < :before) AS waiting,
    COUNT(*) FILTER (WHERE claim IS NOT NULL AND run_after >= :now) AS working
FROM generation_jobs WHERE status IN ('queued', 'processing');
