-- name: register!
-- A worker begins to serve an engine: look at it soon.
INSERT INTO engines (name, kind, probe_due_at) VALUES (:name, :kind, :now)
ON CONFLICT (name) DO UPDATE SET kind = excluded.kind, probe_due_at = excluded.probe_due_at;

-- name: probe_due
-- The engines that are to be looked at, or were to be by a clock that was ahead; asked without the write lock.
SELECT name FROM engines WHERE probe_due_at <= :now OR probe_due_at > :horizon;

-- name: take_probe!
-- Take it upon oneself to look at an engine: nobody else does so until the next time.
UPDATE engines SET probe_due_at = :next
WHERE name = :name AND (probe_due_at <= :now OR probe_due_at > :horizon);

-- name: probed!
-- Keep what was found in an engine that answered.
UPDATE engines
SET capabilities = :capabilities, probed_at = :now, unreachable_since = NULL, message = NULL
WHERE name = :name;

-- name: unreachable!
-- Keep that an engine did not answer, since when and in which words; what it was seen to have stays known.
UPDATE engines
SET probed_at = :now, unreachable_since = COALESCE(unreachable_since, :now), message = :message
WHERE name = :name;

-- name: ask_probe!
-- Have an engine looked at as soon as a worker can.
UPDATE engines SET probe_due_at = :now WHERE name = :name;

-- name: get^
-- What is known of one engine.
SELECT name, kind, capabilities, probed_at, probe_due_at, unreachable_since, message FROM engines WHERE name = :name;

-- name: list_all
-- What is known of all engines that workers have served.
SELECT name, kind, capabilities, probed_at, probe_due_at, unreachable_since, message FROM engines ORDER BY name;

-- name: load
-- How many jobs wait for each engine, and how many workers hold.
SELECT
    engine,
    COUNT(*) FILTER (WHERE claim IS NULL) AS waiting,
    COUNT(*) FILTER (WHERE claim IS NOT NULL) AS running
FROM generation_jobs
WHERE status IN ('queued', 'processing')
GROUP BY engine;

-- name: add_turn!
-- Add to the seconds of an engine that an account had in a minute; what was estimated too high is taken off again. The
-- account may be gone meanwhile.
INSERT INTO engine_turns (engine, user_id, minute, seconds, last_at)
SELECT CAST(:engine AS TEXT) AS engine, u.id, CAST(:minute AS TEXT) AS minute,
    CAST(:seconds AS DOUBLE PRECISION) AS seconds, CAST(:now AS TEXT) AS last_at
FROM users AS u
WHERE u.id = :user_id
ON CONFLICT (engine, user_id, minute) DO UPDATE
SET seconds = engine_turns.seconds + excluded.seconds, last_at = excluded.last_at;

-- name: load_model!
-- A job of another model than the loaded one was claimed: its turn runs from now, until its first picture is made.
UPDATE engines SET loaded_model = :model_name, turn_from = :now
WHERE name = :engine AND (loaded_model IS NULL OR loaded_model <> :model_name);

-- name: begin_turn!
-- The first picture after a load is made: the turn of its model runs from now.
UPDATE engines SET turn_from = :now WHERE name = :engine AND loaded_model = :model_name;

-- name: prune_turns!
-- Forget the turns of before a moment, and those of a clock that was ahead.
DELETE FROM engine_turns WHERE minute < :before OR minute > :horizon;

-- name: orphans
-- Jobs that were cancelled while an engine may still work on them, the longest first.
SELECT job_id, state, since FROM engine_orphans WHERE engine = :engine AND since <= :before ORDER BY since LIMIT 20;

-- name: orphan_gone!
-- Forget a cancelled job that its engine does not work on any more.
DELETE FROM engine_orphans WHERE job_id = :job_id;

-- name: orphans_count
-- How many cancelled jobs each engine may still work on.
SELECT engine, COUNT(*) AS n FROM engine_orphans GROUP BY engine;
