-- name: create$
-- Insert a persona.
INSERT INTO personas (
    user_id, name, description, style_prompt, negative_prompt, lora_models, generation_params, tags,
    is_favorite, is_nsfw, avatar_url, avatar_media_id, name_key, created_at, updated_at
)
VALUES (
    :user_id, :name, :description, :style_prompt, :negative_prompt, :lora_models, :generation_params, :tags,
    :is_favorite, :is_nsfw, :avatar_url, :avatar_media_id, :name_key, :now, :now
)
RETURNING id;

-- A page is one row, its cards a line each: every row that is fetched hands the interpreter to another thread and has
-- to win it back. Cards are bytes, as the answer is: as text they would be decoded and encoded once more.

-- name: get^
-- One persona of a user, when the NSFW settings in force let it be seen, with its avatar when that may be too.
SELECT
    p.id, p.version,
    CAST(
        CASE WHEN EXISTS (SELECT 1 FROM nsfw_viewers AS v WHERE v.user_id = p.user_id) THEN p.card ELSE p.safe_card END
        AS BLOB
    ) AS card
FROM persona_cards AS p
WHERE p.id = :id AND p.user_id = :user_id
    AND (p.is_nsfw = FALSE OR EXISTS (SELECT 1 FROM nsfw_viewers AS v WHERE v.user_id = p.user_id));

-- name: card$
-- One persona that a list has found, with its avatar as the list may show it.
SELECT CAST(CASE :nsfw WHEN TRUE THEN p.card ELSE p.safe_card END AS BLOB) FROM persona_cards AS p WHERE p.id = :id;

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
    name_key = :name_key, version = version + 1, updated_at = :now
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

-- name: spans$
-- How many a user has of each ten days, newest first, as [span, number] in JSON.
SELECT JSON_GROUP_ARRAY(JSON_ARRAY(d.span, d.n))
FROM (
    SELECT span, SUM(n) AS n FROM persona_spans
    WHERE user_id = :user_id AND (is_nsfw = FALSE OR :nsfw = TRUE)
    GROUP BY span
    ORDER BY span DESC
) AS d;

-- name: page_created_desc_safe^
-- Newest first, of those made before a moment, without NSFW.
SELECT
    (
        SELECT COALESCE(SUM(c.n), 0) FROM persona_counts AS c
        WHERE c.user_id = :user_id AND c.is_nsfw = FALSE
    ) AS total,
    CAST(GROUP_CONCAT(p.safe_card, CHAR(10)) AS BLOB) AS cards
FROM (
    SELECT id FROM personas
    WHERE user_id = :user_id AND is_nsfw = FALSE AND created_at < :before
    ORDER BY created_at DESC, id DESC
    LIMIT :limit OFFSET :offset
) AS page
CROSS JOIN persona_cards AS p ON p.id = page.id;

-- name: page_created_desc^
-- Newest first, of those made before a moment, NSFW included.
SELECT
    (
        SELECT COALESCE(SUM(c.n), 0) FROM persona_counts AS c
        WHERE c.user_id = :user_id
    ) AS total,
    CAST(GROUP_CONCAT(p.card, CHAR(10)) AS BLOB) AS cards
FROM (
    SELECT id FROM personas
    WHERE user_id = :user_id AND created_at < :before
    ORDER BY created_at DESC, id DESC
    LIMIT :limit OFFSET :offset
) AS page
CROSS JOIN persona_cards AS p ON p.id = page.id;

-- name: page_created_asc_safe^
-- Oldest first, without NSFW.
SELECT
    (
        SELECT COALESCE(SUM(c.n), 0) FROM persona_counts AS c
        WHERE c.user_id = :user_id AND c.is_nsfw = FALSE
    ) AS total,
    CAST(GROUP_CONCAT(p.safe_card, CHAR(10)) AS BLOB) AS cards
FROM (
    SELECT id FROM personas
    WHERE user_id = :user_id AND is_nsfw = FALSE
    ORDER BY created_at ASC, id ASC
    LIMIT :limit OFFSET :offset
) AS page
CROSS JOIN persona_cards AS p ON p.id = page.id;

