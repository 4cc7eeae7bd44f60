-- How a persona was before each change of what a picture is made of. The present revision is the row of the persona;
-- what lies here is a whole document each: JSON of all its fields, compressed by zlib. made_by: what made the revision.
-- is_nsfw: as with jobs and media, once it is, it stays so. Who deletes a persona keeps its revisions as long as the
-- trash has it, so persona_id is a plain column, and triggers delete them.
-- personas.extensions: what other programs keep with a persona, by namespace, to be given back to them.
-- revised_at, revised_by, revision_note: how the present revision came about; NULL: with the persona itself, or unknown.

ALTER TABLE personas ADD COLUMN extensions TEXT NOT NULL DEFAULT '{}'
CONSTRAINT personas_extensions_json CHECK (JSON_VALID(extensions));

ALTER TABLE personas ADD COLUMN revised_at TEXT;

ALTER TABLE personas ADD COLUMN revised_by TEXT NOT NULL DEFAULT 'edit'
CONSTRAINT personas_revised_by CHECK (revised_by IN ('edit', 'import', 'undo', 'restore'));

ALTER TABLE personas ADD COLUMN revision_note TEXT NOT NULL DEFAULT '';

CREATE TABLE persona_revisions (
    id INTEGER PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    persona_id INTEGER NOT NULL,
    number INTEGER NOT NULL CONSTRAINT persona_revisions_number CHECK (number >= 1),
    made_at TEXT NOT NULL,
    made_by TEXT NOT NULL
        CONSTRAINT persona_revisions_made_by CHECK (made_by IN ('edit', 'import', 'undo', 'restore')),
    note TEXT NOT NULL,
    is_nsfw INTEGER NOT NULL CONSTRAINT persona_revisions_is_nsfw CHECK (is_nsfw IN (0, 1)),
    content_hash TEXT NOT NULL,
    document BLOB NOT NULL,
    CONSTRAINT persona_revisions_one UNIQUE (user_id, persona_id, number)
) STRICT;

CREATE TRIGGER personas_revision_deletion AFTER DELETE ON personas
WHEN NOT EXISTS (SELECT 1 FROM trash AS t WHERE t.kind = 'persona' AND t.item_id = CAST(old.id AS TEXT))
BEGIN
    DELETE FROM persona_revisions WHERE user_id = old.user_id AND persona_id = old.id;
END;

CREATE TRIGGER trash_revision_deletion AFTER DELETE ON trash
WHEN old.kind = 'persona' AND NOT EXISTS (SELECT 1 FROM personas AS p WHERE p.id = CAST(old.item_id AS INTEGER))
BEGIN
    DELETE FROM persona_revisions WHERE user_id = old.user_id AND persona_id = CAST(old.item_id AS INTEGER);
END;
