"""API keys: for scripts and other programs, each good for its scope alone.

A key is a Bearer token that is asked for in one indexed query at each request. It is its user:
their things, rates and streams. It never opens the account (`/api/auth`) or administration.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from collections.abc import Callable
from typing import Any, TypeVar

from flask import request

from seidra.database.base import Connection, Row, required_row
from seidra.database.queries import queries
from seidra.errors import Conflict, Forbidden, Unauthorized, Unavailable
from seidra.values import timestamp, timestamp_in
from seidra.web.services import services

V = TypeVar("V", bound=Callable[..., Any])

PREFIX = "seidra_"
MAX_KEYS = 20
SCOPES = ("read", "generate", "all")
"""Each scope holds those before it."""

_STAMP_SECONDS = 60.0
"""How often it is written that a key is used, at most."""

_ACCOUNT = "/api/auth/"


def key_scope(scope: str | None) -> Callable[[V], V]:
    """Say of a view, below its guard, which scope an API key needs for it; None: no key will do.

    Unsaid, reading needs `read`, and everything else `all`.
    """

    def decorate(view: V) -> V:
        view.key_scope = scope  # type: ignore[attr-defined]
        return view

    return decorate


def check_scope(user: Row, view: Callable[..., Any]) -> None:
    """Raise Forbidden where `user` comes with an API key that does not reach to this view."""
    if user["key_id"] is None:
        return
    needed = _needed_scope(view)
    if needed is None:
        raise Forbidden(
            "This takes a login: no API key opens the account, administration or NSFW settings.",
            code="scope",
        )
    if SCOPES.index(user["scope"]) < SCOPES.index(needed):
        raise Forbidden(
            f"This takes an API key of the scope {needed}; this one has {user['scope']}.",
            code="scope",
        )


def _needed_scope(view: Callable[..., Any]) -> str | None:
    if f"{request.url_rule}/".startswith(_ACCOUNT):
        return None
    unsaid = "read" if request.method in ("GET", "HEAD") else "all"
    scope: str | None = getattr(view, "key_scope", unsaid)
    return scope


# ----------------------------------------------------------------------------------------- the keys


def make_key(
    tx: Connection, user_id: int, name: str, scope: str, days: int | None
) -> dict[str, Any]:
    """Make an API key of a user, good for so many days or for ever. Raises Conflict where there are
    too many."""
    now = timestamp()
    mine = queries.api_keys.list_all(tx, user_id=user_id)
    if sum(row["expires_at"] is None or row["expires_at"] > now for row in mine) >= MAX_KEYS:
        raise Conflict(f"There are {MAX_KEYS} API keys already; end one.", code="too_many_keys")
    key = PREFIX + secrets.token_urlsafe(32)
    row = queries.api_keys.create(
        tx,
        user_id=user_id,
        name=name,
        scope=scope,
        digest=_digest_of(key),
        last_four=key[-4:],
        now=now,
        expires_at=None if days is None else timestamp_in(days * 86_400.0),
    )
    return {**key_json(required_row(row)), "key": key}


def key_json(row: Row) -> dict[str, Any]:
    """An API key as its owner sees it: never the key itself."""
    return {
        name: row[name]
        for name in (
            "id",
            "name",
            "scope",
            "last_four",
            "created_at",
            "expires_at",
            "last_used_at",
        )
    }


def key_user(token: str) -> Row:
    """The user of a live API key. Raises Unauthorized for any other."""
    now = timestamp()
    user: Row | None = queries.api_keys.user_by_digest(
        services().database.connection, digest=_digest_of(token), now=now
    )
    if user is None:
        raise _key_ended()
    before = timestamp_in(-_STAMP_SECONDS)
    if user["last_used_at"] is None or user["last_used_at"] < before:
        # A busy or full disk is no reason to refuse a request that may only read.
        with (
            contextlib.suppress(Unavailable),
            services().database.transaction(user["id"]) as tx,
        ):
            queries.api_keys.used(tx, id=user["key_id"], now=now, before=before)
    return user


def ticket_user(user_id: int, key_id: int) -> Row:
    """The user of a live API key that a ticket was made with. Raises Unauthorized."""
    user: Row | None = queries.api_keys.user_by_id(
        services().database.connection, id=key_id, user_id=user_id, now=timestamp()
    )
    if user is None:
        raise _key_ended()
    return user


def _key_ended() -> Unauthorized:
    return Unauthorized("This API key is unknown, ended or expired.", code="key_invalid")


def _digest_of(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
