-- Media that others share, as somebody on the instance sees them. Two predicates stand in each statement that shows some:
-- whether an item is theirs or shared, and whether the NSFW settings in force for whoever looks let it be seen.

-- name: get^
-- One media item that a user may see, their own or shared; `details`: whether with prompt, parameters and tags.
SELECT
    m.id, m.user_id AS owner_id, o.username AS owner_name, j.id AS job_id, p.id AS persona_id, m.source, m.file_type,
    m.mime_type, m.width, m.height, m.file_size, m.color, m.metadata, m.tags, m.is_favorite, m.is_nsfw, m.nsfw_tags,
    m.visibility, m.with_details, m.version, m.created_at, m.updated_at,
    (
        m.user_id = :user_id
        OR EXISTS (SELECT 1 FROM shared_media AS d WHERE d.media_id = m.id AND d.with_details = TRUE)
    ) AS details
FROM media_items AS m
INNER JOIN users AS o ON o.id = m.user_id
LEFT JOIN generation_jobs AS j ON j.id = m.job_id
LEFT JOIN personas AS p ON p.id = m.persona_id
    AND (
        p.user_id = :user_id
        OR (
            p.visibility = 'shared'
            AND EXISTS (SELECT 1 FROM sharers AS h WHERE h.user_id = p.user_id)
        )
    )
WHERE m.id = :id
    AND (m.user_id = :user_id OR EXISTS (SELECT 1 FROM shared_media AS s WHERE s.media_id = m.id))
    AND (m.is_nsfw = FALSE OR EXISTS (SELECT 1 FROM nsfw_viewers AS v WHERE v.user_id = :user_id));

-- name: page
-- A page of the media that others share one by one.
-- family: order -created_at: created_at DESC, id DESC
-- family: order created_at: created_at ASC, id ASC
SELECT
    m.id, m.user_id AS owner_id, o.owner_name, j.found_job_id AS job_id, p.found_persona_id AS persona_id, m.source,
    m.file_type, m.mime_type, m.width, m.height, m.file_size, m.color, m.metadata, m.tags, m.is_favorite, m.is_nsfw,
    m.nsfw_tags, m.visibility, m.with_details, m.version, m.created_at, m.updated_at,
    (
        m.user_id = :user_id
        OR EXISTS (SELECT 1 FROM shared_media AS d WHERE d.media_id = m.id AND d.with_details = TRUE)
    ) AS details
FROM (
    SELECT id AS page_id FROM media_items
    WHERE visibility = 'shared' AND user_id <> :user_id AND (is_nsfw = FALSE OR :nsfw = TRUE)
        AND EXISTS (SELECT 1 FROM sharers AS u WHERE u.user_id = media_items.user_id)
    ORDER BY created_at DESC, id DESC
    LIMIT :limit OFFSET :offset
) AS page
INNER JOIN media_items AS m ON m.id = page.page_id
INNER JOIN (SELECT id AS found_owner_id, username AS owner_name FROM users) AS o ON o.found_owner_id = m.user_id
LEFT JOIN (SELECT id AS found_job_id FROM generation_jobs) AS j ON j.found_job_id = m.job_id
LEFT JOIN (
    SELECT p.id AS found_persona_id FROM personas AS p
    WHERE p.user_id = :user_id
        OR (
            p.visibility = 'shared'
            AND EXISTS (SELECT 1 FROM sharers AS h WHERE h.user_id = p.user_id)
        )
) AS p ON p.found_persona_id = m.persona_id
ORDER BY created_at DESC, id DESC;

-- name: both
-- A page of these and of one's own; of each no more than as far as the page reaches.
-- family: order -created_at: created_at DESC, id DESC
-- family: order created_at: created_at ASC, id ASC
SELECT
    m.id, m.user_id AS owner_id, o.owner_name, j.found_job_id AS job_id, p.found_persona_id AS persona_id, m.source,
    m.file_type, m.mime_type, m.width, m.height, m.file_size, m.color, m.metadata, m.tags, m.is_favorite, m.is_nsfw,
    m.nsfw_tags, m.visibility, m.with_details, m.version, m.created_at, m.updated_at,
    (
        m.user_id = :user_id
        OR EXISTS (SELECT 1 FROM shared_media AS d WHERE d.media_id = m.id AND d.with_details = TRUE)
    ) AS details
