"""Queries and answers of facets and tags."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, ValidationError, fields, validates_schema

from seidra.library.bulk import MAX_ITEMS, MEDIA_ACTIONS, PERSONA_ACTIONS, TAGGING
from seidra.media.schemas import MediaQuery
from seidra.personas.schemas import SORTS, PersonaQuery
from seidra.web.fields import (
    MAX_INTEGER,
    Body,
    Flag,
    Items,
    Query,
    QueryFlag,
    QueryTime,
    QueryWhole,
    Tags,
    Text,
    UuidText,
    Whole,
    one_of,
)


def _prefix() -> Text:
    return Text(1, 50, load_default=lambda: "", metadata={"description": "What a tag begins with."})


def _tag_limit() -> QueryWhole:
    return QueryWhole(
        1,
        200,
        data_key="limit",
        load_default=50,
        metadata={"description": "How many tags to answer."},
    )


class PersonaFacetsQuery(PersonaQuery):
    """The filters of the list of personas, and which tags to answer."""

    class Meta(PersonaQuery.Meta):
        exclude = ("limit", "offset", "sort", "shown")

    prefix = _prefix()
    tag_limit = _tag_limit()


class MediaFacetsQuery(MediaQuery):
    """The filters of the list of media, and which tags to answer."""

    class Meta(MediaQuery.Meta):
        exclude = ("limit", "offset", "sort")

    prefix = _prefix()
    tag_limit = _tag_limit()


class TagsQuery(Query):
    """Which tags to answer."""

    prefix = _prefix()
    limit = QueryWhole(1, 200, load_default=50, metadata={"description": "How many to answer."})
    include_nsfw = QueryFlag(load_default=False)


class TagCountSchema(Schema):
    """A tag in its most used spelling, and how many have it."""

    tag = fields.String()
    count = fields.Integer()


class FacetsSchema(Schema):
    """What a filter leaves, in figures."""

    total = fields.Integer()
    favorites = fields.Integer()
    nsfw = fields.Integer()
    untagged = fields.Integer()
    tags = fields.List(fields.Nested(TagCountSchema))


class TagUseSchema(Schema):
    """A tag in its most used spelling, and how many personas and media have it."""

    tag = fields.String()
    personas = fields.Integer()
    media = fields.Integer()


class TagListSchema(Schema):
    """Tags, the most used first."""

    tags = fields.List(fields.Nested(TagUseSchema))


def _tag(**kwargs: Any) -> Text:
    return Text(1, 50, line=True, required=True, **kwargs)


class TagSchema(Body):
    """A tag, in whatever spelling."""

    tag = _tag()


class RenamedTagSchema(TagSchema):
    """A tag, and what it is to be called."""

    to = _tag(metadata={"description": "Where it is another tag, the two become one."})


class RetaggedSchema(Schema):
    """How many were changed, and how many more have the tag: ask again."""

    personas = fields.Integer()
    media = fields.Integer()
    remaining = fields.Integer()


class PersonaFilter(Body):
    """What a filter of personas asks for, as their list does."""

    search = Text(1, 100)
    tag = Items(Text(1, 50, line=True), 8, "tags", load_default=list)
    untagged = Flag(load_default=False)
    is_favorite = Flag(load_default=None, allow_none=True)
    include_nsfw = Flag(load_default=False)
    sort = Text(validate=one_of(*SORTS), load_default="-created_at")


class MediaFilter(Body):
    """What a filter of media asks for, as their list does."""

    search = Text(1, 100)
    tag = Items(Text(1, 50, line=True), 8, "tags", load_default=list)
    favorites_only = Flag(load_default=False)
    date_from = QueryTime(load_default=lambda: "")
    date_to = QueryTime(load_default=lambda: "~", end_of_day=True)
    persona_id = Whole(0, MAX_INTEGER, load_default=None, allow_none=True)
    job_id = UuidText(load_default=None, allow_none=True)
    collection = UuidText(load_default=None, allow_none=True)
    model = Text(1, 200, load_default=None, allow_none=True)
    lora = Text(1, 200, load_default=None, allow_none=True)
    include_nsfw = Flag(load_default=False)


class TaggingSchema(Body):
    """An action on several things; `tag` and `untag` take tags."""

    tags = Tags()

    @validates_schema
    def _tags_for_tagging(self, data: Any, **kwargs: Any) -> None:
        if data.get("action") in TAGGING and not data.get("tags"):
            raise ValidationError("Must name at least one tag.", "tags")


class _BulkSchema(TaggingSchema):
    @validates_schema
    def _ids_or_filter(self, data: Any, **kwargs: Any) -> None:
        if ("ids" in data) == ("filter" in data):
            raise ValidationError("Must have either ids or a filter.", "ids")


class PersonaBulkSchema(_BulkSchema):
    """What to do with which personas; `tags` for `tag` and `untag` alone."""

    action = Text(required=True, validate=one_of(*PERSONA_ACTIONS))
    ids = Items(Whole(0, MAX_INTEGER), MAX_ITEMS, "ids")
    filter = fields.Nested(PersonaFilter)


class MediaBulkSchema(_BulkSchema):
    """What to do with which media items; `tags` for `tag` and `untag` alone."""

    action = Text(required=True, validate=one_of(*MEDIA_ACTIONS))
    ids = Items(UuidText(), MAX_ITEMS, "ids")
    filter = fields.Nested(MediaFilter)


class FailedSchema(Schema):
    """What was not done, and why not."""

    id = fields.Raw()
    code = fields.String()


class OutcomeSchema(Schema):
    """How many were done, which were not, and how many more the filter finds."""

    done = fields.Integer()
    failed = fields.List(fields.Nested(FailedSchema))
    remaining = fields.Integer()


PERSONA_BULK_EXAMPLE = {"ids": [1, 2], "action": "tag", "tags": ["sea"]}
MEDIA_BULK_EXAMPLE = {"filter": {"search": "draft"}, "action": "delete"}
OUTCOME_EXAMPLE = {"done": 1, "failed": [{"id": 2, "code": "not_found"}], "remaining": 0}
FACETS_EXAMPLE: dict[str, Any] = {
    "total": 12,
    "favorites": 3,
    "nsfw": 0,
    "untagged": 4,
    "tags": [{"tag": "sea", "count": 6}, {"tag": "portrait", "count": 2}],
}
RETAGGED_EXAMPLE = {"personas": 6, "media": 41, "remaining": 0}
TAGS_EXAMPLE = {"tags": [{"tag": "sea", "personas": 6, "media": 41}]}
