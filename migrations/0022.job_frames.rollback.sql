ALTER TABLE generation_jobs DROP COLUMN images;

DROP TRIGGER jobs_frame_end;

DROP TABLE job_frames;

ALTER TABLE job_events DROP COLUMN of_frame;
