-- Texts come into the search index sixteen at a time: alone, each takes twice as long, and its commit writes pages of
-- the index. Until then they wait in a queue, and a search looks through its owner's few that wait by itself.
-- The index has one column (three took 10 % longer to search). What a search filters by besides words are marks after
-- the text, in capitals, which folded text never holds: NSF for NSFW, FAV for a favourite.
-- Its content is a view of the texts that do not wait, so that `rebuild` and `integrity-check` agree with it.

DROP TRIGGER persona_texts_insert;

DROP TRIGGER persona_texts_delete;

DROP TRIGGER persona_texts_update;

DROP TABLE persona_search;

ALTER TABLE persona_texts ADD COLUMN marked_text TEXT GENERATED ALWAYS AS (
    search_text
    || CASE safety WHEN 'nsf' THEN CHAR(10) || 'NSF' ELSE '' END
    || CASE favor WHEN 'fav' THEN CHAR(10) || 'FAV' ELSE '' END
) VIRTUAL;

CREATE TABLE persona_search_queue (
    doc_id INTEGER PRIMARY KEY
) STRICT;

CREATE VIEW persona_search_texts (doc_id, marked_text) AS
SELECT t.doc_id, t.marked_text
FROM persona_texts AS t
WHERE NOT EXISTS (SELECT 1 FROM persona_search_queue AS q WHERE q.doc_id = t.doc_id);

CREATE VIRTUAL TABLE persona_search USING fts5 (
    marked_text,
    content = 'persona_search_texts',
    content_rowid = 'doc_id',
    columnsize = 0,
    tokenize = 'trigram case_sensitive 1'
);

INSERT INTO persona_search (persona_search, rank) VALUES ('automerge', 0);

INSERT INTO persona_search (persona_search, rank) VALUES ('usermerge', 8);

INSERT INTO persona_search (persona_search) VALUES ('rebuild');

-- In one segment, which new ones reach only after very many.
INSERT INTO persona_search (persona_search) VALUES ('optimize');

CREATE TRIGGER persona_texts_insert AFTER INSERT ON persona_texts
BEGIN
    INSERT INTO persona_search_queue (doc_id) VALUES (new.doc_id)
    ON CONFLICT (doc_id) DO NOTHING;
END;

CREATE TRIGGER persona_texts_delete AFTER DELETE ON persona_texts
BEGIN
    INSERT INTO persona_search (persona_search, rowid, marked_text)
    SELECT 'delete' AS command, old.doc_id, old.marked_text
    WHERE NOT EXISTS (SELECT 1 FROM persona_search_queue AS q WHERE q.doc_id = old.doc_id);
    DELETE FROM persona_search_queue WHERE doc_id = old.doc_id;
END;

CREATE TRIGGER persona_texts_update AFTER UPDATE ON persona_texts
WHEN old.doc_id <> new.doc_id OR old.marked_text <> new.marked_text
BEGIN
    INSERT INTO persona_search (persona_search, rowid, marked_text)
    SELECT 'delete' AS command, old.doc_id, old.marked_text
    WHERE NOT EXISTS (SELECT 1 FROM persona_search_queue AS q WHERE q.doc_id = old.doc_id);
    DELETE FROM persona_search_queue WHERE doc_id = old.doc_id;
    INSERT INTO persona_search_queue (doc_id) VALUES (new.doc_id)
    ON CONFLICT (doc_id) DO NOTHING;
END;

-- Two pages of merging for each text, twice what it needs in the end. Workers merge the rest while nobody writes.
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
