"""The rules of the queue: what comes into it, what its owner may do with a job there, and how a
worker takes one out and gives it back.

All take a connection inside a transaction, the owner's where there is one.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from seidra import folding
from seidra.auth.limits import limits_in_force
from seidra.config import Settings
from seidra.database.base import Connection, Database, Row
from seidra.database.batches import act_on_each
from seidra.database.queries import queries
from seidra.engines import read_setup
from seidra.engines.findings import has_errors
from seidra.engines.setup import AUTO, Setup
from seidra.errors import Conflict, NotFound, Problem
from seidra.jobs.allowances import FIRST_ESTIMATE, Refusal, check_allowed, refusal
from seidra.jobs.requests import PREVIEW, CannotBeMade, Draft, usable_engines, usual_engine
from seidra.media.write import check_room
from seidra.nsfw import policy
from seidra.parameters import draw_seed
from seidra.values import from_json, timestamp, timestamp_in, to_json

TURN_SECONDS = 600.0
"""For how long the seconds that an account had of an engine count against it."""

_BATCH = 200
"""Jobs that one transaction cancels."""

_RETRIED = (
    "persona_id",
    "persona_revision",
    "job_type",
    "prompt",
    "negative_prompt",
    "model_name",
    "loras",
    "parameters",
    "count",
    "images",
    "warnings",
    "is_nsfw",
    "search_text",
    "engine",
)
"""What a job that is tried again has in common with the first."""


OWNER = "persona_owner"
"""What a job's metadata say {id, username} in of whose persona it was made with, where it was
another's; it stays, whatever becomes of the persona."""


class Place(NamedTuple):
    """Where a queued job stands on its engine, 1 for the next, and in how many seconds it will be
    done."""

    position: int
    seconds: float


# ---------------------------------------------------------------------------------------- the owner


def add_job(
    tx: Connection,
    user_id: int,
    draft: Draft,
    force: bool,
    settings: Settings,
    note: Mapping[str, Any] | None = None,
) -> str:
    """Queue a job; returns its id. `note` is kept with it for whoever asked. Raises CannotBeMade
    where its engine lacks what it needs, unless forced, Forbidden for an engine or a model that the
    user may not use, and a 429 Problem at the user's limits."""
    # By what the draft was made by: another answer than its findings' would be half of each.
    check_allowed(tx, user_id, draft.limits, draft.engine, draft.model_name)
    if has_errors(draft.findings) and not force:
        raise CannotBeMade(draft.engine, draft.findings)
    look = draft.look
    metadata: dict[str, Any] = {"persona_name": look.name, "tags": look.tags} if look else {}
    if look and look.owner:
        metadata[OWNER] = dict(look.owner)
    return _add_job(
        tx,
        user_id,
        settings,
        {
            "persona_id": look.id if look else None,
            "persona_revision": look.revision if look else None,
            "job_type": draft.job_type,
            "prompt": draft.prompt,
            "negative_prompt": draft.negative_prompt,
            "model_name": draft.model_name,
            "loras": to_json(draft.loras),
            "parameters": to_json(draft.parameters),
            "count": draft.count,
            "images": to_json(draft.images),
            "warnings": to_json(_told_warnings(draft)),
            "metadata": to_json(metadata | ({"note": dict(note)} if note else {})),
            "is_nsfw": draft.is_nsfw,
            "search_text": search_text(draft.prompt, look.name if look else ""),
            "engine": draft.engine,
        },
    )


def queued_json(
    connection: Connection, setup: Setup, user_id: int, job_id: str, draft: Draft
) -> dict[str, Any]:
    """The contract's answer for a job that was just queued. Asked for after the transaction: nobody
    else can write while it counts who goes before; a job that has begun meanwhile has no place."""
    place = read_places(connection, setup, user_id).get(job_id)
    what = "preview" if draft.job_type == PREVIEW else "generation"
    return {
        "job_id": job_id,
        "status": "queued",
        "message": f"The {what} is queued.",
        "persona_id": draft.look.id if draft.look else None,
        "position": place.position if place else None,
        "estimated_time": place.seconds if place else None,
        "warnings": _told_warnings(draft),
    }


def _told_warnings(draft: Draft) -> list[dict[str, Any]]:
    return [*draft.warnings, *(finding.shown() for finding in draft.findings)]


def search_text(prompt: str, persona_name: str) -> str:
    """What a job is found by; the name is that of its persona when it was queued, if it has one."""
    return folding.document([prompt, persona_name])


