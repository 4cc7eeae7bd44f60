-- name: create!
-- Queue a job.
INSERT INTO generation_jobs (
    id, user_id, persona_id, persona_revision, job_type, prompt, negative_prompt, model_name, loras, parameters, count,
    images, warnings, metadata, is_nsfw, search_text, engine, run_after, created_at, updated_at
)
VALUES (
    :id, :user_id, :persona_id, :persona_revision, :job_type, :prompt, :negative_prompt, :model_name, :loras,
    :parameters, :count, :images, :warnings, :metadata, :is_nsfw, :search_text, :engine, :now, :now, :now
);

-- name: get_for_update^
-- One job as it is stored, read inside the transaction that changes it.
SELECT j.id, j.status, j.persona_id, j.persona_revision, j.job_type, j.prompt, j.negative_prompt, j.model_name,
    j.loras, j.parameters, j.count, j.images, j.warnings, j.metadata, j.is_nsfw, j.search_text, j.engine, j.version
FROM generation_jobs AS j
WHERE j.id = :id AND j.user_id = :user_id
    AND (j.is_nsfw = FALSE OR EXISTS (SELECT 1 FROM nsfw_viewers AS v WHERE v.user_id = j.user_id));

-- name: state^
-- Status and version of a job whatever the NSFW settings: its owner may always delete it.
SELECT status, version FROM generation_jobs WHERE id = :id AND user_id = :user_id;

-- name: cancel!
-- Cancel a job that is not final; its worker learns of it at the next heartbeat.
UPDATE generation_jobs
SET status = 'cancelled', claim = NULL, completed_at = :now, updated_at = :now, version = version + 1
WHERE id = :id AND user_id = :user_id AND status IN ('queued', 'processing');

-- name: cancel_waiting!
-- Cancel some of the jobs of a user that wait, whatever the NSFW settings, the latest first.
UPDATE generation_jobs
SET status = 'cancelled', claim = NULL, completed_at = :now, updated_at = :now, version = version + 1
WHERE id IN (
    SELECT j.id FROM generation_jobs AS j
    WHERE j.user_id = :user_id AND j.status = CAST('queued' AS TEXT)
    ORDER BY j.created_at DESC, j.id DESC
    LIMIT :limit
) AND status = 'queued';

-- name: update_nsfw!
-- Say of a job whether it is NSFW.
UPDATE generation_jobs SET is_nsfw = :is_nsfw, version = version + 1, updated_at = :now
WHERE id = :id AND user_id = :user_id;

-- name: delete!
-- Delete a final job; its media stay.
DELETE FROM generation_jobs
WHERE id = :id AND user_id = :user_id AND status IN ('completed', 'failed', 'cancelled');

-- name: queued$
-- How many jobs of a user wait, from the counters.
SELECT COALESCE(SUM(n), 0) FROM job_counts WHERE user_id = :user_id AND status = 'queued';

-- name: places
-- Which place on its engine each of an account's queued jobs has, 1 for the next; how many pictures are made before its
-- own, and the seconds that one took there lately. Counted as the claim will take them, with everybody's jobs: always
-- one of the account that had the least of the engine, and what is taken counts from then on.
WITH asked (engine) AS (
    SELECT DISTINCT j.engine FROM generation_jobs AS j WHERE j.user_id = :user_id AND j.status = CAST('queued' AS TEXT)
),

latest (engine, seconds, n) AS (
    SELECT j.engine, j.seconds, j.count AS n FROM generation_jobs AS j
    WHERE j.completed_at IS NOT NULL
    ORDER BY j.completed_at DESC
    LIMIT 100
),

paces (engine, pace) AS (
    SELECT d.engine, SUM(d.seconds) / SUM(d.n) AS pace FROM latest AS d
    WHERE d.seconds IS NOT NULL
    GROUP BY d.engine
),

held (engine, jobs, pictures) AS (
    SELECT q.engine, COUNT(*) AS jobs, SUM(j.count * (1 - j.progress)) AS pictures
    FROM asked AS q
    CROSS JOIN generation_jobs AS j
    WHERE j.engine = q.engine AND j.status = 'processing'
    GROUP BY q.engine
),

