"""/api/admin/groups: what holds for several accounts at once, for administrators."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from flask import Response

from seidra.auth import limits
from seidra.auth.tokens import admin_required
from seidra.database.base import INSTANCE, Row
from seidra.database.queries import queries
from seidra.engines.setup import Setup
from seidra.errors import Invalid, NotFound
from seidra.platform.limit_schemas import (
    GROUP_EXAMPLE,
    GroupChangeSchema,
    GroupSchema,
    GroupsSchema,
    MembersBody,
    MovedSchema,
    NewGroupSchema,
)
from seidra.web.answers import PRIVATE, no_content, page_headers, public_url, reply
from seidra.web.blueprint import Blueprint
from seidra.web.fields import PageQuery
from seidra.web.repeats import keep_made, repeatable
from seidra.web.services import services

blp = Blueprint(
    "groups", __name__, url_prefix="/api/admin/groups", description="Groups of accounts"
)


def check_engine_names(setup: Setup, body: Mapping[str, Any]) -> None:
    """Raise Invalid where a body lets somebody use an engine that is not there: it was meant for
    another."""
    for name in body.get("engines") or ():
        if name not in setup.engines:
            near = difflib.get_close_matches(name, setup.engines, 1) or list(setup.engines)
            sentence = f"There is no engine {name!r}; there is {', '.join(near)}."
            raise Invalid({"engines": [sentence]})


def _group_json(row: Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "name": row["name"],
        "nsfw_allowed": bool(row["nsfw_allowed"]),
        **limits.said(row),
        "members": row["members"],
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
    }


def _show_made(group_id: str) -> Response:
    return reply(_group_json(limits.existing_group(services().database.connection, int(group_id))))


@blp.route("", methods=["GET"])
@admin_required
@blp.arguments(PageQuery, location="query")
@blp.response(200, GroupsSchema, example={"total": 1, "groups": [GROUP_EXAMPLE]})
def list_groups(query: dict[str, Any]) -> Response:
    """The groups, in the order they were made."""
    limit, offset = query["limit"], query["offset"]
    with services().database.snapshot() as connection:
        rows = queries.limits.group_page(
            connection, which="all", id=None, limit=limit, offset=offset
        )
        total = queries.limits.group_count(connection)
    return reply(
        {"total": total, "groups": [_group_json(row) for row in rows]},
        headers=page_headers(total, limit, offset),
    )


@blp.route("", methods=["POST"])
@admin_required
@repeatable(_show_made)
@blp.arguments(
    NewGroupSchema,
    example={"name": "Children", "nsfw_allowed": False, "engine_minutes_a_day": 30},
)
@blp.response(201, GroupSchema, example=GROUP_EXAMPLE)
@blp.alt_response(409, "PROBLEM")
def make_group(body: dict[str, Any]) -> Response:
    """Make a group; nobody is in it yet."""
    check_engine_names(services().setup, body)
    with services().database.transaction(INSTANCE) as tx:
        group_id = limits.create_group(tx, body)
        made = _group_json(limits.existing_group(tx, group_id))
        path = f"/api/admin/groups/{group_id}"
        keep_made(tx, group_id, 201, path)
    return reply(made, 201, {**PRIVATE, "Location": public_url() + path})


@blp.route("/<id:group_id>", methods=["GET"])
@admin_required
@blp.response(200, GroupSchema, example=GROUP_EXAMPLE)
def read_group(group_id: int) -> Response:
    """One group."""
    return reply(_group_json(limits.existing_group(services().database.connection, group_id)))


@blp.route("/<id:group_id>", methods=["PATCH"])
@admin_required
@blp.arguments(GroupChangeSchema, example={"engine_minutes_a_day": 60})
@blp.response(200, GroupSchema, example=GROUP_EXAMPLE | {"engine_minutes_a_day": 60})
@blp.alt_response(409, "PROBLEM")
def change_group(body: dict[str, Any], group_id: int) -> Response:
    """Say what holds for the members of a group, from now on."""
    check_engine_names(services().setup, body)
    with services().database.transaction(INSTANCE) as tx:
        limits.change_group(tx, group_id, body)
        changed = _group_json(limits.existing_group(tx, group_id))
    return reply(changed)


@blp.route("/<id:group_id>", methods=["DELETE"])
@admin_required
@blp.response(204)
def delete_group(group_id: int) -> Response:
    """Delete a group; its members stay, and are in none."""
    with services().database.transaction(INSTANCE) as tx:
        if not queries.limits.group_delete(tx, id=group_id):
            raise NotFound("group")
    return no_content()


@blp.route("/<id:group_id>/members", methods=["POST"])
@admin_required
@blp.arguments(MembersBody, example={"add": [3, 5], "remove": [8]})
@blp.response(
    200,
    MovedSchema,
    example={"group": GROUP_EXAMPLE, "failed": [{"id": 8, "code": "not_member"}]},
)
def change_members(body: dict[str, Any], group_id: int) -> Response:
    """Put accounts into a group, each out of the one that it was in, and take others out."""
    with services().database.transaction(INSTANCE) as tx:
        failed = limits.change_members(tx, group_id, body["add"], body["remove"])
        group = _group_json(limits.existing_group(tx, group_id))
    return reply({"group": group, "failed": failed})
