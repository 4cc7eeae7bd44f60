"""What every blueprint shares: reading arguments, answering, paging, ETags, request ids and the request log."""

from __future__ import annotations

import itertools
import json
import logging
import os
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, wraps
from typing import Any, cast
from urllib.parse import urlencode

import flask_smorest
import orjson
from flask import Flask, Response, current_app, g, request
from marshmallow import Schema, fields
from werkzeug.datastructures import Headers
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge, UnsupportedMediaType
from werkzeug.routing import IntegerConverter

from seidra.config import Settings
from seidra.errors import Problem
from seidra.fields import MAX_INTEGER

log = logging.getLogger("seidra.request")

Decorator = Callable[[Callable[..., Response]], Callable[..., Response]]

_REQUEST_ID = re.compile(r"[A-Za-z0-9._\-]{1,64}")


# ------------------------------------------------------------------------------------------------ arguments


def _parsing(schema: Schema | type[Schema], location: str, required: bool) -> Decorator:
    """Gives a view what `schema` loads from the query or the body: one straight line instead of webargs' general
    machinery (about 100 us a request less), with 415 and 400 for a body that is not JSON."""
    loads = schema() if isinstance(schema, type) else schema
    load_query = _query_loader(loads)

    def decorate(view: Callable[..., Response]) -> Callable[..., Response]:
        @wraps(view)
        def with_arguments(*args: Any, **kwargs: Any) -> Response:
            if location == "query":
                return view(*args, load_query(request.query_string), **kwargs)
            return view(*args, loads.load(_json_body(required)), **kwargs)

        return with_arguments

    return decorate


def _query_loader(schema: Schema) -> Callable[[bytes], Any]:
    """Loads a query string. Clients send the same few again and again: the outcome is kept (25 us a request less);
    views only read it."""
    lists = {f.data_key or name for name, f in schema.load_fields.items() if isinstance(f, fields.List)}

    @lru_cache(maxsize=256)
    def load(query_string: bytes) -> Any:
        given = request.args
        return schema.load({name: given.getlist(name) if name in lists else given[name] for name in given})

    return load


def _json_body(required: bool) -> Any:
    data = _body(request.environ, get_settings().max_body)
    if not data and not required:
        return {}
    if data and request.environ.get("CONTENT_TYPE") != "application/json" and not request.is_json:
        raise UnsupportedMediaType
    try:
        return _DECODER.decode(data.decode("utf-8"))
    except (ValueError, RecursionError):
        raise Problem("The body is not well-formed JSON.", status=400) from None


def _body(environ: dict[str, Any], limit: int) -> bytes:
    given = environ.get("CONTENT_LENGTH") or ""
    if given.isascii() and given.isdigit() and len(given) < 19 and "HTTP_TRANSFER_ENCODING" not in environ:
        # All that Werkzeug would do about a body of a known length, without its streams (15 us).
        length = int(given)
        if length > limit:
            raise RequestEntityTooLarge
        try:
            data: bytes = environ["wsgi.input"].read(length)
        except (OSError, ValueError):
            raise ClientDisconnected from None
        if len(data) < length:
            raise ClientDisconnected
        return data
    data = request.get_data(cache=False)
    # Of a chunked body Werkzeug gives as much as is allowed, and does not say that there is more.
    if len(data) >= limit:
        raise RequestEntityTooLarge
    return data


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)


class Blueprint(flask_smorest.Blueprint):  # type: ignore[misc]
    """flask-smorest's blueprint, for the document alone: views get their arguments by `_parsing` and return
    `reply(...)`. The wrappers of its own decorators would cost 2 us each and do nothing here."""

    def arguments(self, schema: Any, *, required: bool = True, **kwargs: Any) -> Decorator:
        """Arguments from the JSON body, or with location="query"; `required` also decides whether a body may be
        left out."""
        document = super().arguments(schema, required=required, **kwargs)
        parse = _parsing(schema, kwargs.get("location", "json"), required)

        def decorate(view: Callable[..., Response]) -> Callable[..., Response]:
            parsed = parse(view)
            parsed.__dict__["_apidoc"] = document(view)._apidoc
            return parsed

        return decorate

    def route(self, rule: str, *, methods: list[str]) -> Decorator:
        """As Flask's."""
        return cast(Decorator, super().route(rule, methods=methods))

    def response(self, status_code: int, schema: Any = None, **kwargs: Any) -> Decorator:
        """Document the answer that the view gives."""
        return _documented(super().response(status_code, schema, **kwargs))

    def alt_response(self, status_code: int, response: str | None = None, **kwargs: Any) -> Decorator:
        """Document another one."""
        return _documented(super().alt_response(status_code, response, **kwargs))

    def doc(self, **kwargs: Any) -> Decorator:
        """Document anything else of the operation, as OpenAPI spells it."""
        return _documented(super().doc(**kwargs))


def _documented(document: Any) -> Decorator:
    def decorate(view: Callable[..., Response]) -> Callable[..., Response]:
        view.__dict__["_apidoc"] = document(view)._apidoc
        return view

    return decorate


class _IdConverter(IntegerConverter):
    """A row's id in a path; what no row can have becomes 0, which names none.

    A converter that refuses it would let the other methods of the path answer 405 instead of 404.
    """

    def __init__(self, map: Any) -> None:
        super().__init__(map, min=1, max=MAX_INTEGER)  # for the OpenAPI document

    def to_python(self, value: str) -> int:
        # Longer ones are not even read: int() raises beyond 4300 digits.
        number = int(value) if len(value) <= 19 else 0
        return number if number <= MAX_INTEGER else 0


# ------------------------------------------------------------------------------------------------ answers

