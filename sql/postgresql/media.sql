-- name: matching
-- The ids of all items of a time that contain a word (the empty one is in all) and that each filter lets through which is
-- not NULL, newest first; with their texts where these are asked for. What is looked up first is the choice of the
-- caller; what is looked up by ids is an array here, which is had first and read along the key: of a subquery a generic
-- plan knows nothing, and where few accounts are it reads the media of all. What lies in the trash, or is gone, filters
-- nothing.
-- family: by time: m.user_id = :user_id
-- family: by persona: m.persona_id = :persona_id AND m.user_id = :user_id
-- family: by model: m.user_id = :user_id AND m.model = :model
-- family: by job: m.job_id = (SELECT q.id FROM generation_jobs AS q WHERE q.id = :job_id AND q.user_id = :user_id)
-- family: by collection: m.user_id = :user_id AND m.id = ANY(ARRAY(SELECT x.media_id FROM collections AS c CROSS JOIN collection_media AS x WHERE c.id = :collection AND c.user_id = :user_id AND x.collection_id = c.id))
-- family: by lora: m.user_id = :user_id AND m.id = ANY(ARRAY(SELECT media_id FROM media_loras WHERE user_id = :user_id AND name = :lora))
-- family: by tag: m.user_id = :user_id AND m.id = ANY(ARRAY(SELECT media_id FROM media_tags WHERE user_id = :user_id AND tag_key IN (:tag_1, :tag_2, :tag_3, :tag_4, :tag_5, :tag_6, :tag_7, :tag_8)))
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
