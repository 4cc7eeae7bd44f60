"""/api/imports, and a persona from a picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from flask import Response, g

from seidra.auth.tokens import login_required
from seidra.database.base import Connection
from seidra.database.queries import queries
from seidra.errors import NotFound
from seidra.exchange import work
from seidra.exchange.import_schemas import (
    APPLY_EXAMPLE,
    IMPORT_EXAMPLE,
    MAX_FILES,
    PLAN_EXAMPLE,
    TEXT_EXAMPLE,
    EntriesQuery,
    ImportApplySchema,
    ImportFilesSchema,
    ImportPictureSchema,
    ImportsPageSchema,
    ImportsQuery,
    ImportTextSchema,
    ImportWithEntriesSchema,
)
from seidra.exchange.import_view import entry_json, import_json
from seidra.exchange.incoming import Incoming, read_files, read_media_item, read_text
from seidra.exchange.plan import Options, make_plan
from seidra.nsfw import policy
from seidra.web.answers import (
    check_if_match,
    no_content,
    page_headers,
    public_url,
    reply,
    reply_versioned,
)
from seidra.web.arguments import json_body
from seidra.web.blueprint import Blueprint
from seidra.web.repeats import keep_made, repeatable
from seidra.web.services import services
from seidra.web.uploads import received, takes_files

blp = Blueprint(
    "imports", __name__, url_prefix="/api", description="What people bring from elsewhere"
)

_JSON, _FORM = "application/json", "multipart/form-data"


def _path(import_id: str) -> str:
    return f"/api/imports/{import_id}"


def _answer(
    import_id: str, status: int = 200, query: dict[str, Any] | None = None, **headers: str
) -> Response:
    """An import with a page of its entries."""
    query = query or EntriesQuery().load({})
    which = "action" if query["action"] else "all"
    user_id = g.user["id"]
    with services().database.snapshot() as connection:
        row = queries.imports.get(connection, id=import_id, user_id=user_id)
        if row is None:
            raise NotFound("import")
        chosen = {
            "which": which,
            "import_id": import_id,
            "action": query["action"],
            "nsfw": policy.in_force(connection, user_id),
        }
        entries = queries.imports.entries_page(
            connection, limit=query["limit"], offset=query["offset"], **chosen
        )
        total = queries.imports.entries_count(connection, **chosen)
    shown = import_json(row) | {"entries": [entry_json(entry) for entry in entries]}
    paging = page_headers(total, query["limit"], query["offset"])
    more = {name: paging[name] for name in ("X-Total-Count", "Link")} | headers
    return reply_versioned(shown, row["version"], status, **more)


def _answer_later(import_id: str) -> Response:
    return _answer(import_id, 202, Location=public_url() + _path(import_id))


def _show(import_id: str) -> Response:
    return _answer(import_id)


def _documented(form: type[ImportFilesSchema]) -> dict[str, Any]:
    """What a body may be: JSON, or a form with files."""
    content = {
        _JSON: {"schema": ImportTextSchema, "example": TEXT_EXAMPLE},
        _FORM: {"schema": form},
    }
    return {"required": True, "content": content}


_FROM_JSON = ImportTextSchema()


def _plan(form: ImportFilesSchema) -> Response:
    came = received()
    database, user_id = services().database, g.user["id"]
    if came is not None:
        body = form.load(came.values({"file", "tags"}))
        files = ((upload.name, upload.read()) for upload in body["file"])
        incoming = read_files(files, body["format"], body["encoding"])
    else:
        body = _FROM_JSON.load(json_body(required=True))
        if "text" in body:
            incoming = read_text(body["text"], body["format"])
        else:
            incoming = read_media_item(
                database.connection, services().files, user_id, body["media_id"]
            )
    return _make(incoming, Options(body["on_conflict"], body["tags"], body["is_nsfw"]))


def _make(incoming: Incoming, options: Options) -> Response:
    def keep(tx: Connection, import_id: str) -> None:
        keep_made(tx, import_id, 201, _path(import_id))

    import_id = make_plan(
        services().database,
        services().files,
        g.user["id"],
        incoming.found,
        options,
        keep,
        incoming.avatar,
    )
    return _answer(import_id, 201, Location=public_url() + _path(import_id))


@blp.route("/imports", methods=["POST"])
@login_required
@takes_files(MAX_FILES, or_json=True)
@repeatable(_show)
@blp.response(201, ImportWithEntriesSchema, example=PLAN_EXAMPLE)
@blp.alt_response(400, "PROBLEM")
@blp.alt_response(403, "PROBLEM")
@blp.alt_response(409, "PROBLEM")
@blp.alt_response(413, "PROBLEM")
@blp.alt_response(415, "PROBLEM")
@blp.alt_response(422, "PROBLEM")
@blp.doc(requestBody=_documented(ImportFilesSchema))
def plan() -> Response:
    """Plan an import: of files, of a text, or of the data in one of my pictures. It says what it
    would do, entry by entry, and changes nothing."""
    return _plan(ImportFilesSchema())


@blp.route("/personas/from-picture", methods=["POST"])
@login_required
@takes_files(1, or_json=True)
@repeatable(_show)
@blp.response(201, ImportWithEntriesSchema, example=PLAN_EXAMPLE)
@blp.alt_response(400, "PROBLEM")
@blp.alt_response(403, "PROBLEM")
@blp.alt_response(409, "PROBLEM")
@blp.alt_response(413, "PROBLEM")
@blp.alt_response(415, "PROBLEM")
@blp.alt_response(422, "PROBLEM")
@blp.doc(requestBody=_documented(ImportPictureSchema))
def from_picture() -> Response:
    """Plan a persona of a picture, sent or one of mine, or of its data as a text."""
    return _plan(ImportPictureSchema())


@blp.route("/imports", methods=["GET"])
@login_required
@blp.arguments(ImportsQuery, location="query")
@blp.response(200, ImportsPageSchema, example={"total": 1, "items": [IMPORT_EXAMPLE]})
def list_imports(query: dict[str, Any]) -> Response:
    """My imports, the newest first, without their entries."""
    limit, offset = query["limit"], query["offset"]
    with services().database.snapshot() as connection:
        own = {"user_id": g.user["id"]}
        rows = queries.imports.page(connection, limit=limit, offset=offset, **own)
        total = queries.imports.count(connection, **own)
    headers = page_headers(total, limit, offset)
    return reply({"total": total, "items": [import_json(row) for row in rows]}, headers=headers)


@blp.route("/imports/<uuid:import_id>", methods=["GET"])
@login_required
@blp.arguments(EntriesQuery, location="query")
@blp.response(200, ImportWithEntriesSchema, example=PLAN_EXAMPLE)
@blp.alt_response(304, description="Not modified")
def read(query: dict[str, Any], import_id: UUID) -> Response:
    """An import with a page of its entries, their total in X-Total-Count."""
    return _answer(str(import_id), query=query)


def _keeper(import_id: str) -> Callable[[Connection], None]:
    return lambda tx: keep_made(tx, import_id, 202, _path(import_id))


def _own_entries(import_id: str) -> int:
    row = queries.imports.get(services().database.connection, id=import_id, user_id=g.user["id"])
    if row is None:
        raise NotFound("import")
    return int(row["entries"])


@blp.route("/imports/<uuid:import_id>/apply", methods=["POST"])
@login_required
@repeatable(_show)
@blp.arguments(ImportApplySchema, required=False, example=APPLY_EXAMPLE)
@blp.response(202, ImportWithEntriesSchema, example=PLAN_EXAMPLE | {"status": "applied"})
@blp.alt_response(403, "PROBLEM")
@blp.alt_response(409, "PROBLEM")
@blp.alt_response(412, "PROBLEM")
def apply(body: dict[str, Any], import_id: UUID) -> Response:
    """Apply a plan, all or nothing: a small one is applied with the answer, a large one by a
    worker, and the import says how far it is."""
    id, parts = str(import_id), services()
    worker = work.ImportWork(parts.database, parts.files, parts.settings)
    here = _own_entries(id) <= work.IN_REQUEST
    work.begin_apply(
        parts.database,
        g.user["id"],
        id,
        body["choices"],
        body["on_conflict"],
        check_if_match,
        parts.settings,
        worker.claim if here else None,
        _keeper(id),
    )
    return _work_here(worker, id, here)


@blp.route("/imports/<uuid:import_id>/undo", methods=["POST"])
@login_required
@repeatable(_show)
@blp.response(202, ImportWithEntriesSchema, example=PLAN_EXAMPLE | {"status": "undone"})
@blp.alt_response(409, "PROBLEM")
@blp.alt_response(412, "PROBLEM")
def undo(import_id: UUID) -> Response:
    """Take an import back: what it made goes, what it replaced is as it was; but what somebody has
    changed since, which stays and is told by entry."""
    id, parts = str(import_id), services()
    worker = work.ImportWork(parts.database, parts.files, parts.settings)
    here = _own_entries(id) <= work.IN_REQUEST
    claim = worker.claim if here else None
    work.begin_undo(parts.database, g.user["id"], id, check_if_match, claim, _keeper(id))
    return _work_here(worker, id, here)


def _work_here(worker: work.ImportWork, import_id: str, here: bool) -> Response:
    if here:
        worker.finish(import_id)
    services().wake.set()
    return _answer_later(import_id)


@blp.route("/imports/<uuid:import_id>", methods=["DELETE"])
@login_required
@blp.response(204)
@blp.alt_response(409, "PROBLEM")
@blp.alt_response(412, "PROBLEM")
def delete(import_id: UUID) -> Response:
    """Delete a plan, or an import with its journal: it cannot be undone any more."""
    work.delete_import(services().database, g.user["id"], str(import_id), check_if_match)
    services().wake.set()
    return no_content()
