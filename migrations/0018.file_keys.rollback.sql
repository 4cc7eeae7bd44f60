-- The files have the names of 0.1 again before this runs: `flask db rollback` sees to it.
DROP TRIGGER media_file_deletion;

ALTER TABLE file_deletions RENAME TO file_deletions_by_key;

CREATE TABLE file_deletions (
    media_id TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

INSERT INTO file_deletions (media_id) SELECT DISTINCT SUBSTR(key, 4, 36) FROM file_deletions_by_key;

DROP TABLE file_deletions_by_key;

ALTER TABLE media_items DROP COLUMN file_key;

-- A media row never goes, by whatever way, without its files being queued to go too.
CREATE TRIGGER media_file_deletion AFTER DELETE ON media_items
BEGIN
    INSERT INTO file_deletions (media_id) VALUES (old.id)
    ON CONFLICT (media_id) DO NOTHING;
END;