-- name: page_created_asc^
-- Oldest first, NSFW included.
SELECT
    (
        SELECT COALESCE(SUM(c.n), 0) FROM persona_counts AS c
        WHERE c.user_id = :user_id
    ) AS total,
    CAST(GROUP_CONCAT(p.card, CHAR(10)) AS BLOB) AS cards
FROM (
    SELECT id FROM personas
    WHERE user_id = :user_id
    ORDER BY created_at ASC, id ASC
    LIMIT :limit OFFSET :offset
) AS page
CROSS JOIN persona_cards AS p ON p.id = page.id;

-- name: page_updated_desc^
-- Last changed first.
SELECT
    (
        SELECT COALESCE(SUM(c.n), 0) FROM persona_counts AS c
        WHERE c.user_id = :user_id AND (c.is_nsfw = FALSE OR :nsfw = TRUE)
    ) AS total,
    CAST(GROUP_CONCAT(CASE :nsfw WHEN TRUE THEN p.card ELSE p.safe_card END, CHAR(10)) AS BLOB) AS cards
FROM (
    SELECT id FROM personas
    WHERE user_id = :user_id AND (is_nsfw = FALSE OR :nsfw = TRUE)
    ORDER BY updated_at DESC, id DESC
    LIMIT :limit OFFSET :offset
) AS page
CROSS JOIN persona_cards AS p ON p.id = page.id;

-- name: page_updated_asc^
-- First changed first.
SELECT
    (
        SELECT COALESCE(SUM(c.n), 0) FROM persona_counts AS c
        WHERE c.user_id = :user_id AND (c.is_nsfw = FALSE OR :nsfw = TRUE)
    ) AS total,
    CAST(GROUP_CONCAT(CASE :nsfw WHEN TRUE THEN p.card ELSE p.safe_card END, CHAR(10)) AS BLOB) AS cards
FROM (
    SELECT id FROM personas
    WHERE user_id = :user_id AND (is_nsfw = FALSE OR :nsfw = TRUE)
    ORDER BY updated_at ASC, id ASC
    LIMIT :limit OFFSET :offset
) AS page
CROSS JOIN persona_cards AS p ON p.id = page.id;

-- name: page_name_desc^
-- From Z to A.
SELECT
    (
        SELECT COALESCE(SUM(c.n), 0) FROM persona_counts AS c
        WHERE c.user_id = :user_id AND (c.is_nsfw = FALSE OR :nsfw = TRUE)
    ) AS total,
    CAST(GROUP_CONCAT(CASE :nsfw WHEN TRUE THEN p.card ELSE p.safe_card END, CHAR(10)) AS BLOB) AS cards
FROM (
    SELECT id FROM personas
    WHERE user_id = :user_id AND (is_nsfw = FALSE OR :nsfw = TRUE)
    ORDER BY name_key DESC, id DESC
    LIMIT :limit OFFSET :offset
) AS page
CROSS JOIN persona_cards AS p ON p.id = page.id;

-- name: page_name_asc^
-- From A to Z.
SELECT
    (
        SELECT COALESCE(SUM(c.n), 0) FROM persona_counts AS c
        WHERE c.user_id = :user_id AND (c.is_nsfw = FALSE OR :nsfw = TRUE)
    ) AS total,
    CAST(GROUP_CONCAT(CASE :nsfw WHEN TRUE THEN p.card ELSE p.safe_card END, CHAR(10)) AS BLOB) AS cards
FROM (
    SELECT id FROM personas
    WHERE user_id = :user_id AND (is_nsfw = FALSE OR :nsfw = TRUE)
    ORDER BY name_key ASC, id ASC
    LIMIT :limit OFFSET :offset
) AS page
CROSS JOIN persona_cards AS p ON p.id = page.id;

-- name: page_favorites_created_desc^
-- The favourites. Newest first.
SELECT
    (
        SELECT COALESCE(SUM(c.n), 0) FROM persona_counts AS c
        WHERE c.user_id = :user_id AND c.is_favorite = TRUE AND (c.is_nsfw = FALSE OR :nsfw = TRUE)
    ) AS total,
    CAST(GROUP_CONCAT(CASE :nsfw WHEN TRUE THEN p.card ELSE p.safe_card END, CHAR(10)) AS BLOB) AS cards
