"""Queueing jobs: a persona's preview, and another try of a job that ended without a result."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

from seidra import folding
from seidra.config import Settings
from seidra.database.base import Connection, Row
from seidra.database.queries import queries
from seidra.errors import Problem
from seidra.values import from_json, timestamp, to_json

JOB_TYPE = "persona_preview"
DEFAULTS: dict[str, Any] = {
    "width": 768,
    "height": 768,
    "num_inference_steps": 25,
    "guidance_scale": 7.5,
    "scheduler": "ddim",
    "quality": "standard",
    "model_name": "sdxl-base",
}
_FIRST_ESTIMATE = 0.3
"""Seconds that a preview is said to take before the first one has been measured."""


def enqueue(
    tx: Connection, user_id: int, persona: dict[str, Any], seed: int | None, settings: Settings
) -> dict[str, Any]:
    """Queue a preview of a persona; returns the contract's answer. Raises a 429 Problem at the
    user's limit."""
    parameters = DEFAULTS | persona["generation_params"]
    if seed is not None:
        parameters["seed"] = seed
    parameters.setdefault("seed", persona_seed(persona["id"]))
    job_id = _create(
        tx,
        settings,
        {
            "user_id": user_id,
            "persona_id": persona["id"],
            "job_type": JOB_TYPE,
            "prompt": persona["style_prompt"],
            "negative_prompt": persona["negative_prompt"],
            "model_name": parameters["model_name"],
            "lora_models": to_json(persona["lora_models"]),
            "parameters": to_json(parameters),
            "metadata": to_json({"persona_name": persona["name"], "tags": persona["tags"]}),
            "is_nsfw": persona["is_nsfw"],
            "search_text": folding.document([persona["style_prompt"], persona["name"]]),
        },
    )
    return {
        "job_id": job_id,
        "status": "queued",
        "message": "The preview is queued.",
        "persona_id": persona["id"],
        "estimated_time": _estimate(tx, user_id),
    }


def retry(tx: Connection, user_id: int, job: Row, settings: Settings) -> str:
    """Queue a new job like one that failed or was cancelled; returns its id."""
    kept = (
        "persona_id",
        "job_type",
        "prompt",
        "negative_prompt",
        "model_name",
        "lora_models",
        "parameters",
        "is_nsfw",
        "search_text",
    )
    metadata = from_json(job["metadata"]) | {"retry_of": job["id"]}
    return _create(
        tx,
        settings,
        {name: job[name] for name in kept} | {"user_id": user_id, "metadata": to_json(metadata)},
    )


def persona_seed(persona_id: int) -> int:
    """The seed of a persona that has none: its own, and always the same. 0 to 2**53-1."""
    digest = hashlib.sha256(f"persona {persona_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 11


def _create(tx: Connection, settings: Settings, columns: dict[str, Any]) -> str:
    if queries.jobs.queued(tx, user_id=columns["user_id"]) >= settings.max_queued_jobs:
        raise Problem(
            f"You have {settings.max_queued_jobs} jobs waiting already; let some of them finish.",
            status=429,
            headers={"Retry-After": "5"},
        )
    job_id = str(uuid.uuid4())
    queries.jobs.create(tx, id=job_id, now=timestamp(), **columns)
    return job_id


def _estimate(tx: Connection, user_id: int) -> float:
    """Seconds until a job queued now is done: what the user's completed ones took, for each that
    waits."""
    counts = queries.jobs.counts(tx, user_id=user_id, nsfw=True, status=None, job_type=JOB_TYPE)
    done = next((row for row in counts if row["status"] == "completed" and row["n"]), None)
    each = float(done["seconds"] / done["n"]) if done else _FIRST_ESTIMATE
    waiting: int = queries.jobs.queued(tx, user_id=user_id)
    return round(each * max(waiting, 1), 2)
