-- Engines in service: what is known of each, who had how much of them, and what is to be stopped there.
-- engines: one row for each engine that a worker has served. probe_due_at: a worker looks again from then on.
-- engine_turns: the seconds of an engine that each account had, by the minute; a job in hand counts as estimated.
-- engine_orphans: jobs cancelled while an engine may still work on them, until it is sure that nothing runs.
-- generation_jobs.waiting_since: since when a job waits for its engine, which is away.

CREATE TABLE engines (
    name TEXT PRIMARY KEY NOT NULL,
    kind TEXT NOT NULL,
    capabilities TEXT NOT NULL DEFAULT '{}' CONSTRAINT engines_capabilities_json CHECK (JSON_VALID(capabilities)),
    probed_at TEXT,
    probe_due_at TEXT NOT NULL,
    unreachable_since TEXT,
    message TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE engine_turns (
    engine TEXT NOT NULL,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    minute TEXT NOT NULL,
    seconds REAL NOT NULL,
    last_at TEXT NOT NULL,
    PRIMARY KEY (engine, user_id, minute)
) STRICT, WITHOUT ROWID;

CREATE INDEX engine_turns_minute ON engine_turns (minute);

CREATE INDEX engine_turns_user ON engine_turns (user_id);

CREATE TABLE engine_orphans (
    job_id TEXT PRIMARY KEY NOT NULL,
    engine TEXT NOT NULL,
    state TEXT NOT NULL CONSTRAINT engine_orphans_state_json CHECK (JSON_VALID(state)),
    since TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX engine_orphans_engine ON engine_orphans (engine, since);

CREATE TRIGGER jobs_orphan AFTER UPDATE OF status ON generation_jobs
WHEN old.status = 'processing' AND new.status = 'cancelled' AND new.engine_state <> '{}'
BEGIN
    INSERT INTO engine_orphans (job_id, engine, state, since)
    VALUES (new.id, new.engine, new.engine_state, new.updated_at);
END;

ALTER TABLE generation_jobs ADD COLUMN waiting_since TEXT;

CREATE INDEX jobs_held ON generation_jobs (engine, run_after, id) WHERE status = 'processing';

CREATE INDEX jobs_turns ON generation_jobs (engine, user_id, job_type DESC, run_after, id) WHERE status = 'queued';
