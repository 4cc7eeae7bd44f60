"""How a view answers: JSON with its caching headers, ETags and If-Match, paging."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import orjson
from flask import Response, request

from seidra.errors import Problem
from seidra.web.services import services

PRIVATE = {"Cache-Control": "private, no-cache", "Vary": "Authorization, Origin"}
"""Headers of an answer that belongs to one user: kept, but asked for again each time."""

SECRET = {"Cache-Control": "no-store", "Vary": "Authorization, Origin"}
"""Headers of an answer that hands out tokens."""


def reply(data: Any, status: int = 200, headers: Mapping[str, str] = PRIVATE) -> Response:
    """A JSON answer with these headers."""
    return Response(orjson.dumps(data), status, headers, content_type="application/json")


def no_content() -> Response:
    """204."""
    return Response(status=204, headers=PRIVATE)


def reply_versioned(data: Any, version: int, status: int = 200, **more: str) -> Response:
    """A JSON answer under its ETag, `"<version>-<hash of the body>"`; 304 when the client has this
    very body already.

    The version alone would not do: a body also shows what is in no row, such as links that expire.
    """
    body = orjson.dumps(data)
    tag = f"{version}-{hashlib.sha256(body).hexdigest()[:16]}"
    headers = {**PRIVATE, "ETag": f'"{tag}"', **more}
    if (
        status == 200
        and request.method in ("GET", "HEAD")
        and request.if_none_match.contains_weak(tag)
    ):
        return Response(status=304, headers=headers)
    return Response(body, status, headers, content_type="application/json")


def check_if_match(version: int) -> None:
    """Raise 412 when the request's If-Match names another version than the row's: what stands
    before the dash of an ETag, for what else a body shows changes without a write."""
    if "If-Match" not in request.headers or request.if_match.star_tag:
        return
    known = {tag.partition("-")[0] for tag in request.if_match.as_set(include_weak=True)}
    if str(version) not in known:
        raise Problem("It has changed since you read it; read it again.", status=412, code="stale")


def page_headers(total: int, limit: int, offset: int) -> dict[str, str]:
    """X-Total-Count and Link (RFC 8288) of a list's page."""
    pages = {"first": 0}
    if offset > 0:
        pages["prev"] = max(offset - limit, 0)
    if offset + limit < total:
        pages["next"] = offset + limit
    pages["last"] = max((total - 1) // limit * limit, 0)
    others = [
        (name, value)
        for name, value in request.args.items(multi=True)
        if name not in ("limit", "offset")
    ]
    base = f"{public_url()}{request.path}?{urlencode(others)}{'&' if others else ''}"
    link = ", ".join(f'<{base}limit={limit}&offset={at}>; rel="{rel}"' for rel, at in pages.items())
    return {**PRIVATE, "X-Total-Count": str(total), "Link": link}


def public_url() -> str:
    """What links begin with: SEIDRA_PUBLIC_URL, or nothing; never the Host header."""
    return services().settings.public_url or ""
