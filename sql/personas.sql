-- name: create$
-- Insert a persona.
INSERT INTO personas (
    user_id, name, description, style_prompt, negative_prompt, lora_models, generation_params, tags,
    is_favorite, is_nsfw, avatar_url, avatar_media_id, name_key, search_text, created_at, updated_at
)
VALUES (
    :user_id, :name, :description, :style_prompt, :negative_prompt, :lora_models, :generation_params, :tags,
    :is_favorite, :is_nsfw, :avatar_url, :avatar_media_id, :name_key, :search_text, :now, :now
)
RETURNING id;

-- name: get^
-- One persona of a user, when the NSFW settings in force let it be seen, with its avatar when that may be too.
SELECT p.card, p.avatar_url, m.id AS avatar_media_id, p.version
FROM personas AS p
LEFT JOIN media_items AS m
    ON m.id = p.avatar_media_id AND m.user_id = p.user_id
    AND (m.is_nsfw = FALSE OR EXISTS (SELECT 1 FROM nsfw_viewers AS v WHERE v.user_id = m.user_id))
WHERE p.id = :id AND p.user_id = :user_id
    AND (p.is_nsfw = FALSE OR EXISTS (SELECT 1 FROM nsfw_viewers AS v WHERE v.user_id = p.user_id));

-- name: card^
-- One persona that a list has found, with its avatar as the list may show it.
SELECT p.card, p.avatar_url, m.id AS avatar_media_id, p.version
FROM personas AS p
LEFT JOIN media_items AS m
    ON m.id = p.avatar_media_id AND m.user_id = p.user_id AND (m.is_nsfw = FALSE OR :nsfw = TRUE)
WHERE p.id = :id;

-- name: get_for_update^
-- One persona as it is stored, read inside the transaction that changes it.
SELECT
    p.id, p.name, p.description, p.style_prompt, p.negative_prompt, p.lora_models, p.generation_params, p.tags,
    p.is_favorite, p.is_nsfw, p.avatar_url, p.avatar_media_id, p.version, p.created_at, p.updated_at
FROM personas AS p
WHERE p.id = :id AND p.user_id = :user_id
    AND (p.is_nsfw = FALSE OR EXISTS (SELECT 1 FROM nsfw_viewers AS v WHERE v.user_id = p.user_id));

-- name: update!
-- Write a whole persona.
UPDATE personas
SET name = :name, description = :description, style_prompt = :style_prompt, negative_prompt = :negative_prompt,
    lora_models = :lora_models, generation_params = :generation_params, tags = :tags,
    is_favorite = :is_favorite, is_nsfw = :is_nsfw, avatar_url = :avatar_url, avatar_media_id = :avatar_media_id,
    name_key = :name_key, search_text = :search_text, version = version + 1, updated_at = :now
WHERE id = :id AND user_id = :user_id;

-- name: version$
-- The version of a persona whatever the NSFW settings: its owner may always delete it.
SELECT version FROM personas WHERE id = :id AND user_id = :user_id;

-- name: delete!
-- Delete a persona; its jobs and media stay, without it.
DELETE FROM personas WHERE id = :id AND user_id = :user_id;

-- name: tags_clear!
-- Forget what a persona is filtered by.
DELETE FROM persona_tags WHERE persona_id = :persona_id;

-- name: tags_add*!
-- Remember what a persona is filtered by.
INSERT INTO persona_tags (user_id, tag_key, persona_id) VALUES (:user_id, :tag_key, :persona_id);

-- name: count$
-- How many personas a user has, from the counters.
SELECT COALESCE(SUM(n), 0) FROM persona_counts
WHERE user_id = :user_id
    AND (is_nsfw = FALSE OR :nsfw = TRUE)
    AND (CAST(:favorite AS INTEGER) IS NULL OR is_favorite = :favorite);

-- name: page_created_desc_safe
-- Newest first, without NSFW.
SELECT p.card, p.avatar_url, m.id AS avatar_media_id, p.version
FROM (
    SELECT id FROM personas
    WHERE user_id = :user_id AND is_nsfw = FALSE AND (CAST(:favorite AS INTEGER) IS NULL OR is_favorite = :favorite)
    ORDER BY created_at DESC, id DESC
    LIMIT :limit OFFSET :offset
) AS page
INNER JOIN personas AS p ON p.id = page.id
LEFT JOIN media_items AS m
    ON m.id = p.avatar_media_id AND m.user_id = p.user_id AND (m.is_nsfw = FALSE OR :nsfw = TRUE)