FROM (
    SELECT id FROM personas
    WHERE user_id = :user_id AND is_favorite = TRUE AND (is_nsfw = FALSE OR :nsfw = TRUE)
    ORDER BY created_at DESC, id DESC
    LIMIT :limit OFFSET :offset
) AS page
CROSS JOIN persona_cards AS p ON p.id = page.id;

-- name: page_favorites_created_asc^
-- The favourites. Oldest first.
SELECT
    (
        SELECT COALESCE(SUM(c.n), 0) FROM persona_counts AS c
        WHERE c.user_id = :user_id AND c.is_favorite = TRUE AND (c.is_nsfw = FALSE OR :nsfw = TRUE)
    ) AS total,
    CAST(GROUP_CONCAT(CASE :nsfw WHEN TRUE THEN p.card ELSE p.safe_card END, CHAR(10)) AS BLOB) AS cards
FROM (
    SELECT id FROM personas
    WHERE user_id = :user_id AND is_favorite = TRUE AND (is_nsfw = FALSE OR :nsfw = TRUE)
    ORDER BY created_at ASC, id ASC
    LIMIT :limit OFFSET :offset
) AS page
CROSS JOIN persona_cards AS p ON p.id = page.id;

-- name: page_favorites_updated_desc^
-- The favourites. Last changed first.
SELECT
    (
        SELECT COALESCE(SUM(c.n), 0) FROM persona_counts AS c
        WHERE c.user_id = :user_id AND c.is_favorite = TRUE AND (c.is_nsfw = FALSE OR :nsfw = TRUE)
    ) AS total,
    CAST(GROUP_CONCAT(CASE :nsfw WHEN TRUE THEN p.card ELSE p.safe_card END, CHAR(10)) AS BLOB) AS cards
FROM (
    SELECT id FROM personas
    WHERE user_id = :user_id AND is_favorite = TRUE AND (is_nsfw = FALSE OR :nsfw = TRUE)
    ORDER BY updated_at DESC, id DESC
    LIMIT :limit OFFSET :offset
) AS page
CROSS JOIN persona_cards AS p ON p.id = page.id;

-- name: page_favorites_updated_asc^
-- The favourites. First changed first.
SELECT
    (
        SELECT COALESCE(SUM(c.n), 0) FROM persona_counts AS c
        WHERE c.user_id = :user_id AND c.is_favorite = TRUE AND (c.is_nsfw = FALSE OR :nsfw = TRUE)
    ) AS total,
    CAST(GROUP_CONCAT(CASE :nsfw WHEN TRUE THEN p.card ELSE p.safe_card END, CHAR(10)) AS BLOB) AS cards
FROM (
    SELECT id FROM personas
    WHERE user_id = :user_id AND is_favorite = TRUE AND (is_nsfw = FALSE OR :nsfw = TRUE)
    ORDER BY updated_at ASC, id ASC
    LIMIT :limit OFFSET :offset
) AS page
CROSS JOIN persona_cards AS p ON p.id = page.id;

-- name: page_favorites_name_desc^
-- The favourites. From Z to A.
SELECT
    (
        SELECT COALESCE(SUM(c.n), 0) FROM persona_counts AS c
        WHERE c.user_id = :user_id AND c.is_favorite = TRUE AND (c.is_nsfw = FALSE OR :nsfw = TRUE)
    ) AS total,
    CAST(GROUP_CONCAT(CASE :nsfw WHEN TRUE THEN p.card ELSE p.safe_card END, CHAR(10)) AS BLOB) AS cards
FROM (
    SELECT id FROM personas
    WHERE user_id = :user_id AND is_favorite = TRUE AND (is_nsfw = FALSE OR :nsfw = TRUE)
    ORDER BY name_key DESC, id DESC
    LIMIT :limit OFFSET :offset
) AS page
CROSS JOIN persona_cards AS p ON p.id = page.id;

