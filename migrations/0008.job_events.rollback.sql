DROP TRIGGER jobs_event_insert;
DROP TRIGGER jobs_event_update;
DROP TRIGGER jobs_event_delete;
DROP TABLE job_events;
