-- name: job_page
-- Jobs that were found, by ids in a JSON array and in its order: a row for each picture that may be shown, or one
-- without.
SELECT
    j.id, j.status, j.progress, j.job_type, j.persona_id, j.prompt, j.negative_prompt, j.model_name, j.lora_models,
    j.parameters, j.metadata, j.is_nsfw, j.error_message, j.attempts, j.version,
    j.created_at, j.updated_at, j.started_at, j.completed_at, m.id AS media_id
FROM JSON_EACH(:ids) AS found
CROSS JOIN generation_jobs AS j
LEFT JOIN media_items AS m ON m.job_id = j.id AND (m.is_nsfw = FALSE OR :nsfw = TRUE)
WHERE j.id = found.value AND j.user_id = :user_id AND (j.is_nsfw = FALSE OR :nsfw = TRUE)
ORDER BY found.key, m.position;
