-- Generation jobs: the row is the queue entry.
-- run_after: a queued job may be claimed from then on; a processing one is leased until then.
-- claim: the stamp of the worker's hold on it; only its holder may write progress or the result.

CREATE TABLE generation_jobs (
    id TEXT PRIMARY KEY NOT NULL,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    persona_id INTEGER REFERENCES personas (id) ON DELETE SET NULL,
    job_type TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'queued'
        CONSTRAINT jobs_status CHECK (status IN ('queued', 'processing', 'completed', 'failed', 'cancelled')),
    progress REAL NOT NULL DEFAULT 0 CONSTRAINT jobs_progress CHECK (progress BETWEEN 0 AND 1),
    prompt TEXT NOT NULL,
    negative_prompt TEXT NOT NULL DEFAULT '',
    model_name TEXT NOT NULL,
    lora_models TEXT NOT NULL DEFAULT '[]' CONSTRAINT jobs_lora_models_json CHECK (JSON_VALID(lora_models)),
    parameters TEXT NOT NULL DEFAULT '{}' CONSTRAINT jobs_parameters_json CHECK (JSON_VALID(parameters)),
    metadata TEXT NOT NULL DEFAULT '{}' CONSTRAINT jobs_metadata_json CHECK (JSON_VALID(metadata)),
    is_nsfw INTEGER NOT NULL DEFAULT 0 CONSTRAINT jobs_is_nsfw CHECK (is_nsfw IN (0, 1)),
    error_message TEXT,
    attempts INTEGER NOT NULL DEFAULT 0 CONSTRAINT jobs_attempts CHECK (attempts >= 0),
    revision INTEGER NOT NULL DEFAULT 1,
    claim TEXT,
    run_after TEXT NOT NULL,
    engine_state TEXT NOT NULL DEFAULT '{}' CONSTRAINT jobs_engine_state_json CHECK (JSON_VALID(engine_state)),
    seconds REAL,
    search_text TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    started_at TEXT,
    completed_at TEXT,
    CONSTRAINT jobs_claim_while_processing CHECK (claim IS NULL OR status = 'processing'),
    CONSTRAINT jobs_final_has_end CHECK ((status IN ('queued', 'processing')) = (completed_at IS NULL))
) STRICT;

CREATE INDEX jobs_queue ON generation_jobs (run_after, id) WHERE status IN ('queued', 'processing');

CREATE INDEX jobs_created ON generation_jobs (user_id, created_at DESC, id DESC);

CREATE INDEX jobs_created_safe ON generation_jobs (user_id, is_nsfw, created_at DESC, id DESC);

CREATE INDEX jobs_status ON generation_jobs (user_id, status, created_at DESC, id DESC, is_nsfw);

CREATE INDEX jobs_persona ON generation_jobs (persona_id, created_at DESC, id DESC);

CREATE INDEX jobs_completed ON generation_jobs (user_id, completed_at DESC, is_nsfw) WHERE status = 'completed';

CREATE INDEX jobs_ended ON generation_jobs (completed_at) WHERE completed_at IS NOT NULL;

CREATE TABLE job_counts (
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    is_nsfw INTEGER NOT NULL,
    status TEXT NOT NULL,
    job_type TEXT NOT NULL,
    n INTEGER NOT NULL,
    seconds REAL NOT NULL,
    PRIMARY KEY (user_id, is_nsfw, status, job_type)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER jobs_count_insert AFTER INSERT ON generation_jobs
BEGIN
    INSERT INTO job_counts (user_id, is_nsfw, status, job_type, n, seconds)
    VALUES (new.user_id, new.is_nsfw, new.status, new.job_type, 1, COALESCE(new.seconds, 0))
    ON CONFLICT (user_id, is_nsfw, status, job_type)
    DO UPDATE SET n = n + 1, seconds = seconds + excluded.seconds;
END;

CREATE TRIGGER jobs_count_delete AFTER DELETE ON generation_jobs
BEGIN
    UPDATE job_counts SET n = n - 1, seconds = seconds - COALESCE(old.seconds, 0)
    WHERE user_id = old.user_id AND is_nsfw = old.is_nsfw AND status = old.status AND job_type = old.job_type;
END;

CREATE TRIGGER jobs_count_update AFTER UPDATE OF is_nsfw, status ON generation_jobs
WHEN old.is_nsfw <> new.is_nsfw OR old.status <> new.status
BEGIN
    UPDATE job_counts SET n = n - 1, seconds = seconds - COALESCE(old.seconds, 0)
    WHERE user_id = old.user_id AND is_nsfw = old.is_nsfw AND status = old.status AND job_type = old.job_type;
    INSERT INTO job_counts (user_id, is_nsfw, status, job_type, n, seconds)
    VALUES (new.user_id, new.is_nsfw, new.status, new.job_type, 1, COALESCE(new.seconds, 0))
    ON CONFLICT (user_id, is_nsfw, status, job_type)
    DO UPDATE SET n = n + 1, seconds = seconds + excluded.seconds;
END;
