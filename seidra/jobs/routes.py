"""/api/jobs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any
from uuid import UUID

from flask import Response, current_app, g

from seidra import rates, search
from seidra.auth.tokens import login_required
from seidra.database.connect import Connection, Row, get_db
from seidra.errors import Conflict, NotFound
from seidra.fields import StatsQuery
from seidra.http import (
    Blueprint,
    check_if_match,
    get_settings,
    no_content,
    page_headers,
    public_url,
    reply,
    reply_versioned,
)
from seidra.jobs import previews
from seidra.jobs.housekeeping import queue_cleanup
from seidra.jobs.schemas import FINAL, JOB_EXAMPLE, JobSchema, JobsQuery, JobsSchema, JobStatsSchema, shown
from seidra.nsfw import policy
from seidra.queries import queries
from seidra.values import timestamp

blp = Blueprint("jobs", __name__, url_prefix="/api/jobs", description="What is being generated, and what was")

_q = queries.jobs


def _shown(rows: Sequence[Row]) -> dict[str, Any]:
    return shown(rows, current_app.extensions["seidra.links"], g.user["id"])


@blp.route("", methods=["GET"])
@login_required
@blp.arguments(JobsQuery, location="query")
@blp.response(200, JobsSchema, example={"total": 1, "jobs": [JOB_EXAMPLE]})
def list_jobs(query: dict[str, Any]) -> Response:
    """My jobs, newest first."""
    with get_db().snapshot() as connection:
        nsfw = policy.shown(connection, g.user["id"], query["include_nsfw"])
        filters = {"user_id": g.user["id"], "nsfw": nsfw, "status": query.get("status"),
                   "job_type": query.get("job_type")}  # fmt: skip
        find = _matching_page if "search" in query or "persona_id" in query else _page
        rows, total = find(connection, filters, query)
    jobs = [_shown(list(group)) for _, group in groupby(rows, key=lambda row: row["id"])]
    return reply({"total": total, "jobs": jobs}, headers=page_headers(total, query["limit"], query["offset"]))


def _page(connection: Connection, filters: dict[str, Any], query: dict[str, Any]) -> tuple[list[Row], int]:
    """A page read along an index, and the total from the counters."""
    total = sum(row["n"] for row in _q.counts(connection, **filters))
    page = _q.page_status if filters["status"] else _q.page if filters["nsfw"] else _q.page_safe
    return page(connection, **filters, limit=query["limit"], offset=query["offset"]), total


def _matching_page(connection: Connection, filters: dict[str, Any], query: dict[str, Any]) -> tuple[list[Row], int]:
    """A page of what a search or a persona matches: all matching ids once, for page and total both."""
    words = search.words(query.get("search", "")) or [""]
    persona_id = query.get("persona_id")

    def matching(word: str) -> list[Row]:
        if persona_id is None:
            return _q.matching(connection, **filters, pattern=search.like(word))  # type: ignore[no-any-return]
        return _q.matching_persona(connection, **filters, persona_id=persona_id, pattern=search.like(word))  # type: ignore[no-any-return]

    ids = search.matching_all(words, matching)
    page = ids[query["offset"] : query["offset"] + query["limit"]]
    rows = [row for id in page for row in _q.cards(connection, id=id, nsfw=filters["nsfw"])]
    return rows, len(ids)


@blp.route("/stats", methods=["GET"])
@login_required
@blp.arguments(StatsQuery, location="query")
@blp.response(200, JobStatsSchema, example={
    "total": 2, "by_status": {"queued": 0, "processing": 0, "completed": 2, "failed": 0, "cancelled": 0},
    "average_duration": 0.15, "last_completed": "2026-01-31T12:00:00.180000Z",
})  # fmt: skip
def stats(query: dict[str, Any]) -> Response:
    """My jobs in figures."""
    with get_db().snapshot() as connection:
        nsfw = policy.shown(connection, g.user["id"], query["include_nsfw"])
        rows = _q.counts(connection, user_id=g.user["id"], nsfw=nsfw, status=None, job_type=None)
        last = _q.last_completed(connection, user_id=g.user["id"], nsfw=nsfw)
    by_status = dict.fromkeys(("queued", "processing", *FINAL), 0) | {row["status"]: row["n"] for row in rows}
    seconds = sum(row["seconds"] for row in rows if row["status"] == "completed")
    done = by_status["completed"]
    return reply({
        "total": sum(by_status.values()), "by_status": by_status,
        "average_duration": round(seconds / done, 3) if done else None, "last_completed": last,
    })  # fmt: skip


@blp.route("/<uuid:job_id>", methods=["GET"])
@login_required
@blp.response(200, JobSchema, example=JOB_EXAMPLE)
@blp.alt_response(304, description="Not modified")
def read(job_id: UUID) -> Response:
    """One job."""
    return _answer(get_db().connection, str(job_id))


def _answer(connection: Connection, job_id: str, status: int = 200, **headers: str) -> Response:
    rows = _q.get(connection, id=job_id, user_id=g.user["id"])
    if not rows:
        raise NotFound("job")
    return reply_versioned(_shown(rows), rows[0]["revision"], status, **headers)


@blp.route("/<uuid:job_id>/cancel", methods=["POST"])
@login_required
@blp.response(200, JobSchema, example=JOB_EXAMPLE | {"status": "cancelled"})
@blp.alt_response(409, "PROBLEM")
def cancel(job_id: UUID) -> Response:
    """Cancel a job at once; whatever its worker still makes is thrown away. 409 when it is final."""
    with get_db().transaction() as tx:
        job = _stored(tx, job_id)
        if not _q.cancel(tx, id=job["id"], user_id=g.user["id"], now=timestamp()):
            raise Conflict(f"The job is {job['status']} already.")
        if job["status"] == "processing":
            queue_cleanup(tx, job["id"])
        return _answer(tx, job["id"])


@blp.route("/<uuid:job_id>/retry", methods=["POST"])
@login_required
@blp.response(201, JobSchema, example=JOB_EXAMPLE | {"status": "queued"})
@blp.alt_response(409, "PROBLEM")
@blp.alt_response(429, "PROBLEM")
def retry(job_id: UUID) -> Response:
    """Queue a new job like one that failed or was cancelled."""
    rates.count("preview", str(g.user["id"]))
    with get_db().transaction() as tx:
        job = _stored(tx, job_id)
        if job["status"] not in ("failed", "cancelled"):
            raise Conflict(f"The job is {job['status']}; only failed and cancelled ones can be tried again.")
        policy.check_may_make(tx, g.user["id"], bool(job["is_nsfw"]))
        new_id = previews.retry(tx, g.user["id"], job, get_settings())
        answer = _answer(tx, new_id, 201, Location=f"{public_url()}/api/jobs/{new_id}")
    current_app.extensions["seidra.wake"].set()
    return answer


@blp.route("/<uuid:job_id>", methods=["DELETE"])
@login_required
@blp.response(204)
@blp.alt_response(409, "PROBLEM")
@blp.alt_response(412, "PROBLEM")
def delete(job_id: UUID) -> Response:
    """Delete a final job; its media stay."""
    with get_db().transaction() as tx:
        job = _q.state(tx, id=str(job_id), user_id=g.user["id"])
        if job is None:
            raise NotFound("job")
        check_if_match(job["revision"])
        if not _q.delete(tx, id=str(job_id), user_id=g.user["id"]):
            raise Conflict(f"The job is {job['status']}; cancel it first.")
    return no_content()


def _stored(tx: Connection, job_id: UUID) -> Row:
    job: Row | None = _q.get_for_update(tx, id=str(job_id), user_id=g.user["id"])
    if job is None:
        raise NotFound("job")
    return job
