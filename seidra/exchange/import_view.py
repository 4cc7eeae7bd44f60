"""How an import looks to its owner."""

from __future__ import annotations

from typing import Any

from seidra import parameters
from seidra.database.base import Row
from seidra.personas.loras import lora_names
from seidra.values import from_json, timestamp, unpacked


def import_json(row: Row) -> dict[str, Any]:
    """An import without its entries."""
    status = row["status"]
    if status in ("planned", "failed") and row["expires_at"] < timestamp():
        status = "expired"
    return {
        "id": row["id"],
        "status": status,
        "options": from_json(row["options"]),
        "files": [
            {name: file[name] for name in ("name", "format", "tool", "entries", "warnings")}
            for file in from_json(row["files"])
        ],
        "summary": from_json(row["summary"]),
        "progress": {"done": row["done"], "total": row["entries"]},
        "error_code": row["error_code"],
        "error_message": row["error_message"],
        "version": row["version"],
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
        "expires_at": row["expires_at"],
    }


def entry_json(row: Row) -> dict[str, Any]:
    """An entry of an import."""
    document = from_json(unpacked(row["document"]).decode())
    return {
        "index": row["n"],
        "locator": row["locator"],
        "name": document["name"],
        "action": row["action"],
        "match": row["match"],
        "persona_id": row["written_id"] or row["persona_id"],
        "fields": _fields_json(document["fields"]),
        "diff": document["diff"],
        "warnings": document["warnings"],
        "lost": document["lost"],
        "error": document["error"],
        "has_picture": row["media_id"] is not None,
        "is_nsfw": bool(row["is_nsfw"]),
        "state": row["state"],
        "note": row["note"],
    }


def _fields_json(values: dict[str, Any]) -> dict[str, Any]:
    """The fields as a persona's body has them; nothing for an entry that cannot be one."""
    if not values:
        return {}
    shown = {name: value for name, value in values.items() if name != "avatar_media_id"}
    return shown | {
        "lora_models": lora_names(values["loras"]),
        "generation_params": parameters.shown(values["generation_params"]),
    }
