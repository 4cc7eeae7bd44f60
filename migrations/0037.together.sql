-- What joins sharing, limits and leaving.
-- sharers: the accounts that are there and may share, by their own word or else by that of their group. What is shared is
-- shared while its owner is one of them, and is again once they are again.

CREATE VIEW sharers AS
SELECT u.id AS user_id
FROM users AS u
WHERE u.is_active = TRUE
    AND COALESCE(
        u.may_share, (SELECT g.may_share FROM account_groups AS g WHERE g.id = u.group_id), TRUE
    ) = TRUE;

DROP VIEW shared_media;

-- Which media are given to everybody on the instance, one by one or in a collection, while their owner may share.
CREATE VIEW shared_media AS
SELECT m.id AS media_id, m.with_details
FROM media_items AS m
INNER JOIN sharers AS u ON u.user_id = m.user_id
WHERE m.visibility = 'shared'
UNION ALL
SELECT x.media_id, c.with_details
FROM collection_media AS x
CROSS JOIN collections AS c
CROSS JOIN media_items AS m
CROSS JOIN sharers AS u
WHERE c.id = x.collection_id AND c.visibility = 'shared' AND m.id = x.media_id AND m.user_id = c.user_id
    AND u.user_id = c.user_id;

ALTER TABLE invitations ADD COLUMN group_id INTEGER REFERENCES account_groups (id) ON DELETE SET NULL;

CREATE INDEX invitations_group ON invitations (group_id);

-- What of an item or a persona is shared goes along with it; links to an item were its old owner's word, and die.

CREATE TRIGGER personas_shared_owner AFTER UPDATE OF user_id ON personas
WHEN old.user_id <> new.user_id AND old.visibility = 'shared'
BEGIN
    UPDATE shared_persona_counts SET n = n - 1 WHERE user_id = old.user_id AND is_nsfw = old.is_nsfw;
    INSERT INTO shared_persona_counts (user_id, is_nsfw, n)
    VALUES (new.user_id, new.is_nsfw, 1)
    ON CONFLICT (user_id, is_nsfw) DO UPDATE SET n = n + 1;
END;

CREATE TRIGGER media_shared_owner AFTER UPDATE OF user_id ON media_items
WHEN old.user_id <> new.user_id AND old.visibility = 'shared'
BEGIN
    UPDATE shared_media_counts SET n = n - 1, bytes = bytes - old.file_size
    WHERE user_id = old.user_id AND is_nsfw = old.is_nsfw;
    INSERT INTO shared_media_counts (user_id, is_nsfw, n, bytes) VALUES (new.user_id, new.is_nsfw, 1, new.file_size)
    ON CONFLICT (user_id, is_nsfw) DO UPDATE SET n = n + 1, bytes = bytes + excluded.bytes;
END;

CREATE TRIGGER media_links_owner AFTER UPDATE OF user_id ON media_items
WHEN old.user_id <> new.user_id
BEGIN
    DELETE FROM share_links WHERE media_id = new.id;
END;

CREATE TRIGGER collections_links_owner AFTER UPDATE OF user_id ON collections
WHEN old.user_id <> new.user_id
BEGIN
    DELETE FROM share_links WHERE collection_id = new.id;
END;
