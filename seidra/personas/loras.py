"""A persona's LoRAs: a list with weights, and the names alone, which is all that 0.1 knew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from seidra.prompts import LoraEntry


def lora_names(loras: Sequence[LoraEntry]) -> list[str]:
    """The names of a list of LoRAs, in its order: what `lora_models` answers."""
    return [lora["name"] for lora in loras]


def take_loras(body: dict[str, Any], stored: Sequence[LoraEntry]) -> tuple[dict[str, Any], bool]:
    """A body that says `loras`, `lora_models` or both, with `loras` alone; the one that differs
    from what is stored counts.

    Names keep the weights that they have; new ones get 1. The flag tells that both differed, and
    that `loras` was taken.
    """
    taken = dict(body)
    names = taken.pop("lora_models", None)
    if names is None or names == lora_names(stored):
        return taken, False
    loras = taken.get("loras")
    if loras is None or loras == list(stored):
        known = {lora["name"]: lora for lora in stored}
        new = [known.get(name) or {"name": name, "weight": 1, "enabled": True} for name in names]
        return taken | {"loras": new}, False
    return taken, names != lora_names(loras)
