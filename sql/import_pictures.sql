-- name: owner^
-- Whose item has an id, in the trash too.
SELECT user_id FROM media_items WHERE id = :media_id
UNION ALL
SELECT user_id FROM trash WHERE kind = 'media' AND item_id = :media_id;

-- name: add!
-- Write a picture of a library into a plan, and name its file.
INSERT INTO import_pictures (import_id, n, entry, media_id, file_key, size, is_nsfw, document)
VALUES (:import_id, :n, :entry, :media_id, :file_key, :size, :is_nsfw, :document);

-- name: sums^
-- How many pictures a plan has, their bytes, and how many of them are NSFW.
SELECT COUNT(*) AS n, COALESCE(SUM(size), 0) AS bytes, COUNT(*) FILTER (WHERE is_nsfw = TRUE) AS nsfw
FROM import_pictures WHERE import_id = :import_id AND state = 'planned';

-- name: in_state
-- Some pictures of an import, in their order, with the personas that their entries have become.
SELECT
    p.n, p.entry, p.media_id, p.file_key, p.size, p.is_nsfw, p.document,
    COALESCE(e.written_id, e.persona_id) AS persona_id
FROM import_pictures AS p
LEFT JOIN import_entries AS e ON e.import_id = p.import_id AND e.n = p.entry
WHERE p.import_id = :import_id AND p.state = :state
ORDER BY p.n
LIMIT :limit;

-- name: move!
-- A picture came in, was left out, or was taken back.
UPDATE import_pictures SET state = :state WHERE import_id = :import_id AND n = :n;

-- name: drop!
-- Delete some pictures of an import that has expired; a trigger queues the files that no item names.
DELETE FROM import_pictures
WHERE import_id = :import_id AND n IN (
    SELECT p.n FROM import_pictures AS p WHERE p.import_id = :import_id ORDER BY p.n LIMIT :limit
);

-- name: purge_batch!
-- Delete some pictures of a deleted account's imports.
DELETE FROM import_pictures WHERE (import_id, n) IN (
    SELECT p.import_id, p.n
    FROM imports AS i
    CROSS JOIN import_pictures AS p
    WHERE i.user_id = :user_id AND p.import_id = i.id
    LIMIT :limit
);
