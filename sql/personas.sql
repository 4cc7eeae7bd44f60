-- name: create$
-- Insert a persona.
INSERT INTO personas (
    uid, user_id, name, description, style_prompt, negative_prompt, loras, generation_params, tags,
    is_favorite, is_nsfw, avatar_url, avatar_media_id, avatar_crop, name_key, extensions, revised_by, revision_note,
    visibility, created_at,
    updated_at
)
VALUES (
    :uid, :user_id, :name, :description, :style_prompt, :negative_prompt, :loras, :generation_params, :tags,
    :is_favorite, :is_nsfw, :avatar_url, :avatar_media_id, :avatar_crop, :name_key, :extensions, :revised_by,
    :revision_note, :visibility, :now,
    :now
)
RETURNING id;

-- name: get^
-- One persona, of a user's own or of all that they see, when their NSFW settings in force let it be seen.
-- `shown_media_id` is its avatar while that is there and may be seen too; the cover is that, or else the newest picture
-- of their own that may be seen. `page`, `page_of_all`, and `persona_page` of search.sql, read the same columns.
-- family: whose own: (p.user_id = :user_id)
-- family: whose seen: (p.user_id = :user_id OR (p.visibility = 'shared' AND EXISTS (SELECT 1 FROM sharers AS o WHERE o.user_id = p.user_id)))
SELECT
    p.id, p.uid, p.user_id, p.name, p.description, p.style_prompt, p.negative_prompt, p.loras, p.generation_params,
    p.tags, CASE WHEN p.user_id = :user_id THEN p.is_favorite ELSE FALSE END AS is_favorite, p.is_nsfw, p.visibility,
    p.avatar_url, p.avatar_media_id, p.avatar_crop, p.revision, p.version, p.created_at, p.updated_at,
    (SELECT w.username FROM users AS w WHERE w.id = p.user_id) AS owner_name,
    (
        SELECT m.id FROM media_items AS m
        WHERE m.id = p.avatar_media_id AND m.user_id = p.user_id
            AND (m.is_nsfw = FALSE OR EXISTS (SELECT 1 FROM nsfw_viewers AS v WHERE v.user_id = :user_id))
    ) AS shown_media_id,
    c.cover_media_id, c.cover_width, c.cover_height
FROM personas AS p
LEFT JOIN (
    SELECT m.id AS cover_media_id, m.width AS cover_width, m.height AS cover_height FROM media_items AS m
) AS c ON c.cover_media_id = COALESCE(
    (
        SELECT m.id FROM media_items AS m
        WHERE m.id = p.avatar_media_id AND m.user_id = p.user_id
            AND (m.is_nsfw = FALSE OR EXISTS (SELECT 1 FROM nsfw_viewers AS v WHERE v.user_id = :user_id))
    ),
    (
        SELECT m.id FROM media_items AS m
        WHERE m.persona_id = p.id AND m.user_id = :user_id
            AND (m.is_nsfw = FALSE OR EXISTS (SELECT 1 FROM nsfw_viewers AS v WHERE v.user_id = :user_id))
        ORDER BY m.created_at DESC, m.id DESC LIMIT 1
    )
)
WHERE p.id = :id AND (p.user_id = :user_id)
    AND (p.is_nsfw = FALSE OR EXISTS (SELECT 1 FROM nsfw_viewers AS v WHERE v.user_id = :user_id));

-- name: page
-- A page of a user's personas, or of those that others share: its ids are read along the index of its order, however
-- far down, and then the rows.
-- family: which safe: q.user_id = :user_id AND q.is_nsfw = FALSE
-- family: which all: q.user_id = :user_id
-- family: which favorites: q.user_id = :user_id AND q.is_favorite = TRUE AND (q.is_nsfw = FALSE OR :nsfw = TRUE)
-- family: which shared: q.user_id <> :user_id AND (q.visibility = 'shared' AND EXISTS (SELECT 1 FROM sharers AS o WHERE o.user_id = q.user_id)) AND (q.is_nsfw = FALSE OR :nsfw = TRUE)
-- family: order -created_at: created_at DESC, id DESC
-- family: order created_at: created_at ASC, id ASC
-- family: order -updated_at: updated_at DESC, id DESC
-- family: order updated_at: updated_at ASC, id ASC
-- family: order -name: name_key DESC, id DESC
-- family: order name: name_key ASC, id ASC
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
FROM (
    SELECT q.id AS page_id FROM personas AS q
    WHERE q.user_id = :user_id AND q.is_nsfw = FALSE
    ORDER BY created_at DESC, id DESC
    LIMIT :limit OFFSET :offset
) AS page
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
WHERE p.id = page.page_id
ORDER BY created_at DESC, id DESC;

