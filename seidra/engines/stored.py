"""Capabilities as JSON: how the database keeps what an engine has and can do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from seidra.engines.base import Capabilities, Model, Sizes


def capabilities_json(capabilities: Capabilities) -> dict[str, Any]:
    """What an engine can do, as it is stored."""
    return asdict(capabilities) | {"features": sorted(capabilities.features)}


def read_capabilities(stored: Mapping[str, Any]) -> Capabilities:
    """What an engine can do, from what is stored. An engine that was never seen has an empty
    object, and can do nothing."""
    if not stored:
        return Capabilities()
    sizes = stored["sizes"]
    return Capabilities(
        version=stored["version"],
        models={name: Model(**model) for name, model in stored["models"].items()},
        loras={name: Model(**lora) for name, lora in stored["loras"].items()},
        schedulers=tuple(stored["schedulers"]),
        foreign={kind: tuple(names) for kind, names in stored["foreign"].items()},
        features=frozenset(stored["features"]),
        sizes=Sizes(**sizes | {"fixed": tuple(tuple(size) for size in sizes["fixed"])}),
        max_count=stored["max_count"],
        seed_max=stored["seed_max"],
        # What was seen by an earlier version lacks what came later.
        images=tuple(stored.get("images", ())),
        cuts_prompts=stored.get("cuts_prompts", False),
    )
