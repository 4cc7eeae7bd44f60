"""`Idempotency-Key`: a POST that makes something is sent again, because its answer was lost, and
makes nothing more.

What it made is remembered in the transaction that makes it, so that neither is there without the
other. Failures are not: the same request may be tried again under its key.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from functools import wraps
from typing import NamedTuple

from flask import Response, g, request

from seidra.database.base import Connection
from seidra.database.queries import queries
from seidra.errors import Invalid, Mistake, NotFound, Problem
from seidra.values import timestamp, timestamp_in
from seidra.web.answers import public_url
from seidra.web.arguments import Decorator, View, bounded_body
from seidra.web.services import services
from seidra.web.uploads import received

HEADER = "Idempotency-Key"
KEPT_SECONDS = 86_400.0


class _Asked(NamedTuple):
    """A request under a key. `digest` is of query and body."""

    key: str
    request: str
    digest: str


def repeatable(show: Callable[[str], Response]) -> Decorator:
    """Let a view be asked again under the same `Idempotency-Key`, below its guards (and
    `takes_files`) and above its arguments. The view says by `keep_made` what it made; `show`
    answers with that as it is now, by its id, and raises NotFound where it is no more."""

    def decorate(view: View) -> View:
        @wraps(view)
        def asked_once(*args: object, **kwargs: object) -> Response:
            if HEADER not in request.headers:
                return view(*args, **kwargs)
            asked = _read_asked()
            row = queries.idempotency.get(
                services().database.connection,
                user_id=g.user["id"],
                key=asked.key,
                since=timestamp_in(-KEPT_SECONDS),
            )
            if row is None:
                g.asked_once = asked
                return view(*args, **kwargs)
            if (row["request"], row["digest"]) != asked[1:]:
                raise _mistake("Belongs to another request already.", "reused")
            answer = _show_made(show, row["made"])
            answer.status_code = row["status"]
            answer.headers["Location"] = f"{public_url()}{row['location']}"
            answer.headers["Idempotency-Replayed"] = "true"
            return answer

        asked_once.__dict__["repeatable"] = True
        return asked_once

    return decorate


def keep_made(tx: Connection, made: str | int, status: int, path: str) -> None:
    """Remember what this request makes, its answer's status and the path of its Location, if it
    came with a key. In the transaction that makes it. Raises a 409 Problem where another request
    with the same key has just done so, and nothing is made."""
    asked: _Asked | None = g.get("asked_once")
    if asked is None:
        return
    kept = queries.idempotency.keep(
        tx,
        user_id=g.user["id"],
        **asked._asdict(),
        status=status,
        location=path,
        made=str(made),
        now=timestamp(),
        since=timestamp_in(-KEPT_SECONDS),
    )
    if not kept:
        raise Problem(
            f"A request with this {HEADER} is being answered just now; send it again.",
            status=409,
            code="in_progress",
            headers={"Retry-After": "1"},
        )


def _read_asked() -> _Asked:
    key = request.headers[HEADER]
    if not re.fullmatch(r"[\x21-\x7e]{1,64}", key):
        raise _mistake("Must be 1 to 64 visible ASCII characters.", "invalid")
    files = received()
    # The boundary between the parts of a multipart body is another one each time.
    body = files.digest.encode() if files is not None else bounded_body()
    digest = hashlib.sha256(request.query_string + b"\0" + body).hexdigest()
    return _Asked(key, f"{request.method} {request.path.rstrip('/')}", digest)


def _show_made(show: Callable[[str], Response], made: str) -> Response:
    try:
        return show(made)
    except NotFound:
        raise Problem(
            f"What was made under this {HEADER} is gone.", status=404, code="gone"
        ) from None


def _mistake(sentence: str, code: str) -> Invalid:
    return Invalid({HEADER: [Mistake(sentence, code)]})
