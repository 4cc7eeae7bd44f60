-- Full-text index of the personas: trigrams of search_text, which is already folded.
-- The rowid packs owner and persona, so that a search reads one owner's range and nobody else's.
-- detail=none keeps a quarter of the size; hits are checked against search_text by the query.

CREATE VIEW persona_search_source AS
SELECT (user_id << 32) | id AS doc_id, search_text FROM personas;

CREATE VIRTUAL TABLE persona_search USING fts5 (
    search_text,
    content = 'persona_search_source',
    content_rowid = 'doc_id',
    detail = none,
    tokenize = 'trigram case_sensitive 1'
);

CREATE TRIGGER personas_search_insert AFTER INSERT ON personas
BEGIN
    INSERT INTO persona_search (rowid, search_text)
    VALUES ((new.user_id << 32) | new.id, new.search_text);
END;

CREATE TRIGGER personas_search_delete AFTER DELETE ON personas
BEGIN
    INSERT INTO persona_search (persona_search, rowid, search_text)
    VALUES ('delete', (old.user_id << 32) | old.id, old.search_text);
END;

CREATE TRIGGER personas_search_update AFTER UPDATE OF search_text ON personas
WHEN old.search_text <> new.search_text
BEGIN
    INSERT INTO persona_search (persona_search, rowid, search_text)
    VALUES ('delete', (old.user_id << 32) | old.id, old.search_text);
    INSERT INTO persona_search (rowid, search_text)
    VALUES ((new.user_id << 32) | new.id, new.search_text);
END;

-- Rows that were there before this migration, as when it is rolled back and applied again.
INSERT INTO persona_search (persona_search) VALUES ('rebuild');
