-- name: create!
-- Insert a picture that a job made or that was sent in, and name its file.
INSERT INTO media_items (
    id, user_id, job_id, position, persona_id, source, file_type, mime_type, width, height, file_size, file_key, color,
    model, metadata, tags, is_nsfw, search_text, created_at, updated_at
)
VALUES (
    :id, :user_id, :job_id, :position, :persona_id, :source, :file_type, :mime_type, :width, :height, :file_size,
    :file_key, :color, :model, :metadata, :tags, :is_nsfw, :search_text, :now, :now
);

-- name: positions
-- Which pictures of a job there are, in the trash too: none of them is made again.
SELECT position FROM media_items WHERE job_id = :job_id
UNION ALL
SELECT position FROM trash WHERE job_id = :job_id;

-- name: get^
-- One media item of a user that the NSFW settings in force let be seen; job and persona while they are there. `page`, and
-- `media_page` of search.sql, read the same columns.
SELECT
    m.id, j.id AS job_id, p.id AS persona_id, m.source, m.file_type, m.mime_type, m.width, m.height, m.file_size,
    m.color, m.metadata, m.tags, m.is_favorite, m.is_nsfw, m.nsfw_tags, m.visibility, m.with_details, m.version,
    m.created_at, m.updated_at
FROM media_items AS m
LEFT JOIN generation_jobs AS j ON j.id = m.job_id
LEFT JOIN personas AS p ON p.id = m.persona_id
    AND (
        p.user_id = :user_id
        OR (
            p.visibility = 'shared'
            AND EXISTS (SELECT 1 FROM sharers AS o WHERE o.user_id = p.user_id)
        )
    )
WHERE m.id = :id AND m.user_id = :user_id
    AND (m.is_nsfw = FALSE OR EXISTS (SELECT 1 FROM nsfw_viewers AS v WHERE v.user_id = m.user_id));

-- name: linked^
-- What a signed link shows: the user whom it was made for is live, and may see the item; with what was written beside
-- the picture (`details`) where that is theirs or given too.
SELECT
    m.id, m.mime_type, m.width, m.height, m.file_key, m.user_id AS owner_id,
    (
        m.user_id = :user_id
        OR EXISTS (SELECT 1 FROM shared_media AS d WHERE d.media_id = m.id AND d.with_details = TRUE)
    ) AS details
FROM media_items AS m
INNER JOIN users AS u ON u.id = :user_id
WHERE m.id = :id AND u.is_active = TRUE
    AND (m.user_id = :user_id OR EXISTS (SELECT 1 FROM shared_media AS s WHERE s.media_id = m.id))
    AND (m.is_nsfw = FALSE OR EXISTS (SELECT 1 FROM nsfw_viewers AS v WHERE v.user_id = :user_id));

-- name: linked_avatar^
-- What a signed link shows of the avatar of a persona that is shared: the persona and both accounts are live, the
-- viewer's NSFW settings in force let both be seen, and no more of the picture than the avatar is asked for.
SELECT m.id, m.mime_type, m.width, m.height, m.file_key
FROM personas AS p
CROSS JOIN media_items AS m
CROSS JOIN users AS u
WHERE p.avatar_media_id = :id AND p.avatar_media_id IS NOT NULL AND COALESCE(p.avatar_crop, '') = :crop
    AND m.id = p.avatar_media_id AND m.user_id = p.user_id AND u.id = :user_id AND u.is_active = TRUE
    AND (
        p.visibility = 'shared'
        AND EXISTS (SELECT 1 FROM sharers AS o WHERE o.user_id = p.user_id)
    )
    AND (
        (p.is_nsfw = FALSE AND m.is_nsfw = FALSE)
        OR EXISTS (SELECT 1 FROM nsfw_viewers AS v WHERE v.user_id = :user_id)
    )
LIMIT 1;

-- name: named^
-- What the file of an item is called by, whose right to it has been checked: a persona only where it may be seen.
SELECT m.created_at, m.metadata, p.name AS persona
FROM media_items AS m
LEFT JOIN personas AS p ON p.id = m.persona_id AND p.user_id = m.user_id
    AND (p.is_nsfw = FALSE OR EXISTS (SELECT 1 FROM nsfw_viewers AS v WHERE v.user_id = m.user_id))
WHERE m.id = :id;

