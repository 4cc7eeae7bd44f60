"""Where the time of a request goes: the list's steps called one by one, and searches, in this
process, without HTTP."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from typing import Any

import orjson
from flask import Flask, Response, g
from werkzeug.test import EnvironBuilder

from benchmarks.data import LARGE, SMALL
from benchmarks.texts import ABSENT, COMMON, RARE, SHORT
from seidra.auth import tokens
from seidra.database.queries import queries
from seidra.personas import pages
from seidra.personas.schemas import PersonaQuery
from seidra.personas.view import persona_json
from seidra.values import timestamp
from seidra.web.answers import page_headers, reply
from seidra.web.services import services, services_of

_LIST = "/api/personas?limit=20"


def mint(app: Flask, user_id: int) -> str:
    """An access token of a new session."""
    with app.test_request_context(), services().database.transaction() as tx:
        user = queries.users.get(tx, id=user_id)
        return str(tokens.begin_session(tx, user, services_of(app).settings)["access_token"])


def steps(app: Flask, token: str, offset: int) -> dict[str, float]:
    """Microseconds of each step of a list of 20 with 1,000 personas, and of whole requests
    (`wsgi_...`)."""
    headers = {"Authorization": f"Bearer {token}"}
    verify = services_of(app).verifier
    schema = PersonaQuery()
    found: dict[str, float] = {}
    with app.test_request_context(_LIST, headers=headers):
        connection = services().database.connection
        app.preprocess_request()
        g.user = tokens.request_user()
        session = {"session_id": g.user["session_id"], "user_id": SMALL}
        query = schema.load({"limit": "20"})
        links = services().links
        rows, _ = pages.read_page(connection, SMALL, False, query)
        shown = [persona_json(row, links, SMALL) for row in rows]
        body = orjson.dumps(shown)
        paged = page_headers(1000, 20, 0)

        def verify_anew() -> None:
            verify._memo.clear()
            verify(token, "access")

        calls: dict[str, Callable[[], Any]] = {
            "token_first_time": verify_anew,
            "token_remembered": lambda: verify(tokens.bearer_token(), "access"),
            "user": lambda: queries.users.session_user(connection, **session, now=timestamp()),
            "arguments": lambda: schema.load({"limit": "20"}),
            "page_and_total": lambda: pages.read_page(connection, SMALL, False, query),
            "rows_to_json": lambda: [persona_json(row, links, SMALL) for row in rows],
            "serialization": lambda: orjson.dumps(shown),
            "page_headers": lambda: page_headers(1000, 20, 0),
            "response": lambda: reply([], headers=paged),
            "view": lambda: app.view_functions["personas.list_personas"](),
            "hooks_before": app.preprocess_request,
            "hooks_after": lambda: app.process_response(Response(body)),
        }
        for name, call in calls.items():
            found[name] = _microseconds(call)
    found["wsgi_list"] = _microseconds(request(app, _LIST, token))
    found["wsgi_offset"] = _microseconds(request(app, f"{_LIST}&offset={offset}", mint(app, LARGE)))
    found["wsgi_health"] = _microseconds(request(app, "/api/health", token))
    found["wsgi_bare_flask"] = _microseconds(request(_bare(body), _LIST, token))
    return {name: round(value, 1) for name, value in found.items()}


def searches(app: Flask, large: str, small: str) -> dict[str, float]:
    """Milliseconds of whole search requests (page and exact total), a large and a small user's,
    and of the lists of what others share, without HTTP."""
    words = {
        "rare": RARE,
        "common": COMMON,
        "2char": SHORT,
        "1char": "e",
        "two_words": f"{COMMON}+light",
    }
    requests = {
        name: request(app, f"/api/personas?search={word}", large) for name, word in words.items()
    }
    for name, asked in {
        "scope_shared": "scope=shared",
        "scope_shared_offset": "scope=shared&offset=900",
        "scope_shared_words": f"scope=shared&search={COMMON}",
        "scope_mine": "scope=mine",
    }.items():
        requests[name] = request(app, f"/api/personas?{asked}", large)
    requests["absent"] = request(app, f"/api/personas?search={ABSENT}", small)
    return {
        f"search_{name}_ms": round(_microseconds(call) / 1000, 3) for name, call in requests.items()
    }


def request(app: Flask, path: str, token: str) -> Callable[[], None]:
    """A call that sends one request through the whole WSGI application. Raises when the answer is
    not 200."""
    environ = EnvironBuilder(
        path=path, headers=[("Authorization", f"Bearer {token}")]
    ).get_environ()

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        if not status.startswith("200"):
            raise RuntimeError(f"{path} answered {status}.")

    def call() -> None:
        answer = app(environ.copy(), start_response)
        b"".join(answer)
        if hasattr(answer, "close"):
            answer.close()

    return call


def _bare(body: bytes) -> Flask:
    app = Flask("bare", static_folder=None)
    app.add_url_rule(
        "/api/personas", "list", lambda: Response(body, content_type="application/json")
    )
    return app


def _microseconds(call: Callable[[], Any]) -> float:
    """The median time of a call: at least 9 samples of at least 2 ms each, for 0.3 s."""
    call()
    began = time.perf_counter()
    call()
    number = max(int(0.002 / (time.perf_counter() - began)), 1)
    samples: list[float] = []
    end = time.perf_counter() + 0.3
    gc.disable()
    try:
        while time.perf_counter() < end or len(samples) < 9:
            began = time.perf_counter()
            for _ in range(number):
                call()
            samples.append((time.perf_counter() - began) / number)
    finally:
        gc.enable()
    return statistics.median(samples) * 1e6
