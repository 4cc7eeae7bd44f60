-- name: create!
-- Make a collection.
INSERT INTO collections (id, user_id, name, description, visibility, with_details, created_at, updated_at)
VALUES (:id, :user_id, :name, :description, :visibility, :with_details, :now, :now);

-- name: count_owned$
-- How many collections a user has.
SELECT COUNT(*) FROM collections WHERE user_id = :user_id;

-- name: get^
-- One collection that a user may see, their own or shared, with what they may see of its pictures: how many there are,
-- from the counters, and the first.
SELECT
    c.id, c.user_id AS owner_id, o.username AS owner_name, c.name, c.description, c.visibility, c.with_details,
    c.version, c.created_at, c.updated_at,
    (
        SELECT COALESCE(SUM(q.n), 0) FROM collection_counts AS q
        WHERE q.collection_id = c.id AND q.user_id = c.user_id
            AND (q.is_nsfw = FALSE OR EXISTS (SELECT 1 FROM nsfw_viewers AS v WHERE v.user_id = :user_id))
    ) AS n,
    k.id AS cover_id, k.width AS cover_width, k.height AS cover_height
FROM collections AS c
INNER JOIN users AS o ON o.id = c.user_id
LEFT JOIN media_items AS k ON k.id = (
    SELECT m.id FROM collection_media AS x
    CROSS JOIN media_items AS m
    WHERE x.collection_id = c.id AND m.id = x.media_id AND m.user_id = c.user_id
        AND (m.is_nsfw = FALSE OR EXISTS (SELECT 1 FROM nsfw_viewers AS v WHERE v.user_id = :user_id))
    ORDER BY x.position, x.media_id LIMIT 1
)
WHERE c.id = :id
    AND (
        c.user_id = :user_id
        OR (
            c.visibility = 'shared'
            AND EXISTS (SELECT 1 FROM sharers AS u WHERE u.user_id = c.user_id)
        )
    );

-- name: page
-- A page of one's own collections, or of those that others share, the newest first; pictures as in `get`, NSFW
-- ones only where they are asked for.
-- family: scope mine: i.user_id = :user_id
-- family: scope shared: i.visibility = 'shared' AND i.user_id <> :user_id AND EXISTS (SELECT 1 FROM sharers AS u WHERE u.user_id = i.user_id)
SELECT
    c.id, c.user_id AS owner_id, o.username AS owner_name, c.name, c.description, c.visibility, c.with_details,
    c.version, c.created_at, c.updated_at,
    (
        SELECT COALESCE(SUM(q.n), 0) FROM collection_counts AS q
        WHERE q.collection_id = c.id AND q.user_id = c.user_id AND (q.is_nsfw = FALSE OR :nsfw = TRUE)
    ) AS n,
    k.id AS cover_id, k.width AS cover_width, k.height AS cover_height
FROM (
    SELECT i.id FROM collections AS i
    WHERE i.user_id = :user_id
    ORDER BY i.created_at DESC, i.id DESC
    LIMIT :limit OFFSET :offset
) AS page
INNER JOIN collections AS c ON c.id = page.id
INNER JOIN users AS o ON o.id = c.user_id
LEFT JOIN media_items AS k ON k.id = CASE WHEN EXISTS (
    SELECT 1 FROM collection_counts AS f
    WHERE f.collection_id = c.id AND f.user_id = c.user_id AND f.n > 0 AND (f.is_nsfw = FALSE OR :nsfw = TRUE)
) THEN (
    SELECT m.id FROM collection_media AS x
    CROSS JOIN media_items AS m
    WHERE x.collection_id = c.id AND m.id = x.media_id AND m.user_id = c.user_id AND (m.is_nsfw = FALSE OR :nsfw = TRUE)
    ORDER BY x.position, x.media_id LIMIT 1
) END
ORDER BY c.created_at DESC, c.id DESC;

-- name: both
-- A page of both, likewise; of each no more than as far as the page reaches.
SELECT
    c.id, c.user_id AS owner_id, o.username AS owner_name, c.name, c.description, c.visibility, c.with_details,
    c.version, c.created_at, c.updated_at,
    (
        SELECT COALESCE(SUM(q.n), 0) FROM collection_counts AS q
        WHERE q.collection_id = c.id AND q.user_id = c.user_id AND (q.is_nsfw = FALSE OR :nsfw = TRUE)
    ) AS n,
    k.id AS cover_id, k.width AS cover_width, k.height AS cover_height
