DROP TRIGGER collections_links_owner ON collections;

DROP FUNCTION end_collection_links;

DROP TRIGGER media_links_owner ON media_items;

DROP FUNCTION end_media_links;

DROP TRIGGER media_shared_owner ON media_items;

DROP TRIGGER personas_shared_owner ON personas;

DROP INDEX invitations_group;

ALTER TABLE invitations DROP COLUMN group_id;

CREATE OR REPLACE VIEW shared_media AS
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

DROP VIEW sharers;