ORDER BY p.created_at DESC, p.id DESC;

-- name: page_created_desc
-- Newest first, NSFW included.
SELECT p.card, p.avatar_url, m.id AS avatar_media_id, p.version
FROM (
    SELECT id FROM personas
    WHERE user_id = :user_id AND (CAST(:favorite AS INTEGER) IS NULL OR is_favorite = :favorite)
    ORDER BY created_at DESC, id DESC
    LIMIT :limit OFFSET :offset
) AS page
INNER JOIN personas AS p ON p.id = page.id
LEFT JOIN media_items AS m
    ON m.id = p.avatar_media_id AND m.user_id = p.user_id AND (m.is_nsfw = FALSE OR :nsfw = TRUE)
ORDER BY p.created_at DESC, p.id DESC;

-- name: page_created_asc_safe
-- Oldest first, without NSFW.
SELECT p.card, p.avatar_url, m.id AS avatar_media_id, p.version
FROM (
    SELECT id FROM personas
    WHERE user_id = :user_id AND is_nsfw = FALSE AND (CAST(:favorite AS INTEGER) IS NULL OR is_favorite = :favorite)
    ORDER BY created_at ASC, id ASC
    LIMIT :limit OFFSET :offset
) AS page
INNER JOIN personas AS p ON p.id = page.id
LEFT JOIN media_items AS m
    ON m.id = p.avatar_media_id AND m.user_id = p.user_id AND (m.is_nsfw = FALSE OR :nsfw = TRUE)
ORDER BY p.created_at ASC, p.id ASC;

-- name: page_created_asc
-- Oldest first, NSFW included.
SELECT p.card, p.avatar_url, m.id AS avatar_media_id, p.version
FROM (
    SELECT id FROM personas
    WHERE user_id = :user_id AND (CAST(:favorite AS INTEGER) IS NULL OR is_favorite = :favorite)
    ORDER BY created_at ASC, id ASC
    LIMIT :limit OFFSET :offset
) AS page
INNER JOIN personas AS p ON p.id = page.id
LEFT JOIN media_items AS m
    ON m.id = p.avatar_media_id AND m.user_id = p.user_id AND (m.is_nsfw = FALSE OR :nsfw = TRUE)
ORDER BY p.created_at ASC, p.id ASC;

-- name: page_updated_desc_safe
-- Last changed first, without NSFW.
SELECT p.card, p.avatar_url, m.id AS avatar_media_id, p.version
FROM (
    SELECT id FROM personas
    WHERE user_id = :user_id AND is_nsfw = FALSE AND (CAST(:favorite AS INTEGER) IS NULL OR is_favorite = :favorite)
    ORDER BY updated_at DESC, id DESC
    LIMIT :limit OFFSET :offset
) AS page
INNER JOIN personas AS p ON p.id = page.id
LEFT JOIN media_items AS m
    ON m.id = p.avatar_media_id AND m.user_id = p.user_id AND (m.is_nsfw = FALSE OR :nsfw = TRUE)
ORDER BY p.updated_at DESC, p.id DESC;

-- name: page_updated_desc
-- Last changed first, NSFW included.
SELECT p.card, p.avatar_url, m.id AS avatar_media_id, p.version
FROM (
    SELECT id FROM personas
    WHERE user_id = :user_id AND (CAST(:favorite AS INTEGER) IS NULL OR is_favorite = :favorite)
    ORDER BY updated_at DESC, id DESC
    LIMIT :limit OFFSET :offset
) AS page
INNER JOIN personas AS p ON p.id = page.id
LEFT JOIN media_items AS m
    ON m.id = p.avatar_media_id AND m.user_id = p.user_id AND (m.is_nsfw = FALSE OR :nsfw = TRUE)
ORDER BY p.updated_at DESC, p.id DESC;

