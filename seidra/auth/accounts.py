"""Rules about accounts that the API and the command line share."""

from __future__ import annotations

import hashlib
import secrets
import unicodedata
from typing import Any

from seidra.database.base import Connection, Row, required_row
from seidra.database.queries import queries
from seidra.errors import Conflict, Forbidden
from seidra.values import from_json, timestamp, timestamp_in, to_json

NAME_KEYS = "2"
"""The version of `name_key`. Raise it with any change to what it makes of a name: the next start
makes all keys anew."""

SYSTEM_USER_ID = 1
SYSTEM_USERNAME = "system"
DEFAULT_USER_SETTINGS: dict[str, Any] = {
    "theme": "system",
    "language": "en",
    "notifications": {"web": True, "email": False, "slack": False},
    "telemetry_opt_in": False,
    "extra": {},
}


LANGUAGES = ("en", "fr")
"""What the studio speaks; an account begins in the one that its browser asks for."""

LINK_SECONDS = 3600
"""How long a link to a new password is good."""


def public_user(row: Row) -> dict[str, Any]:
    """A user row as its owner sees it."""
    return {
        "id": row["id"],
        "username": row["username"],
        "email": row["email"],
        "is_active": bool(row["is_active"]),
        "is_admin": bool(row["is_admin"]),
        "created_at": row["created_at"],
        "settings": from_json(row["settings"]),
    }


def plain_name(name: str) -> str:
    """A username or email as it is kept: composed, and without blanks around it."""
    return unicodedata.normalize("NFC", name.strip())


def name_key(name: str) -> str:
    """The form in which usernames and emails are compared: without case. Not casefolded: that would
    make one address of two, straße@ and strasse@."""
    return unicodedata.normalize("NFC", plain_name(name).lower())


def create_account(
    tx: Connection,
    username: str,
    email: str,
    password_hash: str | None,
    *,
    admin: bool = False,
    nsfw_allowed: bool = True,
    language: str = DEFAULT_USER_SETTINGS["language"],
) -> Row:
    """Insert an account; without a hash nobody can log in until a password is set. The first one
    ever made by a person is an administrator, decided in this transaction.

    A taken name becomes a Conflict when the transaction ends.
    """
    now = timestamp()
    first = queries.users.record_first_person(tx, username=username, now=now) is not None
    row = queries.users.create(
        tx,
        username=username,
        username_key=name_key(username),
        email=email,
        email_key=name_key(email),
        password_hash=password_hash,
        is_admin=admin or first,
        nsfw_allowed=nsfw_allowed,
        settings=to_json({**DEFAULT_USER_SETTINGS, "language": language}),
        now=now,
    )
    return required_row(row)


def find_account(connection: Connection, name: str) -> Row | None:
    """The account with this username or email, or None."""
    lookup = queries.users.by_email if "@" in name else queries.users.by_username
    return lookup(connection, key=name_key(name))


def set_rights(tx: Connection, row: Row, *, active: bool, admin: bool) -> None:
    """Write an account's rights. Raises Conflict where that leaves no active administrator."""
    if row["id"] == SYSTEM_USER_ID and admin:
        raise Conflict("The system account cannot be an administrator.", code="system_account")
    if row["id"] == SYSTEM_USER_ID and active and row["password_hash"] is None:
        raise Conflict(
            "This account has no password: set SEIDRA_DEFAULT_USER_PASSWORD and start again.",
            code="no_password",
        )
    if row["is_active"] and row["is_admin"] and not (active and admin):
        check_not_last_admin(tx, row["id"])
    queries.users.update_rights(tx, id=row["id"], is_active=active, is_admin=admin, now=timestamp())
    if not active:
        end_access(tx, row["id"])


def set_email(tx: Connection, user_id: int, email: str) -> None:
    """Write a new email. A taken one becomes a Conflict when the transaction ends."""
    queries.users.update_email(
        tx, id=user_id, email=email, email_key=name_key(email), now=timestamp()
    )


def rename_account(tx: Connection, user_id: int, username: str) -> None:
    """Write a new username. A taken one becomes a Conflict when the transaction ends."""
    queries.users.update_username(
        tx, id=user_id, username=username, username_key=name_key(username), now=timestamp()
    )


def set_password(
    tx: Connection, user_id: int, digest: str, *, keep_session: str = "", keep_keys: bool = False
) -> None:
    """Write a new password hash; all sessions of the account but one end, and its API keys unless
    they are to be kept."""
    queries.users.update_password(tx, id=user_id, password_hash=digest, now=timestamp())
    end_access(tx, user_id, keep_session=keep_session, keep_keys=keep_keys)


def end_access(
    tx: Connection, user_id: int, *, keep_session: str = "", keep_keys: bool = False
) -> None:
    """End what lets somebody into an account without its password: sessions, API keys, and a link
    to a new password. The caller has the account's turn, for a login that is under way would add to
    them."""
    queries.users.end_sessions(tx, user_id=user_id, keep=keep_session)
    queries.users.password_link_drop(tx, user_id=user_id)
    if not keep_keys:
        queries.api_keys.end_all(tx, user_id=user_id)


def allow_nsfw(tx: Connection, user_id: int, allowed: bool) -> None:
    """Write whether an account may have NSFW things. What it says itself stays, and is in force
    again when it may."""
    queries.users.update_nsfw_allowed(tx, id=user_id, nsfw_allowed=allowed, now=timestamp())


def make_password_link(tx: Connection, user_id: int) -> tuple[str, str]:
    """The token of a one-time link to a new password, and when it expires. A link made before is
    worth nothing any more."""
    token, expires_at = secrets.token_urlsafe(32), timestamp_in(LINK_SECONDS)
    queries.users.password_link_put(
        tx, user_id=user_id, digest=_link_digest(token), expires_at=expires_at
    )
    return token, expires_at


def password_link_user(connection: Connection, token: str) -> int:
    """Whose password a link is for. Raises Forbidden for one that is no good (any more)."""
    user_id: int | None = queries.users.password_link_user(
        connection, digest=_link_digest(token), now=timestamp()
    )
    if user_id is None:
        raise Forbidden(
            "This link was used before, was replaced or has expired; ask for another one.",
            code="link_invalid",
        )
    return user_id


def _link_digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def check_not_last_admin(tx: Connection, user_id: int) -> None:
    """Raise Conflict when no other active administrator is left."""
    if not queries.users.other_active_admins(tx, id=user_id):
        raise Conflict(
            "This is the last active administrator; make another one first.", code="last_admin"
        )


def check_not_system(user_id: int) -> None:
    """Raise Forbidden for the system account, which only the operator's settings change."""
    if user_id == SYSTEM_USER_ID:
        raise Forbidden(
            "The system account is changed by the operator's settings alone.", code="system_account"
        )


def delete_account(tx: Connection, row: Row) -> None:
    """Disable an account at once, free its names and queue everything it has for the worker to
    remove."""
    if row["is_admin"] and row["is_active"]:
        check_not_last_admin(tx, row["id"])
    # A colon can stand in no username and in no email without an @.
    queries.users.mark_deleted(tx, id=row["id"], tombstone=f"deleted:{row['id']}", now=timestamp())
    end_access(tx, row["id"])
    queries.hand_overs.withdraw_all(tx, user_id=row["id"], now=timestamp())
