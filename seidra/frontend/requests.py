"""The frontend's body of a generation becomes what SEIDRA is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from seidra.jobs.requests import GENERATION, Asked, read_asked

_PARAMETERS = (
    "width",
    "height",
    "num_inference_steps",
    "guidance_scale",
    "model_name",
    "scheduler",
    "style",
)
_QUALITIES = ("draft", "standard", "high")


def read_single(body: Mapping[str, Any]) -> Asked:
    """What a body (as SingleSchema loads it) asks for; what it says beyond that is told in the
    warnings."""
    parameters = {name: body[name] for name in _PARAMETERS if name in body}
    told = []
    quality = body.get("quality")
    if quality in _QUALITIES:
        parameters["quality"] = quality
    elif quality is not None:
        known = ", ".join(_QUALITIES)
        told.append(_warning("quality", f"There is no quality {quality!r}, but {known}."))
    if body.get("job_type", GENERATION) != GENERATION:
        told.append(_warning("job_type", "What is asked for here is always a generation."))
    weights = [*body.get("lora_weights", ())]
    names = body.get("lora_models", [])
    weights += [1] * (len(names) - len(weights))
    ours: dict[str, Any] = {
        "prompt": body["prompt"],
        "loras": [
            {"name": name, "weight": weight} for name, weight in zip(names, weights, strict=True)
        ],
        "parameters": parameters,
        "count": body["num_images"],
    }
    ours |= {name: body[name] for name in ("negative_prompt", "seed") if name in body}
    asked = read_asked(ours)
    return replace(
        asked, warnings=[*asked.warnings, *told], is_nsfw=bool(body.get("is_nsfw", False))
    )


def _warning(field: str, detail: str) -> dict[str, Any]:
    return {"code": "left_out", "field": field, "detail": detail}
