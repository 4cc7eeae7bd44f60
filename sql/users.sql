-- name: seed!
-- Make the system account where it is absent.
INSERT INTO users (id, username, username_key, email, email_key, is_active, settings, created_at, updated_at)
VALUES (:id, :username, :username, :email, :email, FALSE, :settings, :now, :now)
ON CONFLICT DO NOTHING;

-- name: seed_password!
-- Give the system account its password and make it active, or take both away.
UPDATE users
SET password_hash = :password_hash, is_active = (CAST(:password_hash AS TEXT) IS NOT NULL), updated_at = :now
WHERE id = :id;

-- name: password_hash$
-- The stored hash of an account.
SELECT password_hash FROM users WHERE id = :id;

-- name: record_first_person$
-- Answer a row for the first account ever made by a person, once in the life of the database.
INSERT INTO platform_state (name, value, created_at)
VALUES ('first_person', :username, :now)
ON CONFLICT (name) DO NOTHING
RETURNING name;

-- name: create^
-- Insert an account.
INSERT INTO users (
    username, username_key, email, email_key, password_hash, is_active, is_admin, nsfw_allowed, settings,
    created_at, updated_at
)
VALUES (
    :username, :username_key, :email, :email_key, :password_hash, TRUE, :is_admin, :nsfw_allowed, :settings, :now, :now
)
RETURNING id, username, email, is_active, is_admin, settings, created_at;

-- name: get^
-- An account that is not deleted.
SELECT id, username, email, is_active, is_admin, settings, created_at
FROM users WHERE id = :id AND deleted_at IS NULL;

-- name: get_for_update^
-- An account with its hash, read inside the transaction that changes it.
SELECT id, username, email, email_key, is_active, is_admin, nsfw_allowed, password_hash, settings
FROM users WHERE id = :id AND deleted_at IS NULL;

-- name: by_username^
-- Whom a login by username means.
SELECT id, username, is_active, is_admin, password_hash
FROM users WHERE username_key = :key AND deleted_at IS NULL;

-- name: by_email^
-- Whom a login by email means.
SELECT id, username, is_active, is_admin, password_hash
FROM users WHERE email_key = :key AND deleted_at IS NULL;

-- name: page
-- A page of the accounts with their figures and limits, in the order they were made, of all, of a group, or one of
-- them, for administrators.
-- family: which all: u.deleted_at IS NULL
-- family: which one: u.id = :id AND u.deleted_at IS NULL
-- family: which group: u.group_id = :id AND u.deleted_at IS NULL
SELECT
    page.id, page.username, page.email, page.is_active, page.is_admin, page.nsfw_allowed, page.created_at,
    page.group_id, page.engines, page.models, page.engine_minutes_a_day, page.max_pictures, page.max_bytes,
    page.may_share,
    (page.nsfw_allowed = TRUE AND COALESCE(g.nsfw_allowed, TRUE) = TRUE) AS nsfw_in_force,
    COALESCE(page.engines, g.engines) AS engines_in_force,
    COALESCE(page.models, g.models) AS models_in_force,
    COALESCE(page.engine_minutes_a_day, g.engine_minutes_a_day) AS minutes_in_force,
    COALESCE(page.max_pictures, g.max_pictures) AS pictures_in_force,
    COALESCE(page.max_bytes, g.max_bytes) AS bytes_in_force,
    COALESCE(page.may_share, g.may_share, TRUE) AS share_in_force,
    (SELECT COALESCE(SUM(c.n), 0) FROM persona_counts AS c WHERE c.user_id = page.id) AS personas,
    (SELECT COALESCE(SUM(c.n), 0) FROM job_counts AS c WHERE c.user_id = page.id) AS jobs,
    (SELECT COALESCE(SUM(c.n), 0) FROM media_counts AS c WHERE c.user_id = page.id) AS media,
    (SELECT COALESCE(SUM(c.bytes), 0) FROM media_counts AS c WHERE c.user_id = page.id) AS media_bytes,
    (SELECT MAX(COALESCE(s.last_used_at, s.created_at)) FROM sessions AS s WHERE s.user_id = page.id) AS last_seen_at
