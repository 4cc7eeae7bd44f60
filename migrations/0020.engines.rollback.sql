DROP INDEX jobs_turns;

DROP INDEX jobs_held;

ALTER TABLE generation_jobs DROP COLUMN waiting_since;

DROP TRIGGER jobs_orphan;

DROP TABLE engine_orphans;

DROP TABLE engine_turns;

DROP TABLE engines;
