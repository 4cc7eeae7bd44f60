-- Coming and leaving: invitations, and what an account hands over to another one.
-- invitations.digest is the token's hash. made_by and used_by are plain columns: an invitation outlives who made it.
-- hand_overs are a record for good: accounts are plain columns with the names that they had, so that one that is deleted
-- can still be read about. Triggers carry counters and search texts along where a row changes its owner.

CREATE TABLE invitations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    digest TEXT NOT NULL CONSTRAINT invitations_digest UNIQUE,
    email TEXT,
    note TEXT NOT NULL DEFAULT '',
    made_by INTEGER,
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    used_at TEXT,
    used_by INTEGER,
    CONSTRAINT invitations_used CHECK ((used_at IS NULL) = (used_by IS NULL))
) STRICT;

CREATE INDEX invitations_made ON invitations (created_at DESC, id DESC);

CREATE INDEX invitations_expiry ON invitations (expires_at);

CREATE TABLE hand_overs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    from_id INTEGER NOT NULL,
    from_name TEXT NOT NULL,
    to_id INTEGER NOT NULL,
    to_name TEXT NOT NULL,
    made_by INTEGER NOT NULL,
    what TEXT NOT NULL CONSTRAINT hand_overs_what CHECK (what IN ('shared', 'all')),
    status TEXT NOT NULL DEFAULT 'pending' CONSTRAINT hand_overs_status CHECK (status IN (
        'pending', 'accepted', 'completed', 'declined', 'withdrawn', 'expired', 'failed'
    )),
    personas INTEGER NOT NULL DEFAULT 0 CONSTRAINT hand_overs_personas CHECK (personas >= 0),
    media INTEGER NOT NULL DEFAULT 0 CONSTRAINT hand_overs_media CHECK (media >= 0),
    bytes INTEGER NOT NULL DEFAULT 0 CONSTRAINT hand_overs_bytes CHECK (bytes >= 0),
    personas_left INTEGER NOT NULL DEFAULT 0 CONSTRAINT hand_overs_personas_left CHECK (personas_left >= 0),
    media_left INTEGER NOT NULL DEFAULT 0 CONSTRAINT hand_overs_media_left CHECK (media_left >= 0),
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    answered_at TEXT,
    ended_at TEXT,
    CONSTRAINT hand_overs_two CHECK (from_id <> to_id)
) STRICT;

CREATE UNIQUE INDEX hand_overs_open ON hand_overs (from_id) WHERE status IN ('pending', 'accepted');

CREATE INDEX hand_overs_receiver ON hand_overs (to_id, created_at DESC, id DESC);

CREATE INDEX hand_overs_made ON hand_overs (created_at DESC, id DESC);

CREATE INDEX hand_overs_expiry ON hand_overs (expires_at) WHERE status = 'pending';

CREATE INDEX hand_overs_accepted ON hand_overs (from_id, id) WHERE status = 'accepted';

CREATE TRIGGER personas_owner AFTER UPDATE OF user_id ON personas
WHEN old.user_id <> new.user_id
BEGIN
    UPDATE persona_counts SET n = n - 1
    WHERE user_id = old.user_id AND is_nsfw = old.is_nsfw AND is_favorite = old.is_favorite;
    INSERT INTO persona_counts (user_id, is_nsfw, is_favorite, n)
    VALUES (new.user_id, new.is_nsfw, new.is_favorite, 1)
    ON CONFLICT (user_id, is_nsfw, is_favorite) DO UPDATE SET n = n + 1;
    UPDATE persona_texts SET doc_id = (new.user_id << 32) | new.id WHERE doc_id = (old.user_id << 32) | old.id;
    UPDATE persona_tags SET user_id = new.user_id WHERE persona_id = new.id;
    UPDATE persona_sources SET user_id = new.user_id WHERE persona_id = new.id;
    UPDATE persona_revisions SET user_id = new.user_id WHERE user_id = old.user_id AND persona_id = new.id;
END;

CREATE TRIGGER media_owner AFTER UPDATE OF user_id ON media_items
WHEN old.user_id <> new.user_id
BEGIN
    UPDATE media_counts SET n = n - 1, bytes = bytes - old.file_size
    WHERE user_id = old.user_id AND is_nsfw = old.is_nsfw
        AND is_favorite = old.is_favorite AND file_type = old.file_type;
    INSERT INTO media_counts (user_id, is_nsfw, is_favorite, file_type, n, bytes)
    VALUES (new.user_id, new.is_nsfw, new.is_favorite, new.file_type, 1, new.file_size)
    ON CONFLICT (user_id, is_nsfw, is_favorite, file_type) DO UPDATE SET n = n + 1, bytes = bytes + excluded.bytes;
    UPDATE media_tags SET user_id = new.user_id WHERE media_id = new.id;
    UPDATE media_loras SET user_id = new.user_id WHERE media_id = new.id;
END;
