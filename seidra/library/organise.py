"""/api/tags, and the facets of personas and media and what is done to many of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flask import Response, g

from seidra.auth.tokens import login_required
from seidra.database.base import Connection
from seidra.library import bulk
from seidra.library.facets import media_facets, persona_facets
from seidra.library.organise_schemas import (
    FACETS_EXAMPLE,
    MEDIA_BULK_EXAMPLE,
    OUTCOME_EXAMPLE,
    PERSONA_BULK_EXAMPLE,
    RETAGGED_EXAMPLE,
    TAGS_EXAMPLE,
    FacetsSchema,
    MediaBulkSchema,
    MediaFacetsQuery,
    OutcomeSchema,
    PersonaBulkSchema,
    PersonaFacetsQuery,
    RenamedTagSchema,
    RetaggedSchema,
    TagListSchema,
    TagSchema,
    TagsQuery,
)
from seidra.library.tags import list_tags, rename_tag
from seidra.media.pages import media_page
from seidra.nsfw import policy
from seidra.personas.pages import read_page
from seidra.web.answers import reply
from seidra.web.blueprint import Blueprint
from seidra.web.services import services

blp = Blueprint("organise", __name__, url_prefix="/api", description="Tags, facets, many at once")


@blp.route("/personas/facets", methods=["GET"])
@login_required
@blp.arguments(PersonaFacetsQuery, location="query")
@blp.response(200, FacetsSchema, example=FACETS_EXAMPLE)
def facets_of_personas(query: dict[str, Any]) -> Response:
    """What a filter leaves of my personas, or of those of a scope, in figures."""
    return _figures(query, persona_facets)


@blp.route("/media/facets", methods=["GET"])
@login_required
@blp.arguments(MediaFacetsQuery, location="query")
@blp.response(200, FacetsSchema, example=FACETS_EXAMPLE)
def facets_of_media(query: dict[str, Any]) -> Response:
    """What a filter leaves of my media, in figures."""
    return _figures(query, media_facets)


def _figures(
    query: dict[str, Any], count: Callable[[Connection, int, bool, dict[str, Any]], dict[str, Any]]
) -> Response:
    with services().database.snapshot() as connection:
        nsfw = policy.may_list_nsfw(connection, g.user["id"], query["include_nsfw"])
        return reply(count(connection, g.user["id"], nsfw, query))


@blp.route("/personas/bulk", methods=["POST"])
@login_required
@blp.arguments(PersonaBulkSchema, example=PERSONA_BULK_EXAMPLE)
@blp.response(200, OutcomeSchema, example=OUTCOME_EXAMPLE)
def change_personas(body: dict[str, Any]) -> Response:
    """Change, preview or delete up to a thousand of my personas: those of `ids`, or the first that
    a `filter` finds. `failed` says which were not done."""
    ids, remaining = _chosen_ids(body, read_page)
    failed = bulk.act_on_personas(
        services().database,
        g.user["id"],
        ids,
        body["action"],
        body.get("tags", ()),
        services().setup,
        services().settings,
    )
    return _outcome(ids, failed, remaining)


@blp.route("/media/bulk", methods=["POST"])
@login_required
@blp.arguments(MediaBulkSchema, example=MEDIA_BULK_EXAMPLE)
@blp.response(200, OutcomeSchema, example=OUTCOME_EXAMPLE)
def change_media(body: dict[str, Any]) -> Response:
    """Change or delete up to a thousand of my media items: those of `ids`, or the newest that a
    `filter` finds. `failed` says which were not done."""
    ids, remaining = _chosen_ids(body, media_page)
    failed = bulk.act_on_media(
        services().database,
        g.user["id"],
        ids,
        body["action"],
        body.get("tags", ()),
        services().settings,
    )
    return _outcome(ids, failed, remaining)


def _chosen_ids(body: dict[str, Any], read_page: bulk.ReadPage) -> tuple[Sequence[Any], int]:
    """The ids that a body means, and how many more its filter finds."""
    if "ids" in body:
        return body["ids"], 0
    return bulk.filtered_ids(
        services().database, g.user["id"], read_page, body["filter"], most=bulk.MAX_ITEMS
    )


def _outcome(ids: Sequence[Any], failed: list[dict[str, Any]], remaining: int) -> Response:
    services().wake.set()
    done = len(set(ids)) - len(failed)
    return reply({"done": done, "failed": failed, "remaining": remaining})


@blp.route("/tags", methods=["GET"])
@login_required
@blp.arguments(TagsQuery, location="query")
@blp.response(200, TagListSchema, example=TAGS_EXAMPLE)
def tags(query: dict[str, Any]) -> Response:
    """My tags, the most used first."""
    with services().database.snapshot() as connection:
        nsfw = policy.may_list_nsfw(connection, g.user["id"], query["include_nsfw"])
        found = list_tags(connection, g.user["id"], nsfw, query["prefix"], query["limit"])
    return reply({"tags": found})


@blp.route("/tags/rename", methods=["POST"])
@login_required
@blp.arguments(RenamedTagSchema, example={"tag": "sea", "to": "ocean"})
@blp.response(200, RetaggedSchema, example=RETAGGED_EXAMPLE)
@blp.alt_response(404, "PROBLEM")
def rename(body: dict[str, Any]) -> Response:
    """Call a tag of my personas and media otherwise, hidden ones too; one that is there already
    takes it in."""
    return _retag(body["tag"], body["to"])


@blp.route("/tags/delete", methods=["POST"])
@login_required
@blp.arguments(TagSchema, example={"tag": "sea"})
@blp.response(200, RetaggedSchema, example=RETAGGED_EXAMPLE)
@blp.alt_response(404, "PROBLEM")
def delete(body: dict[str, Any]) -> Response:
    """Take a tag away from all of my personas and media, hidden ones too."""
    return _retag(body["tag"], None)


def _retag(tag: str, to: str | None) -> Response:
    return reply(rename_tag(services().database, g.user["id"], tag, to))
