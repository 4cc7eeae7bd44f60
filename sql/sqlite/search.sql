-- The full-text index over the personas' texts, FTS5's (migrations/0013 and 0016), which PostgreSQL has another one for.

-- name: indexed$
-- The ids of all personas that an expression of the index matches, oldest first; the last two numbers of an owner are
-- the sentinels.
SELECT JSON_GROUP_ARRAY(rowid & 4294967295) FROM persona_search
WHERE persona_search MATCH :expression
    AND rowid BETWEEN (:user_id << 32) AND ((:user_id << 32) | 4294967293);

-- name: scanned$
-- The ids of all personas that contain each of some words (a JSON array) too short for the index, oldest first; with
-- none, of all. Their array is read once, not for each text.
WITH word AS MATERIALIZED (SELECT value FROM JSON_EACH(:words))

SELECT JSON_GROUP_ARRAY(doc_id & 4294967295) FROM persona_texts
WHERE doc_id BETWEEN (:user_id << 32) AND ((:user_id << 32) | 4294967295)
    AND NOT EXISTS (SELECT 1 FROM word WHERE INSTR(search_text, value) = 0)
    AND (safety = 'sfw' OR :nsfw = TRUE)
    AND (CAST(:favorite AS BOOLEAN) IS NULL OR favor = CASE :favorite WHEN TRUE THEN 'fav' ELSE 'oth' END);

-- name: check!
-- Compare the index with its table; raises when they differ.
INSERT INTO persona_search (persona_search, rank) VALUES ('integrity-check', 1);

-- name: rebuild!
-- Make the index again from its table.
INSERT INTO persona_search (persona_search) VALUES ('rebuild');

-- name: optimize!
-- Bring the index into one segment: what is written later would otherwise be merged with what `rebuild` leaves.
INSERT INTO persona_search (persona_search) VALUES ('optimize');
