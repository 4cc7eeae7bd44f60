-- What a search counts in the index stays the same until the index changes there: 10 ms for a word in 40,000 texts, and
-- each further page of it would take them again. So each owner has a version of what the index holds of theirs, and a
-- server process keeps what it counted beside the version that it counted at (seidra/personas/search.py, Totals).
-- Texts that wait for the index change nothing in it, they come with the next sixteen.
-- A version is a random number, so that none comes again, not even where a write or a migration is undone.

CREATE TABLE persona_search_versions (
    user_id INTEGER PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    version INTEGER NOT NULL DEFAULT (RANDOM())
) STRICT, WITHOUT ROWID;

INSERT INTO persona_search_versions (user_id)
SELECT u.id FROM users AS u;

CREATE TRIGGER users_search_version AFTER INSERT ON users
BEGIN
    INSERT INTO persona_search_versions (user_id) VALUES (new.id);
END;

CREATE TRIGGER persona_texts_version_delete AFTER DELETE ON persona_texts
BEGIN
    UPDATE persona_search_versions SET version = RANDOM() WHERE user_id = old.doc_id >> 32;
END;

CREATE TRIGGER persona_texts_version_update AFTER UPDATE ON persona_texts
WHEN old.doc_id <> new.doc_id OR old.marked_text <> new.marked_text
BEGIN
    UPDATE persona_search_versions SET version = RANDOM() WHERE user_id IN (old.doc_id >> 32, new.doc_id >> 32);
END;

-- Sixteen leave the queue when they enter the index.
CREATE TRIGGER persona_search_queue_version AFTER DELETE ON persona_search_queue
BEGIN
    UPDATE persona_search_versions SET version = RANDOM() WHERE user_id = old.doc_id >> 32;
END;
