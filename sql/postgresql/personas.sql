-- name: page_of_all
-- The same as in personas.sql beside, of each of the two no more than as far as the page reaches: an order over both is
-- had by sorting all of the user's own otherwise.
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
        SELECT mine.page_id, mine.sort_key FROM (
            SELECT q.id AS page_id, q.created_at AS sort_key FROM personas AS q
            WHERE q.user_id = :user_id AND (q.is_nsfw = FALSE OR :nsfw = TRUE)
            ORDER BY sort_key DESC, page_id DESC
            LIMIT :reach
        ) AS mine
        UNION ALL
        SELECT theirs.page_id, theirs.sort_key FROM (
            SELECT q.id AS page_id, q.created_at AS sort_key FROM personas AS q
            WHERE q.user_id <> :user_id
                AND (
                    q.visibility = 'shared'
                    AND EXISTS (SELECT 1 FROM sharers AS o WHERE o.user_id = q.user_id)
                )
                AND (q.is_nsfw = FALSE OR :nsfw = TRUE)
            ORDER BY sort_key DESC, page_id DESC
            LIMIT :reach
        ) AS theirs
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

-- name: matching_untagged
-- The ids of all personas that have no tag, newest first. The owner stands beside the tags too, or those of everybody are
-- read to be joined with.
SELECT p.id
FROM personas AS p
WHERE p.user_id = :user_id
    AND (p.is_nsfw = FALSE OR :nsfw = TRUE)
    AND (CAST(:favorite AS BOOLEAN) IS NULL OR p.is_favorite = :favorite)
    AND NOT EXISTS (SELECT 1 FROM persona_tags AS t WHERE t.user_id = :user_id AND t.persona_id = p.id)
ORDER BY p.created_at DESC, p.id DESC;
