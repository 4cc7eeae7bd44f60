-- The trigram index over the personas' texts, and ids that come and go as one JSON array, as on SQLite. An owner's number
-- is BIGINT everywhere, or the index does not take part for it, and everybody's texts are read.

-- name: put!
-- Write what search looks into for a persona; the index follows.
INSERT INTO persona_texts (persona_id, user_id, is_nsfw, is_favorite, search_text)
VALUES (:id, :user_id, :is_nsfw, :is_favorite, :search_text)
ON CONFLICT (persona_id) DO UPDATE
SET user_id = excluded.user_id, is_nsfw = excluded.is_nsfw, is_favorite = excluded.is_favorite,
    search_text = excluded.search_text;

-- name: plan_for_values$
-- Let what this transaction still asks be planned for the values that it asks for.
SELECT SET_CONFIG('plan_cache_mode', 'force_custom_plan', TRUE);

-- name: containing$
-- The ids of all personas whose texts match each of some patterns; with none, of all. Four of them the index is asked
-- for; in the form that no index serves, all are looked for in the owner's texts: words without a trigram of letters and
-- digits, for which the index would be read whole, or for an owner of few. Where there are fewer words, the empty ones
-- are no condition in a plan for values.
-- family: by index: search_text LIKE :word_1 AND (:word_2 = '' OR search_text LIKE :word_2) AND (:word_3 = '' OR search_text LIKE :word_3) AND (:word_4 = '' OR search_text LIKE :word_4)
-- family: by scan: (:word_1 = '' OR STRPOS(search_text, :word_1) > 0) AND (:word_2 = '' OR STRPOS(search_text, :word_2) > 0) AND (:word_3 = '' OR STRPOS(search_text, :word_3) > 0) AND (:word_4 = '' OR STRPOS(search_text, :word_4) > 0)
SELECT '[' || COALESCE(STRING_AGG(CAST(persona_id AS TEXT), ','), '') || ']'
FROM persona_texts
WHERE user_id = CAST(:user_id AS BIGINT)
    AND search_text LIKE :word_1
    AND (:word_2 = '' OR search_text LIKE :word_2)
    AND (:word_3 = '' OR search_text LIKE :word_3)
    AND (:word_4 = '' OR search_text LIKE :word_4)
    AND (CARDINALITY(CAST(:others AS TEXT[])) = 0 OR search_text || '' LIKE ALL(CAST(:others AS TEXT[])))
    AND (is_nsfw = FALSE OR :nsfw = TRUE)
    AND (CAST(:favorite AS BOOLEAN) IS NULL OR is_favorite = :favorite);

-- name: shared$
-- The ids of all personas of others that are shared and contain each of some words, and have each of some tags (JSON
-- arrays), or none: their texts are read, for the index has them owner by owner.
SELECT '[' || COALESCE(STRING_AGG(CAST(p.id AS TEXT), ','), '') || ']'
FROM personas AS p
CROSS JOIN persona_texts AS x
WHERE p.user_id <> :user_id
    AND (
        p.visibility = 'shared'
        AND EXISTS (SELECT 1 FROM sharers AS o WHERE o.user_id = p.user_id)
    )
    AND (p.is_nsfw = FALSE OR :nsfw = TRUE)
    AND x.persona_id = p.id
    AND NOT EXISTS (
        SELECT 1 FROM JSON_ARRAY_ELEMENTS_TEXT(CAST(:words AS JSON)) AS word (value)
        WHERE STRPOS(x.search_text, word.value) = 0
    )
    AND NOT EXISTS (
        SELECT 1 FROM JSON_ARRAY_ELEMENTS_TEXT(CAST(:tag_keys AS JSON)) AS tag (value)
        WHERE NOT EXISTS (SELECT 1 FROM persona_tags AS t WHERE t.persona_id = p.id AND t.tag_key = tag.value)
    )
    AND (:untagged = FALSE OR NOT EXISTS (SELECT 1 FROM persona_tags AS t WHERE t.persona_id = p.id));

-- name: sorted_page$
-- The ids of a page of those personas of a user whose ids are in a JSON array, in an order: few are read and sorted;
-- many are met along the index of the order, until the page is full.
-- family: which few: p.user_id = :user_id AND p.id = ANY(CAST(TRANSLATE(:ids, '[]', '{}') AS BIGINT[]))
-- family: which many: p.user_id = :user_id AND (p.id IN (SELECT UNNEST(CAST(TRANSLATE(:ids, '[]', '{}') AS BIGINT[])))) IS TRUE
-- family: which seen: p.id = ANY(CAST(TRANSLATE(:ids, '[]', '{}') AS BIGINT[])) AND (p.user_id = :user_id OR (p.visibility = 'shared' AND EXISTS (SELECT 1 FROM sharers AS o WHERE o.user_id = p.user_id)))
-- family: order -created_at: created_at DESC, id DESC
-- family: order created_at: created_at ASC, id ASC
-- family: order -updated_at: updated_at DESC, id DESC
-- family: order updated_at: updated_at ASC, id ASC
-- family: order -name: name_key DESC, id DESC
-- family: order name: name_key ASC, id ASC
SELECT '[' || COALESCE(STRING_AGG(CAST(page.id AS TEXT), ','), '') || ']'
FROM (
    SELECT p.id FROM personas AS p
    WHERE p.user_id = :user_id AND p.id = ANY(CAST(TRANSLATE(:ids, '[]', '{}') AS BIGINT[]))
    ORDER BY created_at DESC, id DESC
    LIMIT :limit OFFSET :offset
) AS page;

