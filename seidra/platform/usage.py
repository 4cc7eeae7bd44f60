"""/api/admin/usage: who had how much of the engines, for administrators: figures alone."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from flask import Response

from seidra.auth.tokens import admin_required
from seidra.auth.usage import today
from seidra.database.base import Connection, Row, required_row
from seidra.database.queries import queries
from seidra.platform.limit_schemas import BY_DAY, SpanQuery, UsageQuery, UsageSchema
from seidra.web.answers import PRIVATE, page_headers, reply
from seidra.web.blueprint import Blueprint
from seidra.web.services import services

blp = Blueprint(
    "usage", __name__, url_prefix="/api/admin", description="Who had how much of the engines"
)

_USUAL_DAYS = 30
_EVERYTHING = 1_000_000
"""More than there are accounts or days."""


def span(query: Mapping[str, Any]) -> tuple[str, str]:
    """The first and the last day that are asked for."""
    last = query["last"][:10] if query["last"] else today()
    if query["first"]:
        return query["first"][:10], last
    earliest = date.fromisoformat(last).toordinal() - (_USUAL_DAYS - 1)
    return date.fromordinal(max(earliest, 1)).isoformat(), last


def read_usage(
    connection: Connection,
    query: Mapping[str, Any],
    limit: int = _EVERYTHING,
    offset: int = 0,
) -> list[Row]:
    """A page of the accounts or days that a `SpanQuery` asks for."""
    first, last = span(query)
    read = queries.usage.by_day if query["group_by"] == BY_DAY else queries.usage.by_account
    return read(
        connection,
        first=first,
        last=last,
        user_id=query["user_id"],
        limit=limit,
        offset=offset,
    )


def usage_csv(rows: Iterable[Row], group_by: str) -> str:
    """The same as CSV with a line of headings (RFC 4180)."""
    names = [*_KEYS[group_by], *_FIGURES]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(names)
    writer.writerows([_shown(row)[name] for name in names] for row in rows)
    return text.getvalue()


_KEYS = {"account": ("user_id", "username"), "day": ("day",)}
_FIGURES = ("engine_seconds", "pictures", "bytes")


def _shown(row: Row) -> dict[str, Any]:
    nobody = dict.fromkeys(name for names in _KEYS.values() for name in names)
    return nobody | dict(row) | {"engine_seconds": round(row["engine_seconds"], 3)}


_EXAMPLE = {
    "from": "2026-01-02",
    "to": "2026-01-31",
    "group_by": "account",
    "total": 1,
    "sum": {"engine_seconds": 1834.2, "pictures": 214, "bytes": 201_326_592},
    "items": [
        {
            "user_id": 3,
            "username": "bob",
            "day": None,
            "engine_seconds": 1834.2,
            "pictures": 214,
            "bytes": 201_326_592,
        }
    ],
}


@blp.route("/usage", methods=["GET"])
@admin_required
@blp.arguments(UsageQuery, location="query")
@blp.response(200, UsageSchema, example=_EXAMPLE)
def show_usage(query: dict[str, Any]) -> Response:
    """Seconds of engines, pictures made by jobs and their bytes, by the account (who had most
    first) or by the day in UTC. Known for 400 days."""
    limit, offset, (first, last) = query["limit"], query["offset"], span(query)
    with services().database.snapshot() as connection:
        rows = read_usage(connection, query, limit, offset)
        whole = required_row(
            queries.usage.total(connection, first=first, last=last, user_id=query["user_id"])
        )
    total = whole["days"] if query["group_by"] == BY_DAY else whole["accounts"]
    body = {
        "from": first,
        "to": last,
        "group_by": query["group_by"],
        "total": total,
        "sum": {name: _shown(whole)[name] for name in _FIGURES},
        "items": [_shown(row) for row in rows],
    }
    return reply(body, headers=page_headers(total, limit, offset))


@blp.route("/usage.csv", methods=["GET"])
@admin_required
@blp.arguments(SpanQuery, location="query")
@blp.response(200, {"type": "string"}, content_type="text/csv")
def show_usage_csv(query: dict[str, Any]) -> Response:
    """The same as CSV, all of it."""
    with services().database.snapshot() as connection:
        text = usage_csv(read_usage(connection, query), query["group_by"])
    headers = {**PRIVATE, "Content-Disposition": 'attachment; filename="usage.csv"'}
    return Response(text, 200, headers, content_type="text/csv; charset=utf-8")
