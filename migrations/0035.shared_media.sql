-- What is given to others: media to everybody on the instance, media in collections, and links for outsiders.
-- with_details: prompt, parameters and tags are given too. collection_media.media_id is a plain column: what lies in
-- the trash is in no collection, and is in its own again when it comes back; triggers forget what goes for ever.
-- share_links: what a picture or a collection is given by to whoever has the token, of which the hash alone is kept.

ALTER TABLE media_items ADD COLUMN visibility TEXT NOT NULL DEFAULT 'private'
CONSTRAINT media_visibility CHECK (visibility IN ('private', 'shared'));

ALTER TABLE media_items ADD COLUMN with_details INTEGER NOT NULL DEFAULT 0
CONSTRAINT media_with_details CHECK (with_details IN (0, 1));

CREATE INDEX media_shared ON media_items (created_at DESC, id DESC, user_id, is_nsfw) WHERE visibility = 'shared';

CREATE TABLE shared_media_counts (
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    is_nsfw INTEGER NOT NULL,
    n INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (user_id, is_nsfw)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER media_shared_insert AFTER INSERT ON media_items
WHEN new.visibility = 'shared'
BEGIN
    INSERT INTO shared_media_counts (user_id, is_nsfw, n, bytes) VALUES (new.user_id, new.is_nsfw, 1, new.file_size)
    ON CONFLICT (user_id, is_nsfw) DO UPDATE SET n = n + 1, bytes = bytes + excluded.bytes;
END;

CREATE TRIGGER media_shared_delete AFTER DELETE ON media_items
WHEN old.visibility = 'shared'
BEGIN
    UPDATE shared_media_counts SET n = n - 1, bytes = bytes - old.file_size
    WHERE user_id = old.user_id AND is_nsfw = old.is_nsfw;
END;

CREATE TRIGGER media_shared_leave AFTER UPDATE OF visibility, is_nsfw ON media_items
WHEN old.visibility = 'shared' AND (new.visibility <> 'shared' OR new.is_nsfw <> old.is_nsfw)
BEGIN
    UPDATE shared_media_counts SET n = n - 1, bytes = bytes - old.file_size
    WHERE user_id = old.user_id AND is_nsfw = old.is_nsfw;
END;

CREATE TRIGGER media_shared_come AFTER UPDATE OF visibility, is_nsfw ON media_items
WHEN new.visibility = 'shared' AND (old.visibility <> 'shared' OR new.is_nsfw <> old.is_nsfw)
BEGIN
    INSERT INTO shared_media_counts (user_id, is_nsfw, n, bytes) VALUES (new.user_id, new.is_nsfw, 1, new.file_size)
    ON CONFLICT (user_id, is_nsfw) DO UPDATE SET n = n + 1, bytes = bytes + excluded.bytes;
END;

CREATE TABLE collections (
    id TEXT PRIMARY KEY NOT NULL,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name TEXT NOT NULL CONSTRAINT collections_name CHECK (name <> ''),
    description TEXT NOT NULL,
    visibility TEXT NOT NULL CONSTRAINT collections_visibility CHECK (visibility IN ('private', 'shared')),
    with_details INTEGER NOT NULL CONSTRAINT collections_with_details CHECK (with_details IN (0, 1)),
    version INTEGER NOT NULL DEFAULT 1,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;

CREATE INDEX collections_owner ON collections (user_id, created_at DESC, id DESC);

CREATE INDEX collections_shared ON collections (created_at DESC, id DESC, user_id) WHERE visibility = 'shared';

CREATE TABLE collection_media (
    collection_id TEXT NOT NULL REFERENCES collections (id) ON DELETE CASCADE,
    media_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (collection_id, media_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX collection_media_order ON collection_media (collection_id, position, media_id);

CREATE INDEX collection_media_item ON collection_media (media_id);

CREATE TRIGGER media_collection_deletion AFTER DELETE ON media_items
WHEN NOT EXISTS (SELECT 1 FROM trash AS t WHERE t.kind = 'media' AND t.item_id = old.id)
BEGIN
    DELETE FROM collection_media WHERE media_id = old.id;
END;

CREATE TRIGGER trash_collection_deletion AFTER DELETE ON trash
WHEN old.kind = 'media' AND NOT EXISTS (SELECT 1 FROM media_items AS m WHERE m.id = old.item_id)
BEGIN
    DELETE FROM collection_media WHERE media_id = old.item_id;
END;

CREATE TABLE share_links (
    id TEXT PRIMARY KEY NOT NULL,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    token_hash TEXT NOT NULL CONSTRAINT share_links_token UNIQUE,
    media_id TEXT REFERENCES media_items (id) ON DELETE CASCADE,
    collection_id TEXT REFERENCES collections (id) ON DELETE CASCADE,
    with_details INTEGER NOT NULL CONSTRAINT share_links_with_details CHECK (with_details IN (0, 1)),
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    CONSTRAINT share_links_one CHECK ((media_id IS NULL) <> (collection_id IS NULL))
) STRICT;

CREATE INDEX share_links_owner ON share_links (user_id, created_at DESC, id DESC);

CREATE INDEX share_links_media ON share_links (media_id);

CREATE INDEX share_links_collection ON share_links (collection_id);

CREATE INDEX share_links_expiry ON share_links (expires_at);

-- Which media are given to everybody on the instance, one by one or in a collection, while their owner is there.
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
