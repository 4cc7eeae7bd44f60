DROP INDEX jobs_queue;

CREATE INDEX jobs_queue ON generation_jobs (run_after, id) WHERE status IN ('queued', 'processing');

ALTER TABLE generation_jobs DROP COLUMN engine;

ALTER TABLE job_events RENAME COLUMN version TO revision;

ALTER TABLE generation_jobs RENAME COLUMN version TO revision;
