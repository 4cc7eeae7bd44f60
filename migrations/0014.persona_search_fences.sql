-- FTS5 looks at the end of a range only where it has found a match. A word that is rare or absent, but whose trigrams
-- are common, made it read on through everybody's texts: 50 ms among a million, for an owner of a thousand.
-- So two fences end each owner's range, documents with nothing but the mark END, and a search looks for each word or
-- END. Two, because the first thing that FTS5 finds is handed out without a look at the end; at the second it stops.
-- They have the last two numbers of a range, which no persona lives to have.

-- With the types of persona_texts, for only then are the two read in one order without being sorted first.
CREATE VIEW persona_search_fences (doc_id, marked_text) AS
SELECT CAST((u.id << 32) | 4294967294 AS INTEGER) AS doc_id, CAST('END' AS TEXT) AS marked_text FROM users AS u
UNION ALL
SELECT CAST((u.id << 32) | 4294967295 AS INTEGER) AS doc_id, CAST('END' AS TEXT) AS marked_text FROM users AS u;

DROP VIEW persona_search_texts;

CREATE VIEW persona_search_texts (doc_id, marked_text) AS
SELECT t.doc_id, t.marked_text
FROM persona_texts AS t
WHERE NOT EXISTS (SELECT 1 FROM persona_search_queue AS q WHERE q.doc_id = t.doc_id)
UNION ALL
SELECT f.doc_id, f.marked_text FROM persona_search_fences AS f;

INSERT INTO persona_search (rowid, marked_text)
SELECT f.doc_id, f.marked_text FROM persona_search_fences AS f ORDER BY f.doc_id;

CREATE TRIGGER users_search_insert AFTER INSERT ON users
BEGIN
    INSERT INTO persona_search (rowid, marked_text)
    VALUES ((new.id << 32) | 4294967294, 'END'), ((new.id << 32) | 4294967295, 'END');
END;

CREATE TRIGGER users_search_delete AFTER DELETE ON users
BEGIN
    INSERT INTO persona_search (persona_search, rowid, marked_text)
    VALUES ('delete', (old.id << 32) | 4294967294, 'END'), ('delete', (old.id << 32) | 4294967295, 'END');
END;
