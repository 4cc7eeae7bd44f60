DROP TRIGGER users_search_insert;
DROP TRIGGER users_search_delete;

INSERT INTO persona_search (persona_search, rowid, marked_text)
SELECT 'delete' AS command, f.doc_id, f.marked_text FROM persona_search_fences AS f;

DROP VIEW persona_search_texts;
DROP VIEW persona_search_fences;

CREATE VIEW persona_search_texts (doc_id, marked_text) AS
SELECT t.doc_id, t.marked_text
FROM persona_texts AS t
WHERE NOT EXISTS (SELECT 1 FROM persona_search_queue AS q WHERE q.doc_id = t.doc_id);
