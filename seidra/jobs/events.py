"""/api/jobs/events and /api/jobs/{id}/events: live progress as server-sent events."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from flask import Response, g, request

from seidra.auth import tickets
from seidra.auth.keys import key_scope
from seidra.auth.tickets import listener_required
from seidra.auth.tokens import login_required
from seidra.jobs.feed import Feed
from seidra.jobs.schemas import FollowAllQuery, FollowQuery, TicketSchema
from seidra.jobs.streams import Slot
from seidra.web.answers import SECRET, reply
from seidra.web.blueprint import Blueprint
from seidra.web.services import services

blp = Blueprint(
    "events", __name__, url_prefix="/api/jobs", description="What happens to jobs, as it happens"
)

_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "Vary": "Authorization, Origin",
    # nginx passes each event on at once.
    "X-Accel-Buffering": "no",
}
_HEARTBEAT_SECONDS = 5.0
"""A write to a client that is gone fails from the second on: two of these, and it is noticed in 15
seconds anywhere."""

_RETRY = b"retry: 1000\n"
"""The milliseconds after which a client comes back."""

_STREAM: dict[str, Any] = {
    # Of one event, as generators of clients and tests read it.
    "schema": {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "event": {"enum": ["job", "gone", "reset"]},
            "data": {"type": "string", "contentMediaType": "application/json"},
            "retry": {"type": "integer"},
        },
    },
    "content_type": "text/event-stream",
    "description": "Events `job` (a job as reading it answers), `gone` ({job_id}) and `reset`"
    " (read anew), each with an id; comments between them. It ends after a minute: open it again"
    " with the last id.",
}
_LISTENER: dict[str, Any] = {
    "security": [{"access": []}, {"ticket": []}],
    "parameters": [
        {
            "in": "header",
            "name": "Last-Event-ID",
            "schema": {"type": "string"},
            "description": "As `last_event_id`, and before it; browsers send it by themselves.",
        }
    ],
}

_log = logging.getLogger(__name__)


@blp.route("/events", methods=["GET"])
@listener_required
@blp.arguments(FollowAllQuery, location="query")
@blp.response(200, **_STREAM)
@blp.alt_response(429, "PROBLEM")
@blp.doc(**_LISTENER)
def follow_all(query: dict[str, Any]) -> Response:
    """All my jobs as they change, from now or from an event on."""
    return _follow_feed(_make_feed(nsfw=query["include_nsfw"]), query)


@blp.route("/<uuid:job_id>/events", methods=["GET"])
@listener_required
@blp.arguments(FollowQuery, location="query")
@blp.response(200, **_STREAM)
@blp.alt_response(
    204, description="The job is final, and the client knows it: no need to come back"
)
@blp.alt_response(429, "PROBLEM")
@blp.doc(**_LISTENER)
def follow(query: dict[str, Any], job_id: UUID) -> Response:
    """One job: its present state, then each change until it is final."""
    return _follow_feed(_make_feed(job_id=str(job_id)), query)


@blp.route("/events/ticket", methods=["POST"])
@login_required
@key_scope("read")
@blp.response(
    200,
    TicketSchema,
    example={"ticket": "WzIsInNlc3Npb24iXQ.aXV2bA.…", "expires_in": tickets.SECONDS},
)
def ticket() -> Response:
    """A ticket for `?ticket=` of a stream, for clients that cannot send a header: good for streams
    alone."""
    made = services().tickets.make(g.user)
    return reply({"ticket": made, "expires_in": tickets.SECONDS}, headers=SECRET)


def _make_feed(**of: Any) -> Feed:
    return Feed(services().database, services().setup, services().links, g.user, **of)


def _follow_feed(feed: Feed, query: dict[str, Any]) -> Response:
    first = feed.first_messages(request.headers.get("Last-Event-ID", query.get("last_event_id")))
    if feed.over and not first:
        # What tells an EventSource not to come back.
        return Response(status=204, headers={"Cache-Control": "no-store"})
    if request.method == "HEAD":
        # Its answer has no body to wait for: it takes no place.
        return Response(status=200, headers=_HEADERS)
    client = request.environ.get("gunicorn.socket") or request.environ.get("werkzeug.socket")
    slot = services().streams.open(g.user["id"], client)
    response = Response(_stream_bytes(feed, slot, first), headers=_HEADERS)
    # Also for a stream that is closed before its first byte, whose generator never runs.
    response.call_on_close(slot.release)
    return response


def _stream_bytes(feed: Feed, slot: Slot, first: list[bytes]) -> Iterator[bytes]:
    """The bytes of a stream: what is told first, what changes, heartbeats between, and at its end
    when to come back."""
    try:
        yield _RETRY + b"\n" + b"".join(first) + feed.place_bytes()
        last = time.monotonic()
        while not feed.over:
            with slot.turn():
                told = feed.next_messages()
            if told:
                yield b"".join(told)
                last = time.monotonic()
            elif time.monotonic() - last >= _HEARTBEAT_SECONDS:
                yield b":\n" + feed.place_bytes()
                last = time.monotonic()
            if not slot.wait():
                break
        yield _RETRY + feed.place_bytes()
    except Exception:
        # Caught here: the server would log the request with its query, and the ticket stands there.
        _log.exception("stream failed")
    finally:
        slot.release()
