DROP TRIGGER personas_revision_deletion;

DROP TRIGGER trash_revision_deletion;

DROP TABLE persona_revisions;

ALTER TABLE personas DROP COLUMN revision_note;

ALTER TABLE personas DROP COLUMN revised_by;

ALTER TABLE personas DROP COLUMN revised_at;

ALTER TABLE personas DROP COLUMN extensions;
