"""What the operator's map of LoRAs says beside a file's name: how strong it is, and the words that
it was trained to listen to. Applied in one place, so that it holds for engines of every kind."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from seidra.engines.base import Lora, Options, RenderRequest


def apply_map(request: RenderRequest, options: Options) -> RenderRequest:
    """The request with what the map of its engine says of its LoRAs.

    A weight of the map is a factor: 1 in a persona is as strong as the operator found right. A
    default it could not be, since every LoRA of a persona has a weight. A trigger is put behind the
    prompt, unless it stands there.
    """
    triggers = missing_triggers(request.prompt, request.loras, options.loras)
    return replace(
        request,
        prompt=", ".join([request.prompt, *triggers] if request.prompt.strip() else triggers)
        or request.prompt,
        loras=tuple(_weighted(lora, options.loras.get(lora.name, {})) for lora in request.loras),
    )


def missing_triggers(
    prompt: str, loras: Sequence[Lora], mapped: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """The triggers of these LoRAs that the prompt lacks, each once. As words: `cat` is not in
    `cathedral`; case makes no difference."""
    missing: list[str] = []
    for lora in loras:
        trigger = str(mapped.get(lora.name, {}).get("trigger") or "").strip()
        if trigger and not any(_has_words(text, trigger) for text in (prompt, *missing)):
            missing.append(trigger)
    return missing


def _has_words(text: str, words: str) -> bool:
    return bool(re.search(rf"(?<!\w){re.escape(words.casefold())}(?!\w)", text.casefold()))


def _weighted(lora: Lora, entry: Mapping[str, Any]) -> Lora:
    factor = float(entry.get("weight", 1))
    if factor == 1:
        return lora
    clip_weight = None if lora.clip_weight is None else round(lora.clip_weight * factor, 4)
    return replace(lora, weight=round(lora.weight * factor, 4), clip_weight=clip_weight)
