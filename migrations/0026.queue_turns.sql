-- Turns of models: an engine keeps the model that it has loaded for a while, for a switch costs many seconds.
-- engines.loaded_model: the model of the job that was claimed there last. turn_from: since when its turn runs.

ALTER TABLE engines ADD COLUMN loaded_model TEXT;

ALTER TABLE engines ADD COLUMN turn_from TEXT;

CREATE INDEX jobs_models ON generation_jobs (engine, model_name, user_id, job_type DESC, run_after, id)
WHERE status = 'queued';
