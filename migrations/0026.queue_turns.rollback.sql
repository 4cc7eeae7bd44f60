DROP INDEX jobs_models;

ALTER TABLE engines DROP COLUMN turn_from;

ALTER TABLE engines DROP COLUMN loaded_model;
