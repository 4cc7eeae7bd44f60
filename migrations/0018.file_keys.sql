-- Files are called by keys that name item and attempt; NULL is the name of 0.1, so that no file has to be moved.

ALTER TABLE media_items ADD COLUMN file_key TEXT;

DROP TRIGGER media_file_deletion;

ALTER TABLE file_deletions RENAME TO file_deletions_by_id;

-- The files that go: at once where due_at is NULL, else when no row has named the key of an announced file by then.
CREATE TABLE file_deletions (
    key TEXT PRIMARY KEY NOT NULL,
    due_at TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX file_deletions_due ON file_deletions (due_at);

-- What type the file of a deleted item had was not kept.
INSERT INTO file_deletions (key)
SELECT SUBSTR(media_id, 1, 2) || '/' || media_id || '.png' FROM file_deletions_by_id
UNION ALL
SELECT SUBSTR(media_id, 1, 2) || '/' || media_id || '.jpg' FROM file_deletions_by_id
UNION ALL
SELECT SUBSTR(media_id, 1, 2) || '/' || media_id || '.webp' FROM file_deletions_by_id
UNION ALL
SELECT SUBSTR(media_id, 1, 2) || '/' || media_id || '.mp4' FROM file_deletions_by_id;

DROP TABLE file_deletions_by_id;

-- A media row never goes, by whatever way, without its file being queued to go too.
CREATE TRIGGER media_file_deletion AFTER DELETE ON media_items
BEGIN
    INSERT INTO file_deletions (key)
    VALUES (COALESCE(old.file_key, SUBSTR(old.id, 1, 2) || '/' || old.id || CASE old.mime_type
        WHEN 'image/png' THEN '.png' WHEN 'image/jpeg' THEN '.jpg' WHEN 'image/webp' THEN '.webp' ELSE '.mp4'
    END))
    ON CONFLICT (key) DO UPDATE SET due_at = NULL;
END;