FROM (
    SELECT both_of.id AS page_id
    FROM (
        SELECT mine.id, mine.created_at
        FROM (
            SELECT id, created_at FROM media_items
            WHERE user_id = :user_id AND (is_nsfw = FALSE OR :nsfw = TRUE)
            ORDER BY created_at DESC, id DESC
            LIMIT :reach
        ) AS mine
        UNION ALL
        SELECT theirs.id, theirs.created_at
        FROM (
            SELECT id, created_at FROM media_items
            WHERE visibility = 'shared' AND user_id <> :user_id AND (is_nsfw = FALSE OR :nsfw = TRUE)
                AND EXISTS (SELECT 1 FROM sharers AS u WHERE u.user_id = media_items.user_id)
            ORDER BY created_at DESC, id DESC
            LIMIT :reach
        ) AS theirs
    ) AS both_of
    ORDER BY created_at DESC, id DESC
    LIMIT :limit OFFSET :offset
) AS page
INNER JOIN media_items AS m ON m.id = page.page_id
INNER JOIN (SELECT id AS found_owner_id, username AS owner_name FROM users) AS o ON o.found_owner_id = m.user_id
LEFT JOIN (SELECT id AS found_job_id FROM generation_jobs) AS j ON j.found_job_id = m.job_id
LEFT JOIN (
    SELECT p.id AS found_persona_id FROM personas AS p
    WHERE p.user_id = :user_id
        OR (
            p.visibility = 'shared'
            AND EXISTS (SELECT 1 FROM sharers AS h WHERE h.user_id = p.user_id)
        )
) AS p ON p.found_persona_id = m.persona_id
ORDER BY created_at DESC, id DESC;

-- name: counts^
-- How many media others share one by one, and their bytes, from the counters.
SELECT
    COALESCE(SUM(c.n), 0) AS total,
    COALESCE(SUM(c.n) FILTER (WHERE c.is_nsfw = TRUE), 0) AS nsfw,
    COALESCE(SUM(c.bytes), 0) AS bytes
FROM shared_media_counts AS c
CROSS JOIN sharers AS u
WHERE u.user_id = c.user_id AND c.user_id <> :user_id AND (c.is_nsfw = FALSE OR :nsfw = TRUE);

-- name: matching
-- All that others share one by one of a time, or in a collection, newest first, which contains a word (the empty one is in
-- all) and that each filter lets through which is not NULL. What a picture was made with is looked into only where it
-- is given too: else a search would tell what is not shown.
-- family: of each: m.visibility = 'shared' AND m.user_id <> :user_id
-- family: of collection: m.id IN (SELECT x.media_id FROM collections AS c CROSS JOIN collection_media AS x WHERE c.id = :collection AND c.visibility = 'shared' AND x.collection_id = c.id) AND m.user_id IN (SELECT c.user_id FROM collections AS c WHERE c.id = :collection AND c.visibility = 'shared' AND c.user_id <> :user_id)
SELECT
    m.id, CASE WHEN :texts = TRUE THEN m.search_text END AS search_text, m.created_at, m.is_nsfw,
    CASE
        WHEN m.with_details = TRUE
            OR EXISTS (SELECT 1 FROM shared_media AS d WHERE d.media_id = m.id AND d.with_details = TRUE)
            THEN m.tags
        ELSE '[]'
    END AS tags
FROM media_items AS m
INNER JOIN sharers AS u ON u.user_id = m.user_id
WHERE m.visibility = 'shared' AND m.user_id <> :user_id
    AND m.created_at >= :date_from AND m.created_at <= :date_to
    AND (m.is_nsfw = FALSE OR :nsfw = TRUE)
    AND (
        :looks_inside = FALSE OR m.with_details = TRUE
        OR EXISTS (SELECT 1 FROM shared_media AS s WHERE s.media_id = m.id AND s.with_details = TRUE)
    )
    AND m.search_text LIKE :pattern ESCAPE '\'
    AND (CAST(:model AS TEXT) IS NULL OR m.model = :model)
    AND (
        CAST(:lora AS TEXT) IS NULL
        OR EXISTS (SELECT 1 FROM media_loras AS l WHERE l.media_id = m.id AND l.name = :lora)
    )
    AND (
        CAST(:tag_1 AS TEXT) IS NULL
        OR EXISTS (
            SELECT 1 FROM media_tags AS t
            WHERE t.media_id = m.id
                AND t.tag_key IN (:tag_1, :tag_2, :tag_3, :tag_4, :tag_5, :tag_6, :tag_7, :tag_8)
        )
    )
ORDER BY m.created_at DESC, m.id DESC;

-- name: by_date
-- How many media others share one by one of each day from one on.
SELECT SUBSTR(m.created_at, 1, 10) AS day, COUNT(*) AS n
FROM media_items AS m
INNER JOIN sharers AS u ON u.user_id = m.user_id
WHERE m.visibility = 'shared' AND m.user_id <> :user_id AND m.created_at >= :since
    AND (m.is_nsfw = FALSE OR :nsfw = TRUE)
GROUP BY SUBSTR(m.created_at, 1, 10)
ORDER BY SUBSTR(m.created_at, 1, 10);
