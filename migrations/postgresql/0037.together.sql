-- As on SQLite: what joins sharing, limits and leaving.

CREATE VIEW sharers AS
SELECT u.id AS user_id
FROM users AS u
WHERE u.is_active = TRUE
    AND COALESCE(
        u.may_share, (SELECT g.may_share FROM account_groups AS g WHERE g.id = u.group_id), TRUE
    ) = TRUE;

CREATE OR REPLACE VIEW shared_media AS
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

ALTER TABLE invitations ADD COLUMN group_id BIGINT REFERENCES account_groups (id) ON DELETE SET NULL;

CREATE INDEX invitations_group ON invitations (group_id);

CREATE TRIGGER personas_shared_owner AFTER UPDATE OF user_id ON personas
FOR EACH ROW WHEN (old.user_id <> new.user_id AND old.visibility = 'shared')
EXECUTE FUNCTION count_shared_persona();

CREATE TRIGGER media_shared_owner AFTER UPDATE OF user_id ON media_items
FOR EACH ROW WHEN (old.user_id <> new.user_id AND old.visibility = 'shared')
EXECUTE FUNCTION count_shared_media();

CREATE FUNCTION end_media_links() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM share_links WHERE media_id = new.id;
    RETURN NULL;
END
$$;

CREATE TRIGGER media_links_owner AFTER UPDATE OF user_id ON media_items
FOR EACH ROW WHEN (old.user_id <> new.user_id) EXECUTE FUNCTION end_media_links();

CREATE FUNCTION end_collection_links() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM share_links WHERE collection_id = new.id;
    RETURN NULL;
END
$$;

CREATE TRIGGER collections_links_owner AFTER UPDATE OF user_id ON collections
FOR EACH ROW WHEN (old.user_id <> new.user_id) EXECUTE FUNCTION end_collection_links();