FROM (
    SELECT both_of.id
    FROM (
        SELECT mine.id, mine.created_at
        FROM (
            SELECT i.id, i.created_at FROM collections AS i
            WHERE i.user_id = :user_id
            ORDER BY i.created_at DESC, i.id DESC
            LIMIT :reach
        ) AS mine
        UNION ALL
        SELECT theirs.id, theirs.created_at
        FROM (
            SELECT i.id, i.created_at FROM collections AS i
            WHERE i.visibility = 'shared' AND i.user_id <> :user_id
                AND EXISTS (SELECT 1 FROM sharers AS u WHERE u.user_id = i.user_id)
            ORDER BY i.created_at DESC, i.id DESC
            LIMIT :reach
        ) AS theirs
    ) AS both_of
    ORDER BY both_of.created_at DESC, both_of.id DESC
    LIMIT :limit OFFSET :offset
) AS page
INNER JOIN collections AS c ON c.id = page.id
INNER JOIN users AS o ON o.id = c.user_id
LEFT JOIN media_items AS k ON k.id = CASE WHEN EXISTS (
    SELECT 1 FROM collection_counts AS f
    WHERE f.collection_id = c.id AND f.user_id = c.user_id AND f.n > 0 AND (f.is_nsfw = FALSE OR :nsfw = TRUE)
) THEN (
    SELECT m.id FROM collection_media AS x
    CROSS JOIN media_items AS m
    WHERE x.collection_id = c.id AND m.id = x.media_id AND m.user_id = c.user_id AND (m.is_nsfw = FALSE OR :nsfw = TRUE)
    ORDER BY x.position, x.media_id LIMIT 1
) END
ORDER BY c.created_at DESC, c.id DESC;

-- name: count$
-- How many collections such a list has.
-- family: scope mine: i.user_id = :user_id
-- family: scope shared: i.visibility = 'shared' AND i.user_id <> :user_id AND EXISTS (SELECT 1 FROM sharers AS u WHERE u.user_id = i.user_id)
SELECT COUNT(*) FROM collections AS i
WHERE i.user_id = :user_id;

-- name: update!
-- Write what its owner may change of a collection.
UPDATE collections
SET name = :name, description = :description, visibility = :visibility, with_details = :with_details,
    version = version + 1, updated_at = :now
WHERE id = :id AND user_id = :user_id;

-- name: changed!
-- A collection has other pictures, or another order.
UPDATE collections SET version = version + 1, updated_at = :now WHERE id = :id AND user_id = :user_id;

-- name: delete!
-- Delete a collection; its media stay.
DELETE FROM collections WHERE id = :id AND user_id = :user_id;

-- name: members
-- Which pictures a collection has, in order, those in the trash and hidden ones too.
SELECT media_id, position FROM collection_media WHERE collection_id = :id ORDER BY position, media_id;

-- name: media
-- A page of the pictures of a collection that a user may see, in order.
SELECT
    m.id, m.user_id AS owner_id, o.username AS owner_name, j.id AS job_id, p.id AS persona_id, m.source, m.file_type,
    m.mime_type, m.width, m.height, m.file_size, m.color, m.metadata, m.tags, m.is_favorite, m.is_nsfw, m.nsfw_tags,
    m.visibility, m.with_details, m.version, m.created_at, m.updated_at,
    (
        m.user_id = :user_id
        OR EXISTS (SELECT 1 FROM shared_media AS d WHERE d.media_id = m.id AND d.with_details = TRUE)
    ) AS details
FROM (
    SELECT x.media_id AS page_id, x.position AS place
    FROM collections AS c
    CROSS JOIN collection_media AS x
    CROSS JOIN media_items AS i
    WHERE c.id = :id AND x.collection_id = c.id AND i.id = x.media_id AND i.user_id = c.user_id
        AND (i.is_nsfw = FALSE OR :nsfw = TRUE)
    ORDER BY x.position, x.media_id
    LIMIT :limit OFFSET :offset
) AS page
INNER JOIN media_items AS m ON m.id = page.page_id
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
WHERE (m.user_id = :user_id OR EXISTS (SELECT 1 FROM shared_media AS s WHERE s.media_id = m.id))
ORDER BY page.place, page.page_id;

-- name: media_count$
-- How many pictures that is in all, from the counters.
SELECT COALESCE(SUM(q.n), 0) FROM collections AS c
CROSS JOIN collection_counts AS q
WHERE c.id = :id AND q.collection_id = c.id AND q.user_id = c.user_id AND (q.is_nsfw = FALSE OR :nsfw = TRUE);

-- name: add*!
-- Put a picture into a collection; one that is in it stays where it is.
INSERT INTO collection_media (collection_id, media_id, position) VALUES (:id, :media_id, :position)
ON CONFLICT (collection_id, media_id) DO NOTHING;

-- name: remove*!
-- Take a picture out of a collection.
DELETE FROM collection_media WHERE collection_id = :id AND media_id = :media_id;

-- name: place*!
-- Write where in a collection a picture stands.
UPDATE collection_media SET position = :position WHERE collection_id = :id AND media_id = :media_id;

-- name: holding
-- The collections of a user that have a picture, and where in them it stands.
SELECT c.id, c.name, c.description, c.created_at, c.updated_at, x.position
FROM collection_media AS x
CROSS JOIN collections AS c
WHERE x.media_id = :media_id AND c.id = x.collection_id AND c.user_id = :user_id
ORDER BY c.created_at, c.id;

-- name: owner$
-- Whose collection has an id.
SELECT user_id FROM collections WHERE id = :id;

-- name: bring_back!
-- A collection comes with a library, as a private one.
INSERT INTO collections (id, user_id, name, description, visibility, with_details, created_at, updated_at)
VALUES (:id, :user_id, :name, :description, 'private', FALSE, :created_at, :updated_at);

-- name: drop_brought!
-- One that came with a library, was not touched since, and has nothing left in it, goes again.
DELETE FROM collections
WHERE id = :id AND user_id = :user_id AND version = 1
    AND NOT EXISTS (SELECT 1 FROM collection_media AS x WHERE x.collection_id = collections.id);
