-- What search looks into: the personas' texts, folded by the application, and a full-text index over them.
-- doc_id packs owner and persona, so that a search reads one owner's range and nobody else's: with a join to the
-- owner a common word of somebody else's million personas costs a small user 237 ms instead of 0.14.
-- The table is apart from the personas, because a scan of it (for words too short for the index) then reads a
-- fifth of the pages. safety and favor are single trigrams, so that the index filters by them too.

CREATE TABLE persona_texts (
    doc_id INTEGER PRIMARY KEY,
    safety TEXT NOT NULL CONSTRAINT persona_texts_safety CHECK (safety IN ('sfw', 'nsf')),
    favor TEXT NOT NULL CONSTRAINT persona_texts_favor CHECK (favor IN ('fav', 'oth')),
    search_text TEXT NOT NULL
) STRICT;

-- Trigrams in order (detail=full): a phrase of them is exactly a substring, and nothing has to be checked after.
CREATE VIRTUAL TABLE persona_search USING fts5 (
    search_text,
    safety,
    favor,
    content = 'persona_texts',
    content_rowid = 'doc_id',
    tokenize = 'trigram case_sensitive 1'
);

CREATE TRIGGER personas_text_delete AFTER DELETE ON personas
BEGIN
    DELETE FROM persona_texts WHERE doc_id = (old.user_id << 32) | old.id;
END;

CREATE TRIGGER personas_text_flags AFTER UPDATE OF is_nsfw, is_favorite ON personas
WHEN old.is_nsfw <> new.is_nsfw OR old.is_favorite <> new.is_favorite
BEGIN
    UPDATE persona_texts
    SET safety = CASE new.is_nsfw WHEN TRUE THEN 'nsf' ELSE 'sfw' END,
        favor = CASE new.is_favorite WHEN TRUE THEN 'fav' ELSE 'oth' END
    WHERE doc_id = (new.user_id << 32) | new.id;
END;

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
