"""Bodies, queries and answers of /api/imports."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, ValidationError, fields, validates_schema

from seidra.exchange.plan import ACTIONS, MAX_ENTRIES, ON_CONFLICT
from seidra.personas.schemas import WarningSchema
from seidra.web.fields import (
    Body,
    FilePart,
    Flag,
    Items,
    PageQuery,
    QueryFlag,
    Tags,
    Text,
    UuidText,
    check_count,
    one_of,
)

STATUSES = ("planned", "applying", "applied", "undoing", "undone", "failed", "expired")
CHOICES = ("create", "update", "skip")
MATCHES = ("uid", "source", "hash", "name")
MAX_FILES = 100
"""Files that one import may be made of."""
MAX_TEXT = 1_000_000


class _Options(Body):
    """What holds for a whole import."""

    format = Text(
        1,
        40,
        line=True,
        load_default="auto",
        metadata={"description": "`auto`: found by content."},
    )
    on_conflict = Text(
        validate=one_of(*ON_CONFLICT),
        load_default=None,
        metadata={
            "description": "What becomes of entries in conflict; else they are to be chosen."
        },
    )
    tags = Tags(load_default=list, metadata={"description": "For each persona of the import."})
    encoding = Text(1, 40, line=True, load_default=None, metadata={"description": "That of texts."})


class ImportTextSchema(_Options):
    """What to import: a text, or the data in one of one's own pictures."""

    text = Text(1, MAX_TEXT)
    media_id = UuidText(metadata={"description": "One of your own media items."})
    is_nsfw = Flag(load_default=None)

    ONE_OF = ("text", "media_id")

    @validates_schema
    def _one(self, data: Any, **kwargs: Any) -> None:
        if ("text" in data) == ("media_id" in data):
            raise ValidationError("Must have either a text or a media_id.")


class ImportFilesSchema(_Options):
    """What to import: files, with the options as fields of the form."""

    file = Items(FilePart(), MAX_FILES, "files", required=True)
    is_nsfw = QueryFlag(load_default=None)


class ImportPictureSchema(ImportFilesSchema):
    """A picture of which a persona is to be made."""

    file = Items(FilePart(), 1, "files", required=True)


class Choices(fields.Field[Any]):
    """{entry's index: action}."""

    def __init__(self, **kwargs: Any) -> None:
        documented = {
            "type": "object",
            "propertyNames": {"pattern": "^(0|[1-9][0-9]{0,4})$"},
            "additionalProperties": {"type": "string", "enum": list(CHOICES)},
            "maxProperties": MAX_ENTRIES,
        }
        super().__init__(metadata={**documented, **kwargs.pop("metadata", {})}, **kwargs)

    def _deserialize(
        self, value: Any, attr: str | None, data: Any, **kwargs: Any
    ) -> dict[int, str]:
        if not isinstance(value, dict):
            raise ValidationError("Must be an object of entries' indexes and actions.")
        check_count(value, MAX_ENTRIES, "choices")
        errors = {}
        for index, action in value.items():
            # As they are written, so that no two keys are one entry.
            if not (index.isascii() and index.isdigit() and str(int(index[:6])) == index):
                errors[index] = ["Must be the index of an entry."]
            elif action not in CHOICES:
                errors[index] = [f"Must be one of: {', '.join(CHOICES)}."]
        if errors:
            raise ValidationError(errors)
        return {int(index): action for index, action in value.items()}


class ImportApplySchema(Body):
    """What is to become of single entries, and of all conflicts beside."""

    choices = Choices(load_default=dict)
    on_conflict = Text(
        validate=one_of(*ON_CONFLICT),
        load_default=None,
        metadata={"description": "What becomes of conflicts that are not among the choices."},
    )


class ImportsQuery(PageQuery):
    """Which imports."""


class EntriesQuery(PageQuery):
    """Which entries."""

    action = Text(validate=one_of(*ACTIONS), load_default=None)


class ImportedFileSchema(Schema):
    """A file of an import."""

    name = fields.String()
    format = fields.String()
    tool = fields.String()
    entries = fields.Integer()
    warnings = fields.List(fields.Nested(WarningSchema))


class ImportSummarySchema(Schema):
    """How many entries have an action and a warning, and what became of them."""

    actions = fields.Dict(keys=fields.String(), values=fields.Integer())
    warnings = fields.Dict(keys=fields.String(), values=fields.Integer())
    results = fields.Dict(keys=fields.String(), values=fields.Integer())


