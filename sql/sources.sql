-- name: get^
-- Where a persona came from.
SELECT format, tool, file, entry, facts, sha256, original, base, revision, imported_at
FROM persona_sources WHERE persona_id = :persona_id AND user_id = :user_id;

-- name: put!
-- Write where a persona came from, in place of what was.
INSERT INTO persona_sources (
    persona_id, user_id, format, tool, file, entry, facts, sha256, original, base, revision, imported_at
)
VALUES (
    :persona_id, :user_id, :format, :tool, :file, :entry, :facts, :sha256, :original, :base, :revision, :imported_at
)
ON CONFLICT (persona_id) DO UPDATE
SET format = excluded.format, tool = excluded.tool, file = excluded.file, entry = excluded.entry,
    facts = excluded.facts, sha256 = excluded.sha256, original = excluded.original,
    base = excluded.base, revision = excluded.revision,
    imported_at = excluded.imported_at;

-- name: take!
-- Write where a persona came from as its entry of an import says it, in place of what was.
INSERT INTO persona_sources (
    persona_id, user_id, format, tool, file, entry, facts, sha256, original, base, revision, imported_at
)
SELECT CAST(:persona_id AS BIGINT) AS persona_id, CAST(:user_id AS BIGINT) AS user_id, e.format, e.tool, e.file,
    e.entry, CAST(:facts AS TEXT) AS facts, e.sha256, e.original, :base AS base, CAST(:revision AS BIGINT) AS revision,
    CAST(:imported_at AS TEXT) AS imported_at
FROM import_entries AS e
WHERE e.import_id = :import_id AND e.n = :n
ON CONFLICT (persona_id) DO UPDATE
SET format = excluded.format, tool = excluded.tool, file = excluded.file, entry = excluded.entry,
    facts = excluded.facts, sha256 = excluded.sha256, original = excluded.original,
    base = excluded.base, revision = excluded.revision,
    imported_at = excluded.imported_at;

-- name: remove!
-- Forget where a persona came from.
DELETE FROM persona_sources WHERE persona_id = :persona_id AND user_id = :user_id;

-- name: by_entry^
-- The persona that came from an entry, of those that may be seen the newest.
SELECT p.id, s.base
FROM persona_sources AS s
INNER JOIN personas AS p ON p.id = s.persona_id
WHERE s.user_id = :user_id AND s.format = :format AND s.file = :file AND s.entry = :entry
    AND (p.is_nsfw = FALSE OR :nsfw = TRUE)
ORDER BY s.persona_id DESC LIMIT 1;
