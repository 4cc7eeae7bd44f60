-- name: create$
-- Offer what an account has to another one; no row where something of it is offered already.
INSERT INTO hand_overs (from_id, from_name, to_id, to_name, made_by, what, created_at, expires_at)
VALUES (:from_id, :from_name, :to_id, :to_name, :made_by, :what, :now, :expires_at)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: get^
-- A hand-over, for administrators and the work on it.
SELECT
    id, from_id, from_name, to_id, to_name, what, status, personas, media, bytes, personas_left, media_left,
    created_at, expires_at, answered_at, ended_at
FROM hand_overs WHERE id = :id;

-- name: page
-- A page of the hand-overs, the last one first: all, or those to one account.
-- family: which all: id > 0
-- family: which to: to_id = :to_id
SELECT
    h.id, h.from_id, h.from_name, h.to_id, h.to_name, h.what, h.status, h.personas, h.media, h.bytes,
    h.personas_left, h.media_left, h.created_at, h.expires_at, h.answered_at, h.ended_at
FROM (
    SELECT id AS page_id FROM hand_overs
    WHERE id > 0
    ORDER BY created_at DESC, id DESC LIMIT :limit OFFSET :offset
) AS page
INNER JOIN hand_overs AS h ON h.id = page.page_id
ORDER BY h.created_at DESC, h.id DESC;

-- name: count$
-- How many hand-overs such a list has.
-- family: which all: id > 0
-- family: which to: to_id = :to_id
SELECT COUNT(*) FROM hand_overs WHERE id > 0;

-- name: answer!
-- Accept, decline or withdraw an offer that is open.
UPDATE hand_overs SET status = :status, answered_at = :now, ended_at = :ended_at
WHERE id = :id AND status = 'pending' AND expires_at > :now;

-- name: withdraw_all!
-- Withdraw the open offers from and to an account that is deleted.
UPDATE hand_overs SET status = 'withdrawn', ended_at = :now
WHERE status = 'pending' AND (from_id = :user_id OR to_id = :user_id);

-- name: expire!
-- End the offers that nobody has answered.
UPDATE hand_overs SET status = 'expired', ended_at = :now WHERE status = 'pending' AND expires_at <= :now;

-- name: accepted
-- What was accepted and is not all moved yet.
SELECT id, from_id, to_id FROM hand_overs WHERE status = 'accepted' ORDER BY from_id, id;

-- name: is_receiver_there$
-- A row while the account that gets it is not deleted.
SELECT 1 FROM users WHERE id = :to_id AND deleted_at IS NULL;

-- name: personas
-- Some of the personas that go, after a moment and an id, the oldest first.
-- family: which safe: AND p.is_nsfw = FALSE
-- family: which all:
-- family: what all: p.user_id = :from_id
-- family: what shared: p.user_id = :from_id AND p.id IN (SELECT q.id FROM personas AS q WHERE q.visibility = 'shared' AND q.user_id + 0 = :from_id)
SELECT p.id, p.created_at
FROM personas AS p
WHERE p.user_id = :from_id AND p.is_nsfw = FALSE
    AND p.created_at >= :since AND (p.created_at > :since OR p.id > :after)
ORDER BY p.created_at, p.id
LIMIT :limit;

-- name: move_personas*!
-- Make a persona the receiver's; a trigger carries along what hangs on it.
UPDATE personas SET user_id = :to_id, version = version + 1 WHERE id = :id AND user_id = :from_id;

-- name: media
-- Some of the media that go likewise. What a job has made that is not at its end stays: by its rows the job knows what is
-- left to do. Of what is shared go the pictures too that stand in a shared collection, or for a shared persona.
-- family: which safe: AND m.is_nsfw = FALSE
-- family: which all:
-- family: what all: m.user_id = :from_id
-- family: what shared: m.user_id = :from_id AND m.id IN (SELECT q.id FROM media_items AS q WHERE q.visibility = 'shared' AND q.user_id + 0 = :from_id UNION SELECT x.media_id FROM collections AS c CROSS JOIN collection_media AS x WHERE c.user_id = :from_id AND c.visibility = 'shared' AND x.collection_id = c.id UNION SELECT p.avatar_media_id FROM personas AS p WHERE p.visibility = 'shared' AND p.avatar_media_id IS NOT NULL AND p.user_id + 0 IN (:from_id, :to_id) AND (p.is_nsfw = FALSE OR :nsfw = TRUE))
SELECT m.id, m.created_at, m.file_size, m.job_id
FROM media_items AS m
WHERE m.user_id = :from_id AND m.is_nsfw = FALSE
    AND m.created_at >= :since AND (m.created_at > :since OR m.id > :after)
    AND NOT EXISTS (
        SELECT 1 FROM generation_jobs AS j WHERE j.id = m.job_id AND j.status IN ('queued', 'processing')
    )