-- name: update!
-- Write what a user may change of a media item.
UPDATE media_items
SET tags = :tags, is_favorite = :is_favorite, is_nsfw = :is_nsfw, visibility = :visibility,
    with_details = :with_details, search_text = :search_text, version = version + 1, updated_at = :now
WHERE id = :id AND user_id = :user_id;

-- name: version$
-- The version of an item whatever the NSFW settings: its owner may always delete it.
SELECT version FROM media_items WHERE id = :id AND user_id = :user_id;

-- name: whole^
-- All of an item, to keep it in the trash.
SELECT
    id, user_id, job_id, position, persona_id, source, file_type, mime_type, width, height, file_size, file_key, color,
    model, metadata, tags, is_favorite, is_nsfw, nsfw_tags, visibility, with_details, version, created_at, updated_at
FROM media_items WHERE id = :id AND user_id = :user_id;

-- name: whole_page
-- Some of a user's media, whole, after a moment and an id, the oldest first, with the uid of their persona: a walk over
-- all of them, or over those of a persona.
-- family: of user: m.user_id = :user_id
-- family: of persona: m.persona_id = :persona_id AND m.user_id = :user_id
SELECT
    m.id, p.uid AS persona_uid, m.source, m.file_type, m.mime_type, m.width, m.height, m.file_size, m.file_key,
    m.color, m.model, m.metadata, m.tags, m.is_favorite, m.is_nsfw, m.nsfw_tags, m.created_at, m.updated_at
FROM media_items AS m
LEFT JOIN personas AS p ON p.id = m.persona_id AND p.user_id = m.user_id
WHERE m.user_id = :user_id
    AND m.created_at >= :since AND (m.created_at > :since OR m.id > :after)
    AND (m.is_nsfw = FALSE OR :nsfw = TRUE)
ORDER BY m.created_at, m.id
LIMIT :limit;

-- name: whole_with_persona^
-- One item likewise.
SELECT
    m.id, p.uid AS persona_uid, m.source, m.file_type, m.mime_type, m.width, m.height, m.file_size, m.file_key,
    m.color, m.model, m.metadata, m.tags, m.is_favorite, m.is_nsfw, m.nsfw_tags, m.created_at, m.updated_at
FROM media_items AS m
LEFT JOIN personas AS p ON p.id = m.persona_id AND p.user_id = m.user_id
WHERE m.id = :id AND m.user_id = :user_id AND (m.is_nsfw = FALSE OR :nsfw = TRUE);

-- name: persona_bytes^
-- How many media a persona has, and their bytes.
SELECT COUNT(*) AS n, COALESCE(SUM(m.file_size), 0) AS bytes
FROM media_items AS m
WHERE m.persona_id = (SELECT p.id FROM personas AS p WHERE p.id = :persona_id AND p.user_id = :user_id)
    AND m.user_id = :user_id AND (m.is_nsfw = FALSE OR :nsfw = TRUE);

-- name: cover^
-- The picture that stands for a persona: its avatar while that is there, or else the newest.
SELECT m.id, m.mime_type, m.file_key, m.file_size
FROM media_items AS m
WHERE m.user_id = :user_id AND m.id = COALESCE(
    (
        SELECT a.id FROM media_items AS a
        WHERE a.id = :avatar_media_id AND a.user_id = :user_id AND (a.is_nsfw = FALSE OR :nsfw = TRUE)
    ),
    (
        SELECT n.id FROM media_items AS n
        WHERE n.persona_id = :persona_id AND n.user_id = :user_id AND (n.is_nsfw = FALSE OR :nsfw = TRUE)
        ORDER BY n.created_at DESC, n.id DESC LIMIT 1
    )
);

-- name: bring_back!
-- Insert an item whole, as it was when it went.
INSERT INTO media_items (
    id, user_id, job_id, position, persona_id, source, file_type, mime_type, width, height, file_size, file_key, color,
    model, metadata, tags, is_favorite, is_nsfw, nsfw_tags, visibility, with_details, search_text, version,
    created_at, updated_at
)
VALUES (
    :id, :user_id, :job_id, :position, :persona_id, :source, :file_type, :mime_type, :width, :height, :file_size,
    :file_key, :color, :model, :metadata, :tags, :is_favorite, :is_nsfw, :nsfw_tags, :visibility, :with_details,
    :search_text, :version, :created_at, :updated_at
);

