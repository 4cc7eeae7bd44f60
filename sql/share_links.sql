-- name: create!
-- Make a link for outsiders; of its token the hash alone is kept.
INSERT INTO share_links (id, user_id, token_hash, media_id, collection_id, with_details, created_at, expires_at)
VALUES (:id, :user_id, :token_hash, :media_id, :collection_id, :with_details, :now, :expires_at);

-- name: count_live$
-- How many links of a user are good.
SELECT COUNT(*) FROM share_links WHERE user_id = :user_id AND expires_at > :now;

-- name: newest
-- A page of a user's links that are good, the newest first: all, or those of a media item or a collection.
-- family: of user: user_id = :user_id
-- family: of media: media_id = :media_id AND user_id = :user_id
-- family: of collection: collection_id = :collection_id AND user_id = :user_id
SELECT id, media_id, collection_id, with_details, created_at, expires_at
FROM share_links
WHERE user_id = :user_id AND expires_at > :now
ORDER BY created_at DESC, id DESC
LIMIT :limit OFFSET :offset;

-- name: count$
-- How many links such a list has.
-- family: of user: user_id = :user_id
-- family: of media: media_id = :media_id AND user_id = :user_id
-- family: of collection: collection_id = :collection_id AND user_id = :user_id
SELECT COUNT(*) FROM share_links WHERE user_id = :user_id AND expires_at > :now;

-- name: delete!
-- Take a link back.
DELETE FROM share_links WHERE id = :id AND user_id = :user_id;

-- name: prune!
-- Drop links past their end.
DELETE FROM share_links WHERE expires_at <= :now;

-- name: opened^
-- What a token that is good opens, while its owner is there and may share; the name of a collection.
SELECT l.user_id, l.media_id, l.collection_id, l.with_details, l.expires_at, c.name, c.description
FROM share_links AS l
INNER JOIN sharers AS u ON u.user_id = l.user_id
LEFT JOIN collections AS c ON c.id = l.collection_id AND c.user_id = l.user_id
WHERE l.token_hash = :token_hash AND l.expires_at > :now;

-- name: picture^
-- The picture of a link, or one of the collection of a link, that the NSFW settings in force for its owner let be seen.
SELECT m.id, m.mime_type, m.width, m.height, m.file_size, m.file_key, m.metadata, m.is_nsfw, m.created_at
FROM media_items AS m
WHERE m.id = :id AND m.user_id = :user_id
    AND (
        m.id = :media_id
        OR EXISTS (
            SELECT 1 FROM collection_media AS x WHERE x.collection_id = :collection_id AND x.media_id = m.id
        )
    )
    AND (m.is_nsfw = FALSE OR EXISTS (SELECT 1 FROM nsfw_viewers AS v WHERE v.user_id = m.user_id));

-- name: pictures
-- A page of the pictures of a link's collection likewise, in order.
SELECT m.id, m.width, m.height, m.is_nsfw, m.created_at
FROM collection_media AS x
CROSS JOIN media_items AS m
WHERE x.collection_id = :collection_id AND m.id = x.media_id AND m.user_id = :user_id
    AND (m.is_nsfw = FALSE OR EXISTS (SELECT 1 FROM nsfw_viewers AS v WHERE v.user_id = m.user_id))
ORDER BY x.position, x.media_id
LIMIT :limit OFFSET :offset;

-- name: pictures_count$
-- How many these are.
SELECT COUNT(*) FROM collection_media AS x
CROSS JOIN media_items AS m
WHERE x.collection_id = :collection_id AND m.id = x.media_id AND m.user_id = :user_id
    AND (m.is_nsfw = FALSE OR EXISTS (SELECT 1 FROM nsfw_viewers AS v WHERE v.user_id = m.user_id));
