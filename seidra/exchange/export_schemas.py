"""Bodies, queries and answers of exports."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, ValidationError, fields, validates_schema

from seidra.exchange.targets import SEIDRA, TARGETS
from seidra.library.bulk import MAX_ITEMS
from seidra.library.organise_schemas import PersonaFilter
from seidra.web.fields import (
    MAX_INTEGER,
    Body,
    Flag,
    Items,
    PageQuery,
    Query,
    QueryFlag,
    Text,
    Whole,
    one_of,
)

_TO = "The format; `seidra` is our own."


class PersonaExportQuery(Query):
    """In which format a persona is exported; `dry_run` says what it would lose, and makes no
    file."""

    to = Text(validate=one_of(*TARGETS), load_default=SEIDRA, metadata={"description": _TO})
    dry_run = QueryFlag(load_default=False)


class ExportsQuery(PageQuery):
    """Which exports."""


class ExportBodySchema(Body):
    """What is exported: personas by `ids`, or all that a `filter` finds, or everything. `seidra`
    takes their pictures along. `dry_run` says what would be lost, and makes nothing."""

    to = Text(validate=one_of(*TARGETS), load_default=SEIDRA, metadata={"description": _TO})
    ids = Items(Whole(0, MAX_INTEGER), MAX_ITEMS, "ids")
    filter = fields.Nested(PersonaFilter)
    everything = Flag()
    dry_run = Flag(load_default=False)

    @validates_schema
    def _one_choice(self, data: Any, **kwargs: Any) -> None:
        if ("ids" in data) + ("filter" in data) + bool(data.get("everything")) != 1:
            raise ValidationError("Must have one of ids, filter and everything.", "ids")


class ExportSchema(Schema):
    """An export that a worker makes. `done` and `total` count personas and pictures; the link
    loads without a header until it expires."""

    id = fields.UUID()
    to = fields.String()
    status = fields.String(validate=one_of("queued", "processing", "completed", "failed"))
    progress = fields.Float()
    done = fields.Integer()
    total = fields.Integer()
    lost = fields.Integer(
        metadata={"description": "How many things the format cannot carry; report.json has them."}
    )
    file_name = fields.String(allow_none=True)
    file_size = fields.Integer(allow_none=True)
    download_url = fields.String(allow_none=True)
    error_code = fields.String(allow_none=True)
    error_message = fields.String(allow_none=True)
    created_at = fields.DateTime()
    started_at = fields.DateTime(allow_none=True)
    completed_at = fields.DateTime(allow_none=True)
    expires_at = fields.DateTime()


class ExportPageSchema(Schema):
    """A page of exports."""

    total = fields.Integer()
    items = fields.List(fields.Nested(ExportSchema))


EXPORT_EXAMPLE: dict[str, Any] = {
    "id": "019c2e7a-4c1d-7b3e-9a54-0f6d2c8e7b11",
    "to": SEIDRA,
    "status": "completed",
    "progress": 1.0,
    "done": 1042,
    "total": 1042,
    "lost": 0,
    "file_name": "seidra-seidra-2026-01-31.zip",
    "file_size": 912345678,
    "download_url": "/api/exports/019c2e7a-4c1d-7b3e-9a54-0f6d2c8e7b11/download"
    "?user=2&expires=1769990400&signature=…",
    "error_code": None,
    "error_message": None,
    "created_at": "2026-01-31T12:00:00.000000Z",
    "started_at": "2026-01-31T12:00:00.500000Z",
    "completed_at": "2026-01-31T12:00:09.180000Z",
    "expires_at": "2026-02-01T12:00:09.180000Z",
}
LOSSES_EXAMPLE: dict[str, Any] = {
    "to": SEIDRA,
    "personas": 1,
    "lost": 1,
    "codes": {"avatar": 1},
    "entries": [
        {
            "uid": "019c13ec-9e00-7c3a-9d1f-5b0c8a7e4f21",
            "name": "Élodie of the Tides",
            "lost": [
                {
                    "code": "avatar",
                    "field": "avatar_url",
                    "detail": "Its avatar goes with a card or with a ZIP of SEIDRA alone.",
                }
            ],
        }
    ],
}
