-- A job says which engine makes it, and the queue is one of each engine's own. What counts a job's changes is called
-- version, as everywhere else.
-- engine: the name of the engine; jobs from before there was a choice are the mock's.

ALTER TABLE generation_jobs RENAME COLUMN revision TO version;

ALTER TABLE job_events RENAME COLUMN revision TO version;

ALTER TABLE generation_jobs ADD COLUMN engine TEXT NOT NULL DEFAULT 'mock';

DROP INDEX jobs_queue;

CREATE INDEX jobs_queue ON generation_jobs (engine, run_after, id) WHERE status IN ('queued', 'processing');
