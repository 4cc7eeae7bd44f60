-- name: add!
-- Keep what is being deleted.
INSERT INTO trash (
    id, user_id, kind, item_id, name, is_nsfw, bytes, document, file_key, persona_id, job_id, position,
    avatar_media_id, deleted_at
)
VALUES (
    :id, :user_id, :kind, :item_id, :name, :is_nsfw, :bytes, :document, :file_key, :persona_id, :job_id, :position,
    :avatar_media_id, :now
);

-- name: page
-- A page of a user's trash, what was deleted last first; `shown_media_id` is the cover of a persona: its avatar, or else
-- its newest picture that may be seen.
-- family: which safe: AND is_nsfw = FALSE
-- family: which all:
SELECT
    t.id, t.kind, t.item_id, t.name, t.is_nsfw, t.bytes, t.file_key, t.deleted_at,
    COALESCE(
        (
            SELECT m.id FROM media_items AS m
            WHERE m.id = t.avatar_media_id AND m.user_id = t.user_id AND (m.is_nsfw = FALSE OR :nsfw = TRUE)
        ),
        (
            SELECT m.id FROM media_items AS m
            WHERE m.persona_id = CASE t.kind WHEN 'persona' THEN CAST(t.item_id AS BIGINT) END
                AND m.user_id = t.user_id AND (m.is_nsfw = FALSE OR :nsfw = TRUE)
            ORDER BY m.created_at DESC, m.id DESC LIMIT 1
        )
    ) AS shown_media_id
FROM (
    SELECT id FROM trash
    WHERE user_id = :user_id AND is_nsfw = FALSE
        AND (CAST(:kind AS TEXT) IS NULL OR kind = :kind)
    ORDER BY deleted_at DESC, id DESC
    LIMIT :limit OFFSET :offset
) AS page
INNER JOIN trash AS t ON t.id = page.id
ORDER BY t.deleted_at DESC, t.id DESC;

-- name: bytes$
-- How many bytes lie in a user's trash.
SELECT COALESCE(SUM(bytes), 0) FROM trash WHERE user_id = :user_id AND bytes > 0;

-- name: count$
-- How many entries such a list has.
SELECT COUNT(*) FROM trash
WHERE user_id = :user_id AND (is_nsfw = FALSE OR :nsfw = TRUE)
    AND (CAST(:kind AS TEXT) IS NULL OR kind = :kind);

-- name: get^
-- One entry of a user that the NSFW settings in force let be seen.
SELECT t.id, t.kind, t.item_id, t.name, t.is_nsfw, t.document FROM trash AS t
WHERE t.id = :id AND t.user_id = :user_id
    AND (t.is_nsfw = FALSE OR EXISTS (SELECT 1 FROM nsfw_viewers AS v WHERE v.user_id = t.user_id));

-- name: get_item^
-- The same, by what it was.
SELECT t.id, t.kind, t.item_id, t.name, t.is_nsfw, t.document FROM trash AS t
WHERE t.kind = :kind AND t.item_id = :item_id AND t.user_id = :user_id
    AND (t.is_nsfw = FALSE OR EXISTS (SELECT 1 FROM nsfw_viewers AS v WHERE v.user_id = t.user_id));

-- name: linked^
-- The picture that a signed link to an entry shows, while its owner is live and may see it.
SELECT t.item_id, t.file_key
FROM trash AS t
INNER JOIN users AS u ON u.id = t.user_id
WHERE t.id = :id AND t.user_id = :user_id AND t.file_key IS NOT NULL AND u.is_active = TRUE
    AND (t.is_nsfw = FALSE OR EXISTS (SELECT 1 FROM nsfw_viewers AS v WHERE v.user_id = t.user_id));

-- name: remove!
-- Take an entry out; a trigger queues its file, unless its item is back.
DELETE FROM trash WHERE id = :id AND user_id = :user_id;

-- name: purge_batch!
-- Delete some entries of a user for ever.
DELETE FROM trash WHERE id IN (SELECT id FROM trash WHERE user_id = :user_id LIMIT :limit);

-- name: purgeable$
-- Whether something was deleted before a moment, asked without the write lock.
SELECT 1 FROM trash WHERE deleted_at < :before LIMIT 1;

-- name: purge_before!
-- Delete some of what was deleted before a moment for ever.
DELETE FROM trash WHERE id IN (
    SELECT id FROM trash WHERE deleted_at < :before ORDER BY deleted_at LIMIT :limit
);

-- name: drop_item!
-- Drop the entry of an item whose picture is lost, whoever owns it.
DELETE FROM trash WHERE kind = 'media' AND item_id = :item_id;

-- name: mark_nsfw!
-- Make what is in the trash of a persona's media NSFW.
UPDATE trash SET is_nsfw = TRUE WHERE persona_id = :persona_id AND user_id = :user_id AND is_nsfw = FALSE;

-- name: mark_nsfw_of_job!
-- Make what is in the trash of a job's media NSFW.
UPDATE trash SET is_nsfw = TRUE WHERE job_id = :job_id AND user_id = :user_id AND is_nsfw = FALSE;