had (engine, user_id, seconds, last_at) AS (
    SELECT q.engine, t.user_id, SUM(t.seconds) AS seconds, MAX(t.last_at) AS last_at
    FROM asked AS q
    CROSS JOIN engine_turns AS t
    WHERE t.engine = q.engine AND t.minute >= :recent
    GROUP BY q.engine, t.user_id
),

lined (id, engine, user_id, pictures, pace, run_after, last_at, had_then) AS (
    SELECT
        j.id, j.engine, j.user_id, j.count AS pictures, COALESCE(p.pace, CAST(:first AS DOUBLE PRECISION)) AS pace,
        j.run_after,
        COALESCE(h.last_at, '') AS last_at,
        COALESCE(h.seconds, 0) + COALESCE(p.pace, CAST(:first AS DOUBLE PRECISION)) * (
            SUM(j.count) OVER (PARTITION BY j.engine, j.user_id ORDER BY j.job_type DESC, j.run_after, j.id) - j.count
        ) AS had_then
    FROM asked AS q
    CROSS JOIN generation_jobs AS j
    LEFT JOIN paces AS p ON p.engine = j.engine
    LEFT JOIN had AS h ON h.engine = j.engine AND h.user_id = j.user_id
    WHERE j.engine = q.engine AND j.status = 'queued'
),

placed (id, engine, user_id, pictures, pace, place, done_by) AS (
    SELECT
        o.id, o.engine, o.user_id, o.pictures, o.pace,
        ROW_NUMBER() OVER (PARTITION BY o.engine ORDER BY o.had_then, o.last_at, o.run_after, o.id) AS place,
        SUM(o.pictures) OVER (PARTITION BY o.engine ORDER BY o.had_then, o.last_at, o.run_after, o.id) AS done_by
    FROM lined AS o
)

SELECT
    own.id, own.engine, own.pictures, own.pace, own.place + COALESCE(h.jobs, 0) AS place,
    own.done_by - own.pictures + COALESCE(h.pictures, 0) AS pictures_before
FROM placed AS own
LEFT JOIN held AS h ON h.engine = own.engine
WHERE own.user_id = :user_id;

-- name: mark_nsfw!
-- Make all jobs of a user's persona NSFW; what others make with it is theirs.
UPDATE generation_jobs SET is_nsfw = TRUE, version = version + 1, updated_at = :now
WHERE persona_id = :persona_id AND user_id = :user_id AND is_nsfw = FALSE;

-- name: results_changed!
-- A picture of a job goes or comes back: what the job shows changes.
UPDATE generation_jobs SET version = version + 1, updated_at = :now
WHERE id = (SELECT m.job_id FROM media_items AS m WHERE m.id = :media_id);

-- name: counts
-- A user's jobs by status, with the seconds that they took, from the counters.
SELECT status, SUM(n) AS n, SUM(seconds) AS seconds
FROM job_counts
WHERE user_id = :user_id
    AND (is_nsfw = FALSE OR :nsfw = TRUE)
    AND (CAST(:status AS TEXT) IS NULL OR status = :status)
    AND (CAST(:job_type AS TEXT) IS NULL OR job_type = :job_type)
GROUP BY status;

-- name: last_completed$
-- When a user's last completed job ended.
SELECT completed_at FROM generation_jobs
WHERE user_id = :user_id AND status = 'completed' AND (is_nsfw = FALSE OR :nsfw = TRUE)
ORDER BY completed_at DESC LIMIT 1;

-- name: ended
-- What to tell of the jobs of a user that ended, newest first.
SELECT
    j.id, j.status, j.job_type, j.prompt, j.error_message, j.error_code, j.warnings, j.metadata, j.persona_id,
    j.engine, j.completed_at
FROM generation_jobs AS j
WHERE j.user_id = :user_id AND j.completed_at IS NOT NULL AND (j.is_nsfw = FALSE OR :nsfw = TRUE)
ORDER BY j.created_at DESC, j.id DESC
LIMIT :limit OFFSET :offset;

