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
    username, username_key, email, email_key, password_hash, is_active, is_admin, settings, created_at, updated_at
)
VALUES (:username, :username_key, :email, :email_key, :password_hash, TRUE, :is_admin, :settings, :now, :now)
RETURNING id, username, email, is_active, is_admin, settings, created_at;

-- name: get^
-- An account that is not deleted.
SELECT id, username, email, is_active, is_admin, settings, created_at
FROM users WHERE id = :id AND deleted_at IS NULL;

-- name: get_for_update^
-- An account with its hash, read inside the transaction that changes it.
SELECT id, username, email, email_key, is_active, is_admin, password_hash, settings
FROM users WHERE id = :id AND deleted_at IS NULL;

-- name: by_username^
-- Whom a login by username means.
SELECT id, username, is_active, is_admin, password_hash
FROM users WHERE username_key = :key AND deleted_at IS NULL;

-- name: by_email^
-- Whom a login by email means.
SELECT id, username, is_active, is_admin, password_hash
FROM users WHERE email_key = :key AND deleted_at IS NULL;

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

-- name: other_active_admins$
-- How many active administrators there are beside this one.
SELECT COUNT(*) FROM users WHERE is_admin = TRUE AND is_active = TRUE AND id <> :id;

-- name: mark_deleted!
-- Disable an account, free its names and queue its purge.
UPDATE users
SET is_active = FALSE, is_admin = FALSE, password_hash = NULL, deleted_at = :now, updated_at = :now,
    username = :tombstone, username_key = :tombstone, email = :tombstone, email_key = :tombstone
WHERE id = :id;

-- name: next_deleted$
-- A deleted account that still has to be purged.
SELECT id FROM users WHERE deleted_at IS NOT NULL ORDER BY deleted_at LIMIT 1;

-- name: purge!
-- Remove what is left of a deleted account.
DELETE FROM users WHERE id = :id AND deleted_at IS NOT NULL;

-- name: session_create!
-- Begin a session.
INSERT INTO sessions (id, user_id, created_at, expires_at) VALUES (:id, :user_id, :now, :expires_at);

-- name: session_user^
-- Who a live session belongs to: the one query that guards each request.
SELECT u.id, u.username, u.email, u.is_active, u.is_admin, u.settings, u.created_at, s.id AS session_id
FROM sessions AS s
INNER JOIN users AS u ON u.id = s.user_id
WHERE s.id = :session_id AND s.user_id = :user_id AND s.expires_at > :now AND u.is_active = TRUE;

-- name: session_end!
-- End a session: its tokens are worthless from here on.
DELETE FROM sessions WHERE id = :session_id;

-- name: end_sessions!
-- End all sessions of an account but one.
DELETE FROM sessions WHERE user_id = :user_id AND id <> :keep;

-- name: sessions_prune!
-- Drop sessions past their end.
DELETE FROM sessions WHERE expires_at < :now;

-- name: refresh_add!
-- Remember a refresh token that was handed out.
INSERT INTO refresh_tokens (digest, session_id) VALUES (:digest, :session_id);

-- name: refresh_get^
-- A refresh token of a live session and an active account.
SELECT r.digest, r.used_at, s.id AS session_id, s.expires_at, u.id AS user_id
FROM refresh_tokens AS r
INNER JOIN sessions AS s ON s.id = r.session_id
INNER JOIN users AS u ON u.id = s.user_id
WHERE r.digest = :digest AND r.session_id = :session_id AND s.expires_at > :now AND u.is_active = TRUE;

-- name: refresh_use!
-- Mark the first use of a refresh token.
UPDATE refresh_tokens SET used_at = :now WHERE digest = :digest AND used_at IS NULL;

-- name: refresh_prune!
-- Forget a session's used tokens once their grace is over: one that is presented again is unknown, which ends it.
DELETE FROM refresh_tokens WHERE session_id = :session_id AND used_at < :used_before;