ORDER BY m.created_at, m.id
LIMIT :limit;

-- name: move_media*!
-- Make an item the receiver's, without its job, which stays, and without a persona that stays.
UPDATE media_items
SET user_id = :to_id, job_id = NULL, version = version + 1,
    persona_id = (
        SELECT p.id FROM personas AS p WHERE p.id = media_items.persona_id AND p.user_id <> :from_id
    )
WHERE id = :id AND user_id = :from_id;

-- name: jobs_changed*!
-- A picture of a job has gone to somebody else: what the job shows changes.
UPDATE generation_jobs SET version = version + 1, updated_at = :now WHERE id = :job_id AND user_id = :from_id;

-- name: count_up!
-- Write how much a transaction has moved.
UPDATE hand_overs SET personas = personas + :personas, media = media + :media, bytes = bytes + :bytes
WHERE id = :id AND status = 'accepted';

-- name: finish!
-- All is moved that goes, or the receiver is no more; with what stays behind.
UPDATE hand_overs
SET status = :status, personas_left = :personas_left, media_left = :media_left, ended_at = :now
WHERE id = :id AND status = 'accepted';

-- name: shared_media^
-- How many media of an account go where what is shared goes, and their bytes.
SELECT COUNT(*) AS n, COALESCE(SUM(m.file_size), 0) AS bytes
FROM media_items AS m
WHERE m.user_id = :from_id AND (m.is_nsfw = FALSE OR :nsfw = TRUE)
    AND m.id IN (
        SELECT q.id FROM media_items AS q WHERE q.visibility = 'shared' AND q.user_id + 0 = :from_id
        UNION
        SELECT x.media_id FROM collections AS c CROSS JOIN collection_media AS x
        WHERE c.user_id = :from_id AND c.visibility = 'shared' AND x.collection_id = c.id
        UNION
        SELECT p.avatar_media_id FROM personas AS p
        WHERE p.visibility = 'shared' AND p.avatar_media_id IS NOT NULL AND p.user_id + 0 IN (:from_id, :to_id)
            AND (p.is_nsfw = FALSE OR :nsfw = TRUE)
    );

-- name: shared_personas$
-- How many personas an account shares, from the counters.
SELECT COALESCE(SUM(n), 0) FROM shared_persona_counts
WHERE user_id = :from_id AND (is_nsfw = FALSE OR :nsfw = TRUE);

-- name: collections
-- Some of the collections that go, the oldest first.
-- family: what shared: AND c.visibility = 'shared'
-- family: what all:
SELECT c.id FROM collections AS c
WHERE c.user_id = :from_id AND c.visibility = 'shared'
ORDER BY c.created_at, c.id
LIMIT :limit;

-- name: collections_count$
-- How many collections go.
-- family: what shared: AND c.visibility = 'shared'
-- family: what all:
SELECT COUNT(*) FROM collections AS c
WHERE c.user_id = :from_id AND c.visibility = 'shared';

-- name: move_collections*!
-- Make a collection the receiver's; a trigger ends its links.
UPDATE collections SET user_id = :to_id, version = version + 1, updated_at = :now
WHERE id = :id AND user_id = :from_id;

-- name: thin_collections*!
-- Take out of a collection what is not the receiver's: what stays, and what lies in the trash.
DELETE FROM collection_media
WHERE collection_id = :id
    AND NOT EXISTS (
        SELECT 1 FROM media_items AS m WHERE m.id = collection_media.media_id AND m.user_id = :to_id
    );

-- name: take_out*!
-- Take an item that goes out of the collections that stay: those that are private.
DELETE FROM collection_media
WHERE media_id = :id
    AND EXISTS (
        SELECT 1 FROM collections AS c
        WHERE c.id = collection_media.collection_id AND c.user_id = :from_id AND c.visibility = 'private'
    );
