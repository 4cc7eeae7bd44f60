-- As on SQLite: how many pictures of whom each collection has.

CREATE TABLE collection_counts (
    collection_id TEXT COLLATE "C" NOT NULL REFERENCES collections (id) ON DELETE CASCADE,
    user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    is_nsfw BOOLEAN NOT NULL,
    n BIGINT NOT NULL
);

CREATE INDEX collection_counts_collection ON collection_counts (collection_id, user_id, is_nsfw);

CREATE INDEX collection_counts_user ON collection_counts (user_id);

INSERT INTO collection_counts (collection_id, user_id, is_nsfw, n)
SELECT x.collection_id, m.user_id, m.is_nsfw, COUNT(*) AS n
FROM collection_media AS x
INNER JOIN media_items AS m ON m.id = x.media_id
GROUP BY x.collection_id, m.user_id, m.is_nsfw;

CREATE FUNCTION count_collected() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO collection_counts (collection_id, user_id, is_nsfw, n)
        SELECT new.collection_id, m.user_id, m.is_nsfw, 1 FROM media_items AS m WHERE m.id = new.media_id;
    ELSE
        INSERT INTO collection_counts (collection_id, user_id, is_nsfw, n)
        SELECT c.id, m.user_id, m.is_nsfw, -1 FROM collections AS c CROSS JOIN media_items AS m
        WHERE c.id = old.collection_id AND m.id = old.media_id;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER collection_media_count_insert AFTER INSERT ON collection_media
FOR EACH ROW EXECUTE FUNCTION count_collected();

CREATE TRIGGER collection_media_count_delete AFTER DELETE ON collection_media
FOR EACH ROW EXECUTE FUNCTION count_collected();

CREATE FUNCTION count_in_collections() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO collection_counts (collection_id, user_id, is_nsfw, n)
        SELECT c.id, u.id, old.is_nsfw, -1
        FROM collection_media AS x CROSS JOIN collections AS c CROSS JOIN users AS u
        WHERE x.media_id = old.id AND c.id = x.collection_id AND u.id = old.user_id;
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN old;
    END IF;
    INSERT INTO collection_counts (collection_id, user_id, is_nsfw, n)
    SELECT x.collection_id, new.user_id, new.is_nsfw, 1 FROM collection_media AS x WHERE x.media_id = new.id;
    RETURN NULL;
END
$$;

CREATE TRIGGER media_collection_count_insert AFTER INSERT ON media_items
FOR EACH ROW EXECUTE FUNCTION count_in_collections();

CREATE TRIGGER media_collection_count_delete BEFORE DELETE ON media_items
FOR EACH ROW EXECUTE FUNCTION count_in_collections();

CREATE TRIGGER media_collection_count_update AFTER UPDATE OF user_id, is_nsfw ON media_items
FOR EACH ROW WHEN (old.user_id <> new.user_id OR old.is_nsfw <> new.is_nsfw)
EXECUTE FUNCTION count_in_collections();