-- name: loras
-- The LoRAs that an item was made with.
SELECT name FROM media_loras WHERE media_id = :media_id ORDER BY name;

-- name: loras_add*!
-- Remember a LoRA that an item was made with.
INSERT INTO media_loras (user_id, name, media_id) VALUES (:user_id, :name, :media_id);

-- name: delete!
-- Delete a media item; a trigger queues its files, unless the trash has it.
DELETE FROM media_items WHERE id = :id AND user_id = :user_id;

-- name: tags_clear!
-- Forget what an item is filtered by.
DELETE FROM media_tags WHERE media_id = :media_id;

-- name: tags_add*!
-- Remember what an item is filtered by.
INSERT INTO media_tags (user_id, tag_key, media_id) VALUES (:user_id, :tag_key, :media_id);

-- name: tagged
-- All items of a user that have a tag, those too that the NSFW settings hide, with all their tags.
SELECT m.id, m.tags
FROM media_tags AS t
CROSS JOIN media_items AS m
WHERE t.user_id = :user_id AND t.tag_key = :tag_key AND m.id = t.media_id AND m.user_id = :user_id
ORDER BY t.media_id;

-- name: sources
-- What the search texts of some items are made of, after an id.
SELECT id, user_id, metadata, tags, search_text FROM media_items WHERE id > :after ORDER BY id LIMIT :limit;

-- name: update_search_text!
-- Write what an item is found by, which no answer shows.
UPDATE media_items SET search_text = :search_text WHERE id = :id;

-- name: mark_nsfw!
-- Make all media of a user's persona NSFW; what others make with it is theirs.
UPDATE media_items SET is_nsfw = TRUE, version = version + 1, updated_at = :now
WHERE persona_id = :persona_id AND user_id = :user_id AND is_nsfw = FALSE;

-- name: mark_nsfw_of_job!
-- Make all media of a job NSFW.
UPDATE media_items SET is_nsfw = TRUE, version = version + 1, updated_at = :now
WHERE job_id = :job_id AND user_id = :user_id AND is_nsfw = FALSE;

-- name: counts^
-- How many items a user has, how many of them favourites, and their bytes, from the counters.
SELECT
    COALESCE(SUM(n), 0) AS total,
    COALESCE(SUM(n) FILTER (WHERE is_favorite = TRUE), 0) AS favorites,
    COALESCE(SUM(n) FILTER (WHERE is_nsfw = TRUE), 0) AS nsfw,
    COALESCE(SUM(n) FILTER (WHERE file_type = 'image'), 0) AS images,
    COALESCE(SUM(n) FILTER (WHERE file_type = 'video'), 0) AS videos,
    COALESCE(SUM(bytes), 0) AS bytes
FROM media_counts
WHERE user_id = :user_id AND (is_nsfw = FALSE OR :nsfw = TRUE);

-- name: by_persona
-- How many items a user has of each persona that is still there and may be shown: of the hundred with the most.
SELECT
    p.name,
    (
        SELECT COUNT(*) FROM media_items AS m
        WHERE m.persona_id = p.id AND m.user_id = :user_id AND (m.is_nsfw = FALSE OR :nsfw = TRUE)
    ) AS n
FROM personas AS p
WHERE p.user_id = :user_id AND (p.is_nsfw = FALSE OR :nsfw = TRUE)
ORDER BY n DESC, p.id
LIMIT 100;

-- name: by_date
-- How many items a user has of each day from one on.
SELECT SUBSTR(m.created_at, 1, 10) AS day, COUNT(*) AS n
FROM media_items AS m
WHERE m.user_id = :user_id AND m.created_at >= :since AND (m.is_nsfw = FALSE OR :nsfw = TRUE)
GROUP BY SUBSTR(m.created_at, 1, 10)
ORDER BY SUBSTR(m.created_at, 1, 10);

-- name: page
-- A page of a user's media.
-- family: which safe: AND is_nsfw = FALSE
-- family: which all:
-- family: which favorites: AND is_favorite = TRUE AND (is_nsfw = FALSE OR :nsfw = TRUE)
-- family: which model: AND model = :model AND (is_nsfw = FALSE OR :nsfw = TRUE)
-- family: order -created_at: created_at DESC, id DESC
-- family: order created_at: created_at ASC, id ASC
SELECT
    m.id, j.found_job_id AS job_id, p.found_persona_id AS persona_id, m.source, m.file_type, m.mime_type, m.width,
    m.height, m.file_size, m.color,
    m.metadata, m.tags, m.is_favorite, m.is_nsfw, m.nsfw_tags, m.visibility, m.with_details, m.version,
    m.created_at, m.updated_at
