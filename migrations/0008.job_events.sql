-- What happened to jobs, for live progress: one row for each change that a client can see, written by triggers and so
-- in the change's own transaction, by whatever way it comes. The worker drops old ones.
-- id: a client's place in the stream. Whoever read up to an id must never see a smaller one appear. Here that holds
-- because writers take turns: ids are given in the order of the commits, and AUTOINCREMENT gives none twice. Where
-- writers do not (PostgreSQL), the trigger function has to take a transaction's advisory lock before it draws the id;
-- readers stay below the horizon that the statement `pulse` answers, and ask nothing else.
-- was_nsfw: the job's flag before the change, so that its going is told to none but those who could see it.

CREATE TABLE job_events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    job_id TEXT NOT NULL,
    revision INTEGER NOT NULL,
    was_nsfw INTEGER NOT NULL CONSTRAINT job_events_was_nsfw CHECK (was_nsfw IN (0, 1)),
    created_at TEXT NOT NULL DEFAULT (STRFTIME('%Y-%m-%dT%H:%M:%f000Z', 'now'))
) STRICT;

CREATE INDEX job_events_user ON job_events (user_id, id);

CREATE TRIGGER jobs_event_insert AFTER INSERT ON generation_jobs
BEGIN
    INSERT INTO job_events (user_id, job_id, revision, was_nsfw)
    VALUES (new.user_id, new.id, new.revision, new.is_nsfw);
END;

CREATE TRIGGER jobs_event_update AFTER UPDATE OF revision, status, is_nsfw ON generation_jobs
WHEN old.revision <> new.revision OR old.status <> new.status OR old.is_nsfw <> new.is_nsfw
BEGIN
    INSERT INTO job_events (user_id, job_id, revision, was_nsfw)
    VALUES (new.user_id, new.id, new.revision, old.is_nsfw);
END;

-- Nobody listens for a deleted account, and its row may be gone already.
CREATE TRIGGER jobs_event_delete AFTER DELETE ON generation_jobs
WHEN EXISTS (SELECT 1 FROM users WHERE id = old.user_id AND deleted_at IS NULL)
BEGIN
    INSERT INTO job_events (user_id, job_id, revision, was_nsfw)
    VALUES (old.user_id, old.id, old.revision, old.is_nsfw);
END;