FROM (
    SELECT
        u.id, u.username, u.email, u.is_active, u.is_admin, u.nsfw_allowed, u.created_at, u.group_id, u.engines,
        u.models, u.engine_minutes_a_day, u.max_pictures, u.max_bytes, u.may_share
    FROM users AS u
    WHERE u.deleted_at IS NULL
    ORDER BY u.id LIMIT :limit OFFSET :offset
) AS page
LEFT JOIN account_groups AS g ON g.id = page.group_id
ORDER BY page.id;

-- name: count$
-- How many accounts there are, or are in a group.
-- family: which all: deleted_at IS NULL
-- family: which group: group_id = :id AND deleted_at IS NULL
SELECT COUNT(*) FROM users WHERE deleted_at IS NULL;

-- name: list_all
-- Every account that is not deleted, for the command line.
SELECT id, username, email, is_active, is_admin, created_at
FROM users WHERE deleted_at IS NULL ORDER BY id;

-- name: names
-- The names of accounts after an id, and the keys that they were given.
SELECT id, username, username_key, email, email_key
FROM users WHERE id > :after AND deleted_at IS NULL ORDER BY id LIMIT :limit;

-- name: update_keys!
-- Write the forms in which an account's names are compared.
UPDATE users SET username_key = :username_key, email_key = :email_key WHERE id = :id;

-- name: password_costs
-- What the password hashes of the instance cost: all that stands before a hash's salt.
SELECT DISTINCT SUBSTR(password_hash, 1, LENGTH(password_hash) - 66) AS cost
FROM users WHERE password_hash IS NOT NULL;

-- name: rehash_password!
-- Write the same password's hash at today's cost.
UPDATE users SET password_hash = :password_hash WHERE id = :id;

-- name: update_username!
-- Write the username of an account.
UPDATE users SET username = :username, username_key = :username_key, updated_at = :now WHERE id = :id;

-- name: update_email!
-- Write the email of an account.
UPDATE users SET email = :email, email_key = :email_key, updated_at = :now WHERE id = :id;

-- name: update_password!
-- Write the password of an account.
UPDATE users SET password_hash = :password_hash, updated_at = :now WHERE id = :id;

-- name: update_settings!
-- Write an account's settings.
UPDATE users SET settings = :settings, updated_at = :now WHERE id = :id AND deleted_at IS NULL;

-- name: update_rights!
-- Write whether an account is active and an administrator.
UPDATE users SET is_active = :is_active, is_admin = :is_admin, updated_at = :now WHERE id = :id;

-- name: update_nsfw_allowed!
-- Write whether an account may have NSFW things.
UPDATE users SET nsfw_allowed = :nsfw_allowed, updated_at = :now WHERE id = :id;

-- name: other_active_admins$
-- How many active administrators there are beside this one.
SELECT COUNT(*) FROM users WHERE is_admin = TRUE AND is_active = TRUE AND id <> :id;

-- name: mark_deleted!
-- Disable an account, free its names and queue its purge.
UPDATE users
SET is_active = FALSE, is_admin = FALSE, password_hash = NULL, group_id = NULL, deleted_at = :now, updated_at = :now,
    username = :tombstone, username_key = :tombstone, email = :tombstone, email_key = :tombstone
WHERE id = :id;

-- name: next_deleted$
-- A deleted account that still has to be purged, and from which nothing is handed over just now.
SELECT u.id
FROM users AS u
WHERE u.deleted_at IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM hand_overs AS h WHERE h.from_id = u.id AND h.status = 'accepted')
ORDER BY u.deleted_at LIMIT 1;

-- name: purge!
-- Remove what is left of a deleted account.
DELETE FROM users WHERE id = :id AND deleted_at IS NOT NULL;

-- name: password_link_put!
-- Remember an account's one-time link to a new password by its digest; one before it is worth nothing any more.
INSERT INTO password_links (user_id, digest, expires_at) VALUES (:user_id, :digest, :expires_at)
ON CONFLICT (user_id) DO UPDATE SET digest = excluded.digest, expires_at = excluded.expires_at;

