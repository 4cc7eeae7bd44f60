-- name: beside^
-- What a persona's row has beside what answers show: its extensions, and how its present revision came about.
SELECT extensions, revised_at, revised_by, revision_note FROM personas WHERE id = :id AND user_id = :user_id;

-- name: keep!
-- Keep how a persona was before a change.
INSERT INTO persona_revisions (
    user_id, persona_id, number, made_at, made_by, note, is_nsfw, content_hash, document
)
VALUES (
    :user_id, :persona_id, :number, :made_at, :made_by, :note, :is_nsfw, :content_hash, :document
);

-- name: kept
-- The revisions of a persona before its present one, newest first, that the NSFW settings in force let be seen.
SELECT r.number, r.made_at, r.made_by, r.note, r.is_nsfw, r.content_hash, r.document
FROM persona_revisions AS r
WHERE r.user_id = :user_id AND r.persona_id = :persona_id AND r.number <= :up_to
    AND (r.is_nsfw = FALSE OR EXISTS (SELECT 1 FROM nsfw_viewers AS v WHERE v.user_id = r.user_id))
ORDER BY r.number DESC
LIMIT :limit OFFSET :offset;

-- name: count$
-- How many such revisions there are.
SELECT COUNT(*) FROM persona_revisions AS r
WHERE r.user_id = :user_id AND r.persona_id = :persona_id
    AND (r.is_nsfw = FALSE OR EXISTS (SELECT 1 FROM nsfw_viewers AS v WHERE v.user_id = r.user_id));

-- name: prune!
-- Delete the revisions of a persona up to a number. What must outlive that (a base of an import) is left out here.
DELETE FROM persona_revisions
WHERE user_id = :user_id AND persona_id = :persona_id AND number <= :up_to;

-- name: mark_nsfw!
-- Make all revisions of a persona NSFW.
UPDATE persona_revisions SET is_nsfw = TRUE
WHERE user_id = :user_id AND persona_id = :persona_id AND is_nsfw = FALSE;

-- name: purge_batch!
-- Delete some revisions of a deleted account.
DELETE FROM persona_revisions WHERE id IN (SELECT id FROM persona_revisions WHERE user_id = :user_id LIMIT :limit);