FROM (
    SELECT id AS page_id FROM media_items
    WHERE user_id = :user_id AND is_nsfw = FALSE
    ORDER BY created_at DESC, id DESC
    LIMIT :limit OFFSET :offset
) AS page
INNER JOIN media_items AS m ON m.id = page.page_id
LEFT JOIN (SELECT id AS found_job_id FROM generation_jobs) AS j ON j.found_job_id = m.job_id
LEFT JOIN (
    SELECT p.id AS found_persona_id FROM personas AS p
    WHERE (
        p.user_id = :user_id
        OR (
            p.visibility = 'shared'
            AND EXISTS (SELECT 1 FROM sharers AS o WHERE o.user_id = p.user_id)
        )
    )
) AS p ON p.found_persona_id = m.persona_id
ORDER BY created_at DESC, id DESC;

-- name: matching
-- The ids of all items of a time that contain a word (the empty one is in all) and that each filter lets through which is
-- not NULL, newest first; with their texts where these are asked for. What is looked up first is the choice of the
-- caller. What lies in the trash, or is gone, filters nothing.
-- family: by time: m.user_id = :user_id
-- family: by persona: m.persona_id = :persona_id AND m.user_id = :user_id
-- family: by model: m.user_id = :user_id AND m.model = :model
-- family: by job: m.job_id = (SELECT q.id FROM generation_jobs AS q WHERE q.id = :job_id AND q.user_id = :user_id)
-- family: by collection: m.user_id + 0 = :user_id AND m.id IN (SELECT x.media_id FROM collections AS c CROSS JOIN collection_media AS x WHERE c.id = :collection AND c.user_id = :user_id AND x.collection_id = c.id)
-- family: by lora: m.id IN (SELECT media_id FROM media_loras WHERE user_id = :user_id AND name = :lora)
-- family: by tag: m.id IN (SELECT media_id FROM media_tags WHERE user_id = :user_id AND tag_key IN (:tag_1, :tag_2, :tag_3, :tag_4, :tag_5, :tag_6, :tag_7, :tag_8))
SELECT m.id, CASE WHEN :texts = TRUE THEN m.search_text END AS search_text, m.created_at
FROM media_items AS m
WHERE m.user_id = :user_id
    AND m.created_at >= :date_from AND m.created_at <= :date_to
    AND m.search_text LIKE :pattern ESCAPE '\'
    AND (m.is_nsfw = FALSE OR :nsfw = TRUE)
    AND (:favorites_only = FALSE OR m.is_favorite = TRUE)
    AND (
        CAST(:persona_id AS BIGINT) IS NULL
        OR m.persona_id = (
            SELECT p.id FROM personas AS p
            WHERE p.id = :persona_id AND (
                p.user_id = :user_id
                OR (
                    p.visibility = 'shared'
                    AND EXISTS (SELECT 1 FROM sharers AS o WHERE o.user_id = p.user_id)
                )
            )
        )
    )
    AND (
        CAST(:job_id AS TEXT) IS NULL
        OR m.job_id = (SELECT j.id FROM generation_jobs AS j WHERE j.id = :job_id AND j.user_id = :user_id)
    )
    AND (
        CAST(:collection AS TEXT) IS NULL
        OR EXISTS (
            SELECT 1 FROM collections AS c CROSS JOIN collection_media AS x
            WHERE c.id = :collection AND c.user_id = :user_id AND x.collection_id = c.id AND x.media_id = m.id
        )
    )
    AND (CAST(:model AS TEXT) IS NULL OR m.model = :model)
    AND (
        CAST(:lora AS TEXT) IS NULL
        OR EXISTS (SELECT 1 FROM media_loras AS l WHERE l.user_id = :user_id AND l.name = :lora AND l.media_id = m.id)
    )
    AND (
        CAST(:tag_1 AS TEXT) IS NULL
        OR EXISTS (
            SELECT 1 FROM media_tags AS t
            WHERE t.user_id = :user_id
                AND t.tag_key IN (:tag_1, :tag_2, :tag_3, :tag_4, :tag_5, :tag_6, :tag_7, :tag_8)
                AND t.media_id = m.id
        )
    )
