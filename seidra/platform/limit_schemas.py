"""Bodies and answers about what accounts may have and use, and about what they had."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, ValidationError, fields, validates_schema

from seidra.web.fields import (
    Body,
    Flag,
    Items,
    PageQuery,
    Query,
    QueryTime,
    QueryWhole,
    Text,
    Whole,
    one_of,
)

MAX_MEMBERS = 1_000
"""Accounts that one request puts into a group, or takes out."""


class SaidSchema(Schema):
    """What is said of an account or a group; null says nothing."""

    engines = fields.List(fields.String(), allow_none=True)
    models = fields.List(fields.String(), allow_none=True)
    engine_minutes_a_day = fields.Integer(allow_none=True)
    max_pictures = fields.Integer(allow_none=True)
    max_bytes = fields.Integer(allow_none=True)
    may_share = fields.Boolean(allow_none=True)


class SaidBody(Body):
    """The same as it is sent; what is left out stays."""

    engines = Items(
        Text(1, 50, line=True),
        100,
        "names",
        allow_none=True,
        metadata={"description": "Those that may be used."},
    )
    models = Items(
        Text(1, 200, line=True),
        1_000,
        "names",
        allow_none=True,
        metadata={"description": "Those that may be used, as the catalogues name them."},
    )
    engine_minutes_a_day = Whole(
        0, 1_000_000, allow_none=True, metadata={"description": "Of all engines, by days in UTC."}
    )
    max_pictures = Whole(1, 1_000_000_000, allow_none=True)
    max_bytes = Whole(1, 1_000_000_000_000_000, allow_none=True)
    may_share = Flag(allow_none=True)


class GroupSchema(SaidSchema):
    """A group of accounts."""

    id = fields.Integer()
    name = fields.String()
    nsfw_allowed = fields.Boolean(
        metadata={"description": "false: none of its members may have NSFW things."}
    )
    members = fields.Integer(metadata={"description": "How many accounts are in it."})
    created_at = fields.DateTime()
    updated_at = fields.DateTime()


class GroupsSchema(Schema):
    """A page of the groups."""

    total = fields.Integer()
    groups = fields.List(fields.Nested(GroupSchema))


class NewGroupSchema(SaidBody):
    """A group to be."""

    READ_ONLY = frozenset(GroupSchema._declared_fields)

    name = Text(1, 100, line=True, required=True)
    nsfw_allowed = Flag(load_default=True)


class GroupChangeSchema(SaidBody):
    """What is said of a group anew; what is left out stays."""

    READ_ONLY = frozenset(GroupSchema._declared_fields)

    name = Text(1, 100, line=True)
    nsfw_allowed = Flag()

    @validates_schema
    def _check_something_changes(self, data: Any, **kwargs: Any) -> None:
        if not data:
            raise ValidationError("Must have something to change.")


class MembersBody(Body):
    """Who comes into a group, and who goes."""

    add = Items(Whole(1, 2**31 - 1), MAX_MEMBERS, "accounts", load_default=list)
    remove = Items(Whole(1, 2**31 - 1), MAX_MEMBERS, "accounts", load_default=list)

    @validates_schema
    def _check_somebody_moves(self, data: Any, **kwargs: Any) -> None:
        if not data["add"] and not data["remove"]:
            raise ValidationError("Must have accounts to add or to remove.")


class NotMovedSchema(Schema):
    """An account that was not moved, and why."""

    id = fields.Integer()
    code = fields.String(metadata={"description": "`not_found` or `not_member`."})


class MovedSchema(Schema):
    """The group, and which accounts were not moved."""

    group = fields.Nested(GroupSchema)
    failed = fields.List(fields.Nested(NotMovedSchema))


class AccountsQuery(PageQuery):
    """Which accounts."""

    group_id = QueryWhole(
        1, load_default=None, metadata={"description": "Only those in this group."}
    )


# ------------------------------------------------------------------------------------------- usage

BY_ACCOUNT, BY_DAY = "account", "day"


class SpanQuery(Query):
    """Which days in UTC (default: today and the 29 days before), of whom, summed by what."""

    first = QueryTime(
        data_key="from", load_default=None, metadata={"description": "The first day."}
    )
    last = QueryTime(data_key="to", load_default=None, metadata={"description": "The last day."})
    user_id = QueryWhole(1, load_default=None, metadata={"description": "Of this account alone."})
    group_by = Text(load_default=BY_ACCOUNT, validate=one_of(BY_ACCOUNT, BY_DAY))


class UsageQuery(SpanQuery, PageQuery):
    """The same, and which page of it."""


class UsageFigures(Schema):
    """Seconds of engines, pictures that were made, and their bytes."""

    engine_seconds = fields.Float()
    pictures = fields.Integer()
    bytes = fields.Integer()


class UsageItemSchema(UsageFigures):
    """The figures of an account, or of a day: what they are not of is null."""

    user_id = fields.Integer(allow_none=True)
    username = fields.String(allow_none=True)
    day = fields.Date(allow_none=True)


class UsageSchema(Schema):
    """What accounts had."""

    first = fields.Date(data_key="from")
    last = fields.Date(data_key="to")
    group_by = fields.String()
    total = fields.Integer(metadata={"description": "How many items there are in all."})
    sum = fields.Nested(UsageFigures)
    items = fields.List(fields.Nested(UsageItemSchema))


GROUP_EXAMPLE = {
    "id": 4,
    "name": "Children",
    "nsfw_allowed": False,
    "engines": ["mock"],
    "models": None,
    "engine_minutes_a_day": 30,
    "max_pictures": 2_000,
    "max_bytes": None,
    "may_share": False,
    "members": 2,
    "created_at": "2026-01-31T12:00:00.000000Z",
    "updated_at": "2026-01-31T12:00:00.000000Z",
}