-- name: page_updated_asc_safe
-- First changed first, without NSFW.
SELECT p.card, p.avatar_url, m.id AS avatar_media_id, p.version
FROM (
    SELECT id FROM personas
    WHERE user_id = :user_id AND is_nsfw = FALSE AND (CAST(:favorite AS INTEGER) IS NULL OR is_favorite = :favorite)
    ORDER BY updated_at ASC, id ASC
    LIMIT :limit OFFSET :offset
) AS page
INNER JOIN personas AS p ON p.id = page.id
LEFT JOIN media_items AS m
    ON m.id = p.avatar_media_id AND m.user_id = p.user_id AND (m.is_nsfw = FALSE OR :nsfw = TRUE)
ORDER BY p.updated_at ASC, p.id ASC;

-- name: page_updated_asc
-- First changed first, NSFW included.
SELECT p.card, p.avatar_url, m.id AS avatar_media_id, p.version
FROM (
    SELECT id FROM personas
    WHERE user_id = :user_id AND (CAST(:favorite AS INTEGER) IS NULL OR is_favorite = :favorite)
    ORDER BY updated_at ASC, id ASC
    LIMIT :limit OFFSET :offset
) AS page
INNER JOIN personas AS p ON p.id = page.id
LEFT JOIN media_items AS m
    ON m.id = p.avatar_media_id AND m.user_id = p.user_id AND (m.is_nsfw = FALSE OR :nsfw = TRUE)
ORDER BY p.updated_at ASC, p.id ASC;

-- name: page_name_desc_safe
-- From Z to A, without NSFW.
SELECT p.card, p.avatar_url, m.id AS avatar_media_id, p.version
FROM (
    SELECT id FROM personas
    WHERE user_id = :user_id AND is_nsfw = FALSE AND (CAST(:favorite AS INTEGER) IS NULL OR is_favorite = :favorite)
    ORDER BY name_key DESC, id DESC
    LIMIT :limit OFFSET :offset
) AS page
INNER JOIN personas AS p ON p.id = page.id
LEFT JOIN media_items AS m
    ON m.id = p.avatar_media_id AND m.user_id = p.user_id AND (m.is_nsfw = FALSE OR :nsfw = TRUE)
ORDER BY p.name_key DESC, p.id DESC;

-- name: page_name_desc
-- From Z to A, NSFW included.
SELECT p.card, p.avatar_url, m.id AS avatar_media_id, p.version
FROM (
    SELECT id FROM personas
    WHERE user_id = :user_id AND (CAST(:favorite AS INTEGER) IS NULL OR is_favorite = :favorite)
    ORDER BY name_key DESC, id DESC
    LIMIT :limit OFFSET :offset
) AS page
INNER JOIN personas AS p ON p.id = page.id
LEFT JOIN media_items AS m
    ON m.id = p.avatar_media_id AND m.user_id = p.user_id AND (m.is_nsfw = FALSE OR :nsfw = TRUE)
ORDER BY p.name_key DESC, p.id DESC;

-- name: page_name_asc_safe
-- From A to Z, without NSFW.
SELECT p.card, p.avatar_url, m.id AS avatar_media_id, p.version
FROM (
    SELECT id FROM personas
    WHERE user_id = :user_id AND is_nsfw = FALSE AND (CAST(:favorite AS INTEGER) IS NULL OR is_favorite = :favorite)
    ORDER BY name_key ASC, id ASC
    LIMIT :limit OFFSET :offset
) AS page
INNER JOIN personas AS p ON p.id = page.id
LEFT JOIN media_items AS m
    ON m.id = p.avatar_media_id AND m.user_id = p.user_id AND (m.is_nsfw = FALSE OR :nsfw = TRUE)
ORDER BY p.name_key ASC, p.id ASC;

-- name: page_name_asc
-- From A to Z, NSFW included.
SELECT p.card, p.avatar_url, m.id AS avatar_media_id, p.version
FROM (
    SELECT id FROM personas
    WHERE user_id = :user_id AND (CAST(:favorite AS INTEGER) IS NULL OR is_favorite = :favorite)
    ORDER BY name_key ASC, id ASC
    LIMIT :limit OFFSET :offset
) AS page
INNER JOIN personas AS p ON p.id = page.id
LEFT JOIN media_items AS m
    ON m.id = p.avatar_media_id AND m.user_id = p.user_id AND (m.is_nsfw = FALSE OR :nsfw = TRUE)
ORDER BY p.name_key ASC, p.id ASC;

