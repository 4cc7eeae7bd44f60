-- name: create$
-- Remember an invitation by its token's digest.
INSERT INTO invitations (digest, email, note, group_id, made_by, created_at, expires_at)
VALUES (:digest, :email, :note, :group_id, :made_by, :now, :expires_at)
RETURNING id;

-- name: open^
-- An invitation that is still good.
SELECT id, email FROM invitations WHERE digest = :digest AND used_at IS NULL AND expires_at > :now;

-- name: take^
-- Use an invitation, once: none is left where it was used, was taken back or has expired. Answers its group.
UPDATE invitations SET used_at = :now, used_by = :used_by
WHERE digest = :digest AND used_at IS NULL AND expires_at > :now
RETURNING group_id;

-- name: page
-- A page of the invitations, the last one first, with who made and who used them while these accounts are there.
SELECT
    i.id, i.email, i.note, i.group_id, i.created_at, i.expires_at, i.used_at, i.made_by, i.used_by,
    m.username AS maker, u.username AS guest
FROM (SELECT id FROM invitations ORDER BY created_at DESC, id DESC LIMIT :limit OFFSET :offset) AS page
INNER JOIN invitations AS i ON i.id = page.id
LEFT JOIN users AS m ON m.id = i.made_by AND m.deleted_at IS NULL
LEFT JOIN users AS u ON u.id = i.used_by AND u.deleted_at IS NULL
ORDER BY i.created_at DESC, i.id DESC;

-- name: count$
-- How many invitations there are.
SELECT COUNT(*) FROM invitations;

-- name: delete!
-- Take an invitation back; one that was used stays on record until it is pruned.
DELETE FROM invitations WHERE id = :id AND used_at IS NULL;

-- name: prune!
-- Drop invitations that ended long ago.
DELETE FROM invitations WHERE expires_at < :before;
