"""/api/jobs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any
from uuid import UUID

from flask import Response, g

from seidra import folding
from seidra.auth.tokens import login_required
from seidra.database.base import Connection, Row
from seidra.database.queries import queries
from seidra.errors import Conflict, NotFound
from seidra.jobs import queue
from seidra.jobs.schemas import (
    FINAL,
    JOB_EXAMPLE,
    JobSchema,
    JobsQuery,
    JobsSchema,
    JobStatsSchema,
    shown,
)
from seidra.nsfw import policy
from seidra.values import timestamp
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
from seidra.web.fields import StatsQuery
from seidra.web.services import services

blp = Blueprint(
    "jobs", __name__, url_prefix="/api/jobs", description="What is being generated, and what was"
)


def _shown(rows: Sequence[Row]) -> dict[str, Any]:
    return shown(rows, services().links, g.user["id"])


@blp.route("", methods=["GET"])
@login_required
@blp.arguments(JobsQuery, location="query")
@blp.response(200, JobsSchema, example={"total": 1, "jobs": [JOB_EXAMPLE]})
def list_jobs(query: dict[str, Any]) -> Response:
    """My jobs, newest first."""
    with services().database.snapshot() as connection:
        nsfw = policy.shown(connection, g.user["id"], query["include_nsfw"])
        filters = {
            "user_id": g.user["id"],
            "nsfw": nsfw,
            "status": query.get("status"),
            "job_type": query.get("job_type"),
        }
        find = _matching_page if "search" in query or "persona_id" in query else _page
        rows, total = find(connection, filters, query)
    jobs = [_shown(list(group)) for _, group in groupby(rows, key=lambda row: row["id"])]
    return reply(
        {"total": total, "jobs": jobs}, headers=page_headers(total, query["limit"], query["offset"])
    )


def _page(
    connection: Connection, filters: dict[str, Any], query: dict[str, Any]
) -> tuple[list[Row], int]:
    """A page read along an index, and the total from the counters."""
    total = sum(row["n"] for row in queries.jobs.counts(connection, **filters))
    page = (
        queries.jobs.page_status
        if filters["status"]
        else queries.jobs.page
        if filters["nsfw"]
        else queries.jobs.page_safe
    )
    return page(connection, **filters, limit=query["limit"], offset=query["offset"]), total


def _matching_page(
    connection: Connection, filters: dict[str, Any], query: dict[str, Any]
) -> tuple[list[Row], int]:
    """A page of what a search or a persona matches: all matching ids once, for page and total
    both."""
    words = folding.words(query.get("search", "")) or [""]
    persona_id = query.get("persona_id")

    def matching(word: str) -> list[Row]:
        if persona_id is None:
            return queries.jobs.matching(connection, **filters, pattern=folding.like(word))
        return queries.jobs.matching_persona(
            connection, **filters, persona_id=persona_id, pattern=folding.like(word)
        )

    ids = folding.matching_all(words, matching)
    page = ids[query["offset"] : query["offset"] + query["limit"]]
    rows = [
        row for id in page for row in queries.jobs.cards(connection, id=id, nsfw=filters["nsfw"])
    ]
    return rows, len(ids)


@blp.route("/stats", methods=["GET"])
@login_required
@blp.arguments(StatsQuery, location="query")
@blp.response(
    200,
    JobStatsSchema,
    example={
        "total": 2,
        "by_status": {"queued": 0, "processing": 0, "completed": 2, "failed": 0, "cancelled": 0},
        "average_duration": 0.15,
        "last_completed": "2026-01-31T12:00:00.180000Z",
    },
)
def stats(query: dict[str, Any]) -> Response:
    """My jobs in figures."""
    with services().database.snapshot() as connection:
        nsfw = policy.shown(connection, g.user["id"], query["include_nsfw"])
        rows = queries.jobs.counts(
            connection, user_id=g.user["id"], nsfw=nsfw, status=None, job_type=None
        )
        last = queries.jobs.last_completed(connection, user_id=g.user["id"], nsfw=nsfw)
    by_status = dict.fromkeys(("queued", "processing", *FINAL), 0) | {
        row["status"]: row["n"] for row in rows
    }
    seconds = sum(row["seconds"] for row in rows if row["status"] == "completed")
    done = by_status["completed"]
    return reply(
        {
            "total": sum(by_status.values()),
            "by_status": by_status,
            "average_duration": round(seconds / done, 3) if done else None,
            "last_completed": last,
        }
    )


@blp.route("/<uuid:job_id>", methods=["GET"])
@login_required
@blp.response(200, JobSchema, example=JOB_EXAMPLE)
@blp.alt_response(304, description="Not modified")
def read(job_id: UUID) -> Response:
    """One job."""
    return _answer(services().database.connection, str(job_id))


def _answer(connection: Connection, job_id: str, status: int = 200, **headers: str) -> Response:
    rows = queries.jobs.get(connection, id=job_id, user_id=g.user["id"])
    if not rows:
        raise NotFound("job")
    return reply_versioned(_shown(rows), rows[0]["revision"], status, **headers)


@blp.route("/<uuid:job_id>/cancel", methods=["POST"])
@login_required
@blp.response(200, JobSchema, example=JOB_EXAMPLE | {"status": "cancelled"})
@blp.alt_response(409, "PROBLEM")
def cancel(job_id: UUID) -> Response:
    """Cancel a job at once; whatever its worker still makes is thrown away. 409 when it is
    final."""
    with services().database.transaction(g.user["id"]) as tx:
        job = _stored(tx, job_id)
        if not queries.jobs.cancel(tx, id=job["id"], user_id=g.user["id"], now=timestamp()):
            raise Conflict(f"The job is {job['status']} already.")
        return _answer(tx, job["id"])


@blp.route("/<uuid:job_id>/retry", methods=["POST"])
@login_required
@blp.response(201, JobSchema, example=JOB_EXAMPLE | {"status": "queued"})
@blp.alt_response(409, "PROBLEM")
@blp.alt_response(429, "PROBLEM")
def retry(job_id: UUID) -> Response:
    """Queue a new job like one that failed or was cancelled."""
    rates.count("preview", str(g.user["id"]))
    with services().database.transaction(g.user["id"]) as tx:
        job = _stored(tx, job_id)
        if job["status"] not in ("failed", "cancelled"):
            raise Conflict(
                f"The job is {job['status']}; only failed and cancelled ones can be tried again."
            )
        policy.check_may_make(tx, g.user["id"], bool(job["is_nsfw"]))
        new_id = queue.retry(tx, g.user["id"], job, services().settings)
        answer = _answer(tx, new_id, 201, Location=f"{public_url()}/api/jobs/{new_id}")
    services().wake.set()
    return answer


@blp.route("/<uuid:job_id>", methods=["DELETE"])
@login_required
@blp.response(204)
@blp.alt_response(409, "PROBLEM")
@blp.alt_response(412, "PROBLEM")
def delete(job_id: UUID) -> Response:
    """Delete a final job; its media stay."""
    with services().database.transaction(g.user["id"]) as tx:
        job = queries.jobs.state(tx, id=str(job_id), user_id=g.user["id"])
        if job is None:
            raise NotFound("job")
        check_if_match(job["revision"])
        if not queries.jobs.delete(tx, id=str(job_id), user_id=g.user["id"]):
            raise Conflict(f"The job is {job['status']}; cancel it first.")
    return no_content()


def _stored(tx: Connection, job_id: UUID) -> Row:
    job: Row | None = queries.jobs.get_for_update(tx, id=str(job_id), user_id=g.user["id"])
    if job is None:
        raise NotFound("job")
    return job
