"""What a picture, or a text that was written for one, says of how it was made, in one form."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from seidra.exchange.drafts import number_of
from seidra.exchange.found import Remark
from seidra.prompts import MAX_WEIGHT, LoraEntry

MAX_LITERAL = 10_000
"""Characters of a Python literal that is read."""

_SIZE = re.compile(r"\(?\s*([0-9]{1,5})\s*[x×*,]\s*([0-9]{1,5})\s*\)?", re.IGNORECASE)


@dataclass(slots=True)
class Generation:
    """How a picture was made: by what `tool`, with which texts (tags of LoRAs may stand in them),
    parameters under SEIDRA's names or a `sampler` and `schedule`, and LoRAs beside the texts.
    `more` has no field in a persona; `raw` is the text that says it all."""

    tool: str
    raw: str
    prompt: str = ""
    negative_prompt: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    loras: list[LoraEntry] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)
    remarks: list[Remark] = field(default_factory=list)


_WORDS = {
    "prompt": ("prompt", "positiveprompt"),
    "negative_prompt": ("negativeprompt", "negative", "uc"),
    "num_inference_steps": ("steps", "numinferencesteps", "inferencesteps"),
    "guidance_scale": ("cfgscale", "cfg", "guidancescale", "scale"),
    "seed": ("seed", "noiseseed"),
    "sampler": ("sampler", "samplername"),
    "schedule": ("scheduler", "noiseschedule"),
    "model_name": (
        *("model", "basemodel", "basemodelname", "modelname"),
        *("usestablediffusionmodel", "stablediffusionmodel"),
    ),
    "width": ("width",),
    "height": ("height",),
    "size": ("size", "resolution"),
}
_OURS = {word: ours for ours, words in _WORDS.items() for word in words}
_NUMBERS = ("num_inference_steps", "guidance_scale", "width", "height")


def fold_key(key: str) -> str:
    """A key without case, blanks and marks."""
    return re.sub(r"[\W_]", "", key.casefold())


def from_mapping(
    tool: str, raw: str, values: Mapping[str, Any], also: Mapping[str, str] | None = None
) -> Generation:
    """What an object of keys and values says, by the words that most programs have; `also` are
    words of this one, folded, "" for one that has no field."""
    made = Generation(tool, raw)
    words = {**_OURS, **(also or {})}
    found: dict[str, Any] = {}
    for key, value in values.items():
        ours = words.get(fold_key(key), "")
        if not ours or ours in found or isinstance(value, (dict, list)):
            made.more[key] = value
        else:
            found[ours] = value
    made.prompt = text_value(found.pop("prompt", ""))
    made.negative_prompt = text_value(found.pop("negative_prompt", ""))
    size = size_of(found.pop("size", None))
    if size:
        found.setdefault("width", size[0])
        found.setdefault("height", size[1])
    made.parameters = {key: _plain(key, value) for key, value in found.items()}
    return made


def text_value(value: Any) -> str:
    """A text, or the lines of a list of texts."""
    if isinstance(value, list):
        return "\n".join(part for part in value if isinstance(part, str))
    return value if isinstance(value, str) else ""


def size_of(value: Any) -> tuple[int, int] | None:
    """Width and height of a text such as 1152x896 or (1152, 896)."""
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    return (int(match[1]), int(match[2])) if match else None


def _plain(key: str, value: Any) -> Any:
    """A number that is written as a text, or as a float, as the number that it is."""
    if key == "seed" and isinstance(value, float) and value.is_integer():
        return int(value)
    if key not in _NUMBERS:
        return value if isinstance(value, (int, str)) else str(value)
    number = number_of(value)
    return int(number) if number is not None and number.is_integer() else number


def lora(name: Any, weight: Any = 1.0, clip_weight: Any = None) -> LoraEntry | None:
    """An entry for a LoRA of another program; None for what is none, such as an empty slot."""
    if not isinstance(name, str) or not name.strip() or name.strip().lower() == "none":
        return None
    number = number_of(weight)
    entry: LoraEntry = {"name": name.replace("\\", "/").strip(), "weight": _limited(number)}
    clip = number_of(clip_weight)
    if clip is not None and clip != entry["weight"]:
        entry["clip_weight"] = _limited(clip)
    return entry


def _limited(number: float | None) -> float:
    return 1.0 if number is None else max(-MAX_WEIGHT, min(MAX_WEIGHT, number))


def loras_of(entries: Iterable[LoraEntry | None]) -> list[LoraEntry]:
    """Those that are there."""
    return [entry for entry in entries if entry is not None]


def literal(text: Any, made: Generation) -> Any:
    """The value of a Python literal, such as a list in quotation marks; None for what is none. It
    is read and never run."""
    if not isinstance(text, str) or not 0 < len(text) <= MAX_LITERAL:
        return None
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return None
    remark = Remark("python_literal", "A list was written as Python writes it, and was read so.")
    if remark not in made.remarks:
        made.remarks.append(remark)
    return value
