"""/api/exports, and what is exported at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import IO, Any, cast
from uuid import UUID

from flask import Response, g

from seidra.auth.tokens import login_required
from seidra.database.queries import queries
from seidra.errors import NotFound, Problem
from seidra.exchange import exports
from seidra.exchange.belongings import Belongings, Chosen
from seidra.exchange.export_schemas import (
    EXPORT_EXAMPLE,
    LOSSES_EXAMPLE,
    ExportBodySchema,
    ExportPageSchema,
    ExportSchema,
    ExportsQuery,
    PersonaExportQuery,
)
from seidra.exchange.found import WrittenFile
from seidra.exchange.targets import SEIDRA, TARGETS, Losses, write_files
from seidra.files.keys import ARCHIVE
from seidra.media.access import linked_user
from seidra.media.answers import attach, send_stored, with_file_headers
from seidra.media.links import EXPORTS
from seidra.media.schemas import LinkQuery
from seidra.media.view import plain_name
from seidra.nsfw import policy
from seidra.personas import write
from seidra.values import parse_timestamp, timestamp
from seidra.web import rates
from seidra.web.answers import no_content, page_headers, public_url, reply
from seidra.web.blueprint import Blueprint
from seidra.web.repeats import keep_made, repeatable
from seidra.web.services import services

blp = Blueprint("exports", __name__, url_prefix="/api", description="What people take away")

_FILE = {"schema": {"type": "string", "format": "binary"}}
_TYPES = (ARCHIVE, "image/png", "text/csv", "text/plain", "text/yaml", "application/octet-stream")
_FILES = {"responses": {200: {"content": dict.fromkeys(_TYPES, _FILE)}}}
"""What a file that is made at once may be, beside JSON."""


# ------------------------------------------------------------------------------------------ at once


@blp.route("/personas/<id:persona_id>/export", methods=["GET"])
@login_required
@blp.arguments(PersonaExportQuery, location="query")
@blp.response(
    200,
    {"type": "object"},
    example=LOSSES_EXAMPLE,
    description="The file, or with `dry_run` what it would lose; X-Lost says how much that is.",
)
@blp.doc(**_FILES)
def export_persona(query: dict[str, Any], persona_id: int) -> Response:
    """A persona as a file of a format."""
    connection, user_id = services().database.connection, g.user["id"]
    write.read_persona(connection, user_id, persona_id)
    chosen = Chosen([persona_id], policy.in_force(connection, user_id))
    target, belongings = query["to"], _belongings(chosen)
    if query["dry_run"]:
        return _answer_losses(exports.find_losses(belongings, target, library=False))
    personas = list(belongings.personas(TARGETS[target].cover))
    if not personas:
        raise NotFound("persona")
    losses = Losses(target)
    losses.add(personas)
    return _send_file(write_files(target, personas)[0], losses.lost)


@blp.route("/exports", methods=["POST"])
@login_required
@repeatable(lambda made: _answer_export(made))
@blp.arguments(ExportBodySchema, example={"everything": True, "to": SEIDRA})
@blp.response(
    200,
    {"type": "object"},
    example=LOSSES_EXAMPLE,
    description="The file, of what is small, or with `dry_run` what would be lost.",
)
@blp.alt_response(202, schema=ExportSchema, example=EXPORT_EXAMPLE)
@blp.alt_response(404, "PROBLEM")
@blp.alt_response(409, "PROBLEM")
@blp.doc(**_FILES)
def export(body: dict[str, Any]) -> Response:
    """Export many personas, or everything: a file at once where it is small; else follow the export
    at Location, which a worker makes."""
    user_id, target = g.user["id"], body["to"]
    chosen = exports.choose(services().database, user_id, body)
    belongings = _belongings(chosen)
    if body["dry_run"]:
        return _answer_losses(exports.find_losses(belongings, target, library=target == SEIDRA))
    if exports.is_small(belongings, target):
        return _send_file(*exports.make_file(belongings, target))
    with services().database.transaction(user_id) as tx:
        row = exports.ask_export(tx, user_id, target, chosen, belongings.count())
        keep_made(tx, row["id"], 202, _path_of(row["id"]))
    services().wake.set()
    return _answer_export(row["id"], 202)


@blp.route("/export", methods=["GET"])
@login_required
@blp.response(
    200, _FILE["schema"], content_type=ARCHIVE, description="A ZIP with personas and pictures"
)
@blp.alt_response(429, "PROBLEM")
def export_everything() -> Response:
    """Everything of mine, whatever the NSFW settings, as one ZIP; sent while it is written."""
    belongings = _belongings(Chosen(None, nsfw=True))
    response = Response(_stream(belongings), content_type=ARCHIVE)
    _SENDING.begin(response, services().database.place, g.user["id"])
    attach(response, exports.archive_name(SEIDRA))
    response.headers["X-Lost"] = "0"
    return with_file_headers(response, 0)


def _belongings(chosen: Chosen) -> Belongings:
    return Belongings(services().database, services().files, g.user["id"], chosen)


def _answer_losses(losses: Losses) -> Response:
    return reply(losses.as_json())


def _send_file(file: WrittenFile, lost: int) -> Response:
    response = Response(file.data, content_type=file.mime_type)
    attach(response, plain_name(file.name))
    response.headers["X-Lost"] = str(lost)
    return with_file_headers(response, 0)


class _Sink:
    """Takes what is written, and gives it on."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []

    def write(self, data: bytes) -> int:
        """Take some."""
        self._chunks.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """There is nothing behind it."""

    def take(self) -> bytes:
        """What was written since."""
        data = b"".join(self._chunks)
        self._chunks.clear()
        return data


