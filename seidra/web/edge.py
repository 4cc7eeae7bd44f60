"""The outermost layer of the app: request ids, a clock, the request log, and the headers that all
answers have."""

from __future__ import annotations

import itertools
import logging
import os
import re
import secrets
import time
from collections.abc import Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import g, request

log = logging.getLogger("seidra.request")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._\-]{1,64}")

CONTENT_POLICY = "default-src 'none'; frame-ancestors 'none'"
"""For answers that are no pages: whatever a browser is made to take one for, it loads and runs
nothing."""

_COMMON = [
    ("Content-Security-Policy", CONTENT_POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
]
"""What every answer says that does not say otherwise itself."""

_START = secrets.token_hex(6)
_NUMBERS = itertools.count(1)
"""Request ids: this start of the server, the process, and a number. Random ones would ask the
kernel each time, and that lets the other threads fight for the interpreter."""


class Edge:
    """The outermost WSGI layer: gives each request its id, and each answer what all have in common,
    and logs it.

    It also reaches the answers that Flask's own hooks do not, such as those of a failure while
    routing.
    """

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        given = environ.get("HTTP_X_REQUEST_ID")
        request_id = f"{_START}{os.getpid():08x}{next(_NUMBERS):012x}"
        if given and _REQUEST_ID.fullmatch(given):
            request_id = given
        environ["seidra.request_id"] = request_id
        environ["seidra.began"] = time.perf_counter()

        def start_answer(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            said = {name.title() for name, _ in headers}
            headers += [header for header in _COMMON if header[0] not in said]
            headers.append(("X-Request-ID", request_id))
            if log.isEnabledFor(logging.INFO):
                _log_request(environ, status)
            return start_response(status, headers, *more)

        return self._app(environ, start_answer)


def _log_request(environ: WSGIEnvironment, status: str) -> None:
    user = g.get("user")
    # The path without its query: signatures of media links stand there.
    log.info(
        "request",
        extra={
            "fields": {
                "method": request.method,
                "path": request.path,
                "status": int(status[:3]),
                "ms": round((time.perf_counter() - environ["seidra.began"]) * 1000, 2),
                "user": user["id"] if user else None,
                "request_id": environ["seidra.request_id"],
            }
        },
    )
