-- Personas without what was kept beside them for speed: their card (rows become JSON in seidra/personas/view.py), the
-- numbers of each ten days (a page far down is read by its offset), the queue of texts before the search index and the
-- versions that remembered totals hung on. A stored generated column let no column be added beside it.
-- What a search reads by stays: the packed rowid, the marks NSF and FAV, and the two documents END behind each
-- owner's range, which were called fences (0014) and are sentinels from here on: a fence is what guards a job's claim.

DROP VIEW persona_cards;

ALTER TABLE personas DROP COLUMN card;

DROP TRIGGER personas_span_insert;

DROP TRIGGER personas_span_delete;

DROP TRIGGER personas_span_update;

DROP TABLE persona_spans;

DROP TRIGGER users_search_version;

DROP TRIGGER persona_texts_version_delete;

DROP TRIGGER persona_texts_version_update;

DROP TRIGGER persona_search_queue_version;

DROP TABLE persona_search_versions;

DROP TRIGGER persona_texts_insert;

DROP TRIGGER persona_texts_delete;

DROP TRIGGER persona_texts_update;

DROP TRIGGER persona_search_queue_full;

-- What still waited.
INSERT INTO persona_search (rowid, marked_text)
SELECT t.doc_id, t.marked_text
FROM persona_search_queue AS q
CROSS JOIN persona_texts AS t ON t.doc_id = q.doc_id;

-- FTS5 merges as it is written, eight segments of a size into one of the next (measured over 10,000 writes into 150,000
-- texts: 0.2 ms each and 2 ms for one in a hundred; with steps of two to eight pages a write 0.25 to 0.3).
INSERT INTO persona_search (persona_search, rank) VALUES ('automerge', 8);

DROP VIEW persona_search_texts;

DROP VIEW persona_search_fences;

DROP TABLE persona_search_queue;

-- With the types of persona_texts, for only then are the two read in one order without being sorted first.
CREATE VIEW persona_search_sentinels (doc_id, marked_text) AS
SELECT CAST((u.id << 32) | 4294967294 AS INTEGER) AS doc_id, CAST('END' AS TEXT) AS marked_text FROM users AS u
UNION ALL
SELECT CAST((u.id << 32) | 4294967295 AS INTEGER) AS doc_id, CAST('END' AS TEXT) AS marked_text FROM users AS u;

CREATE VIEW persona_search_texts (doc_id, marked_text) AS
SELECT t.doc_id, t.marked_text FROM persona_texts AS t
UNION ALL
SELECT s.doc_id, s.marked_text FROM persona_search_sentinels AS s;

CREATE TRIGGER persona_texts_insert AFTER INSERT ON persona_texts
BEGIN
    INSERT INTO persona_search (rowid, marked_text) VALUES (new.doc_id, new.marked_text);
END;

CREATE TRIGGER persona_texts_delete AFTER DELETE ON persona_texts
BEGIN
    INSERT INTO persona_search (persona_search, rowid, marked_text)
    VALUES ('delete', old.doc_id, old.marked_text);
END;

CREATE TRIGGER persona_texts_update AFTER UPDATE ON persona_texts
WHEN old.doc_id <> new.doc_id OR old.marked_text <> new.marked_text
BEGIN
    INSERT INTO persona_search (persona_search, rowid, marked_text)
    VALUES ('delete', old.doc_id, old.marked_text);
    INSERT INTO persona_search (rowid, marked_text) VALUES (new.doc_id, new.marked_text);
END;