-- name: page_favorites_name_asc^
-- The favourites. From A to Z.
SELECT
    (
        SELECT COALESCE(SUM(c.n), 0) FROM persona_counts AS c
        WHERE c.user_id = :user_id AND c.is_favorite = TRUE AND (c.is_nsfw = FALSE OR :nsfw = TRUE)
    ) AS total,
    CAST(GROUP_CONCAT(CASE :nsfw WHEN TRUE THEN p.card ELSE p.safe_card END, CHAR(10)) AS BLOB) AS cards
FROM (
    SELECT id FROM personas
    WHERE user_id = :user_id AND is_favorite = TRUE AND (is_nsfw = FALSE OR :nsfw = TRUE)
    ORDER BY name_key ASC, id ASC
    LIMIT :limit OFFSET :offset
) AS page
CROSS JOIN persona_cards AS p ON p.id = page.id;

-- name: search_put!
-- Write what search looks into for a persona; triggers bring it into the index, sixteen at a time.
INSERT INTO persona_texts (doc_id, safety, favor, search_text)
VALUES (
    (:user_id << 32) | :id,
    CASE :is_nsfw WHEN TRUE THEN 'nsf' ELSE 'sfw' END,
    CASE :is_favorite WHEN TRUE THEN 'fav' ELSE 'oth' END,
    :search_text
)
ON CONFLICT (doc_id) DO UPDATE
SET safety = excluded.safety, favor = excluded.favor, search_text = excluded.search_text;

-- name: search_count$
-- How many personas match an expression of the index, in the range of one owner; its last two numbers are fences.
SELECT COUNT(*) FROM persona_search
WHERE persona_search MATCH :expression
    AND rowid BETWEEN (:user_id << 32) AND ((:user_id << 32) | 4294967293);

-- name: search_version$
-- The version of what the index holds of an owner. Where there is none, as damage leaves it, it is new each time.
SELECT COALESCE(
    (SELECT v.version FROM persona_search_versions AS v WHERE v.user_id = :user_id), RANDOM()
) AS version;

-- name: search_versions_renew!
-- Let nothing that was counted in the index be used again.
INSERT INTO persona_search_versions (user_id)
SELECT u.id FROM users AS u
WHERE TRUE
ON CONFLICT (user_id) DO UPDATE SET version = excluded.version;

-- name: search_oldest$
-- A page of their ids in one owner's range from an id on, as one JSON array, oldest first: ids grow with creation.
SELECT JSON_GROUP_ARRAY(id)
FROM (
    SELECT rowid & 4294967295 AS id FROM persona_search
    WHERE persona_search MATCH :expression
        AND rowid BETWEEN ((:user_id << 32) | :from_id) AND ((:user_id << 32) | 4294967293)
    ORDER BY rowid
    LIMIT :limit OFFSET :offset
) AS page;

-- name: search_newest$
-- The same, newest first.
SELECT JSON_GROUP_ARRAY(id)
FROM (
    SELECT rowid & 4294967295 AS id FROM persona_search
    WHERE persona_search MATCH :expression
        AND rowid BETWEEN (:user_id << 32) AND ((:user_id << 32) | 4294967293)
    ORDER BY rowid DESC
    LIMIT :limit OFFSET :offset
) AS page;

-- name: id_at$
-- The id of the persona at a place in the order of creation, newest first.
SELECT id FROM personas WHERE user_id = :user_id ORDER BY created_at DESC, id DESC LIMIT 1 OFFSET :offset;

-- name: search_waiting
-- The texts of an owner that wait to come into the index, oldest first.
SELECT x.doc_id & 4294967295 AS id, x.search_text
FROM persona_search_queue AS q
CROSS JOIN persona_texts AS x ON x.doc_id = q.doc_id
WHERE q.doc_id BETWEEN (:user_id << 32) AND ((:user_id << 32) | 4294967295)
    AND (x.safety = 'sfw' OR :nsfw = TRUE)
    AND (CAST(:favorite AS INTEGER) IS NULL OR x.favor = CASE :favorite WHEN TRUE THEN 'fav' ELSE 'oth' END)
ORDER BY q.doc_id;

