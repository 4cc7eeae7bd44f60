-- What is done to, and asked of, the file as a whole.

-- name: copy!
-- Write a consistent copy of the whole database into a new file; writers go on meanwhile.
VACUUM INTO :path;

-- name: integrity
-- What is wrong with the file as a whole, indexes included; one row `ok` when nothing is.
SELECT integrity_check AS message FROM pragma_integrity_check LIMIT 5;

-- name: schema_parts
-- What the schema is made of; SQLite's own parts aside.
SELECT type, name, sql FROM sqlite_master
WHERE name NOT IN ('sqlite_sequence', 'sqlite_stat1', 'sqlite_stat4')
    AND name NOT LIKE 'sqlite\_autoindex\_%' ESCAPE '\'
ORDER BY type, name;

-- name: dangling$
-- How many rows refer to something that does not exist.
SELECT COUNT(*) FROM pragma_foreign_key_check;

-- name: quick_integrity
-- The same without comparing indexes with their tables: a tenth of the time.
SELECT quick_check AS message FROM pragma_quick_check LIMIT 5;