-- name: page_of_all
-- A page of a user's personas and of those that others share, in one order: met along the indexes of the two.
-- family: by created_at: q.created_at AS sort_key
-- family: by updated_at: q.updated_at AS sort_key
-- family: by name: q.name_key AS sort_key
-- family: direction down: sort_key DESC, page_id DESC
-- family: direction up: sort_key ASC, page_id ASC
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
FROM (
    SELECT listed.page_id, listed.sort_key FROM (
        SELECT q.id AS page_id, q.created_at AS sort_key FROM personas AS q
        WHERE q.user_id = :user_id AND (q.is_nsfw = FALSE OR :nsfw = TRUE)
        UNION ALL
        SELECT q.id AS page_id, q.created_at AS sort_key FROM personas AS q
        WHERE q.user_id <> :user_id
            AND (
                q.visibility = 'shared'
                AND EXISTS (SELECT 1 FROM sharers AS o WHERE o.user_id = q.user_id)
            )
            AND (q.is_nsfw = FALSE OR :nsfw = TRUE)
    ) AS listed
    ORDER BY sort_key DESC, page_id DESC
    LIMIT :limit OFFSET :offset
) AS page
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
WHERE p.id = page.page_id
ORDER BY sort_key DESC, page_id DESC;

-- name: count$
-- How many personas a user has, from the counters.
SELECT COALESCE(SUM(n), 0) FROM persona_counts
WHERE user_id = :user_id
    AND (is_nsfw = FALSE OR :nsfw = TRUE)
    AND (CAST(:favorite AS BOOLEAN) IS NULL OR is_favorite = :favorite);

-- name: count_shared$
-- How many personas others share, from the counters.
SELECT COALESCE(SUM(c.n), 0) FROM shared_persona_counts AS c
WHERE c.user_id <> :user_id
    AND EXISTS (SELECT 1 FROM sharers AS o WHERE o.user_id = c.user_id)
    AND (c.is_nsfw = FALSE OR :nsfw = TRUE);

-- name: shared_exists$
-- Whether a persona that is not the user's own is shared, and may be seen.
SELECT 1 FROM personas AS p
WHERE p.id = :id AND p.user_id <> :user_id
    AND (
        p.visibility = 'shared'
        AND EXISTS (SELECT 1 FROM sharers AS o WHERE o.user_id = p.user_id)
    )
    AND (p.is_nsfw = FALSE OR EXISTS (SELECT 1 FROM nsfw_viewers AS v WHERE v.user_id = :user_id));

-- name: update!
-- Write a whole persona; what stands beside its fields stays where nothing is given for it.
UPDATE personas
SET name = :name, description = :description, style_prompt = :style_prompt, negative_prompt = :negative_prompt,
    loras = :loras, generation_params = :generation_params, tags = :tags,
    is_favorite = :is_favorite, is_nsfw = :is_nsfw, avatar_url = :avatar_url, avatar_media_id = :avatar_media_id,
    avatar_crop = :avatar_crop,
    name_key = :name_key, visibility = COALESCE(:visibility, visibility),
    extensions = COALESCE(:extensions, extensions), revision = :revision,
    revised_at = COALESCE(:revised_at, revised_at), revised_by = COALESCE(:revised_by, revised_by),
    revision_note = COALESCE(:revision_note, revision_note), version = version + 1, updated_at = :now
WHERE id = :id AND user_id = :user_id;

-- name: set_history!
-- Write since when there is a persona that was made elsewhere, and at which revision it stands.
UPDATE personas
SET created_at = :created_at, updated_at = :updated_at, revision = :revision, revised_at = :revised_at,
    revised_by = :revised_by, revision_note = :revision_note
WHERE id = :id AND user_id = :user_id;

-- name: update_name_key!
-- Write what a persona is sorted by, which no answer shows, unless it was changed meanwhile.
UPDATE personas SET name_key = :name_key WHERE id = :id AND version = :version;

-- name: whole^
-- All of a persona, to keep it in the trash.
SELECT
    id, uid, user_id, name, description, style_prompt, negative_prompt, loras, generation_params, tags, is_favorite,
    is_nsfw, visibility, avatar_url, avatar_media_id, avatar_crop, extensions, revision, revised_at, revised_by,
    revision_note, version, created_at, updated_at
FROM personas WHERE id = :id AND user_id = :user_id;

-- name: whole_page
-- Some of a user's personas, whole, after a moment and an id, the oldest first: a walk over all of them.
SELECT
    id, uid, user_id, name, description, style_prompt, negative_prompt, loras, generation_params, tags, is_favorite,
    is_nsfw, visibility, avatar_url, avatar_media_id, avatar_crop, extensions, revision, revised_at, revised_by,
    revision_note, version, created_at, updated_at
