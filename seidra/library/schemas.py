"""Bodies, queries and answers of /api/trash."""

from __future__ import annotations

import re
from typing import Any

from marshmallow import Schema, ValidationError, fields

from seidra.media.trash import MEDIA, PERSONA
from seidra.web.fields import MAX_INTEGER, Body, Items, PageQuery, QueryFlag, Text, one_of

MAX_RESTORED = 200
"""Entries that one request brings back."""

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class TrashedSchema(Schema):
    """What an entry of the trash is of. `item_id` is the id that it had and gets back: a persona's
    number, a media item's UUID."""

    id = fields.UUID()
    kind = fields.String(validate=one_of(PERSONA, MEDIA))
    item_id = fields.Raw()
    name = fields.String()


class EntrySchema(TrashedSchema):
    """An entry of the trash; `name` is a persona's name or the beginning of a picture's prompt."""

    is_nsfw = fields.Boolean()
    bytes = fields.Integer()
    thumbnail_url = fields.String(allow_none=True)
    deleted_at = fields.DateTime()


class TrashPageSchema(Schema):
    """A page of the trash."""

    total = fields.Integer()
    items = fields.List(fields.Nested(EntrySchema))


class TrashQuery(PageQuery):
    """Which entries."""

    kind = Text(validate=one_of(PERSONA, MEDIA))
    include_nsfw = QueryFlag(load_default=False)


class _Named(fields.Field[Any]):
    """The id of an entry, or `{kind, item_id}`."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Any, **kwargs: Any
    ) -> str | dict[str, str]:
        if isinstance(value, str) and _UUID.fullmatch(value.lower()):
            return value.lower()
        if isinstance(value, dict) and value.keys() == {"kind", "item_id"}:
            return {"kind": value["kind"], "item_id": _item_id(value["kind"], value["item_id"])}
        raise ValidationError("Must be the id of an entry, or an object of kind and item_id.")


def _item_id(kind: Any, item_id: Any) -> str:
    if kind == PERSONA:
        if type(item_id) is int and 0 <= item_id <= MAX_INTEGER:
            return str(item_id)
    elif kind == MEDIA:
        if isinstance(item_id, str) and _UUID.fullmatch(item_id.lower()):
            return item_id.lower()
    else:
        raise ValidationError("The kind must be one of: persona, media.")
    raise ValidationError("The item_id must be a persona's number or a media item's UUID.")


class RestoreSchema(Body):
    """What is to come back: ids of entries, or `{kind, item_id}`."""

    ids = Items(
        _Named(
            metadata={
                "anyOf": [
                    {"type": "string", "format": "uuid"},
                    {
                        "type": "object",
                        "required": ["kind", "item_id"],
                        "properties": {
                            "kind": {"type": "string", "enum": [PERSONA, MEDIA]},
                            "item_id": {
                                "anyOf": [
                                    {"type": "integer", "minimum": 0},
                                    {"type": "string", "format": "uuid"},
                                ]
                            },
                        },
                        "additionalProperties": False,
                    },
                ]
            }
        ),
        MAX_RESTORED,
        "entries",
        required=True,
    )


class RestoredSchema(Schema):
    """What came back."""

    restored = fields.List(fields.Nested(TrashedSchema))


_TRASHED_EXAMPLE = {
    "id": "019b2e7a-4c1d-7b3e-9a54-0f6d2c8e7b11",
    "kind": "media",
    "item_id": "6f1c2f0e-0d5b-5d5c-9c55-2b8d3f3c1a10",
    "name": "moonlit ocean, soft teal light, film grain",
}
ENTRY_EXAMPLE = {
    **_TRASHED_EXAMPLE,
    "is_nsfw": False,
    "bytes": 912345,
    "thumbnail_url": "/api/trash/019b2e7a-4c1d-7b3e-9a54-0f6d2c8e7b11/thumbnail"
    "?user=2&expires=1769990400&signature=…",
    "deleted_at": "2026-01-31T12:00:00.180000Z",
}
RESTORE_EXAMPLE = {"ids": [_TRASHED_EXAMPLE["id"], {"kind": "persona", "item_id": 1}]}
RESTORED_EXAMPLE = {"restored": [_TRASHED_EXAMPLE]}