-- name: page
-- A page of a user's jobs, newest first, or one of them: a row for each picture of a job that the NSFW settings in
-- force let be seen, or one without.
-- family: which safe: AND is_nsfw = FALSE
-- family: which all:
-- family: which status: AND status = :status AND (is_nsfw = FALSE OR :nsfw = TRUE)
-- family: which one: AND id = :id AND (is_nsfw = FALSE OR EXISTS (SELECT 1 FROM nsfw_viewers AS v WHERE v.user_id = :user_id))
-- family: type one: AND job_type = :job_type
-- family: type any:
SELECT
    j.id, j.status, j.progress, j.job_type, p.id AS persona_id, j.persona_revision, j.engine, j.prompt,
    j.negative_prompt, j.model_name, j.loras, j.parameters, j.count, j.metadata, j.is_nsfw, j.error_message,
    j.error_code, j.warnings, j.attempts, j.version, j.created_at, j.updated_at, j.started_at, j.completed_at,
    j.waiting_since, j.images, f.n AS frame, m.id AS media_id, m.width, m.height
FROM (
    SELECT id FROM generation_jobs
    WHERE user_id = :user_id AND is_nsfw = FALSE
        AND job_type = :job_type
    ORDER BY created_at DESC, id DESC
    LIMIT :limit OFFSET :offset
) AS page
INNER JOIN generation_jobs AS j ON j.id = page.id
LEFT JOIN personas AS p ON p.id = j.persona_id
    AND (
        p.user_id = :user_id
        OR (
            p.visibility = 'shared'
            AND EXISTS (SELECT 1 FROM sharers AS o WHERE o.user_id = p.user_id)
        )
    )
LEFT JOIN job_frames AS f ON f.job_id = j.id
LEFT JOIN media_items AS m ON m.job_id = j.id AND (
    m.is_nsfw = FALSE
    OR (:nsfw = TRUE AND EXISTS (SELECT 1 FROM nsfw_viewers AS v WHERE v.user_id = m.user_id))
)
ORDER BY j.created_at DESC, j.id DESC, m.position;

-- name: matching
-- The ids of all jobs of a user, or of a persona that they see, that contain a word, newest first; the empty word is in all. With
-- their texts where these are asked for.
-- family: of user: j.user_id = :user_id
-- family: of active: j.id IN (SELECT a.id FROM generation_jobs AS a WHERE a.user_id = :user_id AND a.status IN ('queued', 'processing'))
-- family: of persona: j.persona_id = (SELECT p.id FROM personas AS p WHERE p.id = :persona_id AND (p.user_id = :user_id OR (p.visibility = 'shared' AND EXISTS (SELECT 1 FROM sharers AS o WHERE o.user_id = p.user_id)))) AND j.user_id = :user_id
SELECT j.id, CASE WHEN :texts = TRUE THEN j.search_text END AS search_text
FROM generation_jobs AS j
WHERE j.user_id = :user_id
    AND j.search_text LIKE :pattern ESCAPE '\'
    AND (j.is_nsfw = FALSE OR :nsfw = TRUE)
    AND (CAST(:statuses AS TEXT) IS NULL OR :statuses LIKE '%' || j.status || '%')
    AND (CAST(:job_type AS TEXT) IS NULL OR j.job_type = :job_type)
    AND (CAST(:engine AS TEXT) IS NULL OR j.engine = :engine)
ORDER BY j.created_at DESC, j.id DESC;

-- name: sources
-- What the search texts of some jobs are made of, after an id.
SELECT id, prompt, metadata, search_text FROM generation_jobs WHERE id > :after ORDER BY id LIMIT :limit;

-- name: update_search_text!
-- Write what a job is found by, which no answer shows; what it is made of never changes.
UPDATE generation_jobs SET search_text = :search_text WHERE id = :id;

-- name: cancel_all
-- Cancel what a deleted account still has running.
UPDATE generation_jobs
SET status = 'cancelled', claim = NULL, completed_at = :now, updated_at = :now, version = version + 1
WHERE user_id = :user_id AND status IN ('queued', 'processing')
RETURNING id;

