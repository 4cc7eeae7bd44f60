-- name: claim^
-- Take a job of an engine under a lease, where workers hold fewer than at_once: before all others one whose worker is
-- gone, for the engine may be at it; then, while the turn of the loaded model runs, one of that model; then any: of the
-- account that had the least of the engine's seconds lately, an account's own in order, previews first. Who claims has
-- the engine's turn, so that at_once holds; what another one is just changing, such as cancelling it, is passed over.
WITH RECURSIVE owners (user_id) AS (
    SELECT MIN(j.user_id) AS user_id FROM generation_jobs AS j WHERE j.engine = :engine AND j.status = 'queued'
    UNION ALL
    SELECT (
        SELECT MIN(j.user_id) FROM generation_jobs AS j
        WHERE j.engine = :engine AND j.status = 'queued' AND j.user_id > o.user_id
    ) AS user_id
    FROM owners AS o
    WHERE o.user_id IS NOT NULL
),

heads (id, user_id) AS (
    SELECT
        (
            SELECT j.id FROM generation_jobs AS j
            WHERE j.engine = :engine AND j.status = 'queued' AND j.user_id = o.user_id AND j.run_after <= :now
            ORDER BY j.job_type DESC, j.run_after, j.id
            LIMIT 1
        ) AS id,
        o.user_id
    FROM owners AS o
    WHERE o.user_id IS NOT NULL
),

turn (model_name) AS (
    SELECT e.loaded_model FROM engines AS e
    WHERE e.name = :engine AND e.loaded_model IS NOT NULL AND e.turn_from > :turns_since AND e.turn_from <= :now
),

model_owners (model_name, user_id) AS (
    SELECT t.model_name, (
        SELECT MIN(j.user_id) FROM generation_jobs AS j
        WHERE j.engine = :engine AND j.status = 'queued' AND j.model_name = t.model_name
    ) AS user_id
    FROM turn AS t
    UNION ALL
    SELECT o.model_name, (
        SELECT MIN(j.user_id) FROM generation_jobs AS j
        WHERE j.engine = :engine AND j.status = 'queued' AND j.model_name = o.model_name AND j.user_id > o.user_id
    ) AS user_id
    FROM model_owners AS o
    WHERE o.user_id IS NOT NULL
),

model_heads (id, user_id) AS (
    SELECT
        (
            SELECT j.id FROM generation_jobs AS j
            WHERE
                j.engine = :engine AND j.status = 'queued' AND j.model_name = o.model_name AND j.user_id = o.user_id
                AND j.run_after <= :now
            ORDER BY j.job_type DESC, j.run_after, j.id
            LIMIT 1
        ) AS id,
        o.user_id
    FROM model_owners AS o
    WHERE o.user_id IS NOT NULL
)

UPDATE generation_jobs
SET status = 'processing', claim = :claim, run_after = :leased_until,
    started_at = COALESCE(started_at, :now), updated_at = :now, version = version + 1
WHERE id = COALESCE(
    (
        SELECT j.id FROM generation_jobs AS j
        WHERE j.engine = :engine AND j.status = 'processing' AND j.run_after <= :now
        ORDER BY j.run_after, j.id
        LIMIT 1
        FOR UPDATE SKIP LOCKED
    ),
    (
        SELECT j.id FROM model_heads AS h
        INNER JOIN generation_jobs AS j ON j.id = h.id
        LEFT JOIN (
            SELECT t.user_id, SUM(t.seconds) AS seconds, MAX(t.last_at) AS last_at FROM engine_turns AS t
            WHERE t.engine = :engine AND t.minute >= :recent
            GROUP BY t.user_id
        ) AS had ON had.user_id = h.user_id
        WHERE j.status = 'queued' AND j.run_after <= :now
        ORDER BY COALESCE(had.seconds, 0), COALESCE(had.last_at, ''), j.run_after, j.id
        LIMIT 1
        FOR UPDATE OF j SKIP LOCKED
    ),
    (
        SELECT j.id FROM heads AS h
        INNER JOIN generation_jobs AS j ON j.id = h.id
        LEFT JOIN (
            SELECT t.user_id, SUM(t.seconds) AS seconds, MAX(t.last_at) AS last_at FROM engine_turns AS t
            WHERE t.engine = :engine AND t.minute >= :recent
            GROUP BY t.user_id
        ) AS had ON had.user_id = h.user_id
        WHERE j.status = 'queued' AND j.run_after <= :now
        ORDER BY COALESCE(had.seconds, 0), COALESCE(had.last_at, ''), j.run_after, j.id
        LIMIT 1
        FOR UPDATE OF j SKIP LOCKED
    )
)
AND (
    SELECT COUNT(*) FROM generation_jobs AS j
    WHERE j.engine = :engine AND j.status = 'processing' AND j.run_after > :now AND j.claim IS NOT NULL
) < :at_once
RETURNING id, user_id, persona_id, persona_revision, job_type, prompt, negative_prompt, model_name, loras, parameters,
    count, images, metadata, warnings, is_nsfw, engine, attempts, engine_state, waiting_since, started_at;