-- name: page_favorites_created_desc
-- The favourites. Newest first.
SELECT p.card, p.avatar_url, m.id AS avatar_media_id, p.version
FROM (
    SELECT id FROM personas
    WHERE user_id = :user_id AND is_favorite = TRUE AND (is_nsfw = FALSE OR :nsfw = TRUE)
    ORDER BY created_at DESC, id DESC
    LIMIT :limit OFFSET :offset
) AS page
INNER JOIN personas AS p ON p.id = page.id
LEFT JOIN media_items AS m
    ON m.id = p.avatar_media_id AND m.user_id = p.user_id AND (m.is_nsfw = FALSE OR :nsfw = TRUE)
ORDER BY p.created_at DESC, p.id DESC;

-- name: page_favorites_created_asc
-- The favourites. Oldest first.
SELECT p.card, p.avatar_url, m.id AS avatar_media_id, p.version
FROM (
    SELECT id FROM personas
    WHERE user_id = :user_id AND is_favorite = TRUE AND (is_nsfw = FALSE OR :nsfw = TRUE)
    ORDER BY created_at ASC, id ASC
    LIMIT :limit OFFSET :offset
) AS page
INNER JOIN personas AS p ON p.id = page.id
LEFT JOIN media_items AS m
    ON m.id = p.avatar_media_id AND m.user_id = p.user_id AND (m.is_nsfw = FALSE OR :nsfw = TRUE)
ORDER BY p.created_at ASC, p.id ASC;

-- name: page_favorites_updated_desc
-- The favourites. Last changed first.
SELECT p.card, p.avatar_url, m.id AS avatar_media_id, p.version
FROM (
    SELECT id FROM personas
    WHERE user_id = :user_id AND is_favorite = TRUE AND (is_nsfw = FALSE OR :nsfw = TRUE)
    ORDER BY updated_at DESC, id DESC
    LIMIT :limit OFFSET :offset
) AS page
INNER JOIN personas AS p ON p.id = page.id
LEFT JOIN media_items AS m
    ON m.id = p.avatar_media_id AND m.user_id = p.user_id AND (m.is_nsfw = FALSE OR :nsfw = TRUE)
ORDER BY p.updated_at DESC, p.id DESC;

-- name: page_favorites_updated_asc
-- The favourites. First changed first.
SELECT p.card, p.avatar_url, m.id AS avatar_media_id, p.version
FROM (
    SELECT id FROM personas
    WHERE user_id = :user_id AND is_favorite = TRUE AND (is_nsfw = FALSE OR :nsfw = TRUE)
    ORDER BY updated_at ASC, id ASC
    LIMIT :limit OFFSET :offset
) AS page
INNER JOIN personas AS p ON p.id = page.id
LEFT JOIN media_items AS m
    ON m.id = p.avatar_media_id AND m.user_id = p.user_id AND (m.is_nsfw = FALSE OR :nsfw = TRUE)
ORDER BY p.updated_at ASC, p.id ASC;

-- name: page_favorites_name_desc
-- The favourites. From Z to A.
SELECT p.card, p.avatar_url, m.id AS avatar_media_id, p.version
FROM (
    SELECT id FROM personas
    WHERE user_id = :user_id AND is_favorite = TRUE AND (is_nsfw = FALSE OR :nsfw = TRUE)
    ORDER BY name_key DESC, id DESC
    LIMIT :limit OFFSET :offset
) AS page
INNER JOIN personas AS p ON p.id = page.id
LEFT JOIN media_items AS m
    ON m.id = p.avatar_media_id AND m.user_id = p.user_id AND (m.is_nsfw = FALSE OR :nsfw = TRUE)
ORDER BY p.name_key DESC, p.id DESC;

-- name: page_favorites_name_asc
-- The favourites. From A to Z.
SELECT p.card, p.avatar_url, m.id AS avatar_media_id, p.version
FROM (
    SELECT id FROM personas
    WHERE user_id = :user_id AND is_favorite = TRUE AND (is_nsfw = FALSE OR :nsfw = TRUE)
    ORDER BY name_key ASC, id ASC
    LIMIT :limit OFFSET :offset
) AS page
INNER JOIN personas AS p ON p.id = page.id
LEFT JOIN media_items AS m
    ON m.id = p.avatar_media_id AND m.user_id = p.user_id AND (m.is_nsfw = FALSE OR :nsfw = TRUE)
ORDER BY p.name_key ASC, p.id ASC;

