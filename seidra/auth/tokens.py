"""Tokens and sessions: handing them out, and knowing by them who asks.

Every token carries its session's id. Ending the session (its row) revokes all its tokens at once:
each request asks, in one indexed query, that session and user are live.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any, NamedTuple, ParamSpec, TypeVar

from flask import Flask, g, request
from flask_jwt_extended import JWTManager, create_access_token, create_refresh_token, decode_token
from flask_jwt_extended.exceptions import JWTExtendedException
from jwt.exceptions import ExpiredSignatureError, PyJWTError

from seidra.auth import keys
from seidra.auth.accounts import public_user
from seidra.config import Settings, jwt_secret
from seidra.database.base import Connection, Row, required_row
from seidra.database.queries import queries
from seidra.errors import Forbidden, Unauthorized
from seidra.values import parse_timestamp, timestamp, timestamp_in
from seidra.web import rates
from seidra.web.services import services

P = ParamSpec("P")
R = TypeVar("R")

_MOST_SUCCESSORS = 100
"""How often a refresh token is exchanged before one of the fresh pairs is used: a line may be bad,
but not that bad."""

_CLOCK_STEP_SECONDS = 300
"""How far the clock may step back without refusing the tokens made before."""


def _token_missing() -> Unauthorized:
    return Unauthorized(
        "A token is missing: send Authorization: Bearer <access token>.",
        error=None,
        code="token_missing",
    )


def _token_invalid() -> Unauthorized:
    return Unauthorized("The token is not one that is good here; log in.", code="token_invalid")


def _token_expired(kind: str) -> Unauthorized:
    if kind == "refresh":
        return Unauthorized("The refresh token has expired; log in again.", code="token_expired")
    return Unauthorized(
        "The access token has expired: exchange the refresh token for a fresh pair by"
        " POST /api/auth/refresh.",
        code="token_expired",
    )


def _session_ended() -> Unauthorized:
    return Unauthorized("The session is over; log in again.", code="session_ended")


class Claims(NamedTuple):
    """What a verified token says; `expires` in seconds since 1970."""

    user_id: int
    session_id: str
    kind: str
    expires: float


class Verifier:
    """Verifies tokens, and remembers the last few thousand that verified.

    Checking a signature again costs ~90 us and cannot come out differently; what can change is
    asked each time: expiry here, session and user by the query in `live_user`. So the memo never
    outlives a revocation.
    """

    SIZE = 4096

    def __init__(self) -> None:
        self._memo: dict[str, Claims] = {}

    def __call__(self, token: str, kind: str) -> Claims:
        claims = self._memo.get(token)
        if claims is None:
            claims = _decode_token(token, kind)
            if len(self._memo) >= self.SIZE:
                self._memo.clear()
            self._memo[token] = claims
        if claims.kind != kind:
            raise Unauthorized(
                f"This is a token of another kind; send the {kind} token.", code="token_invalid"
            )
        if claims.expires <= time.time():
            raise _token_expired(kind)
        return claims


def _decode_token(token: str, kind: str) -> Claims:
    try:
        claims = decode_token(token)
        return Claims(int(claims["sub"]), str(claims["sid"]), claims["type"], float(claims["exp"]))
    except ExpiredSignatureError:
        raise _token_expired(kind) from None
    except (PyJWTError, JWTExtendedException, ValueError, KeyError, TypeError):
        raise _token_invalid() from None


def set_up_signing(app: Flask, settings: Settings) -> None:
    """Set `app` up to sign and verify tokens."""
    app.config["JWT_SECRET_KEY"] = jwt_secret(settings)
    app.config["JWT_ALGORITHM"] = "HS256"
    # A clock that steps back must not refuse the tokens it has just made. Expiry has no leeway:
    # `Verifier` checks it.
    app.config["JWT_DECODE_LEEWAY"] = _CLOCK_STEP_SECONDS
    JWTManager(app)


# -------------------------------------------------------------------------------------- handing out


def begin_session(tx: Connection, user: Row, settings: Settings) -> dict[str, Any]:
    """Begin a session for a user row; returns the contract's Token."""
    session_id = secrets.token_urlsafe(18)
    expires_at = timestamp_in(settings.session_seconds)
    queries.users.session_create(
        tx,
        id=session_id,
        user_id=user["id"],
        # What its owner calls it by. The id itself stands in its tokens and in no answer.
        handle=secrets.token_hex(8),
        user_agent=_user_agent(),
        now=timestamp(),
        expires_at=expires_at,
    )
    return _token_pair(tx, user, session_id, expires_at, settings)


def _user_agent() -> str:
    """What the client says that it is, in a line short enough to be shown."""
    text = request.headers.get("User-Agent", "")
    return "".join(letter for letter in text if letter.isprintable())[:200]


