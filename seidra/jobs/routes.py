"""/api/jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import Response, g, request

from seidra import folding
from seidra.auth.keys import key_scope
from seidra.auth.tokens import login_required
from seidra.database.base import Connection, Row
from seidra.database.queries import queries
from seidra.errors import NotFound
from seidra.jobs import frames, queue
from seidra.jobs.requests import GENERATION, Draft, draft_job, named_look, read_asked, with_images
from seidra.jobs.schemas import (
    DRY_RUN_EXAMPLE,
    FINAL,
    GENERATION_EXAMPLE,
    JOB_EXAMPLE,
    PREVIEW_EXAMPLE,
    RETRIED_EXAMPLE,
    STATUSES,
    CancelledSchema,
    CancelSchema,
    DryRunSchema,
    GenerationSchema,
    JobChangeSchema,
    JobSchema,
    JobsQuery,
    JobsSchema,
    JobStatsSchema,
    PreviewAnswerSchema,
    RetriedJobSchema,
)
from seidra.jobs.view import draft_json, job_json, job_rows, jobs_json, read_waits
from seidra.media.access import linked_user
from seidra.media.answers import with_file_headers
from seidra.media.links import FRAME
from seidra.media.schemas import LinkQuery
from seidra.nsfw import policy
from seidra.values import to_json
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
from seidra.web.fields import StatsQuery
from seidra.web.repeats import keep_made, repeatable
from seidra.web.services import services

blp = Blueprint(
    "jobs", __name__, url_prefix="/api/jobs", description="What is being generated, and what was"
)


def job_path(job_id: str) -> str:
    """Where a job is read."""
    return f"/api/jobs/{job_id}"


def reply_queued(job_id: str, draft: Draft) -> Response:
    """The answer for a job that was just queued; the workers learn of it."""
    database, setup = services().database, services().setup
    answer = queue.queued_json(database.connection, setup, g.user["id"], job_id, draft)
    services().wake.set()
    return reply(answer, 202, {**PRIVATE, "Location": public_url() + job_path(job_id)})


def show_queued(job_id: str) -> Response:
    """The answer for a job that was queued a while ago, as it is now."""
    job = _job_now(services().database.connection, job_id)[0]
    return reply({name: job[name] for name in PreviewAnswerSchema._declared_fields})


def _job_now(connection: Connection, job_id: str) -> tuple[dict[str, Any], int]:
    """A job as its owner sees it, and its version. Raises NotFound."""
    rows = job_rows(connection, g.user["id"], job_id)
    if not rows:
        raise NotFound("job")
    waits = read_waits(connection, services().setup, g.user["id"], rows)
    return job_json(rows, waits, services().links, g.user["id"]), rows[0]["version"]


def _job_reply(
    connection: Connection,
    job_id: str,
    status: int = 200,
    more: Mapping[str, Any] | None = None,
    **headers: str,
) -> Response:
    job, version = _job_now(connection, job_id)
    return reply_versioned({**job, **(more or {})}, version, status, **headers)


def _show_job(job_id: str) -> Response:
    return _job_reply(services().database.connection, job_id)


def _show_retried(job_id: str) -> Response:
    return _job_reply(services().database.connection, job_id, 200, {"new_job_id": job_id})


@blp.route("", methods=["GET"])
@login_required
@blp.arguments(JobsQuery, location="query")
@blp.response(200, JobsSchema, example={"total": 1, "jobs": [JOB_EXAMPLE]})
def list_jobs(query: dict[str, Any]) -> Response:
    """My jobs, newest first, or by `sort`."""
    statuses = set(query.get("status", STATUSES))
    if query["active"]:
        statuses.difference_update(FINAL)
    with services().database.snapshot() as connection:
        filters = {
            "user_id": g.user["id"],
            "nsfw": policy.may_list_nsfw(connection, g.user["id"], query["include_nsfw"]),
            "job_type": query.get("job_type"),
        }
        beyond_counters = {"search", "persona_id", "engine"} & query.keys()
        counted = not beyond_counters and (len(statuses) == 1 or statuses == set(STATUSES))
        find = _counted_page if counted else _matching_page
        rows, total = find(connection, filters, statuses, query)
        waits = read_waits(connection, services().setup, g.user["id"], rows)
    jobs = jobs_json(rows, waits, services().links, g.user["id"])
    if query["sort"] == "created_at":
        jobs.reverse()
    return reply(
        {"total": total, "jobs": jobs}, headers=page_headers(total, query["limit"], query["offset"])
    )


def _window(total: int, query: dict[str, Any]) -> tuple[int, int]:
    """Where a page begins among all that match, newest first, and how many it has: what comes first
    oldest first is the end of that, turned round."""
    size = max(min(query["limit"], total - query["offset"]), 0)
    if query["sort"] == "created_at":
        return max(total - query["offset"] - size, 0), size
    return query["offset"], size


def _counted_page(
    connection: Connection, filters: dict[str, Any], statuses: set[str], query: dict[str, Any]
) -> tuple[list[Row], int]:
    """A page read along an index, and the total from the counters: of one status, or of all."""
    filters = filters | {"status": next(iter(statuses)) if len(statuses) == 1 else None}
    total = sum(row["n"] for row in queries.jobs.counts(connection, **filters))
    start, size = _window(total, query)
    rows = queries.jobs.page(
        connection,
        which="status" if filters["status"] else "all" if filters["nsfw"] else "safe",
        type="one" if filters["job_type"] else "any",
        **filters,
        id=None,
        limit=size,
        offset=start,
    )
    return rows, total


def _matching_page(
    connection: Connection, filters: dict[str, Any], statuses: set[str], query: dict[str, Any]
) -> tuple[list[Row], int]:
    """A page of what the other filters match: all matching ids once, for page and total both."""
    words = folding.words(query.get("search", "")) or [""]
    persona_id = query.get("persona_id")
    active = statuses.isdisjoint(FINAL)

    def matching(word: str, texts: bool) -> list[Row]:
        return queries.jobs.matching(
            connection,
            of="persona" if persona_id is not None else "active" if active else "user",
            **filters,
            statuses=None if len(statuses) == len(STATUSES) else " ".join(sorted(statuses)),
            engine=query.get("engine"),
            persona_id=persona_id,
            pattern=folding.like(word),
            texts=texts,
        )

    ids = [row["id"] for row in folding.matching_all(words, matching)]
    start, size = _window(len(ids), query)
    rows = queries.search.job_page(
        connection,
        ids=to_json(ids[start : start + size]),
        user_id=filters["user_id"],
        nsfw=filters["nsfw"],
    )
    return rows, len(ids)


@blp.route("", methods=["POST"])
@login_required
@key_scope("generate")
@repeatable(show_queued)
@blp.arguments(GenerationSchema, example=GENERATION_EXAMPLE)
@blp.response(202, PreviewAnswerSchema, example=PREVIEW_EXAMPLE)
@blp.alt_response(200, schema=DryRunSchema, example=DRY_RUN_EXAMPLE, description="A dry run")
@blp.alt_response(409, "PROBLEM")
@blp.alt_response(429, "PROBLEM")
def create(body: dict[str, Any]) -> Response:
    """Queue a generation: a prompt, with or without a persona; follow the job at Location."""
    asked = read_asked(body)
    setup, settings = services().setup, services().settings
    if body.get("dry_run"):
        connection = services().database.connection
        look = named_look(connection, g.user["id"], body.get("persona_id"))
        asked = with_images(connection, g.user["id"], asked)
        draft = draft_job(connection, g.user["id"], setup, asked, look, GENERATION)
        return reply(draft_json(draft))
    rates.count_request("preview", str(g.user["id"]))
    with services().database.transaction(g.user["id"], shared=True) as tx:
        look = named_look(tx, g.user["id"], body.get("persona_id"))
        asked = with_images(tx, g.user["id"], asked)
        draft = draft_job(tx, g.user["id"], setup, asked, look, GENERATION)
        job_id = queue.add_job(tx, g.user["id"], draft, asked.force, settings)
        keep_made(tx, job_id, 202, job_path(job_id))
    return reply_queued(job_id, draft)


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
        nsfw = policy.may_list_nsfw(connection, g.user["id"], query["include_nsfw"])
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
    return _job_reply(services().database.connection, str(job_id))


@blp.route("/<uuid:job_id>/frame", methods=["GET"])
@rates.counts_itself
@blp.arguments(LinkQuery, location="query")
@blp.response(
    200,
    {"type": "string", "format": "binary"},
    content_type=frames.MIME_TYPE,
    description="The picture as far as it is made",
)
@blp.alt_response(403, "PROBLEM")
@blp.doc(security=[{}, {"access": []}])
def frame(link: dict[str, Any], job_id: UUID) -> Response:
    """The picture of a job as far as it is made, a small WebP; 404 while there is none."""
    user_id, _ = linked_user(str(job_id), FRAME, link)
    row = queries.jobs.frame(services().database.connection, id=str(job_id), user_id=user_id)
    if row is None:
        raise NotFound("frame")
    response = with_file_headers(Response(row["webp"], mimetype=frames.MIME_TYPE), 0)
    response.set_etag(f"{job_id}-{row['n']}")
    response.make_conditional(request)
    return response


@blp.route("/<uuid:job_id>", methods=["PATCH"])
@login_required
@blp.arguments(JobChangeSchema, example={"is_nsfw": True})
@blp.response(200, JobSchema, example=JOB_EXAMPLE | {"is_nsfw": True})
@blp.alt_response(403, "PROBLEM")
@blp.alt_response(412, "PROBLEM")
def patch(change: dict[str, Any], job_id: UUID) -> Response:
    """Say whether a job is NSFW: true makes its pictures NSFW too, false leaves them."""
    with services().database.transaction(g.user["id"]) as tx:
        check_if_match(queue.job_state(tx, g.user["id"], str(job_id))["version"])
        if "is_nsfw" in change:
            queue.change_nsfw(tx, g.user["id"], str(job_id), change["is_nsfw"])
        return _job_reply(tx, str(job_id))


@blp.route("/cancel", methods=["POST"])
@login_required
@key_scope("generate")
@blp.arguments(CancelSchema, example={"status": "queued"})
@blp.response(200, CancelledSchema, example={"cancelled": 12, "failed": []})
def cancel_several(body: dict[str, Any]) -> Response:
    """Cancel all of my jobs that wait, or those that are named; what cannot be is told."""
    database = services().database
    if "status" in body:
        return reply({"cancelled": queue.cancel_waiting(database, g.user["id"]), "failed": []})
    failed = queue.cancel_jobs(database, g.user["id"], body["ids"])
    return reply({"cancelled": len(set(body["ids"])) - len(failed), "failed": failed})


@blp.route("/<uuid:job_id>/cancel", methods=["POST"])
@login_required
@key_scope("generate")
@blp.response(200, JobSchema, example=JOB_EXAMPLE | {"status": "cancelled"})
@blp.alt_response(409, "PROBLEM")
def cancel(job_id: UUID) -> Response:
    """Cancel a job at once; whatever its worker still makes is thrown away. 409 when it is
    final."""
    with services().database.transaction(g.user["id"]) as tx:
        queue.cancel_job(tx, g.user["id"], str(job_id))
        return _job_reply(tx, str(job_id))


@blp.route("/<uuid:job_id>/retry", methods=["POST"])
@login_required
@key_scope("generate")
@repeatable(_show_retried)
@blp.response(201, RetriedJobSchema, example=RETRIED_EXAMPLE)
@blp.alt_response(409, "PROBLEM")
@blp.alt_response(429, "PROBLEM")
def retry(job_id: UUID) -> Response:
    """Queue a new job like one that failed or was cancelled."""
    rates.count_request("preview", str(g.user["id"]))
    with services().database.transaction(g.user["id"]) as tx:
        new_id = queue.retry_job(tx, g.user["id"], str(job_id), services().settings)
        keep_made(tx, new_id, 201, job_path(new_id))
        location = public_url() + job_path(new_id)
        answer = _job_reply(tx, new_id, 201, {"new_job_id": new_id}, Location=location)
    services().wake.set()
    return answer


@blp.route("/<uuid:job_id>/again", methods=["POST"])
@login_required
@key_scope("generate")
@repeatable(_show_job)
@blp.response(201, JobSchema, example=JOB_EXAMPLE | {"status": "queued"})
@blp.alt_response(409, "PROBLEM")
@blp.alt_response(429, "PROBLEM")
def again(job_id: UUID) -> Response:
    """Queue a new job like one that is final, with another seed."""
    rates.count_request("preview", str(g.user["id"]))
    with services().database.transaction(g.user["id"]) as tx:
        new_id = queue.repeat_job(tx, g.user["id"], str(job_id), services().settings)
        keep_made(tx, new_id, 201, job_path(new_id))
        answer = _job_reply(tx, new_id, 201, Location=public_url() + job_path(new_id))
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
        check_if_match(queue.job_state(tx, g.user["id"], str(job_id))["version"])
        queue.delete_job(tx, g.user["id"], str(job_id))
    return no_content()
