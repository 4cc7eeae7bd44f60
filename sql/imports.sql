-- name: create!
-- Begin a plan, which nobody sees until all of its entries are there.
INSERT INTO imports (id, user_id, status, options, files, created_at, updated_at, expires_at)
VALUES (:id, :user_id, 'planning', :options, :files, :now, :now, :expires_at);

-- name: add_entries*!
-- Write entries of a plan.
INSERT INTO import_entries (
    import_id, n, locator, format, tool, file, entry, action, match, persona_id, version, is_nsfw, document, original,
    sha256, media_id, file_key
)
VALUES (
    :import_id, :n, :locator, :format, :tool, :file, :entry, :action, :match, :persona_id, :version, :is_nsfw,
    :document, :original, :sha256, :media_id, :file_key
);

-- name: show!
-- A plan is whole.
UPDATE imports
SET status = 'planned', summary = :summary, entries = :entries, updated_at = :now, expires_at = :expires_at
WHERE id = :id AND user_id = :user_id AND status = 'planning';

-- name: get^
-- One import of a user.
SELECT
    id, user_id, status, options, files, summary, choices, entries, done, error_code, error_message, version,
    created_at, updated_at, expires_at
FROM imports WHERE id = :id AND user_id = :user_id AND status <> 'planning';

-- name: page
-- A page of a user's imports, the newest first.
SELECT
    i.id, i.user_id, i.status, i.options, i.files, i.summary, i.choices, i.entries, i.done, i.error_code,
    i.error_message, i.version, i.created_at, i.updated_at, i.expires_at
FROM (
    SELECT id FROM imports
    WHERE user_id = :user_id AND status <> 'planning'
    ORDER BY created_at DESC, id DESC
    LIMIT :limit OFFSET :offset
) AS page
INNER JOIN imports AS i ON i.id = page.id
ORDER BY i.created_at DESC, i.id DESC;

-- name: count$
-- How many imports a user has.
SELECT COUNT(*) FROM imports WHERE user_id = :user_id AND status <> 'planning';

-- name: plans$
-- How many plans a user has that are being made or can be applied.
SELECT COUNT(*) FROM imports WHERE user_id = :user_id AND status IN ('planning', 'planned', 'failed');

-- name: entries_page
-- A page of an import's entries, in their order.
-- family: which action: action = :action
-- family: which all: n >= 0
SELECT
    e.n, e.locator, e.format, e.tool, e.file, e.entry, e.action, e.match, e.persona_id, e.written_id, e.is_nsfw,
    e.document, e.media_id, e.state, e.note
FROM (
    SELECT import_id AS page_import_id, n AS page_n FROM import_entries
    WHERE import_id = :import_id AND action = :action AND (is_nsfw = FALSE OR :nsfw = TRUE)
    ORDER BY n
    LIMIT :limit OFFSET :offset
) AS page
INNER JOIN import_entries AS e ON e.import_id = page.page_import_id AND e.n = page.page_n
ORDER BY e.n;

-- name: entries_count$
-- How many entries such a list has.
-- family: which action: action = :action
-- family: which all: n >= 0
SELECT COUNT(*) FROM import_entries
WHERE import_id = :import_id AND action = :action AND (is_nsfw = FALSE OR :nsfw = TRUE);

-- name: outline
-- What an import would do, entry by entry, without what it says.
SELECT n, action, match, persona_id, is_nsfw, state, file_key
FROM import_entries WHERE import_id = :import_id ORDER BY n;

-- name: changed_since
-- The entries whose persona has changed, or gone, since it was planned.
SELECT e.n
FROM import_entries AS e
LEFT JOIN personas AS p ON p.id = e.persona_id AND p.user_id = :user_id
WHERE e.import_id = :import_id AND e.persona_id IS NOT NULL AND e.state = 'planned'
    AND (p.id IS NULL OR p.version <> e.version)
ORDER BY e.n;

-- name: imported_since
-- The entries that were new when they were planned, and came in by another import meanwhile.
SELECT e.n
FROM import_entries AS e
INNER JOIN persona_sources AS s
    ON s.user_id = :user_id AND s.format = e.format AND s.file = e.file AND s.entry = e.entry
WHERE e.import_id = :import_id AND e.persona_id IS NULL AND e.state = 'planned'
ORDER BY e.n;

-- name: working$
-- Whether a user has an import that is being applied or undone.
SELECT 1 FROM imports WHERE user_id = :user_id AND status IN ('applying', 'undoing') LIMIT 1;

-- name: begin!
-- Let an import be applied, or undone: by who claims it with it, or without a claim by whoever comes.
UPDATE imports
SET status = :status, choices = :choices, done = :done, claim = :claim, leased_until = :leased_until,
    error_code = NULL, error_message = NULL, version = version + 1, updated_at = :now