-- name: matching_indexed$
-- All their ids, as one JSON array: fetching 40,000 rows one by one takes twice as long as finding them.
SELECT JSON_GROUP_ARRAY(rowid & 4294967295) FROM persona_search
WHERE persona_search MATCH :expression
    AND rowid BETWEEN (:user_id << 32) AND ((:user_id << 32) | 4294967293);

-- name: matching_scanned$
-- The ids of all personas that contain a word too short for the index (the empty one is in all).
SELECT JSON_GROUP_ARRAY(doc_id & 4294967295) FROM persona_texts
WHERE doc_id BETWEEN (:user_id << 32) AND ((:user_id << 32) | 4294967295)
    AND INSTR(search_text, :word) > 0
    AND (safety = 'sfw' OR :nsfw = TRUE)
    AND (CAST(:favorite AS INTEGER) IS NULL OR favor = CASE :favorite WHEN TRUE THEN 'fav' ELSE 'oth' END);

-- name: matching_tagged$
-- The ids of all personas that have every tag.
SELECT JSON_GROUP_ARRAY(id)
FROM (
    SELECT t.persona_id AS id
    FROM persona_tags AS t
    CROSS JOIN persona_texts AS x ON x.doc_id = ((t.user_id << 32) | t.persona_id)
    WHERE t.user_id = :user_id
        AND t.tag_key IN (:tag_1, :tag_2, :tag_3, :tag_4, :tag_5, :tag_6, :tag_7, :tag_8)
        AND (x.safety = 'sfw' OR :nsfw = TRUE)
        AND (CAST(:favorite AS INTEGER) IS NULL OR x.favor = CASE :favorite WHEN TRUE THEN 'fav' ELSE 'oth' END)
    GROUP BY t.persona_id
    HAVING COUNT(*) = :tag_count
    ORDER BY t.persona_id
) AS found;

-- name: ids_by_updated$
-- The ids of all personas of a user in the order of their last change.
SELECT JSON_GROUP_ARRAY(id)
FROM (SELECT id FROM personas WHERE user_id = :user_id ORDER BY updated_at, id) AS found;

-- name: ids_by_name$
-- The ids of all personas of a user in the order of their names.
SELECT JSON_GROUP_ARRAY(id)
FROM (SELECT id FROM personas WHERE user_id = :user_id ORDER BY name_key, id) AS found;

-- name: search_check!
-- Compare the index with its table; raises when they differ.
INSERT INTO persona_search (persona_search, rank) VALUES ('integrity-check', 1);

-- name: search_queue_clear!
-- Let no text wait, before all are indexed anew.
DELETE FROM persona_search_queue;

-- name: search_rebuild!
-- Make the index again from its table.
INSERT INTO persona_search (persona_search) VALUES ('rebuild');

-- name: search_optimize!
-- Bring the index into one segment: what is written later would otherwise be merged with what `rebuild` leaves.
INSERT INTO persona_search (persona_search) VALUES ('optimize');

-- name: search_sources
-- Some personas after an id, with what their search text is made of and what it is.
SELECT p.id, p.user_id, p.name, p.description, p.style_prompt, p.tags, p.is_nsfw, p.is_favorite, x.search_text,
    x.safety, x.favor
FROM personas AS p
LEFT JOIN persona_texts AS x ON x.doc_id = ((p.user_id << 32) | p.id)
WHERE p.id > :after ORDER BY p.id LIMIT :limit;

-- name: search_strays$
-- How many texts belong to no persona.
SELECT COUNT(*) FROM persona_texts AS x
WHERE NOT EXISTS (
    SELECT 1 FROM personas AS p WHERE p.id = (x.doc_id & 4294967295) AND p.user_id = (x.doc_id >> 32)
);

-- name: search_drop_strays!
-- Drop the texts that belong to no persona.
DELETE FROM persona_texts
WHERE NOT EXISTS (
    SELECT 1 FROM personas AS p
    WHERE p.id = (persona_texts.doc_id & 4294967295) AND p.user_id = (persona_texts.doc_id >> 32)
);

-- name: purge_batch!
-- Delete some personas of a deleted account.
DELETE FROM personas WHERE id IN (SELECT id FROM personas WHERE user_id = :user_id LIMIT :limit);