PRIVATE = {"Cache-Control": "private, no-cache", "Vary": "Authorization, Origin"}
"""Headers of an answer that belongs to one user: kept, but asked for again each time."""

SECRET = {"Cache-Control": "no-store", "Vary": "Authorization, Origin"}
"""Headers of an answer that hands out tokens."""


class _Sound(Headers):
    """Headers of pairs that are known to be text without line breaks, which Werkzeug would look for in each (3 us)."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._list = pairs


class _Json(Response):
    """An answer that is final once it is made, one piece of bytes under its headers: Werkzeug would look through both
    again for what is not there (5 us)."""

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response(self.status, self.headers.to_wsgi_list())
        return () if environ["REQUEST_METHOD"] == "HEAD" else cast(list[bytes], self.response)


def reply(data: Any, status: int = 200, headers: Mapping[str, str] = PRIVATE) -> Response:
    """A JSON answer with these headers."""
    body = orjson.dumps(data)
    length = str(len(body))
    pairs = [("Content-Type", "application/json"), ("Content-Length", length), *headers.items()]
    return _Json([body], status, _Sound(pairs))


def no_content() -> Response:
    """204."""
    return Response(status=204, headers=PRIVATE)


def reply_versioned(data: Any, version: int, status: int = 200, **more: str) -> Response:
    """A JSON answer under the ETag of its row's version; 304 when the client has it already."""
    etag = f'"{version}"'
    if status == 200 and request.method in ("GET", "HEAD") and request.if_none_match.contains_weak(str(version)):
        return Response(status=304, headers={**PRIVATE, "ETag": etag})
    return reply(data, status, {**PRIVATE, "ETag": etag, **more})


def check_if_match(version: int) -> None:
    """Raise 412 when the request's If-Match names another version than the row's."""
    if "If-Match" in request.headers and not (
        request.if_match.star_tag or request.if_match.contains_weak(str(version))
    ):
        raise Problem("It has changed since you read it; read it again.", status=412)


def page_headers(total: int, limit: int, offset: int) -> dict[str, str]:
    """X-Total-Count and Link (RFC 8288) of a list's page."""
    link = _links(f"{public_url()}{request.path}", request.query_string, total, limit, offset)
    return {**PRIVATE, "X-Total-Count": str(total), "Link": link}


@lru_cache(maxsize=256)
def _links(url: str, query_string: bytes, total: int, limit: int, offset: int) -> str:
    """The value of Link. Kept, since a list is read far more often than it changes in length (5 us)."""
    pages = {"first": 0}
    if offset > 0:
        pages["prev"] = max(offset - limit, 0)
    if offset + limit < total:
        pages["next"] = offset + limit
    pages["last"] = max((total - 1) // limit * limit, 0)
    others = [(name, value) for name, value in request.args.items(multi=True) if name not in ("limit", "offset")]
    base = f"{url}?{urlencode(others)}{'&' if others else ''}"
    return ", ".join(f'<{base}limit={limit}&offset={at}>; rel="{rel}"' for rel, at in pages.items())


def public_url() -> str:
    """What links begin with: SEIDRA_PUBLIC_URL, or nothing; never the Host header."""
    return get_settings().public_url or ""


def get_settings() -> Settings:
    """The running app's settings."""
    return cast(Settings, current_app.extensions["seidra.settings"])


# ------------------------------------------------------------------------------------------------ the app's hooks


CONTENT_POLICY = "default-src 'none'; frame-ancestors 'none'"
"""For answers that are no pages: whatever a browser is made to take one for, it loads and runs nothing."""

_COMMON = [("X-Content-Type-Options", "nosniff"), ("X-Frame-Options", "DENY"), ("Referrer-Policy", "no-referrer")]


_START = secrets.token_hex(6)
_NUMBERS = itertools.count(1)
"""Request ids: this start of the server, the process, and a number. Random ones would ask the kernel each time, and
that lets the other threads fight for the interpreter."""


class _Edge:
    """The outermost WSGI layer: gives each request its id, and each answer what all have in common, and logs it.

    Here a header is a tuple in a list; added one by one to Flask's response the six cost 10 us of a list's 140.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        given = environ.get("HTTP_X_REQUEST_ID")
        request_id = f"{_START}{os.getpid():08x}{next(_NUMBERS):012x}"
        if given and _REQUEST_ID.fullmatch(given):
            request_id = given
        environ["seidra.request_id"] = request_id
        environ["seidra.began"] = time.perf_counter()

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            if "Content-Security-Policy" not in dict(headers):
                headers.append(("Content-Security-Policy", CONTENT_POLICY))
            headers += _COMMON
            headers.append(("X-Request-ID", request_id))
            if log.isEnabledFor(logging.INFO):
                _log(environ, status)
            return start_response(status, headers, *more)

        return self._app(environ, start)


def _log(environ: dict[str, Any], status: str) -> None:
    user = g.get("user")
    # The path without its query: signatures of media links stand there.
    log.info("request", extra={"fields": {
        "method": request.method, "path": request.path, "status": int(status[:3]),
        "ms": round((time.perf_counter() - environ["seidra.began"]) * 1000, 2),
        "user": user["id"] if user else None, "request_id": environ["seidra.request_id"],
    }})  # fmt: skip


def register(app: Flask, settings: Settings) -> None:
    """Give `app` its routing rules, body limit, request ids and request log."""
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.url_map.converters["id"] = _IdConverter
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body
    app.config["USE_X_SENDFILE"] = settings.x_accel_redirect is not None
    app.wsgi_app = _Edge(app.wsgi_app)  # type: ignore[method-assign]
