-- name: media_page
-- The media items that a search has found, whose ids are a JSON list: one page, in the order of the list.
SELECT
    m.id, m.job_id, m.persona_id, m.file_type, m.mime_type, m.width, m.height, m.file_size, m.metadata, m.tags,
    m.is_favorite, m.is_nsfw, m.nsfw_tags, m.version, m.created_at, m.updated_at
FROM JSON_EACH(:ids) AS page
INNER JOIN media_items AS m ON m.id = page.value
ORDER BY page.key;
