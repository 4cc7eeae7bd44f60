"""/api/personas."""

from __future__ import annotations

from typing import Any

import orjson
from flask import Response, g

from seidra import folding
from seidra.auth.tokens import login_required
from seidra.database.base import Connection, Row
from seidra.database.queries import queries
from seidra.errors import Invalid, NotFound
from seidra.jobs import queue
from seidra.jobs.schemas import PREVIEW_EXAMPLE, PreviewAnswerSchema
from seidra.media.links import media_id_of
from seidra.nsfw import policy
from seidra.personas import pages
from seidra.personas import search as persona_search
from seidra.personas.schemas import (
    PERSONA_BODY_EXAMPLE,
    PERSONA_EXAMPLE,
    AvatarSchema,
    DuplicateQuery,
    DuplicateSchema,
    PersonaChangeSchema,
    PersonaQuery,
    PersonaSchema,
    PreviewSchema,
)
from seidra.personas.search import FoundBy
from seidra.values import from_json, json_fragment, timestamp, to_json
from seidra.web import rates
from seidra.web.answers import (
    PRIVATE,
    check_if_match,
    no_content,
    page_headers,
    public_url,
    reply,
    reply_versioned,
)
from seidra.web.blueprint import Blueprint
from seidra.web.services import services

blp = Blueprint(
    "personas",
    __name__,
    url_prefix="/api/personas",
    description="Looks that pictures are made with",
)

_DEFAULTS: dict[str, Any] = {
    "description": "",
    "negative_prompt": "",
    "lora_models": [],
    "generation_params": {},
    "tags": [],
    "is_favorite": False,
    "is_nsfw": False,
    "avatar_url": None,
    "avatar_media_id": None,
}
_JSON = ("lora_models", "generation_params", "tags")
_STORED = ("name", "style_prompt", *_DEFAULTS)


def _linked(cards: bytes) -> orjson.Fragment:
    """Cards as the statements answer them, as JSON: media ids, between two CHAR(1), become fresh
    signed links."""
    if b"\x01" in cards:
        link = services().links.make
        parts = cards.split(b"\x01")
        parts[1::2] = [
            orjson.dumps(link(media_id.decode(), "thumbnail", g.user["id"]))
            for media_id in parts[1::2]
        ]
        cards = b"".join(parts)
    return json_fragment(cards)


# ------------------------------------------------------------------------------------------ reading


@blp.route("", methods=["GET"])
@login_required
@blp.arguments(PersonaQuery, location="query")
@blp.response(200, PersonaSchema(many=True), example=[PERSONA_EXAMPLE])
def list_personas(query: dict[str, Any]) -> Response:
    """My personas: a page of them, the total in X-Total-Count."""
    connection, user_id = services().database.connection, g.user["id"]
    nsfw = policy.shown(connection, user_id, query["include_nsfw"])
    cards, total = pages.read(connection, user_id, nsfw, query)
    headers = page_headers(total, query["limit"], query["offset"])
    return reply(_linked(b"[%b]" % cards.replace(b"\n", b",")), headers=headers)


@blp.route("/<id:persona_id>", methods=["GET"])
@login_required
@blp.response(200, PersonaSchema, example=PERSONA_EXAMPLE)
@blp.alt_response(304, description="Not modified")
def read(persona_id: int) -> Response:
    """One persona."""
    return _answer(_get(services().database.connection, persona_id))


def _get(connection: Connection, persona_id: int) -> Row:
    row: Row | None = queries.personas.get(connection, id=persona_id, user_id=g.user["id"])
    if row is None:
        raise NotFound("persona")
    return row


def _answer(row: Row, status: int = 200, **headers: str) -> Response:
    return reply_versioned(_linked(row["card"]), row["version"], status, **headers)


# ------------------------------------------------------------------------------------------ writing


@blp.route("", methods=["POST"])
@login_required
@blp.arguments(PersonaSchema, example=PERSONA_BODY_EXAMPLE)
@blp.response(201, PersonaSchema, example=PERSONA_EXAMPLE)
@blp.alt_response(403, "PROBLEM")
def create(body: dict[str, Any]) -> Response:
    """Make a persona."""
    values = _DEFAULTS | body
    # Folded before its turn: nobody else writes while a transaction is open.
    found_by = persona_search.found_by(values)
    with services().database.transaction(g.user["id"], shared=True) as tx:
        row = _create(tx, values, found_by)
    return _created(row)


