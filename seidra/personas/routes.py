"""/api/personas."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flask import Response, g, request

from seidra.auth.keys import key_scope
from seidra.auth.tokens import login_required
from seidra.database.base import Connection, Row
from seidra.errors import errors_below
from seidra.jobs import queue
from seidra.jobs.requests import (
    PREVIEW,
    Asked,
    Draft,
    Look,
    draft_job,
    look_of,
    named_look,
    read_asked,
)
from seidra.jobs.routes import job_path, reply_queued, show_queued
from seidra.jobs.schemas import (
    CHECK_EXAMPLE,
    PREVIEW_EXAMPLE,
    CheckQuery,
    CheckSchema,
    PreviewAnswerSchema,
    PreviewSchema,
)
from seidra.jobs.view import check_json
from seidra.nsfw import policy
from seidra.personas import pages, revisions, write
from seidra.personas.schemas import (
    PERSONA_BODY_EXAMPLE,
    PERSONA_EXAMPLE,
    REVISION_EXAMPLE,
    WHOLE_REVISION_EXAMPLE,
    WRITTEN_EXAMPLE,
    AvatarSchema,
    DuplicateQuery,
    DuplicateSchema,
    PersonaChangeSchema,
    PersonaQuery,
    PersonaSchema,
    RevisionSchema,
    UnsavedPreviewSchema,
    WholeRevisionSchema,
    WrittenPersonaSchema,
)
from seidra.personas.view import card_json, persona_json, revision_json, whole_revision_json
from seidra.web import rates
from seidra.web.answers import (
    check_if_match,
    no_content,
    page_headers,
    public_url,
    reply,
    reply_versioned,
)
from seidra.web.blueprint import Blueprint
from seidra.web.fields import PageQuery
from seidra.web.repeats import keep_made, repeatable
from seidra.web.services import services

blp = Blueprint(
    "personas",
    __name__,
    url_prefix="/api/personas",
    description="Looks that pictures are made with",
)

previews_blp = Blueprint(
    "previews", __name__, url_prefix="/api/previews", description="Previews of what is not saved"
)


def _answer(
    row: Row, status: int = 200, warnings: write.Warnings | None = None, **headers: str
) -> Response:
    shown = persona_json(row, services().links, g.user["id"])
    if warnings is not None:
        shown["warnings"] = warnings
    return reply_versioned(shown, row["version"], status, **headers)


def _answer_created(row: Row, warnings: write.Warnings | None = None) -> Response:
    return _answer(row, 201, warnings, Location=public_url() + _path_of(row))


def _path_of(row: Row) -> str:
    return f"/api/personas/{row['id']}"


def _show_made(persona_id: str) -> Response:
    connection = services().database.connection
    return _answer(write.read_persona(connection, g.user["id"], int(persona_id)), warnings=[])


@blp.route("", methods=["GET"])
@login_required
@blp.arguments(PersonaQuery, location="query")
@blp.response(200, PersonaSchema(many=True), example=[PERSONA_EXAMPLE])
def list_personas(query: dict[str, Any]) -> Response:
    """My personas, or those that others share, or both: a page of them, the total in
    X-Total-Count."""
    links, user_id = services().links, g.user["id"]
    with services().database.snapshot() as connection:
        nsfw = policy.may_list_nsfw(connection, user_id, query["include_nsfw"])
        rows, total = pages.read_page(connection, user_id, nsfw, query)
    headers = page_headers(total, query["limit"], query["offset"])
    make_json = card_json if query["shown"] == "card" else persona_json
    return reply([make_json(row, links, user_id) for row in rows], headers=headers)


@blp.route("/<id:persona_id>", methods=["GET"])
@login_required
@blp.response(200, PersonaSchema, example=PERSONA_EXAMPLE)
@blp.alt_response(304, description="Not modified")
def read(persona_id: int) -> Response:
    """One persona, of my own or a shared one."""
    return _answer(write.see_persona(services().database.connection, g.user["id"], persona_id))


@blp.route("", methods=["POST"])
@login_required
@repeatable(_show_made)
@blp.arguments(PersonaSchema, example=PERSONA_BODY_EXAMPLE)
@blp.response(201, WrittenPersonaSchema, example=WRITTEN_EXAMPLE)
@blp.alt_response(403, "PROBLEM")
@blp.alt_response(409, "PROBLEM")
def create(body: dict[str, Any]) -> Response:
    """Make a persona."""
    persona = write.prepare_persona(body)
    with services().database.transaction(g.user["id"], shared=True) as tx:
        row = write.create_persona(tx, g.user["id"], persona, services().settings)
        keep_made(tx, row["id"], 201, _path_of(row))
    return _answer_created(row, persona.warnings)


@blp.route("/<id:persona_id>", methods=["PUT"])
@login_required
@blp.arguments(PersonaChangeSchema, example={"is_favorite": True})
@blp.response(200, WrittenPersonaSchema, example=WRITTEN_EXAMPLE)
@blp.alt_response(403, "PROBLEM")
@blp.alt_response(412, "PROBLEM")
def put(change: dict[str, Any], persona_id: int) -> Response:
    """Change a persona; what is left out stays."""
    return _change(persona_id, change)


@blp.route("/<id:persona_id>", methods=["PATCH"])
@login_required
@blp.arguments(PersonaChangeSchema, example={"is_favorite": True})
@blp.response(200, WrittenPersonaSchema, example=WRITTEN_EXAMPLE)
@blp.alt_response(403, "PROBLEM")
@blp.alt_response(412, "PROBLEM")
def patch(change: dict[str, Any], persona_id: int) -> Response:
    """Change a persona; what is left out stays. As `application/merge-patch+json` it merges
    `generation_params` (null removes), as `application/json` it replaces them."""
    return _change(persona_id, change, merge=request.mimetype == "application/merge-patch+json")


def _change(persona_id: int, body: dict[str, Any], *, merge: bool = False) -> Response:
    with services().database.transaction(g.user["id"]) as tx:
        row, warnings = write.change_persona(
            tx, g.user["id"], persona_id, body, check_if_match, merge=merge
        )
    return _answer(row, 200, warnings)


@blp.route("/<id:persona_id>", methods=["DELETE"])
@login_required
@blp.response(204)
@blp.alt_response(412, "PROBLEM")
def delete(persona_id: int) -> Response:
    """Delete a persona: it lies in the trash for a while; its jobs and media stay, without it."""
    keep_days = services().settings.keep_trash_days
    with services().database.transaction(g.user["id"]) as tx:
        write.delete_persona(tx, g.user["id"], persona_id, keep_days, check_if_match)
    return no_content()


@blp.route("/<id:persona_id>/duplicate", methods=["POST"])
@login_required
@repeatable(_show_made)
@blp.arguments(DuplicateQuery, location="query")
@blp.arguments(DuplicateSchema, required=False, example={"name": "Élodie at night"})
@blp.response(201, PersonaSchema, example=PERSONA_EXAMPLE)
@blp.alt_response(403, "PROBLEM")
@blp.alt_response(409, "PROBLEM")
def duplicate(query: dict[str, Any], body: dict[str, Any], persona_id: int) -> Response:
    """Make a private copy of my own or a shared one, named as asked or "<name> (copy)"."""
    name = body.get("name") or query.get("new_name")
    with services().database.transaction(g.user["id"]) as tx:
        row = write.duplicate_persona(tx, g.user["id"], persona_id, name, services().settings)
        keep_made(tx, row["id"], 201, _path_of(row))
    return _answer_created(row)


@blp.route("/<id:persona_id>/avatar", methods=["PUT"])
@login_required
@blp.arguments(AvatarSchema, example={"media_id": "6f1c2f0e-0d5b-5d5c-9c55-2b8d3f3c1a10"})
@blp.response(200, PersonaSchema, example=PERSONA_EXAMPLE)
@blp.alt_response(412, "PROBLEM")
def put_avatar(body: dict[str, Any], persona_id: int) -> Response:
    """Make one of my media items the avatar, or a square of it."""
    with services().database.transaction(g.user["id"]) as tx:
        row = write.set_avatar(
            tx, g.user["id"], persona_id, body["media_id"], check_if_match, body.get("crop")
        )
    return _answer(row)


@blp.route("/<id:persona_id>/preview", methods=["POST"])
@login_required
@key_scope("generate")
@repeatable(show_queued)
@blp.arguments(PreviewSchema, required=False, example={"seed": 42})
@blp.response(202, PreviewAnswerSchema, example=PREVIEW_EXAMPLE)
@blp.alt_response(409, "PROBLEM")
@blp.alt_response(429, "PROBLEM")
def preview(body: dict[str, Any], persona_id: int) -> Response:
    """Queue a preview of the persona's style; follow the job at Location."""
    rates.count_request("preview", str(g.user["id"]))
    asked = read_asked(body)
    with services().database.transaction(g.user["id"], shared=True) as tx:
        look = look_of(write.see_persona(tx, g.user["id"], persona_id), g.user["id"])
        job_id, draft = _queue_preview(tx, asked, look)
    return reply_queued(job_id, draft)