def retry_job(tx: Connection, user_id: int, job_id: str, settings: Settings) -> str:
    """Queue a new job like one that failed or was cancelled; returns its id. Raises NotFound (also
    for NSFW ones while that is not in force), Conflict for another status and for another's
    persona that is shared no more, and what `add_job` does for the user's limits."""
    job = _stored_job(tx, user_id, job_id)
    if job["status"] not in ("failed", "cancelled"):
        raise Conflict(
            f"The job is {job['status']}; only failed and cancelled ones can be tried again."
        )
    metadata = from_json(job["metadata"]) | {"retry_of": job["id"]}
    kept = {name: job[name] for name in _RETRIED} | _still_shared(tx, user_id, job)
    return _add_again(tx, user_id, settings, kept | {"metadata": to_json(metadata)})


def repeat_job(tx: Connection, user_id: int, job_id: str, settings: Settings) -> str:
    """Queue a new job like a final one, with another seed; returns its id. Raises as `retry_job`
    does."""
    job = _stored_job(tx, user_id, job_id)
    if job["status"] in ("queued", "processing"):
        raise Conflict(f"The job is {job['status']}; only a final one can be made again.")
    stored = from_json(job["metadata"])
    metadata = {name: stored[name] for name in ("persona_name", "tags", OWNER) if name in stored}
    parameters = from_json(job["parameters"]) | {"seed": draw_seed()}
    changed = {
        "parameters": to_json(parameters),
        "metadata": to_json(metadata | {"again_of": job["id"]}),
    }
    changed |= _still_shared(tx, user_id, job)
    return _add_again(tx, user_id, settings, {name: job[name] for name in _RETRIED} | changed)


def _still_shared(tx: Connection, user_id: int, job: Row) -> dict[str, Any]:
    """What a job that is made once more takes from another's persona: that it is NSFW by now.
    Raises Conflict where the user does not see the persona any more."""
    if OWNER not in from_json(job["metadata"]):
        return {}
    row = queries.personas.get(tx, whose="seen", id=job["persona_id"], user_id=user_id)
    if row is None:
        raise Conflict(
            "The persona that it was made with is another account's, and not shared with you any"
            " more.",
            code="not_shared",
        )
    return {"is_nsfw": bool(job["is_nsfw"] or row["is_nsfw"])}


def cancel_job(tx: Connection, user_id: int, job_id: str) -> None:
    """Cancel a job at once: its worker learns of it by the fence. Raises NotFound, and Conflict for
    a final one."""
    job = _stored_job(tx, user_id, job_id)
    if not queries.jobs.cancel(tx, id=job_id, user_id=user_id, now=timestamp()):
        raise Conflict(f"The job is {job['status']} already.")


def cancel_waiting(database: Database, user_id: int) -> int:
    """Cancel all jobs of a user that wait, in batches, hidden ones too; returns how many. What is
    queued meanwhile stays."""
    waiting = queries.jobs.queued(database.connection, user_id=user_id)
    cancelled, batch = 0, 1
    while cancelled < waiting and batch:
        with database.transaction(user_id) as tx:
            limit = min(_BATCH, waiting - cancelled)
            batch = queries.jobs.cancel_waiting(tx, user_id=user_id, limit=limit, now=timestamp())
        cancelled += batch
    return cancelled


def cancel_jobs(database: Database, user_id: int, ids: Iterable[str]) -> list[dict[str, Any]]:
    """Cancel these jobs of a user, in batches; returns `{id, code}` of those that could not be."""
    return act_on_each(database, user_id, ids, lambda tx, job_id: cancel_job(tx, user_id, job_id))


def change_nsfw(tx: Connection, user_id: int, job_id: str, is_nsfw: bool) -> None:
    """Say whether a job is NSFW. What it has made becomes NSFW with it, and stays so when it is
    taken back. Raises NotFound, and Forbidden against the NSFW settings in force."""
    job = _stored_job(tx, user_id, job_id)
    policy.check_may_make(tx, user_id, is_nsfw)
    if bool(job["is_nsfw"]) != is_nsfw:
        queries.jobs.update_nsfw(tx, id=job_id, user_id=user_id, is_nsfw=is_nsfw, now=timestamp())
    if is_nsfw:
        queries.media.mark_nsfw_of_job(tx, job_id=job_id, user_id=user_id, now=timestamp())
        queries.trash.mark_nsfw_of_job(tx, job_id=job_id, user_id=user_id)


def job_state(tx: Connection, user_id: int, job_id: str) -> Row:
    """Status and version of a job, whatever the NSFW settings: its owner may always delete it.
    Raises NotFound."""
    state = queries.jobs.state(tx, id=job_id, user_id=user_id)
    if state is None:
        raise NotFound("job")
    return state


def delete_job(tx: Connection, user_id: int, job_id: str) -> None:
    """Delete a final job; its media stay. Raises NotFound, and Conflict for one that is not
    final."""
    status = job_state(tx, user_id, job_id)["status"]
    if not queries.jobs.delete(tx, id=job_id, user_id=user_id):
        raise Conflict(f"The job is {status}; cancel it first.")


