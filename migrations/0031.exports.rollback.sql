-- `flask db rollback` has deleted the files before; the version before could not read their keys.

DROP TRIGGER export_file_deletion;

DROP TABLE exports;

DELETE FROM file_deletions WHERE key LIKE '%.zip';
