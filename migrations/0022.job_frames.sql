-- Unfinished pictures of jobs that are being made, and pictures that a job starts from.
-- job_frames: one row a job, replaced at most once a second, gone when its claim ends. n: how many there were.
-- job_events.of_frame: a frame came, and nothing else of the job changed.
-- generation_jobs.images: {name of an input of the engine's workflow: id of a media item}

CREATE TABLE job_frames (
    job_id TEXT PRIMARY KEY NOT NULL REFERENCES generation_jobs (id) ON DELETE CASCADE,
    n INTEGER NOT NULL CONSTRAINT job_frames_n CHECK (n >= 1),
    webp BLOB NOT NULL CONSTRAINT job_frames_size CHECK (LENGTH(webp) BETWEEN 1 AND 65536)
) STRICT;

ALTER TABLE job_events ADD COLUMN of_frame INTEGER NOT NULL DEFAULT 0
    CONSTRAINT job_events_of_frame CHECK (of_frame IN (0, 1));

CREATE TRIGGER job_frames_event_insert AFTER INSERT ON job_frames
BEGIN
    INSERT INTO job_events (user_id, job_id, version, was_nsfw, of_frame)
    SELECT j.user_id, j.id, j.version, j.is_nsfw, 1 AS of_frame FROM generation_jobs AS j WHERE j.id = new.job_id;
END;

CREATE TRIGGER job_frames_event_update AFTER UPDATE ON job_frames
BEGIN
    INSERT INTO job_events (user_id, job_id, version, was_nsfw, of_frame)
    SELECT j.user_id, j.id, j.version, j.is_nsfw, 1 AS of_frame FROM generation_jobs AS j WHERE j.id = new.job_id;
END;

CREATE TRIGGER jobs_frame_end AFTER UPDATE OF claim ON generation_jobs
WHEN old.claim IS NOT NULL AND new.claim IS NULL
BEGIN
    DELETE FROM job_frames WHERE job_id = new.id;
END;

ALTER TABLE generation_jobs ADD COLUMN images TEXT NOT NULL DEFAULT '{}'
    CONSTRAINT jobs_images_json CHECK (JSON_VALID(images));