-- name: due$
-- Whether there is a job for an engine to claim, and a place for it, asked without the write lock and the engine's turn:
-- while at_once are held, the slots of all other workers need not wait for each other to find just that.
SELECT 1 FROM generation_jobs AS q
WHERE q.engine = :engine AND q.status IN ('queued', 'processing') AND q.run_after <= :now
    AND (
        SELECT COUNT(*) FROM generation_jobs AS j
        WHERE j.engine = :engine AND j.status = 'processing' AND j.run_after > :now AND j.claim IS NOT NULL
    ) < :at_once
LIMIT 1;

-- name: claim^
-- Take a job of an engine under a lease, where workers hold fewer than at_once: before all others one whose worker is
-- gone, for the engine may be at it; then, while the turn of the loaded model runs, one of that model; then any: of the
-- account that had the least of the engine's seconds lately, an account's own in order, previews first.
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
    ),
    (
        SELECT j.id FROM model_heads AS h
        INNER JOIN generation_jobs AS j ON j.id = h.id
        LEFT JOIN (
            SELECT t.user_id, SUM(t.seconds) AS seconds, MAX(t.last_at) AS last_at FROM engine_turns AS t
            WHERE t.engine = :engine AND t.minute >= :recent
            GROUP BY t.user_id
        ) AS had ON had.user_id = h.user_id
        ORDER BY COALESCE(had.seconds, 0), COALESCE(had.last_at, ''), j.run_after, j.id
        LIMIT 1
    ),
    (
        SELECT j.id FROM heads AS h
        INNER JOIN generation_jobs AS j ON j.id = h.id
        LEFT JOIN (
            SELECT t.user_id, SUM(t.seconds) AS seconds, MAX(t.last_at) AS last_at FROM engine_turns AS t
            WHERE t.engine = :engine AND t.minute >= :recent
            GROUP BY t.user_id
        ) AS had ON had.user_id = h.user_id
        ORDER BY COALESCE(had.seconds, 0), COALESCE(had.last_at, ''), j.run_after, j.id
        LIMIT 1
    )
)
AND (
    SELECT COUNT(*) FROM generation_jobs AS j
    WHERE j.engine = :engine AND j.status = 'processing' AND j.run_after > :now AND j.claim IS NOT NULL
) < :at_once
RETURNING id, user_id, persona_id, persona_revision, job_type, prompt, negative_prompt, model_name, loras, parameters,
    count, images, metadata, warnings, is_nsfw, engine, attempts, engine_state, waiting_since, started_at;

-- name: submit$
-- Count that a job is about to be sent to its engine, unless that was done often enough.
UPDATE generation_jobs
SET attempts = attempts + 1, submissions = submissions + 1, waiting_since = NULL, updated_at = :now,
    version = version + 1
WHERE id = :id AND claim = :claim AND status = 'processing' AND attempts < :max_attempts
RETURNING attempts;

-- name: heartbeat!
-- Renew the lease of a job that is still this claim.
UPDATE generation_jobs SET run_after = :leased_until
WHERE id = :id AND claim = :claim AND status = 'processing';

-- name: progress!
-- Write how far a job is, and renew its lease.
UPDATE generation_jobs
SET progress = :progress, run_after = :leased_until, waiting_since = NULL, updated_at = :now, version = version + 1
WHERE id = :id AND claim = :claim AND status = 'processing';

-- name: remember!
-- Keep what the engine needs to go on with a job after a crash.
UPDATE generation_jobs SET engine_state = :engine_state
WHERE id = :id AND claim = :claim AND status = 'processing';

-- name: put_frame!
-- Show an unfinished picture of a job that is still this claim, in the place of the one before.
INSERT INTO job_frames (job_id, n, webp)
SELECT j.id, 1 AS n, :webp AS webp FROM generation_jobs AS j
WHERE j.id = :id AND j.claim = :claim AND j.status = 'processing'
ON CONFLICT (job_id) DO UPDATE SET n = job_frames.n + 1, webp = excluded.webp;