WHERE id = :id AND user_id = :user_id AND version = :version;

-- name: waiting
-- The imports that are being applied or undone and that nobody works on: never claimed, or given up; asked without the
-- write lock.
SELECT id, user_id FROM imports
WHERE status IN ('applying', 'undoing')
    AND (claim IS NULL OR claim = :claim OR leased_until < :now OR leased_until > :horizon)
ORDER BY updated_at LIMIT 8;

-- name: claim^
-- Take an import upon oneself that nobody works on; `claimed_before` says whether somebody did and gave no more sign.
UPDATE imports
SET claim = :claim, leased_until = :leased_until,
    error_code = CASE
        WHEN status = 'applying' AND error_code IS NULL AND claim IS NOT NULL AND claim <> :claim THEN 'interrupted'
        ELSE error_code
    END,
    error_message = CASE
        WHEN status = 'applying' AND error_code IS NULL AND claim IS NOT NULL AND claim <> :claim THEN :interrupted
        ELSE error_message
    END
WHERE id = :id AND status IN ('applying', 'undoing')
    AND (claim IS NULL OR claim = :claim OR leased_until < :now OR leased_until > :horizon)
RETURNING id, user_id, status, options, files, summary, choices, entries, done, error_code, error_message, version;

-- name: progress!
-- Say how far one's work on an import is; 0 where somebody else has taken it.
UPDATE imports SET done = :done, leased_until = :leased_until, updated_at = :now
WHERE id = :id AND claim = :claim;

-- name: fail!
-- From here on what an import has done is taken back.
UPDATE imports
SET error_code = :error_code, error_message = :error_message, leased_until = :leased_until, version = version + 1,
    updated_at = :now
WHERE id = :id AND claim = :claim;

-- name: end!
-- An import is applied, undone or taken back.
UPDATE imports
SET status = :status, summary = :summary, claim = NULL, leased_until = NULL, version = version + 1, updated_at = :now,
    expires_at = :expires_at
WHERE id = :id AND claim = :claim;

-- name: results
-- What became of an import's entries.
SELECT action, state, COUNT(*) AS n FROM import_entries WHERE import_id = :import_id GROUP BY action, state;

-- name: entries_on
-- Some entries from one on, to apply them.
SELECT
    n, format, tool, file, entry, action, match, persona_id, version, is_nsfw, document, media_id, file_key, state
FROM import_entries
WHERE import_id = :import_id AND n >= :n AND n < :up_to
ORDER BY n;

-- name: entries_back
-- Some entries before one that were applied, the last first, to take them back.
SELECT n, action, written_id, media_id, file_key, replaced, left_version
FROM import_entries
WHERE import_id = :import_id AND n < :n AND state = 'done'
ORDER BY n DESC
LIMIT :limit;

-- name: journal!
-- An entry was applied.
UPDATE import_entries
SET state = 'done', action = :action, written_id = :written_id, replaced = :replaced, left_version = :left_version,
    note = :note
WHERE import_id = :import_id AND n = :n;

-- name: decide!
-- An entry was passed over, as its owner decided.
UPDATE import_entries SET action = :action WHERE import_id = :import_id AND n = :n;

-- name: journal_back!
-- An entry was taken back, or could not be.
UPDATE import_entries
SET state = :state, note = :note, written_id = NULL, version = COALESCE(:version, version), replaced = NULL,
    left_version = NULL
WHERE import_id = :import_id AND n = :n;

-- name: expiring^
-- An import whose time is over and that nobody works on; asked without the write lock.
SELECT id FROM imports
WHERE expires_at < :now AND status NOT IN ('applying', 'undoing')
ORDER BY expires_at LIMIT 1;

-- name: expire!
-- From here on nobody can apply or undo it.
UPDATE imports SET status = 'expired', version = version + 1, updated_at = :now
WHERE id = :id AND status NOT IN ('applying', 'undoing');

-- name: drop_entries!
-- Delete some entries of an import that has expired.
DELETE FROM import_entries
WHERE import_id = :import_id AND n IN (
    SELECT e.n FROM import_entries AS e WHERE e.import_id = :import_id ORDER BY e.n LIMIT :limit
);

-- name: drop!
-- Delete an import that has expired.
DELETE FROM imports WHERE id = :id AND status = 'expired';

-- name: purge_batch!
-- Delete some entries of a deleted account's imports.
DELETE FROM import_entries WHERE (import_id, n) IN (
    SELECT e.import_id, e.n
    FROM imports AS i
    CROSS JOIN import_entries AS e
    WHERE i.user_id = :user_id AND e.import_id = i.id
    LIMIT :limit
);
