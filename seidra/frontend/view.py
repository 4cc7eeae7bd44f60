"""How engines' models and ended jobs look to the Ultimate frontend."""

from __future__ import annotations

from typing import Any

from seidra import folding
from seidra.database.base import Connection, Row
from seidra.database.queries import queries
from seidra.engines.setup import Setup
from seidra.engines.stored import read_capabilities
from seidra.jobs.requests import PREVIEW
from seidra.values import from_json

_TITLES = {
    "completed": ("success", "made"),
    "failed": ("error", "failed"),
    "cancelled": ("info", "cancelled"),
}


def engine_names(connection: Connection, setup: Setup, kind: str) -> list[dict[str, Any]]:
    """The models or LoRAs that engines were last seen to have, each once: its family, where known,
    and the engines that have it."""
    rows = {row["name"]: row for row in queries.engines.list_all(connection)}
    found: dict[str, dict[str, Any]] = {}
    for engine in setup.engines:
        row = rows.get(engine)
        can = read_capabilities(from_json(row["capabilities"]) if row else {})
        for name, model in (can.loras if kind == "lora" else can.models).items():
            known = found.setdefault(name, {"name": name, "category": "", "tags": []})
            known["category"] = known["category"] or model.family or ""
            known["tags"].append(engine)
    return sorted(found.values(), key=lambda model: (folding.fold(model["name"]), model["name"]))


def model_json(model: dict[str, Any]) -> dict[str, Any]:
    """One of `engine_names` as the frontend reads a model."""
    return {
        "id": model["name"],
        "name": model["name"],
        "description": "",
        "type": "model",
        "size": "",
        "is_downloaded": True,
        "download_url": None,
        "category": model["category"],
        "tags": model["tags"],
    }


def lora_json(model: dict[str, Any]) -> dict[str, Any]:
    """One of `engine_names` as the frontend reads a LoRA."""
    return {
        "id": model["name"],
        "name": model["name"],
        "description": "",
        "file_path": "",
        "download_url": None,
        "category": model["category"],
        "tags": model["tags"],
        "is_downloaded": True,
        "file_size": None,
    }


def notifications(
    connection: Connection, user_id: int, nsfw: bool, limit: int, offset: int
) -> tuple[list[dict[str, Any]], int]:
    """A page of what there is to tell of jobs that ended, and how many did in all."""
    rows = queries.jobs.ended(connection, user_id=user_id, nsfw=nsfw, limit=limit, offset=offset)
    counts = queries.jobs.counts(connection, user_id=user_id, nsfw=nsfw, status=None, job_type=None)
    total = sum(row["n"] for row in counts if row["status"] in _TITLES)
    return [_notification_json(row) for row in rows], total


def _notification_json(row: Row) -> dict[str, Any]:
    level, verb = _TITLES[row["status"]]
    if row["status"] == "completed" and from_json(row["warnings"]):
        level = "warning"
    what = "Preview" if row["job_type"] == PREVIEW else "Generation"
    # The name that the persona had then, as in the job.
    name = from_json(row["metadata"]).get("persona_name", "")
    return {
        "id": row["id"],
        "level": level,
        "title": f"{what} {verb}" + (f": {name}" if name else ""),
        "message": row["error_message"] if row["status"] == "failed" else row["prompt"],
        "category": row["job_type"],
        "metadata": {
            "job_id": row["id"],
            "persona_id": row["persona_id"],
            "engine": row["engine"],
            "error_code": row["error_code"],
        },
        "tags": [row["status"]],
        "timestamp": row["completed_at"],
    }