-- name: frame^
-- The unfinished picture that a signed link shows: the owner is live and the NSFW settings in force let it be seen.
SELECT f.n, f.webp
FROM job_frames AS f
INNER JOIN generation_jobs AS j ON j.id = f.job_id
INNER JOIN users AS u ON u.id = j.user_id
WHERE f.job_id = :id AND j.user_id = :user_id AND u.is_active = TRUE
    AND (j.is_nsfw = FALSE OR EXISTS (SELECT 1 FROM nsfw_viewers AS v WHERE v.user_id = j.user_id));

-- name: wanted$
-- Whether a job that was claimed is still being made, or is made, whoever does it.
SELECT 1 FROM generation_jobs WHERE id = :id AND status IN ('processing', 'completed');

-- name: keep_picture^
-- One of the pictures of a job that is still this claim is made, and not the last; answers the flags that it takes.
UPDATE generation_jobs
SET metadata = :metadata, warnings = :warnings, waiting_since = NULL, updated_at = :now, version = version + 1
WHERE id = :id AND claim = :claim AND status = 'processing'
RETURNING user_id, persona_id, is_nsfw;

-- name: finish^
-- Complete a job that is still this claim with its last picture; answers the flags that it takes.
UPDATE generation_jobs
SET status = 'completed', progress = 1, claim = NULL, error_message = NULL, error_code = NULL, waiting_since = NULL,
    seconds = :seconds, metadata = :metadata, warnings = :warnings, completed_at = :now, updated_at = :now,
    version = version + 1
WHERE id = :id AND claim = :claim AND status = 'processing'
RETURNING user_id, persona_id, is_nsfw;

-- name: fail!
-- End a job that is still this claim as failed; what failed before anything was sent counts as an attempt too.
UPDATE generation_jobs
SET status = 'failed', claim = NULL, attempts = attempts + :counted, error_message = :error_message,
    error_code = :error_code, waiting_since = NULL, completed_at = :now, updated_at = :now, version = version + 1
WHERE id = :id AND claim = :claim AND status = 'processing';

-- name: fail_gone!
-- Fail some of the jobs that wait for an engine that is no more.
UPDATE generation_jobs
SET status = 'failed', error_message = :error_message, error_code = 'engine_gone', waiting_since = NULL,
    completed_at = :now, updated_at = :now, version = version + 1
WHERE id IN (SELECT j.id FROM generation_jobs AS j WHERE j.engine = :engine AND j.status = 'queued' LIMIT :limit)
    AND status = 'queued';

-- name: give_back!
-- Let another attempt take a job from run_after on; this one counts more, less or not at all, and the job says since
-- when it waits for its engine, where it does.
UPDATE generation_jobs
SET claim = NULL, run_after = :run_after, attempts = attempts + :counted, error_message = :error_message,
    error_code = :error_code, waiting_since = :waiting_since, updated_at = :now, version = version + 1
WHERE id = :id AND claim = :claim AND status = 'processing';

-- name: misdated$
-- Whether a job waits for a moment that no lease and no pause reaches: the clock was ahead when it was written.
SELECT 1 FROM generation_jobs
WHERE status IN ('queued', 'processing') AND run_after > :horizon
LIMIT 1;

-- name: redate!
-- Let such jobs be taken: at once, or after a lease where a worker may hold them.
UPDATE generation_jobs SET run_after = CASE WHEN claim IS NULL THEN :now ELSE :leased_until END
WHERE status IN ('queued', 'processing') AND run_after > :horizon;

-- name: purge_batch!
-- Delete some jobs of a deleted account.
DELETE FROM generation_jobs WHERE id IN (SELECT id FROM generation_jobs WHERE user_id = :user_id LIMIT :limit);

-- name: prunable$
-- Whether a job ended before a moment, asked without the write lock.
SELECT 1 FROM generation_jobs WHERE completed_at < :before LIMIT 1;

-- name: prune!
-- Delete some of the jobs that ended before a moment; their media stay.
DELETE FROM generation_jobs WHERE id IN (
    SELECT id FROM generation_jobs WHERE completed_at < :before ORDER BY completed_at LIMIT :limit
);
