DROP TRIGGER persona_search_queue_full;
DROP TRIGGER persona_texts_version_delete;
DROP TRIGGER persona_texts_version_update;
DROP TRIGGER users_search_version;
DROP TABLE persona_search_versions;

CREATE TRIGGER persona_search_queue_full AFTER INSERT ON persona_search_queue
WHEN (SELECT COUNT(*) FROM persona_search_queue) >= 16
BEGIN
    INSERT INTO persona_search (rowid, marked_text)
    SELECT t.doc_id, t.marked_text
    FROM persona_search_queue AS q
    CROSS JOIN persona_texts AS t ON t.doc_id = q.doc_id;
    DELETE FROM persona_search_queue;
    INSERT INTO persona_search (persona_search, rank) VALUES ('merge', 32);
END;
