-- name: quick_integrity
-- What is wrong with the database as a whole, as far as the server says it: indexes that were not made to their end.
-- One row `ok` when nothing is.
SELECT COALESCE('not valid: ' || STRING_AGG(CAST(CAST(i.indexrelid AS REGCLASS) AS TEXT), ', '), 'ok') AS message
FROM pg_index AS i
WHERE i.indisvalid = FALSE;

-- name: dangling$
-- How many foreign keys the server does not hold to.
SELECT COUNT(*) FROM pg_constraint WHERE contype = 'f' AND convalidated = FALSE;

-- name: media_after
-- Some media items after an id, those in the trash too: a walk over all of them.
SELECT id, mime_type, width, height, file_size, file_key FROM media_items
WHERE id > :after
UNION ALL
SELECT
    item_id AS id,
    CAST(document AS JSON) #>> '{media,mime_type}' AS mime_type,
    CAST(CAST(document AS JSON) #>> '{media,width}' AS BIGINT) AS width,
    CAST(CAST(document AS JSON) #>> '{media,height}' AS BIGINT) AS height,
    bytes AS file_size, file_key
FROM trash
WHERE kind = 'media' AND item_id > :after
ORDER BY id LIMIT :limit;
