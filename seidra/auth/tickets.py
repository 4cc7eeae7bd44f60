"""Tickets: how an EventSource, which can send no header, says who listens.

A ticket names user and session or API key, and is signed with a key for this purpose alone: it
opens streams and nothing else, and an access token never has to stand in a URL. It is good for ten
minutes, as often as it is needed.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from functools import partial, wraps
from typing import ParamSpec, TypeVar

from flask import g, request
from itsdangerous import BadData, URLSafeTimedSerializer

from seidra.auth import keys
from seidra.auth.tokens import counted_user, request_user, session_user
from seidra.config import Settings, jwt_secret
from seidra.database.base import Row
from seidra.errors import Unauthorized
from seidra.web import rates
from seidra.web.services import services

P = ParamSpec("P")
R = TypeVar("R")

SECONDS = 600
"""How long a ticket is good."""


class Tickets:
    """Makes and checks the tickets of one instance."""

    def __init__(self, settings: Settings) -> None:
        key = hmac.digest(jwt_secret(settings).encode(), b"seidra stream tickets v1", "sha256")
        self._signer = URLSafeTimedSerializer(
            key,
            salt="stream",
            signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
        )

    def make(self, user: Row) -> str:
        """A ticket for the session or API key that a user's row came with."""
        return str(self._signer.dumps([user["id"], user["session_id"], user["key_id"]]))

    def check(self, ticket: str) -> tuple[int, str | None, int | None]:
        """User, session and API key of a ticket. Raises Unauthorized for one that is forged or
        expired."""
        try:
            user_id, session_id, key_id = self._signer.loads(ticket, max_age=SECONDS)
        except (BadData, ValueError):
            raise Unauthorized(
                "The ticket is invalid or expired; ask for another one.", code="ticket_invalid"
            ) from None
        return user_id, session_id, key_id


def _ticket_user(ticket: str) -> Row:
    user_id, session_id, key_id = services().tickets.check(ticket)
    if key_id is not None:
        return keys.ticket_user(user_id, key_id)
    return session_user(user_id, session_id or "")


def listener_required(view: Callable[P, R]) -> Callable[P, R]:
    """Guard a stream: 401 without a live token or, where no header is sent, a live ticket; `g.user`
    inside."""

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        ticket = request.args.get("ticket")
        if ticket is None or "Authorization" in request.headers:
            g.user = request_user()
        else:
            g.user = counted_user(partial(_ticket_user, ticket))
        return view(*args, **kwargs)

    return rates.counts_itself(guarded)