-- name: matching_indexed
-- The ids of all personas that contain a word: candidates by trigrams, in the range of one owner, then checked.
SELECT p.id
FROM persona_search AS s
CROSS JOIN personas AS p ON p.id = (s.rowid & 4294967295)
WHERE s.persona_search MATCH :trigrams
    AND s.rowid BETWEEN (:user_id << 32) AND ((:user_id << 32) | 4294967295)
    AND INSTR(p.search_text, :word) > 0
    AND (p.is_nsfw = FALSE OR :nsfw = TRUE)
    AND (CAST(:favorite AS INTEGER) IS NULL OR p.is_favorite = :favorite)
    AND (
        :tag_count = 0 OR :tag_count = (
            SELECT COUNT(*) FROM persona_tags AS t
            WHERE t.persona_id = p.id
                AND t.tag_key IN (:tag_1, :tag_2, :tag_3, :tag_4, :tag_5, :tag_6, :tag_7, :tag_8)
        )
    )
ORDER BY
    CASE :sort
        WHEN 'created_at' THEN p.created_at WHEN 'updated_at' THEN p.updated_at WHEN 'name' THEN p.name_key
    END,
    CASE :sort
        WHEN '-created_at' THEN p.created_at WHEN '-updated_at' THEN p.updated_at WHEN '-name' THEN p.name_key
    END DESC,
    CASE WHEN SUBSTR(:sort, 1, 1) = '-' THEN -p.id ELSE p.id END;

-- name: matching_scanned
-- The same for a word too short for trigrams (the empty one is in all): a scan of one owner.
SELECT p.id
FROM personas AS p
WHERE p.user_id = :user_id
    AND INSTR(p.search_text, :word) > 0
    AND (p.is_nsfw = FALSE OR :nsfw = TRUE)
    AND (CAST(:favorite AS INTEGER) IS NULL OR p.is_favorite = :favorite)
    AND (
        :tag_count = 0 OR :tag_count = (
            SELECT COUNT(*) FROM persona_tags AS t
            WHERE t.persona_id = p.id
                AND t.tag_key IN (:tag_1, :tag_2, :tag_3, :tag_4, :tag_5, :tag_6, :tag_7, :tag_8)
        )
    )
ORDER BY
    CASE :sort
        WHEN 'created_at' THEN p.created_at WHEN 'updated_at' THEN p.updated_at WHEN 'name' THEN p.name_key
    END,
    CASE :sort
        WHEN '-created_at' THEN p.created_at WHEN '-updated_at' THEN p.updated_at WHEN '-name' THEN p.name_key
    END DESC,
    CASE WHEN SUBSTR(:sort, 1, 1) = '-' THEN -p.id ELSE p.id END;

-- name: matching_tagged
-- The ids of all personas that have every tag: read from the rarest side, the tags.
SELECT p.id
FROM persona_tags AS t
CROSS JOIN personas AS p ON p.id = t.persona_id
WHERE t.user_id = :user_id
    AND t.tag_key IN (:tag_1, :tag_2, :tag_3, :tag_4, :tag_5, :tag_6, :tag_7, :tag_8)
    AND (p.is_nsfw = FALSE OR :nsfw = TRUE)
    AND (CAST(:favorite AS INTEGER) IS NULL OR p.is_favorite = :favorite)
GROUP BY p.id
HAVING COUNT(*) = :tag_count
ORDER BY
    CASE :sort
        WHEN 'created_at' THEN p.created_at WHEN 'updated_at' THEN p.updated_at WHEN 'name' THEN p.name_key
    END,
    CASE :sort
        WHEN '-created_at' THEN p.created_at WHEN '-updated_at' THEN p.updated_at WHEN '-name' THEN p.name_key
    END DESC,
    CASE WHEN SUBSTR(:sort, 1, 1) = '-' THEN -p.id ELSE p.id END;

-- name: search_check!
-- Compare the index with its table; raises when they differ.
INSERT INTO persona_search (persona_search, rank) VALUES ('integrity-check', 1);

-- name: search_rebuild!
-- Make the index again from its table.
INSERT INTO persona_search (persona_search) VALUES ('rebuild');

-- name: purge_batch!
-- Delete some personas of a deleted account.
DELETE FROM personas WHERE id IN (SELECT id FROM personas WHERE user_id = :user_id LIMIT :limit);
