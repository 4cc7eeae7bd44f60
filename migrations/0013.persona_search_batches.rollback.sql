DROP TRIGGER persona_search_queue_full;
DROP TRIGGER persona_texts_insert;
DROP TRIGGER persona_texts_delete;
DROP TRIGGER persona_texts_update;
DROP TABLE persona_search;
DROP VIEW persona_search_texts;
DROP TABLE persona_search_queue;
ALTER TABLE persona_texts DROP COLUMN marked_text;

CREATE VIRTUAL TABLE persona_search USING fts5 (
    search_text,
    safety,
    favor,
    content = 'persona_texts',
    content_rowid = 'doc_id',
    tokenize = 'trigram case_sensitive 1'
);

INSERT INTO persona_search (persona_search, rank) VALUES ('automerge', 0);
INSERT INTO persona_search (persona_search, rank) VALUES ('usermerge', 8);
INSERT INTO persona_search (persona_search) VALUES ('rebuild');

CREATE TRIGGER persona_texts_insert AFTER INSERT ON persona_texts
BEGIN
    INSERT INTO persona_search (rowid, search_text, safety, favor)
    VALUES (new.doc_id, new.search_text, new.safety, new.favor);
END;

CREATE TRIGGER persona_texts_delete AFTER DELETE ON persona_texts
BEGIN
    INSERT INTO persona_search (persona_search, rowid, search_text, safety, favor)
    VALUES ('delete', old.doc_id, old.search_text, old.safety, old.favor);
END;

CREATE TRIGGER persona_texts_update AFTER UPDATE ON persona_texts
WHEN old.search_text <> new.search_text OR old.safety <> new.safety OR old.favor <> new.favor
    OR old.doc_id <> new.doc_id
BEGIN
    INSERT INTO persona_search (persona_search, rowid, search_text, safety, favor)
    VALUES ('delete', old.doc_id, old.search_text, old.safety, old.favor);
    INSERT INTO persona_search (rowid, search_text, safety, favor)
    VALUES (new.doc_id, new.search_text, new.safety, new.favor);
END;
