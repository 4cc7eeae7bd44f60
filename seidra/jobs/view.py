"""How a job looks to its owner: in answers, in lists and in streams alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from seidra import parameters
from seidra.database.base import Connection, Row
from seidra.database.queries import queries
from seidra.engines.base import Lora
from seidra.engines.findings import has_errors
from seidra.engines.setup import Setup
from seidra.jobs.presence import SILENCE_SECONDS, engines_seen
from seidra.jobs.queue import OWNER, Place, read_places
from seidra.jobs.requests import Draft
from seidra.media.links import Links
from seidra.media.view import picture_links
from seidra.values import from_json, json_fragment, timestamp_in


def job_rows(connection: Connection, user_id: int, job_id: str) -> list[Row]:
    """The rows of one job of a user that the NSFW settings in force let be seen, a row for each of
    its pictures; none where there is no such job."""
    return queries.jobs.page(
        connection,
        which="one",
        type="any",
        user_id=user_id,
        id=job_id,
        nsfw=True,
        status=None,
        job_type=None,
        limit=1,
        offset=0,
    )


@dataclass(frozen=True, slots=True)
class Waits:
    """What the waiting jobs of a page wait for: where each stands, and when a worker for an engine
    was last seen."""

    places: Mapping[str, Place] = field(default_factory=dict)
    seen: Mapping[str, str] = field(default_factory=dict)


def read_waits(connection: Connection, setup: Setup, user_id: int, rows: Iterable[Row]) -> Waits:
    """What the waiting ones of these jobs of a user wait for; nothing is read where none does."""
    if not any(row["status"] == "queued" for row in rows):
        return Waits()
    return Waits(read_places(connection, setup, user_id), engines_seen(connection))


def job_json(rows: Sequence[Row], waits: Waits, links: Links, user_id: int) -> dict[str, Any]:
    """One job, from its rows: one for each of its pictures, or one without."""
    row = rows[0]
    place = waits.places.get(row["id"])
    loras, metadata = from_json(row["loras"]), from_json(row["metadata"])
    pictures = [_result_json(r, links, user_id) for r in rows if r["media_id"]]
    # The name that it had then, also of one that is deleted: neither renaming nor deleting a
    # persona makes a new version of its jobs.
    persona = {
        "id": row["persona_id"],
        "name": metadata.get("persona_name", ""),
        "owner": metadata.get(OWNER),
    }
    return {
        "job_id": row["id"],
        "status": row["status"],
        "message": _status_sentence(row),
        "progress": row["progress"],
        "job_type": row["job_type"],
        "persona_id": row["persona_id"],
        "persona_revision": row["persona_revision"],
        "persona": persona if persona["id"] is not None or persona["name"] else None,
        "engine": row["engine"],
        "prompt": row["prompt"],
        "negative_prompt": row["negative_prompt"],
        "model_name": row["model_name"],
        "loras": loras,
        "lora_models": [lora["name"] for lora in loras],
        "parameters": parameters.shown(from_json(row["parameters"])),
        "count": row["count"],
        "images": from_json(row["images"]),
        "frame_url": frame_url(row, links, user_id),
        "result_images": [picture["url"] for picture in pictures],
        "results": pictures,
        "metadata": metadata,
        "is_nsfw": bool(row["is_nsfw"]),
        "error_message": row["error_message"],
        "error_code": row["error_code"],
        "warnings": json_fragment(row["warnings"]),
        "waiting_for": waiting_for(row, waits),
        "position": place.position if place else None,
        "estimated_time": place.seconds if place else None,
        "attempts": row["attempts"],
        "version": row["version"],
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
        "started_at": row["started_at"],
        "completed_at": row["completed_at"],
    }


def _status_sentence(row: Row) -> str:
    """How a job stands, for people."""
    if row["status"] == "failed":
        return row["error_message"] or "The job has failed."
    return _SENTENCES[row["status"]]


_SENTENCES = {
    "queued": "The job is queued.",
    "processing": "The job is being made.",
    "completed": "The job is completed.",
    "cancelled": "The job is cancelled.",
}


def frame_url(row: Row, links: Links, user_id: int) -> str | None:
    """A link to the picture of a job as far as it is made; None where there is none to be seen."""
    return None if row["frame"] is None else links.make_frame(row["id"], row["frame"], user_id)


def waiting_for(row: Row, waits: Waits) -> dict[str, str] | None:
    """What a job waits for, and since when: its engine, which is away, a worker that serves it, or
    its turn."""
    if row["waiting_since"] is not None and row["status"] in ("queued", "processing"):
        return {"code": "engine", "engine": row["engine"], "since": row["waiting_since"]}
    if row["status"] != "queued":
        return None
    seen = waits.seen.get(row["engine"], "")
    if seen < timestamp_in(-SILENCE_SECONDS):
        since = max(row["created_at"], seen)
        return {"code": "worker", "engine": row["engine"], "since": since}
    return {"code": "turn", "engine": row["engine"], "since": row["created_at"]}


def _result_json(row: Row, links: Links, user_id: int) -> dict[str, Any]:
    """A picture of a job."""
    media_id = row["media_id"]
    return {
        "media_id": media_id,
        "url": links.make(media_id, "content", user_id),
        **picture_links(links, media_id, row["width"], row["height"], user_id),
    }


def draft_json(draft: Draft) -> dict[str, Any]:
    """What would be sent, as a dry run answers it."""
    seed = draft.parameters["seed"] if draft.seed_given else parameters.RANDOM_SEED
    sent = draft.request()
    return {
        **check_json(draft),
        "prompt": sent.prompt,
        "negative_prompt": draft.negative_prompt,
        "model_name": draft.model_name,
        "loras": [_sent_lora(lora) for lora in sent.loras],
        "parameters": parameters.shown(draft.parameters | {"seed": seed}),
        "count": draft.count,
        "images": draft.images,
        "warnings": draft.warnings,
    }


def _sent_lora(lora: Lora) -> dict[str, Any]:
    clip_weight = {} if lora.clip_weight is None else {"clip_weight": lora.clip_weight}
    return {"name": lora.name, "weight": lora.weight, **clip_weight}


def check_json(draft: Draft) -> dict[str, Any]:
    """What the engine of a draft lacks for it or does otherwise."""
    return {
        "ok": not has_errors(draft.findings),
        "engine": draft.engine,
        "findings": [finding.shown() for finding in draft.findings],
    }


def jobs_json(
    rows: Iterable[Row], waits: Waits, links: Links, user_id: int
) -> list[dict[str, Any]]:
    """The jobs of a page, from its rows, in their order."""
    return [
        job_json(list(mine), waits, links, user_id)
        for _, mine in groupby(rows, lambda row: row["id"])
    ]