def _create(tx: Connection, values: dict[str, Any], found_by: FoundBy) -> Row:
    policy.check_may_make(tx, g.user["id"], values["is_nsfw"])
    _settle_avatar(tx, values, None)
    persona_id = queries.personas.create(
        tx, user_id=g.user["id"], now=timestamp(), **_columns(values)
    )
    _write_found_by(tx, persona_id, values, found_by)
    return _get(tx, persona_id)


def _created(row: Row) -> Response:
    return _answer(row, 201, Location=f"{public_url()}/api/personas/{row['id']}")


@blp.route("/<id:persona_id>", methods=["PUT"])
@login_required
@blp.arguments(PersonaChangeSchema, example={"is_favorite": True})
@blp.response(200, PersonaSchema, example=PERSONA_EXAMPLE)
@blp.alt_response(403, "PROBLEM")
@blp.alt_response(412, "PROBLEM")
def put(change: dict[str, Any], persona_id: int) -> Response:
    """Change a persona; what is left out stays."""
    return _change(persona_id, change)


@blp.route("/<id:persona_id>", methods=["PATCH"])
@login_required
@blp.arguments(PersonaChangeSchema, example={"is_favorite": True})
@blp.response(200, PersonaSchema, example=PERSONA_EXAMPLE)
@blp.alt_response(403, "PROBLEM")
@blp.alt_response(412, "PROBLEM")
def patch(change: dict[str, Any], persona_id: int) -> Response:
    """Change a persona; what is left out stays."""
    return _change(persona_id, change)


def _change(persona_id: int, change: dict[str, Any]) -> Response:
    with services().database.transaction(g.user["id"]) as tx:
        stored, version = _stored(tx, persona_id)
        check_if_match(version)
        values = stored | change
        if values["is_nsfw"] and not stored["is_nsfw"]:
            policy.check_may_make(tx, g.user["id"], True)
            queries.jobs.mark_nsfw(tx, persona_id=persona_id, now=timestamp())
            queries.media.mark_nsfw(tx, persona_id=persona_id, now=timestamp())
        if "avatar_url" in change:
            _settle_avatar(tx, values, stored["avatar_media_id"])
        row = _write(tx, persona_id, values)
    return _answer(row)


@blp.route("/<id:persona_id>", methods=["DELETE"])
@login_required
@blp.response(204)
@blp.alt_response(412, "PROBLEM")
def delete(persona_id: int) -> Response:
    """Delete a persona; its jobs and media stay, without a persona."""
    with services().database.transaction(g.user["id"]) as tx:
        version = queries.personas.version(tx, id=persona_id, user_id=g.user["id"])
        if version is None:
            raise NotFound("persona")
        check_if_match(version)
        queries.jobs.leave_persona(tx, persona_id=persona_id, now=timestamp())
        queries.media.leave_persona(tx, persona_id=persona_id, now=timestamp())
        queries.personas.delete(tx, id=persona_id, user_id=g.user["id"])
    return no_content()


@blp.route("/<id:persona_id>/duplicate", methods=["POST"])
@login_required
@blp.arguments(DuplicateQuery, location="query")
@blp.arguments(DuplicateSchema, required=False, example={"name": "Élodie at night"})
@blp.response(201, PersonaSchema, example=PERSONA_EXAMPLE)
@blp.alt_response(403, "PROBLEM")
def duplicate(query: dict[str, Any], body: dict[str, Any], persona_id: int) -> Response:
    """Make a copy, named as asked or "<name> (copy)"."""
    with services().database.transaction(g.user["id"]) as tx:
        values, _ = _stored(tx, persona_id)
        suffix = " (copy)"
        default = values["name"][: 100 - len(suffix)] + suffix
        values["name"] = body.get("name") or query.get("new_name") or default
        row = _create(tx, values, persona_search.found_by(values))
    return _created(row)


