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