FROM personas
WHERE user_id = :user_id AND created_at >= :since AND (created_at > :since OR id > :after)
ORDER BY created_at, id
LIMIT :limit;

-- name: by_uid$
-- The persona of a user that has a uid and may be seen.
SELECT id FROM personas WHERE uid = :uid AND user_id = :user_id AND (is_nsfw = FALSE OR :nsfw = TRUE);

-- name: uid_taken$
-- Whether a uid was given already, to whomever.
SELECT 1 FROM personas WHERE uid = :uid;

-- name: by_name
-- The personas of a user whose names are the same but for case, accents and forms of a mark, and that may be seen.
SELECT id FROM personas
WHERE user_id = :user_id AND name_key = :name_key AND (is_nsfw = FALSE OR :nsfw = TRUE)
ORDER BY id DESC LIMIT 20;

-- name: bring_back!
-- Insert a persona whole, as it was when it went.
INSERT INTO personas (
    id, uid, user_id, name, description, style_prompt, negative_prompt, loras, generation_params, tags, is_favorite,
    is_nsfw, avatar_url, avatar_media_id, avatar_crop, name_key, extensions, revision, revised_at, revised_by,
    revision_note,
    version, visibility, created_at, updated_at
)
VALUES (
    :id, :uid, :user_id, :name, :description, :style_prompt, :negative_prompt, :loras, :generation_params, :tags,
    :is_favorite, :is_nsfw, :avatar_url, :avatar_media_id, :avatar_crop, :name_key, :extensions, :revision, :revised_at,
    :revised_by,
    :revision_note, :version, :visibility, :created_at, :updated_at
);

-- name: delete!
-- Delete a persona; its jobs and media stay, and refer to what is not there.
DELETE FROM personas WHERE id = :id AND user_id = :user_id;

-- name: tags_clear!
-- Forget what a persona is filtered by.
DELETE FROM persona_tags WHERE persona_id = :persona_id;

-- name: tags_add*!
-- Remember what a persona is filtered by.
INSERT INTO persona_tags (user_id, tag_key, persona_id) VALUES (:user_id, :tag_key, :persona_id);

-- name: matching_tagged
-- The ids of all personas that have every tag, oldest first.
SELECT t.persona_id AS id
FROM persona_tags AS t
CROSS JOIN personas AS p
WHERE t.user_id = :user_id
    AND t.tag_key IN (:tag_1, :tag_2, :tag_3, :tag_4, :tag_5, :tag_6, :tag_7, :tag_8)
    AND p.id = t.persona_id AND p.user_id = :user_id
    AND (p.is_nsfw = FALSE OR :nsfw = TRUE)
    AND (CAST(:favorite AS BOOLEAN) IS NULL OR p.is_favorite = :favorite)
GROUP BY t.persona_id
HAVING COUNT(*) = :tag_count
ORDER BY t.persona_id;

-- name: matching_untagged
-- The ids of all personas that have no tag, newest first: the order of the owner's index, which the planner then reads.
SELECT p.id
FROM personas AS p
WHERE p.user_id = :user_id
    AND (p.is_nsfw = FALSE OR :nsfw = TRUE)
    AND (CAST(:favorite AS BOOLEAN) IS NULL OR p.is_favorite = :favorite)
    AND NOT EXISTS (SELECT 1 FROM persona_tags AS t WHERE t.persona_id = p.id)
ORDER BY p.created_at DESC, p.id DESC;

-- name: tagged
-- All personas of a user that have a tag, those too that the NSFW settings hide, with all their tags.
SELECT p.id, p.tags
FROM persona_tags AS t
CROSS JOIN personas AS p
WHERE t.user_id = :user_id AND t.tag_key = :tag_key AND p.id = t.persona_id AND p.user_id = :user_id
ORDER BY t.persona_id;

-- name: facets
-- How many of a user's personas are alike in their tags, as favourites and in being NSFW.
SELECT tags, is_favorite, is_nsfw, COUNT(*) AS n
FROM personas
WHERE user_id = :user_id
    AND (is_nsfw = FALSE OR :nsfw = TRUE)
    AND (CAST(:favorite AS BOOLEAN) IS NULL OR is_favorite = :favorite)
GROUP BY tags, is_favorite, is_nsfw;

-- name: purge_batch!
-- Delete some personas of a deleted account.
DELETE FROM personas WHERE id IN (SELECT id FROM personas WHERE user_id = :user_id LIMIT :limit);