def refresh_session(
    tx: Connection, token: str, session_id: str, settings: Settings
) -> dict[str, Any] | None:
    """Exchange a verified refresh token for a fresh pair of its session.

    A token used before is good once more within the grace (two tabs at once), and while nothing
    that it was exchanged for was used itself (the answer was lost). Otherwise two parties hold it,
    and the session ends. Returns None then: the caller commits that and answers 401.
    """
    now = timestamp()
    stored = queries.users.refresh_get(
        tx, digest=_token_digest(token), session_id=session_id, now=now
    )
    grace_began = timestamp_in(-settings.refresh_grace)
    if stored is None or not _is_good_again(stored, grace_began):
        queries.users.session_end(tx, session_id=session_id)
        return None
    if stored["used_at"] is None:
        queries.users.refresh_use(tx, digest=stored["digest"], now=now)
        _drop_rivals(tx, stored, settings.refresh_grace)
    queries.users.refresh_prune(tx, session_id=stored["session_id"], used_before=grace_began)
    queries.users.session_used(
        tx, session_id=stored["session_id"], user_agent=_user_agent(), now=now
    )
    user = required_row(queries.users.get(tx, id=stored["user_id"]))
    return _token_pair(
        tx, user, stored["session_id"], stored["expires_at"], settings, parent=stored["digest"]
    )


def _is_good_again(stored: Row, grace_began: str) -> bool:
    """Whether a refresh token may be exchanged now, for the first time or once more."""
    if stored["used_at"] is None or stored["used_at"] >= grace_began:
        return True
    # Without any successor it is one whose successors are forgotten.
    return not stored["used_successors"] and 0 < stored["successors"] < _MOST_SUCCESSORS


def _drop_rivals(tx: Connection, used: Row, grace: int) -> None:
    """Forget what the same token was exchanged for at another time than `used`: of a token that was
    sent again because its answer was lost, one answer only has arrived. A rival that is presented
    is unknown from now on, which ends the session. Those of two tabs at once are no rivals."""
    if used["parent"] is not None:
        issued = parse_timestamp(used["issued_at"])
        queries.users.refresh_drop_rivals(
            tx,
            digest=used["digest"],
            parent=used["parent"],
            earliest=timestamp(issued - timedelta(seconds=grace)),
            latest=timestamp(issued + timedelta(seconds=grace)),
        )


def _token_pair(
    tx: Connection,
    user: Row,
    session_id: str,
    session_end: str,
    settings: Settings,
    *,
    parent: str | None = None,
) -> dict[str, Any]:
    left = (parse_timestamp(session_end) - parse_timestamp(timestamp())).total_seconds()
    lifetime = int(min(settings.access_token_seconds, left))
    names: dict[str, Any] = {"identity": str(user["id"]), "additional_claims": {"sid": session_id}}
    refresh_token = create_refresh_token(
        expires_delta=timedelta(seconds=min(settings.refresh_token_seconds, left)), **names
    )
    queries.users.refresh_add(
        tx,
        digest=_token_digest(refresh_token),
        session_id=session_id,
        parent=parent,
        now=timestamp(),
    )
    return {
        "access_token": create_access_token(expires_delta=timedelta(seconds=lifetime), **names),
        "refresh_token": refresh_token,
        "token_type": "bearer",
        "expires_in": lifetime,
        "user": public_user(user),
    }


def _token_digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


# --------------------------------------------------------------------------------- knowing who asks


def bearer_token() -> str:
    """The request's Bearer token. Raises Unauthorized when there is none."""
    given: str = request.environ.get("HTTP_AUTHORIZATION", "")
    scheme, _, token = given.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise _token_missing()
    return token.strip()


def request_user() -> Row:
    """The user of the request's live access token or API key; the request is counted, for its
    address where nobody is believed. Raises Unauthorized for any other token, or none."""
    return counted_user(_bearer_user)


def _bearer_user() -> Row:
    token = bearer_token()
    if token.startswith(keys.PREFIX):
        return keys.key_user(token)
    claims = services().verifier(token, "access")
    return session_user(claims.user_id, claims.session_id)


def session_user(user_id: int, session_id: str) -> Row:
    """The user of a live session. Raises Unauthorized where it is not live."""
    user: Row | None = queries.users.session_user(
        services().database.connection, session_id=session_id, user_id=user_id, now=timestamp()
    )
    if user is None:
        raise _session_ended()
    return user


def counted_user(find_user: Callable[[], Row]) -> Row:
    """The user that `find_user` answers; the request is counted, for its address where that raises
    Unauthorized."""
    try:
        user = find_user()
    except Unauthorized:
        rates.count_request("general", rates.client_address())
        raise
    rates.count_request("general", "user", str(user["id"]))
    return user


def login_required(view: Callable[P, R]) -> Callable[P, R]:
    """Guard a view: 401 without a live token or API key, 403 for a key that does not reach here;
    the user's row is `g.user` inside."""

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        g.user = request_user()
        keys.check_scope(g.user, view)
        return view(*args, **kwargs)

    guarded.login_required = True  # type: ignore[attr-defined]
    return rates.counts_itself(guarded)


def admin_required(view: Callable[P, R]) -> Callable[P, R]:
    """Guard a view for administrators: 401 without a live token, 403 for everybody else, and for
    every API key."""

    @wraps(view)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        if not g.user["is_admin"]:
            raise Forbidden("This is for administrators.", code="admin_required")
        return view(*args, **kwargs)

    checked.admin_required = True  # type: ignore[attr-defined]
    return login_required(keys.key_scope(None)(checked))