def _queue_preview(tx: Connection, asked: Asked, look: Look) -> tuple[str, Draft]:
    draft = draft_job(tx, g.user["id"], services().setup, asked, look, PREVIEW)
    job_id = queue.add_job(tx, g.user["id"], draft, asked.force, services().settings)
    keep_made(tx, job_id, 202, job_path(job_id))
    return job_id, draft


@blp.route("/<id:persona_id>/check", methods=["GET"])
@login_required
@blp.arguments(CheckQuery, location="query")
@blp.response(200, CheckSchema, example=CHECK_EXAMPLE)
def check(query: dict[str, Any], persona_id: int) -> Response:
    """What an engine (default: the one that a preview would take), as it was last seen, lacks for
    the persona or does otherwise."""
    connection = services().database.connection
    look = look_of(write.see_persona(connection, g.user["id"], persona_id), g.user["id"])
    draft = draft_job(connection, g.user["id"], services().setup, read_asked(query), look, PREVIEW)
    return reply(check_json(draft))


@blp.route("/<id:persona_id>/revisions", methods=["GET"])
@login_required
@blp.arguments(PageQuery, location="query")
@blp.response(200, RevisionSchema(many=True), example=[REVISION_EXAMPLE])
def list_revisions(query: dict[str, Any], persona_id: int) -> Response:
    """How the persona was, newest first; the first is how it is now. The last hundred are kept."""
    limit, offset = query["limit"], query["offset"]
    with services().database.snapshot() as connection:
        row = write.read_persona(connection, g.user["id"], persona_id)
        found, total = revisions.read_page(connection, g.user["id"], row, limit, offset)
    return reply(
        [revision_json(each) for each in found], headers=page_headers(total, limit, offset)
    )


