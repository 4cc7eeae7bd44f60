"""How a job looks to its owner: in answers, in lists and in streams alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from seidra.database.base import Connection, Row
from seidra.database.queries import queries
from seidra.media.links import Links
from seidra.values import from_json, json_fragment


def job_rows(connection: Connection, user_id: int, job_id: str) -> list[Row]:
    """The rows of one job of a user that the NSFW settings in force let be seen, a row for each of
    its pictures; none where there is no such job."""
    return queries.jobs.page(
        connection,
        which="one",
        user_id=user_id,
        id=job_id,
        nsfw=True,
        status=None,
        job_type=None,
        limit=1,
        offset=0,
    )


def job_json(rows: Sequence[Row], links: Links, user_id: int) -> dict[str, Any]:
    """One job, from its rows: one for each of its pictures, or one without."""
    row = rows[0]
    return {
        "job_id": row["id"],
        "status": row["status"],
        "progress": row["progress"],
        "job_type": row["job_type"],
        "persona_id": row["persona_id"],
        "prompt": row["prompt"],
        "negative_prompt": row["negative_prompt"],
        "model_name": row["model_name"],
        "lora_models": [lora["name"] for lora in from_json(row["loras"])],
        "parameters": json_fragment(row["parameters"]),
        "result_images": [
            links.make(r["media_id"], "content", user_id) for r in rows if r["media_id"]
        ],
        "metadata": json_fragment(row["metadata"]),
        "is_nsfw": bool(row["is_nsfw"]),
        "error_message": row["error_message"],
        "attempts": row["attempts"],
        "waiting_for": waiting_for(row),
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
        "started_at": row["started_at"],
        "completed_at": row["completed_at"],
    }


def waiting_for(row: Row) -> dict[str, str] | None:
    """What a job waits for that is not its turn: its engine, and since when."""
    if row["waiting_since"] is None or row["status"] not in ("queued", "processing"):
        return None
    return {"code": "engine", "engine": row["engine"], "since": row["waiting_since"]}


def jobs_json(rows: Iterable[Row], links: Links, user_id: int) -> list[dict[str, Any]]:
    """The jobs of a page, from its rows, in their order."""
    return [
        job_json(list(mine), links, user_id) for _, mine in groupby(rows, lambda row: row["id"])
    ]