_PIECE = 64 << 10
"""Bytes that are worth being sent."""


def _stream(belongings: Belongings) -> Iterator[bytes]:
    sink, waiting = _Sink(), b""
    losses = Losses(SEIDRA)
    for _ in exports.write_export(cast(IO[bytes], sink), belongings, SEIDRA, losses):
        waiting += sink.take()
        if len(waiting) >= _PIECE:
            yield waiting
            waiting = b""
    yield waiting + sink.take()


class _Sending:
    """Who is being sent everything of theirs: each holds a thread of the server for as long as it
    takes, so it is one at a time for each user, and a few for all."""

    _MOST = 4

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users: set[tuple[str, int]] = set()

    def begin(self, response: Response, instance: str, user_id: int) -> None:
        """Count an answer until it is closed. Raises a 429 Problem."""
        user = (instance, user_id)
        with self._lock:
            sent = [each for each in self._users if each[0] == instance]
            if user in self._users or len(sent) >= self._MOST:
                raise Problem(
                    "Other exports are being sent; wait, or ask for one by POST /api/exports.",
                    status=429,
                    code="too_many_exports",
                    headers={"Retry-After": "10"},
                )
            self._users.add(user)
        response.call_on_close(lambda: self._users.discard(user))


_SENDING = _Sending()


# --------------------------------------------------------------------------------- those of workers


@blp.route("/exports", methods=["GET"])
@login_required
@blp.arguments(ExportsQuery, location="query")
@blp.response(200, ExportPageSchema, example={"total": 1, "items": [EXPORT_EXAMPLE]})
def list_exports(query: dict[str, Any]) -> Response:
    """My exports, the newest first. They go a day after they were made."""
    limit, offset = query["limit"], query["offset"]
    with services().database.snapshot() as connection:
        rows, total = exports.list_exports(connection, g.user["id"], limit, offset)
    items = [exports.export_json(row, services().links, g.user["id"]) for row in rows]
    headers = page_headers(total, limit, offset)
    return reply({"total": total, "items": items}, headers=headers)


@blp.route("/exports/<uuid:export_id>", methods=["GET"])
@login_required
@blp.response(200, ExportSchema, example=EXPORT_EXAMPLE)
def read_export(export_id: UUID) -> Response:
    """One export, and how far it is."""
    return _answer_export(str(export_id))


def _answer_export(export_id: str, status: int = 200) -> Response:
    user_id = g.user["id"]
    row = exports.read_export(services().database.connection, user_id, export_id)
    shown = exports.export_json(row, services().links, user_id)
    answer = reply(shown, status)
    if status == 202:
        answer.headers["Location"] = public_url() + _path_of(export_id)
    return answer


def _path_of(export_id: str) -> str:
    return f"/api/exports/{export_id}"


@blp.route("/exports/<uuid:export_id>", methods=["DELETE"])
@login_required
@blp.response(204)
def delete_export(export_id: UUID) -> Response:
    """Delete an export with its file; one that is not made yet is given up."""
    with services().database.transaction(g.user["id"]) as tx:
        exports.delete_export(tx, g.user["id"], str(export_id))
    services().wake.set()
    return no_content()


@blp.route("/exports/<uuid:export_id>/download", methods=["GET"])
@rates.counts_itself
@blp.arguments(LinkQuery, location="query")
@blp.response(200, _FILE["schema"], content_type=ARCHIVE, description="The file")
@blp.alt_response(403, "PROBLEM")
@blp.doc(security=[{}, {"access": []}])
def download(link: dict[str, Any], export_id: UUID) -> Response:
    """The file of an export; ranges work, so that a download can go on."""
    user_id, max_age = linked_user(str(export_id), "download", link, EXPORTS)
    row = queries.exports.linked(
        services().database.connection, id=str(export_id), user_id=user_id, now=timestamp()
    )
    if row is None:
        raise NotFound("export")
    left = int(parse_timestamp(row["expires_at"]).timestamp() - time.time())
    return send_stored(
        row["file_key"],
        ARCHIVE,
        f"{export_id}-download",
        max(min(max_age, left), 0),
        str(export_id),
        row["file_name"],
        attached=True,
    )