@blp.route("/<id:persona_id>/revisions/<id:number>", methods=["GET"])
@login_required
@blp.response(200, WholeRevisionSchema, example=WHOLE_REVISION_EXAMPLE)
@blp.alt_response(304, description="Not modified")
def read_revision(persona_id: int, number: int) -> Response:
    """One revision, with what restoring it brings back. Its ETag has the persona's version."""
    with services().database.snapshot() as connection:
        row = write.read_persona(connection, g.user["id"], persona_id)
        revision = revisions.read_revision(connection, g.user["id"], row, number)
    return reply_versioned(whole_revision_json(revision), row["version"])


@blp.route("/<id:persona_id>/revisions/<id:number>/restore", methods=["POST"])
@login_required
@blp.response(200, PersonaSchema, example=PERSONA_EXAMPLE)
@blp.alt_response(403, "PROBLEM")
@blp.alt_response(412, "PROBLEM")
def restore_revision(persona_id: int, number: int) -> Response:
    """Make the persona what it was, as a new revision. Whether it is a favourite, and its avatar,
    stay; it stays NSFW, or becomes so with what comes back."""
    with services().database.transaction(g.user["id"]) as tx:
        row = write.restore_revision(tx, g.user["id"], persona_id, number, check_if_match)
    return _answer(row)


@previews_blp.route("", methods=["POST"])
@login_required
@key_scope("generate")
@repeatable(show_queued)
@previews_blp.arguments(UnsavedPreviewSchema, example={"persona": PERSONA_BODY_EXAMPLE, "seed": 42})
@previews_blp.response(202, PreviewAnswerSchema, example=PREVIEW_EXAMPLE | {"persona_id": None})
@previews_blp.alt_response(403, "PROBLEM")
@previews_blp.alt_response(409, "PROBLEM")
@previews_blp.alt_response(429, "PROBLEM")
def preview_unsaved(body: dict[str, Any]) -> Response:
    """Queue a preview of a persona that is not saved: the job has its name, and neither job nor
    pictures belong to a persona. Follow the job at Location."""
    rates.count_request("preview", str(g.user["id"]))
    asked, changed = read_asked(body), body.get("persona_id")
    with errors_below("persona"):
        persona = write.prepare_persona(body["persona"])
    asked = replace(asked, warnings=[*persona.warnings, *asked.warnings])
    with services().database.transaction(g.user["id"], shared=True) as tx:
        named_look(tx, g.user["id"], changed)
        with errors_below("persona"):
            look = write.unsaved_persona(tx, g.user["id"], persona, changed)
        job_id, draft = _queue_preview(tx, asked, look)
    return reply_queued(job_id, draft)
