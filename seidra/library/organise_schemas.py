"""Queries and answers of facets and tags."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields

from seidra.media.schemas import MediaQuery
from seidra.personas.schemas import PersonaQuery
from seidra.web.fields import Query, QueryFlag, QueryWhole, Text


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
        exclude = ("limit", "offset", "sort")

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


FACETS_EXAMPLE: dict[str, Any] = {
    "total": 12,
    "favorites": 3,
    "nsfw": 0,
    "untagged": 4,
    "tags": [{"tag": "sea", "count": 6}, {"tag": "portrait", "count": 2}],
}
TAGS_EXAMPLE = {"tags": [{"tag": "sea", "personas": 6, "media": 41}]}
