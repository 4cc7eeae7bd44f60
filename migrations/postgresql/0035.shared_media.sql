-- As on SQLite: media for everybody on the instance, collections, and links for outsiders.

ALTER TABLE media_items ADD COLUMN visibility TEXT COLLATE "C" NOT NULL DEFAULT 'private'
CONSTRAINT media_visibility CHECK (visibility IN ('private', 'shared'));

ALTER TABLE media_items ADD COLUMN with_details BOOLEAN NOT NULL DEFAULT FALSE;

CREATE INDEX media_shared ON media_items (created_at DESC, id DESC, user_id, is_nsfw) WHERE visibility = 'shared';

CREATE TABLE shared_media_counts (
    user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    is_nsfw BOOLEAN NOT NULL,
    n BIGINT NOT NULL,
    bytes BIGINT NOT NULL
);

CREATE INDEX shared_media_counts_user ON shared_media_counts (user_id, is_nsfw);

CREATE FUNCTION count_shared_media() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' AND old.visibility = 'shared' THEN
        INSERT INTO shared_media_counts (user_id, is_nsfw, n, bytes)
        SELECT old.user_id, old.is_nsfw, -1, -old.file_size FROM users WHERE id = old.user_id;
    END IF;
    IF TG_OP <> 'DELETE' AND new.visibility = 'shared' THEN
        INSERT INTO shared_media_counts (user_id, is_nsfw, n, bytes)
        VALUES (new.user_id, new.is_nsfw, 1, new.file_size);
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER media_shared_insert AFTER INSERT ON media_items
FOR EACH ROW WHEN (new.visibility = 'shared') EXECUTE FUNCTION count_shared_media();

CREATE TRIGGER media_shared_delete AFTER DELETE ON media_items
FOR EACH ROW WHEN (old.visibility = 'shared') EXECUTE FUNCTION count_shared_media();

CREATE TRIGGER media_shared_update AFTER UPDATE OF visibility, is_nsfw ON media_items
FOR EACH ROW WHEN (
    old.visibility <> new.visibility OR (new.visibility = 'shared' AND old.is_nsfw <> new.is_nsfw)
)
EXECUTE FUNCTION count_shared_media();

CREATE TABLE collections (
    id TEXT COLLATE "C" PRIMARY KEY,
    user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name TEXT COLLATE "C" NOT NULL CONSTRAINT collections_name CHECK (name <> ''),
    description TEXT COLLATE "C" NOT NULL,
    visibility TEXT COLLATE "C" NOT NULL
        CONSTRAINT collections_visibility CHECK (visibility IN ('private', 'shared')),
    with_details BOOLEAN NOT NULL,
    version BIGINT NOT NULL DEFAULT 1,
    created_at TEXT COLLATE "C" NOT NULL,
    updated_at TEXT COLLATE "C" NOT NULL
);

CREATE INDEX collections_owner ON collections (user_id, created_at DESC, id DESC);

CREATE INDEX collections_shared ON collections (created_at DESC, id DESC, user_id) WHERE visibility = 'shared';

CREATE TABLE collection_media (
    collection_id TEXT COLLATE "C" NOT NULL REFERENCES collections (id) ON DELETE CASCADE,
    media_id TEXT COLLATE "C" NOT NULL,
    position BIGINT NOT NULL,
    PRIMARY KEY (collection_id, media_id)
);

CREATE INDEX collection_media_order ON collection_media (collection_id, position, media_id);

CREATE INDEX collection_media_item ON collection_media (media_id);

CREATE FUNCTION leave_collections() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM trash AS t WHERE t.kind = 'media' AND t.item_id = old.id) THEN
        DELETE FROM collection_media WHERE media_id = old.id;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER media_collection_deletion AFTER DELETE ON media_items
FOR EACH ROW EXECUTE FUNCTION leave_collections();

CREATE FUNCTION forget_collections() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM media_items AS m WHERE m.id = old.item_id) THEN
        DELETE FROM collection_media WHERE media_id = old.item_id;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER trash_collection_deletion AFTER DELETE ON trash
FOR EACH ROW WHEN (old.kind = 'media') EXECUTE FUNCTION forget_collections();

CREATE TABLE share_links (
    id TEXT COLLATE "C" PRIMARY KEY,
    user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    token_hash TEXT COLLATE "C" NOT NULL CONSTRAINT share_links_token UNIQUE,
    media_id TEXT COLLATE "C" REFERENCES media_items (id) ON DELETE CASCADE,
    collection_id TEXT COLLATE "C" REFERENCES collections (id) ON DELETE CASCADE,
    with_details BOOLEAN NOT NULL,
    created_at TEXT COLLATE "C" NOT NULL,
    expires_at TEXT COLLATE "C" NOT NULL,
    CONSTRAINT share_links_one CHECK ((media_id IS NULL) <> (collection_id IS NULL))
);

CREATE INDEX share_links_owner ON share_links (user_id, created_at DESC, id DESC);

CREATE INDEX share_links_media ON share_links (media_id);

CREATE INDEX share_links_collection ON share_links (collection_id);

CREATE INDEX share_links_expiry ON share_links (expires_at);

CREATE VIEW shared_media AS
SELECT m.id AS media_id, m.with_details
FROM media_items AS m
INNER JOIN users AS u ON u.id = m.user_id AND u.is_active = TRUE
WHERE m.visibility = 'shared'
UNION ALL
SELECT x.media_id, c.with_details
FROM collection_media AS x
CROSS JOIN collections AS c
CROSS JOIN media_items AS m
CROSS JOIN users AS u
WHERE c.id = x.collection_id AND c.visibility = 'shared' AND m.id = x.media_id AND m.user_id = c.user_id
    AND u.id = c.user_id AND u.is_active = TRUE;