ORDER BY m.created_at DESC, m.id DESC;

-- name: newest_before$
-- When the newest item before a moment was made.
-- family: which safe: AND is_nsfw = FALSE
-- family: which all:
-- family: which favorites: AND is_favorite = TRUE AND (is_nsfw = FALSE OR :nsfw = TRUE)
-- family: which model: AND model = :model AND (is_nsfw = FALSE OR :nsfw = TRUE)
SELECT created_at FROM media_items
WHERE user_id = :user_id AND created_at < :before AND is_nsfw = FALSE
ORDER BY created_at DESC, id DESC
LIMIT 1;

-- name: count_between$
-- How many items were made from one moment on and before another.
-- family: which safe: AND is_nsfw = FALSE
-- family: which all:
-- family: which favorites: AND is_favorite = TRUE AND (is_nsfw = FALSE OR :nsfw = TRUE)
-- family: which model: AND model = :model AND (is_nsfw = FALSE OR :nsfw = TRUE)
SELECT COUNT(*) FROM media_items
WHERE user_id = :user_id AND created_at >= :since AND created_at < :before AND is_nsfw = FALSE;

-- name: facets
-- How many of a user's items are alike in their tags, as favourites and in being NSFW.
SELECT tags, is_favorite, is_nsfw, COUNT(*) AS n
FROM media_items
WHERE user_id = :user_id
    AND (is_nsfw = FALSE OR :nsfw = TRUE)
    AND (:favorites_only = FALSE OR is_favorite = TRUE)
GROUP BY tags, is_favorite, is_nsfw;

-- name: exists$
-- Whether an item is there or in the trash, whoever owns it.
SELECT 1 FROM media_items WHERE id = :id
UNION ALL
SELECT 1 FROM trash WHERE kind = 'media' AND item_id = :id;

-- name: key_named$
-- Whether a row names the file of a key, which holds the id of the only row that may; every sweep asks this.
SELECT 1
FROM media_items AS m
WHERE m.id = SUBSTR(CAST(:key AS TEXT), 4, 36)
    AND COALESCE(m.file_key, SUBSTR(m.id, 1, 2) || '/' || m.id || CASE m.mime_type
        WHEN 'image/png' THEN '.png' WHEN 'image/jpeg' THEN '.jpg' WHEN 'image/webp' THEN '.webp' ELSE '.mp4'
    END) = :key
UNION ALL
SELECT 1 FROM trash WHERE file_key = :key
UNION ALL
SELECT 1 FROM import_entries WHERE file_key = :key
UNION ALL
SELECT 1 FROM import_pictures WHERE file_key = :key
UNION ALL
SELECT 1 FROM exports WHERE file_key = :key;

-- name: announce*!
-- Say that a file is about to be put: if no row names its key by then, it is to go.
INSERT INTO file_deletions (key, due_at) VALUES (:key, :due_at);

-- name: announcement_take!
-- Take an announcement away in the transaction that names its key; none is left where it has run out.
DELETE FROM file_deletions WHERE key = :key AND due_at IS NOT NULL;

-- name: condemn*!
-- Let a file go at once, announced or not.
INSERT INTO file_deletions (key, due_at) VALUES (:key, NULL)
ON CONFLICT (key) DO UPDATE SET due_at = NULL;

-- name: announcements_overdue$
-- Whether an announcement has run out, or was made by a clock that was ahead; asked without the write lock.
SELECT 1 FROM file_deletions WHERE due_at <= :now OR due_at > :horizon LIMIT 1;

-- name: announcements_condemn!
-- Condemn the files of such announcements: from here on no row can come to name their keys.
UPDATE file_deletions SET due_at = NULL WHERE due_at <= :now OR due_at > :horizon;

-- name: deletions
-- Some of the files that are to go.
SELECT key FROM file_deletions WHERE due_at IS NULL LIMIT :limit;

-- name: deletions_done*!
-- A file is gone.
DELETE FROM file_deletions WHERE key = :key AND due_at IS NULL;

-- name: purge_batch!
-- Delete some media of a deleted account.
DELETE FROM media_items WHERE id IN (SELECT id FROM media_items WHERE user_id = :user_id LIMIT :limit);
