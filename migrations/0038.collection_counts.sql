-- How many pictures of whom each collection has, so that a page of collections counts none. What lies in the trash does
-- not count, and a collection shows the pictures of its owner: a row that names another owner is of one that was
-- handed over before the other.

CREATE TABLE collection_counts (
    collection_id TEXT NOT NULL REFERENCES collections (id) ON DELETE CASCADE,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    is_nsfw INTEGER NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (collection_id, user_id, is_nsfw)
) STRICT, WITHOUT ROWID;

CREATE INDEX collection_counts_user ON collection_counts (user_id);

INSERT INTO collection_counts (collection_id, user_id, is_nsfw, n)
SELECT x.collection_id, m.user_id, m.is_nsfw, COUNT(*) AS n
FROM collection_media AS x
CROSS JOIN media_items AS m
WHERE m.id = x.media_id
GROUP BY x.collection_id, m.user_id, m.is_nsfw;

CREATE TRIGGER collection_media_count_insert AFTER INSERT ON collection_media
BEGIN
    INSERT INTO collection_counts (collection_id, user_id, is_nsfw, n)
    SELECT new.collection_id, m.user_id, m.is_nsfw, 1 AS n FROM media_items AS m
    WHERE m.id = new.media_id
    ON CONFLICT (collection_id, user_id, is_nsfw) DO UPDATE SET n = n + 1;
END;

CREATE TRIGGER collection_media_count_delete AFTER DELETE ON collection_media
WHEN EXISTS (SELECT 1 FROM collections AS c WHERE c.id = old.collection_id)
BEGIN
    UPDATE collection_counts SET n = n - 1
    WHERE collection_id = old.collection_id
        AND (user_id, is_nsfw) = (SELECT m.user_id, m.is_nsfw FROM media_items AS m WHERE m.id = old.media_id);
END;

-- What comes back from the trash is in its collections again.
CREATE TRIGGER media_collection_count_insert AFTER INSERT ON media_items
BEGIN
    INSERT INTO collection_counts (collection_id, user_id, is_nsfw, n)
    SELECT x.collection_id, new.user_id, new.is_nsfw, 1 AS n FROM collection_media AS x
    WHERE x.media_id = new.id
    ON CONFLICT (collection_id, user_id, is_nsfw) DO UPDATE SET n = n + 1;
END;

-- Before, for afterwards the collections of what goes for ever are forgotten.
CREATE TRIGGER media_collection_count_delete BEFORE DELETE ON media_items
BEGIN
    UPDATE collection_counts SET n = n - 1
    WHERE collection_id IN (SELECT x.collection_id FROM collection_media AS x WHERE x.media_id = old.id)
        AND user_id = old.user_id AND is_nsfw = old.is_nsfw;
END;

CREATE TRIGGER media_collection_count_update AFTER UPDATE OF user_id, is_nsfw ON media_items
WHEN old.user_id <> new.user_id OR old.is_nsfw <> new.is_nsfw
BEGIN
    UPDATE collection_counts SET n = n - 1
    WHERE collection_id IN (SELECT x.collection_id FROM collection_media AS x WHERE x.media_id = old.id)
        AND user_id = old.user_id AND is_nsfw = old.is_nsfw;
    INSERT INTO collection_counts (collection_id, user_id, is_nsfw, n)
    SELECT x.collection_id, new.user_id, new.is_nsfw, 1 AS n FROM collection_media AS x
    WHERE x.media_id = new.id
    ON CONFLICT (collection_id, user_id, is_nsfw) DO UPDATE SET n = n + 1;
END;