class ImportProgressSchema(Schema):
    """How far it is; on the way back `done` goes down."""

    done = fields.Integer()
    total = fields.Integer()


class ImportDifferenceSchema(Schema):
    """A field in which file and persona differ: what the file said the last time, what is here, and
    what the file says now."""

    field = fields.String()
    base = fields.Raw(allow_none=True)
    here = fields.Raw(allow_none=True)
    there = fields.Raw(allow_none=True)
    outcome = fields.String(validate=one_of("there", "here", "conflict"))


class ImportEntrySchema(Schema):
    """An entry of an import."""

    index = fields.Integer()
    locator = fields.String()
    name = fields.String()
    action = fields.String(validate=one_of(*ACTIONS))
    match = fields.String(allow_none=True, validate=one_of(*MATCHES))
    persona_id = fields.Integer(allow_none=True)
    fields_ = fields.Dict(data_key="fields")
    diff = fields.List(fields.Nested(ImportDifferenceSchema))
    warnings = fields.List(fields.Nested(WarningSchema))
    lost = fields.List(fields.String())
    error = fields.Nested(WarningSchema, allow_none=True)
    has_picture = fields.Boolean()
    is_nsfw = fields.Boolean()
    state = fields.String(validate=one_of("planned", "done", "undone", "kept"))
    note = fields.String(allow_none=True)


class ImportOptionsSchema(Schema):
    """What held for the whole import."""

    on_conflict = fields.String(allow_none=True)
    tags = fields.List(fields.String())
    is_nsfw = fields.Boolean(allow_none=True)


class ImportSchema(Schema):
    """An import: a plan, and what became of it."""

    id = fields.UUID()
    status = fields.String(validate=one_of(*STATUSES))
    options = fields.Nested(ImportOptionsSchema)
    files = fields.List(fields.Nested(ImportedFileSchema))
    summary = fields.Nested(ImportSummarySchema)
    progress = fields.Nested(ImportProgressSchema)
    error_code = fields.String(allow_none=True)
    error_message = fields.String(allow_none=True)
    version = fields.Integer()
    created_at = fields.DateTime()
    updated_at = fields.DateTime()
    expires_at = fields.DateTime()


class ImportWithEntriesSchema(ImportSchema):
    """The same with a page of its entries."""

    entries = fields.List(fields.Nested(ImportEntrySchema))


class ImportsPageSchema(Schema):
    """A page of imports."""

    total = fields.Integer()
    items = fields.List(fields.Nested(ImportSchema))


IMPORT_EXAMPLE = {
    "id": "019c13ec-9e00-7c3a-9d1f-5b0c8a7e4f21",
    "status": "planned",
    "options": {"on_conflict": None, "tags": ["from A1111"], "is_nsfw": None},
    "files": [
        {
            "name": "styles.csv",
            "format": "a1111",
            "tool": "A1111",
            "entries": 1,
            "warnings": [],
        }
    ],
    "summary": {"actions": {"create": 1}, "warnings": {"lora_unknown": 1}, "results": {}},
    "progress": {"done": 0, "total": 1},
    "error_code": None,
    "error_message": None,
    "version": 1,
    "created_at": "2026-01-31T12:00:00.000000Z",
    "updated_at": "2026-01-31T12:00:00.000000Z",
    "expires_at": "2026-02-01T12:00:00.000000Z",
}
PLAN_EXAMPLE = IMPORT_EXAMPLE | {
    "entries": [
        {
            "index": 0,
            "locator": "styles.csv row 2",
            "name": "Film",
            "action": "create",
            "match": None,
            "persona_id": None,
            "fields": {
                "name": "Film",
                "style_prompt": "{prompt}, film grain <lora:grain:0.6>",
                "negative_prompt": "",
                "tags": ["from A1111"],
            },
            "diff": [],
            "warnings": [
                {
                    "code": "lora_unknown",
                    "field": "style_prompt",
                    "detail": "No engine has the LoRA 'grain'.",
                }
            ],
            "lost": [],
            "error": None,
            "has_picture": False,
            "is_nsfw": False,
            "state": "planned",
            "note": None,
        }
    ]
}
TEXT_EXAMPLE = {
    "text": "moonlit ocean, film grain\nNegative prompt: text\n"
    "Steps: 25, Sampler: Euler a, CFG scale: 7, Seed: 42, Size: 768x768",
    "tags": ["pasted"],
}
APPLY_EXAMPLE = {"choices": {"0": "skip"}, "on_conflict": "update"}