def read_places(connection: Connection, setup: Setup, user_id: int) -> dict[str, Place]:
    """Where each queued job of a user stands on its engine, by id."""
    rows = queries.jobs.places(
        connection,
        user_id=user_id,
        recent=timestamp_in(-TURN_SECONDS),
        first=FIRST_ESTIMATE,
    )
    return {row["id"]: _place_of(row, setup) for row in rows}


def _place_of(row: Row, setup: Setup) -> Place:
    known = setup.engines.get(row["engine"])
    at_once = known.options.at_once if known else 1
    # One job's pictures are made one after the other, those of others beside each other.
    pictures = math.floor(row["pictures_before"] / at_once) + row["pictures"]
    return Place(row["place"], round(row["pace"] * pictures, 2))


def _add_again(tx: Connection, user_id: int, settings: Settings, columns: dict[str, Any]) -> str:
    """Queue a job that was queued before, which may be from an engine that is no more."""
    setup, limits = read_setup(settings), limits_in_force(tx, user_id)
    if columns["engine"] not in setup.engines:
        usual = usual_engine(setup, limits)
        usable = usable_engines(setup, limits) or list(setup.engines)
        columns |= {"engine": usable[0] if usual == AUTO else usual}
    check_allowed(tx, user_id, limits, columns["engine"], columns["model_name"])
    return _add_job(tx, user_id, settings, columns)


def _add_job(tx: Connection, user_id: int, settings: Settings, columns: dict[str, Any]) -> str:
    """Queue a job; returns its id. Raises QuotaExceeded where there is no room for its pictures."""
    check_room(tx, user_id, settings)
    if queries.jobs.queued(tx, user_id=user_id) >= settings.max_queued_jobs:
        raise Problem(
            f"You have {settings.max_queued_jobs} jobs waiting already; let some of them finish.",
            code="queue_full",
            status=429,
            headers={"Retry-After": "5"},
        )
    job_id = str(uuid.uuid4())
    queries.jobs.create(tx, id=job_id, user_id=user_id, now=timestamp(), **columns)
    return job_id


def _stored_job(tx: Connection, user_id: int, job_id: str) -> Row:
    job = queries.jobs.get_for_update(tx, id=job_id, user_id=user_id)
    if job is None:
        raise NotFound("job")
    return job


# --------------------------------------------------------------------------------------- the worker


def claim_job(
    tx: Connection, engine: str, at_once: int, claim: str, settings: Settings, turn: float = 0.0
) -> Row | None:
    """Take the job whose turn it is on an engine under a lease, stamped `claim`; None when none is
    due, or workers hold `at_once` of them. The loaded model stays for `turn` seconds."""
    return queries.jobs.claim(
        tx,
        engine=engine,
        at_once=at_once,
        recent=timestamp_in(-TURN_SECONDS),
        turns_since=timestamp_in(-turn),
        now=timestamp(),
        claim=claim,
        leased_until=timestamp_in(settings.job_lease_seconds),
    )


def note_load(tx: Connection, job: Row) -> bool:
    """Note which model a claimed job has its engine load; returns whether it is another than
    before."""
    return bool(
        queries.engines.load_model(
            tx, engine=job["engine"], model_name=job["model_name"], now=timestamp()
        )
    )


def begin_turn(tx: Connection, job: Row) -> None:
    """The first picture after a load is made: from now on the turn of its model runs."""
    queries.engines.begin_turn(
        tx, engine=job["engine"], model_name=job["model_name"], now=timestamp()
    )


def refuse_job(tx: Connection, job: Row, claim: str) -> bool:
    """Fail a claimed job that is against the settings or the limits in force by now, unless it was
    sent already. Returns whether it was failed."""
    if from_json(job["engine_state"]):
        return False
    if job["is_nsfw"] and not policy.in_force(tx, job["user_id"]):
        why = Refusal("nsfw_off", "NSFW content was switched off before the job was made.")
    elif (found := refusal(tx, job)) is not None:
        why = found
    else:
        return False
    queries.jobs.fail(
        tx,
        id=job["id"],
        claim=claim,
        counted=0,
        error_message=why.sentence,
        error_code=why.code,
        now=timestamp(),
    )
    return True


def add_turn(tx: Connection, job: Row, seconds: float, began: str) -> None:
    """Add to what a job's owner had of its engine, in the minute in which the job was claimed."""
    queries.engines.add_turn(
        tx,
        engine=job["engine"],
        user_id=job["user_id"],
        minute=began[:16],
        seconds=seconds,
        now=timestamp(),
    )