-- name: persona_page
-- The personas of a page that a search has found, in the order of their ids' array.
SELECT
    p.id, p.uid, p.user_id, p.name, p.description, p.style_prompt, p.negative_prompt, p.loras, p.generation_params,
    p.tags, CASE WHEN p.user_id = :user_id THEN p.is_favorite ELSE FALSE END AS is_favorite, p.is_nsfw, p.visibility,
    p.avatar_url, p.avatar_media_id, p.avatar_crop, p.revision, p.version, p.created_at, p.updated_at,
    (SELECT w.username FROM users AS w WHERE w.id = p.user_id) AS owner_name,
    (
        SELECT m.id FROM media_items AS m
        WHERE m.id = p.avatar_media_id AND m.user_id = p.user_id AND (m.is_nsfw = FALSE OR :nsfw = TRUE)
    ) AS shown_media_id,
    c.cover_media_id, c.cover_width, c.cover_height
FROM JSON_ARRAY_ELEMENTS_TEXT(CAST(:ids AS JSON)) WITH ORDINALITY AS found (value, key)
CROSS JOIN personas AS p
LEFT JOIN (
    SELECT m.id AS cover_media_id, m.width AS cover_width, m.height AS cover_height FROM media_items AS m
) AS c ON c.cover_media_id = COALESCE(
    (
        SELECT m.id FROM media_items AS m
        WHERE m.id = p.avatar_media_id AND m.user_id = p.user_id AND (m.is_nsfw = FALSE OR :nsfw = TRUE)
    ),
    (
        SELECT m.id FROM media_items AS m
        WHERE m.persona_id = p.id AND m.user_id = :user_id AND (m.is_nsfw = FALSE OR :nsfw = TRUE)
        ORDER BY m.created_at DESC, m.id DESC LIMIT 1
    )
)
WHERE p.id = CAST(found.value AS BIGINT) AND (
    p.user_id = :user_id
    OR (
        p.visibility = 'shared'
        AND EXISTS (SELECT 1 FROM sharers AS o WHERE o.user_id = p.user_id)
    )
)
    AND (p.is_nsfw = FALSE OR :nsfw = TRUE)
ORDER BY found.key;

-- name: rebuild!
-- Make the index again from its table.
REINDEX INDEX persona_texts_search;

-- name: sources
-- Some personas after an id, with what their search text and keys are made of and what these are.
SELECT p.id, p.user_id, p.name, p.description, p.style_prompt, p.tags, p.is_nsfw, p.is_favorite, p.name_key, p.version,
    x.search_text, CASE x.is_nsfw WHEN TRUE THEN 'nsf' ELSE 'sfw' END AS safety,
    CASE x.is_favorite WHEN TRUE THEN 'fav' ELSE 'oth' END AS favor
FROM personas AS p
LEFT JOIN persona_texts AS x ON x.persona_id = p.id AND x.user_id = p.user_id
WHERE p.id > :after ORDER BY p.id LIMIT :limit;

-- name: strays$
-- How many texts belong to no persona.
SELECT COUNT(*) FROM persona_texts AS x
WHERE NOT EXISTS (SELECT 1 FROM personas AS p WHERE p.id = x.persona_id AND p.user_id = x.user_id);

-- name: drop_strays!
-- Drop the texts that belong to no persona.
DELETE FROM persona_texts
WHERE NOT EXISTS (
    SELECT 1 FROM personas AS p WHERE p.id = persona_texts.persona_id AND p.user_id = persona_texts.user_id
);

-- name: job_page
-- Jobs that were found, by ids in a JSON array and in its order: a row for each picture that may be shown, or one
-- without.
SELECT
    j.id, j.status, j.progress, j.job_type, p.id AS persona_id, j.persona_revision, j.engine, j.prompt,
    j.negative_prompt, j.model_name, j.loras, j.parameters, j.count, j.metadata, j.is_nsfw, j.error_message,
    j.error_code, j.warnings, j.attempts, j.version, j.created_at, j.updated_at, j.started_at, j.completed_at,
    j.waiting_since, j.images, f.n AS frame, m.id AS media_id, m.width, m.height
FROM JSON_ARRAY_ELEMENTS_TEXT(CAST(:ids AS JSON)) WITH ORDINALITY AS found (value, key)
CROSS JOIN generation_jobs AS j
LEFT JOIN personas AS p ON p.id = j.persona_id
    AND (
        p.user_id = :user_id
        OR (
            p.visibility = 'shared'
            AND EXISTS (SELECT 1 FROM sharers AS o WHERE o.user_id = p.user_id)
        )
    )