-- name: password_link_user$
-- The active account that a link to a new password is for.
SELECT l.user_id FROM password_links AS l
INNER JOIN users AS u ON u.id = l.user_id
WHERE l.digest = :digest AND l.expires_at > :now AND u.is_active = TRUE;

-- name: password_link_drop!
-- Forget the link to a new password of an account.
DELETE FROM password_links WHERE user_id = :user_id;

-- name: password_links_prune!
-- Drop links to new passwords past their end.
DELETE FROM password_links WHERE expires_at < :now;

-- name: session_create!
-- Begin a session.
INSERT INTO sessions (id, user_id, handle, user_agent, created_at, expires_at)
VALUES (:id, :user_id, :handle, :user_agent, :now, :expires_at);

-- name: session_list
-- The sessions of a user that are not over, the last used first.
SELECT id, handle, user_agent, created_at, COALESCE(last_used_at, created_at) AS last_used_at, expires_at
FROM sessions
WHERE user_id = :user_id AND COALESCE(expires_at, '') > :now
ORDER BY COALESCE(last_used_at, created_at) DESC, handle
LIMIT :limit;

-- name: session_user^
-- Who a live session belongs to: the one query that guards each request.
SELECT
    u.id, u.username, u.email, u.is_active, u.is_admin, u.settings, u.created_at,
    s.id AS session_id, NULL AS key_id, NULL AS scope
FROM sessions AS s
INNER JOIN users AS u ON u.id = s.user_id
WHERE s.id = :session_id AND s.user_id = :user_id AND s.expires_at > :now AND u.is_active = TRUE;

-- name: session_used!
-- Write that a session was used.
UPDATE sessions SET last_used_at = :now, user_agent = :user_agent WHERE id = :session_id;

-- name: session_end!
-- End a session: its tokens are worthless from here on.
DELETE FROM sessions WHERE id = :session_id;

-- name: session_end_by_handle!
-- End a session that its owner names.
DELETE FROM sessions WHERE handle = :handle AND user_id = :user_id;

-- name: end_sessions!
-- End all sessions of an account but one.
DELETE FROM sessions WHERE user_id = :user_id AND id <> :keep;

-- name: sessions_prune!
-- Drop sessions past their end.
DELETE FROM sessions WHERE expires_at < :now;

-- name: refresh_add!
-- Remember a refresh token that was handed out, and the one that it was exchanged for.
INSERT INTO refresh_tokens (digest, session_id, parent, issued_at) VALUES (:digest, :session_id, :parent, :now);

-- name: refresh_get^
-- A refresh token of a live session and an active account, how many it was exchanged for, and how many of these were
-- used themselves.
SELECT
    r.digest, r.parent, r.issued_at, r.used_at, s.id AS session_id, s.expires_at, u.id AS user_id,
    (SELECT COUNT(*) FROM refresh_tokens AS c WHERE c.parent = r.digest) AS successors,
    (SELECT COUNT(*) FROM refresh_tokens AS c WHERE c.parent = r.digest AND c.used_at IS NOT NULL) AS used_successors
FROM refresh_tokens AS r
INNER JOIN sessions AS s ON s.id = r.session_id
INNER JOIN users AS u ON u.id = s.user_id
WHERE r.digest = :digest AND r.session_id = :session_id AND s.expires_at > :now AND u.is_active = TRUE;

-- name: refresh_use!
-- Mark the first use of a refresh token.
UPDATE refresh_tokens SET used_at = :now WHERE digest = :digest AND used_at IS NULL;

-- name: refresh_drop_rivals!
-- Forget what the same token was exchanged for at another time than the one that is used now.
DELETE FROM refresh_tokens
WHERE parent = :parent AND digest <> :digest AND used_at IS NULL AND (issued_at < :earliest OR issued_at > :latest);

-- name: refresh_prune!
-- Forget a session's used tokens once their grace is over and a successor was used: presented again they are unknown,
-- which ends the session.
DELETE FROM refresh_tokens
WHERE session_id = :session_id AND used_at < :used_before AND EXISTS (
    SELECT 1 FROM refresh_tokens AS c WHERE c.parent = refresh_tokens.digest AND c.used_at IS NOT NULL
);
