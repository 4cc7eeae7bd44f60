-- `flask db rollback` has deleted the files before; the version before could not read their keys.

DROP TRIGGER import_pictures_file_deletion;

DROP TABLE import_pictures;

DROP TRIGGER export_file_deletion;

DROP TABLE exports;

DELETE FROM file_deletions WHERE key LIKE '%.zip';