@blp.route("/<id:persona_id>/avatar", methods=["PUT"])
@login_required
@blp.arguments(AvatarSchema, example={"media_id": "6f1c2f0e-0d5b-5d5c-9c55-2b8d3f3c1a10"})
@blp.response(200, PersonaSchema, example=PERSONA_EXAMPLE)
@blp.alt_response(412, "PROBLEM")
def put_avatar(body: dict[str, Any], persona_id: int) -> Response:
    """Make one of my media items the avatar."""
    with services().database.transaction(g.user["id"]) as tx:
        stored, version = _stored(tx, persona_id)
        check_if_match(version)
        media_id = str(body["media_id"])
        _check_own_media(tx, media_id, "media_id")
        row = _write(tx, persona_id, stored | {"avatar_url": None, "avatar_media_id": media_id})
    return _answer(row)


@blp.route("/<id:persona_id>/preview", methods=["POST"])
@login_required
@blp.arguments(PreviewSchema, required=False, example={"seed": 42})
@blp.response(202, PreviewAnswerSchema, example=PREVIEW_EXAMPLE)
@blp.alt_response(429, "PROBLEM")
def preview(body: dict[str, Any], persona_id: int) -> Response:
    """Queue a preview of the persona's style; follow the job at Location."""
    rates.count("preview", str(g.user["id"]))
    with services().database.transaction(g.user["id"], shared=True) as tx:
        persona, _ = _stored(tx, persona_id)
        answer = queue.add_preview(
            tx, g.user["id"], {**persona, "id": persona_id}, body.get("seed"), services().settings
        )
    services().wake.set()
    return reply(
        answer, 202, {**PRIVATE, "Location": f"{public_url()}/api/jobs/{answer['job_id']}"}
    )


# --------------------------------------------------------------------------------------------- rows


def _stored(tx: Connection, persona_id: int) -> tuple[dict[str, Any], int]:
    """A persona as values to merge a change into, and its version. Raises NotFound."""
    row = queries.personas.get_for_update(tx, id=persona_id, user_id=g.user["id"])
    if row is None:
        raise NotFound("persona")
    values = {name: from_json(row[name]) if name in _JSON else row[name] for name in _STORED}
    return values, row["version"]


def _columns(values: dict[str, Any]) -> dict[str, Any]:
    """The values as the columns of a whole row, with what is derived from them."""
    return {
        **{name: to_json(values[name]) if name in _JSON else values[name] for name in _STORED},
        "name_key": folding.fold(values["name"]),
    }


def _write(tx: Connection, persona_id: int, values: dict[str, Any]) -> Row:
    queries.personas.update(
        tx, id=persona_id, user_id=g.user["id"], now=timestamp(), **_columns(values)
    )
    queries.personas.tags_clear(tx, persona_id=persona_id)
    _write_found_by(tx, persona_id, values, persona_search.found_by(values))
    return _get(tx, persona_id)


def _write_found_by(
    tx: Connection, persona_id: int, values: dict[str, Any], found_by: FoundBy
) -> None:
    user_id = g.user["id"]
    persona_search.put(tx, user_id, persona_id, values, found_by.text)
    queries.personas.tags_add(
        tx,
        [
            {"user_id": user_id, "tag_key": key, "persona_id": persona_id}
            for key in found_by.tag_keys
        ],
    )


def _settle_avatar(tx: Connection, values: dict[str, Any], kept: str | None) -> None:
    """Turn the link of one's own media, as an answer gave it, back into the reference that it came
    from."""
    media_id = media_id_of(values["avatar_url"]) if values["avatar_url"] else None
    if media_id is not None:
        if media_id != kept:
            _check_own_media(tx, media_id, "avatar_url")
        values["avatar_url"] = None
        values["avatar_media_id"] = media_id
    elif values["avatar_url"] is not None or kept is not None:
        values["avatar_media_id"] = None


def _check_own_media(tx: Connection, media_id: str, field: str) -> None:
    if queries.media.get(tx, id=media_id, user_id=g.user["id"]) is None:
        raise Invalid({field: ["Must be one of your own media items."]})