LEFT JOIN job_frames AS f ON f.job_id = j.id
LEFT JOIN media_items AS m ON m.job_id = j.id AND (m.is_nsfw = FALSE OR :nsfw = TRUE)
WHERE j.id = found.value AND j.user_id = :user_id AND (j.is_nsfw = FALSE OR :nsfw = TRUE)
ORDER BY found.key, m.position;

-- name: media_page
-- The media items that a search has found, whose ids are a JSON list: one page, in the order of the list.
SELECT
    m.id, j.id AS job_id, p.id AS persona_id, m.source, m.file_type, m.mime_type, m.width, m.height, m.file_size,
    m.color, m.metadata, m.tags, m.is_favorite, m.is_nsfw, m.nsfw_tags, m.visibility, m.with_details, m.version,
    m.created_at, m.updated_at
FROM JSON_ARRAY_ELEMENTS_TEXT(CAST(:ids AS JSON)) WITH ORDINALITY AS page (value, key)
INNER JOIN media_items AS m ON m.id = page.value
LEFT JOIN generation_jobs AS j ON j.id = m.job_id
LEFT JOIN personas AS p ON p.id = m.persona_id
    AND (
        p.user_id = :user_id
        OR (
            p.visibility = 'shared'
            AND EXISTS (SELECT 1 FROM sharers AS o WHERE o.user_id = p.user_id)
        )
    )
WHERE m.user_id = :user_id
ORDER BY page.key;

-- name: persona_facets
-- The same as `facets` of personas.sql, of those that a search has found.
SELECT p.tags, p.is_favorite = TRUE AND p.user_id = :user_id AS is_favorite, p.is_nsfw, COUNT(*) AS n
FROM JSON_ARRAY_ELEMENTS_TEXT(CAST(:ids AS JSON)) WITH ORDINALITY AS found (value, key)
CROSS JOIN personas AS p
WHERE p.id = CAST(found.value AS BIGINT) AND (
    p.user_id = :user_id
    OR (
        p.visibility = 'shared'
        AND EXISTS (SELECT 1 FROM sharers AS o WHERE o.user_id = p.user_id)
    )
)
    AND (p.is_nsfw = FALSE OR :nsfw = TRUE)
GROUP BY p.tags, p.is_favorite = TRUE AND p.user_id = :user_id, p.is_nsfw;

-- name: own_media
-- Which of some media items, whose ids are a JSON list, are a user's whom the NSFW settings in force let see them.
SELECT m.id FROM JSON_ARRAY_ELEMENTS_TEXT(CAST(:ids AS JSON)) AS found (value)
CROSS JOIN media_items AS m
WHERE m.id = found.value AND m.user_id = :user_id
    AND (m.is_nsfw = FALSE OR EXISTS (SELECT 1 FROM nsfw_viewers AS v WHERE v.user_id = :user_id));

-- name: media_facets
-- The same as `facets` of media.sql, of those that a search has found.
SELECT m.tags, m.is_favorite, m.is_nsfw, COUNT(*) AS n
FROM JSON_ARRAY_ELEMENTS_TEXT(CAST(:ids AS JSON)) AS found (value)
CROSS JOIN media_items AS m
WHERE m.id = found.value AND m.user_id = :user_id AND (m.is_nsfw = FALSE OR :nsfw = TRUE)
GROUP BY m.tags, m.is_favorite, m.is_nsfw;

-- name: shared_media_page
-- The media items that a filter has found of what others share, or of these and one's own, likewise. What the caller may
-- see is asked again.
SELECT
    m.id, m.user_id AS owner_id, w.username AS owner_name, j.id AS job_id, p.id AS persona_id, m.source, m.file_type,
    m.mime_type, m.width, m.height, m.file_size, m.color, m.metadata, m.tags, m.is_favorite, m.is_nsfw, m.nsfw_tags,
    m.visibility, m.with_details, m.version, m.created_at, m.updated_at,
    (
        m.user_id = :user_id
        OR EXISTS (SELECT 1 FROM shared_media AS d WHERE d.media_id = m.id AND d.with_details = TRUE)
    ) AS details
FROM JSON_ARRAY_ELEMENTS_TEXT(CAST(:ids AS JSON)) WITH ORDINALITY AS page (value, key)
INNER JOIN media_items AS m ON m.id = page.value
INNER JOIN users AS w ON w.id = m.user_id
LEFT JOIN generation_jobs AS j ON j.id = m.job_id
LEFT JOIN personas AS p ON p.id = m.persona_id
    AND (
        p.user_id = :user_id
        OR (
            p.visibility = 'shared'
            AND EXISTS (SELECT 1 FROM sharers AS o WHERE o.user_id = p.user_id)
        )
    )
WHERE (m.user_id = :user_id OR EXISTS (SELECT 1 FROM shared_media AS s WHERE s.media_id = m.id))
ORDER BY page.key;
