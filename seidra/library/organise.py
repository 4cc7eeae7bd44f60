"""/api/tags, and the facets of personas and media."""

from __future__ import annotations

from typing import Any

from flask import Response, g

from seidra.auth.tokens import login_required
from seidra.library.facets import media_facets, persona_facets
from seidra.library.organise_schemas import (
    FACETS_EXAMPLE,
    TAGS_EXAMPLE,
    FacetsSchema,
    MediaFacetsQuery,
    PersonaFacetsQuery,
    TagListSchema,
    TagsQuery,
)
from seidra.library.tags import list_tags
from seidra.nsfw import policy
from seidra.web.answers import reply
from seidra.web.blueprint import Blueprint
from seidra.web.services import services

blp = Blueprint("organise", __name__, url_prefix="/api", description="Tags and facets")


@blp.route("/personas/facets", methods=["GET"])
@login_required
@blp.arguments(PersonaFacetsQuery, location="query")
@blp.response(200, FacetsSchema, example=FACETS_EXAMPLE)
def facets_of_personas(query: dict[str, Any]) -> Response:
    """What a filter leaves of my personas, in figures."""
    with services().database.snapshot() as connection:
        nsfw = policy.may_list_nsfw(connection, g.user["id"], query["include_nsfw"])
        return reply(persona_facets(connection, g.user["id"], nsfw, query))


@blp.route("/media/facets", methods=["GET"])
@login_required
@blp.arguments(MediaFacetsQuery, location="query")
@blp.response(200, FacetsSchema, example=FACETS_EXAMPLE)
def facets_of_media(query: dict[str, Any]) -> Response:
    """What a filter leaves of my media, in figures."""
    with services().database.snapshot() as connection:
        nsfw = policy.may_list_nsfw(connection, g.user["id"], query["include_nsfw"])
        return reply(media_facets(connection, g.user["id"], nsfw, query))


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
