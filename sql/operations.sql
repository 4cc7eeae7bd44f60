-- name: copy!
-- Write a consistent copy of the whole database into a new file; writers go on meanwhile.
VACUUM INTO :path;

-- name: media_total^
-- How many media items there are, and the bytes of their files.
SELECT COUNT(*) AS n, COALESCE(SUM(file_size), 0) AS bytes FROM media_items;

-- name: media_after
-- Some media items after an id: a walk over all of them.
SELECT id, mime_type, width, height, file_size FROM media_items WHERE id > :after ORDER BY id LIMIT :limit;

-- name: media_drop!
-- Delete an item whose picture is lost, whoever owns it.
DELETE FROM media_items WHERE id = :id;

-- name: sessions_end!
-- End all sessions of all accounts; their refresh tokens go with them.
DELETE FROM sessions;

-- name: integrity
-- What is wrong with the file as a whole, indexes included; one row `ok` when nothing is.
SELECT integrity_check AS message FROM pragma_integrity_check LIMIT 5;

-- name: dangling$
-- How many rows refer to something that does not exist.
SELECT COUNT(*) FROM pragma_foreign_key_check;

-- name: media_kind$
-- What kind of file an item has, whoever owns it.
SELECT mime_type FROM media_items WHERE id = :id;

-- name: media_deletion_queued$
-- Whether the files of an item are about to go anyway.
SELECT 1 FROM file_deletions WHERE media_id = :media_id;
