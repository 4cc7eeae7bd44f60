"""Presets of Fooocus: an object of defaults, one file a preset (formats.md, A4)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from seidra.exchange import given
from seidra.exchange.documents import Part, parse
from seidra.exchange.documents import write as to_json
from seidra.exchange.drafts import Draft, model_name, number_of, text_of
from seidra.exchange.found import (
    FoundFile,
    FoundPersona,
    GivenPersona,
    IncomingFile,
    Remark,
    WrittenFile,
)
from seidra.exchange.given import Target
from seidra.prompts import LoraEntry, fill

FORMAT = "fooocus-preset"
TARGET = Target(
    "Fooocus preset",
    FORMAT,
    frozenset({"loras"}),
    frozenset(
        {
            *("num_inference_steps", "guidance_scale", "width", "height", "model_name"),
            *("sampler", "schedule", "scheduler"),
        }
    ),
    template=False,
)
MAX_SLOTS = 5
"""LoRAs that Fooocus has room for."""

_SIGNS = frozenset(
    {
        *("default_model", "default_prompt", "default_prompt_negative", "default_styles"),
        *("default_loras", "default_performance", "default_aspect_ratio", "default_cfg_scale"),
    }
)
_MAPPED = frozenset(
    {
        *("default_prompt", "default_prompt_negative", "default_loras", "default_model"),
        *("default_cfg_scale", "default_sampler", "default_scheduler", "default_overwrite_step"),
        "default_aspect_ratio",
    }
)
_SIZE = re.compile(r"\s*([0-9]{1,5})\s*[*x×]\s*([0-9]{1,5})")


def recognise(file: IncomingFile) -> bool:
    """Whether it is an object with two of Fooocus's defaults."""
    document = file.document
    if document is None or not isinstance(document.value, dict):
        return False
    return len(_SIGNS & document.value.keys()) >= 2


def read(file: IncomingFile) -> FoundFile:
    """The one preset of a file, which has its name."""
    document = file.json
    part = Part(None, document.value, document.raw, document.odd)
    return FoundFile(FORMAT, "Fooocus", [_read(part, file.name, file.stem)])


def _read(part: Part, locator: str, stem: str) -> FoundPersona:
    preset = part.value if isinstance(part.value, dict) else {}
    draft = Draft(FORMAT, locator, stem, part.raw)
    draft.odd_numbers(part)
    draft.name(stem, "Fooocus")
    draft.prompts(
        text_of(preset.get("default_prompt")),
        text_of(preset.get("default_prompt_negative")),
        alone=True,
    )
    draft.loras(_loras(preset))
    size = _SIZE.match(text_of(preset.get("default_aspect_ratio")))
    steps = number_of(preset.get("default_overwrite_step"))
    scale = number_of(preset.get("default_cfg_scale"))
    draft.parameters(
        {
            "width": int(size[1]) if size else None,
            "height": int(size[2]) if size else None,
            "num_inference_steps": int(steps) if steps and steps > 0 else None,
            # -1 is Fooocus's word for "not set".
            "guidance_scale": scale if scale is not None and scale >= 0 else None,
            "sampler": text_of(preset.get("default_sampler")),
            "schedule": text_of(preset.get("default_scheduler")),
            "model_name": _file(preset.get("default_model")),
        }
    )
    styles = preset.get("default_styles")
    if isinstance(styles, list) and styles:
        shown = ", ".join(map(str, styles[:5]))
        detail = f"Its styles are Fooocus's own, and kept by their names: {shown}."
        draft.remark("styles_kept", detail)
    draft.keep({key: value for key, value in preset.items() if key not in _MAPPED})
    return draft.done()


def _file(value: Any) -> str:
    """The name of a file; Fooocus writes "None" for none."""
    name = text_of(value)
    return "" if name == "None" else name


def _loras(preset: Mapping[str, Any]) -> list[LoraEntry]:
    """The LoRAs in slots [enabled, file, weight], or [file, weight] before version 2.2."""
    slots = preset.get("default_loras")
    found: list[LoraEntry] = []
    for slot in slots if isinstance(slots, list) else ():
        if not isinstance(slot, list) or len(slot) not in (2, 3):
            continue
        *enabled, file, weight = slot
        number = number_of(weight)
        if _file(file) and number is not None:
            entry: LoraEntry = {"name": _file(file), "weight": number}
            found.append({**entry, "enabled": False} if enabled == [False] else entry)
    return found


def write(personas: Sequence[GivenPersona]) -> list[WrittenFile]:
    """One file a persona, whose name is the preset's. What came from one gives the same bytes again
    where nothing was changed, and else keeps what was not."""
    names = given.file_names([given.text(persona.fields, "name") for persona in personas], ".json")
    return [
        WrittenFile(name, "application/json", _written(persona).encode())
        for name, persona in zip(names, personas, strict=True)
    ]


def _written(persona: GivenPersona) -> str:
    original = given.original_of(persona, FORMAT)
    value = parse(original).value if original is not None else None
    if original is None or not isinstance(value, dict):
        return to_json(_preset(persona, {}))
    stem = persona.source.entry if persona.source else ""
    # The name is that of the file.
    changes = given.changed(persona, _read(Part(None, value, original), "", stem)) - {
        *("name", "description", "is_favorite")
    }
    if not changes:
        return original
    ours = _preset(persona, value)
    held = {key for field in changes for key in _HELD[field]}
    kept = {key: value for key, value in value.items() if key not in held}
    return to_json(kept | {key: ours[key] for key in held if key in ours})


_HELD = {
    "style_prompt": ("default_prompt",),
    "negative_prompt": ("default_prompt_negative",),
    "loras": ("default_loras",),
    "generation_params": (
        *("default_cfg_scale", "default_sampler", "default_scheduler", "default_overwrite_step"),
        *("default_aspect_ratio", "default_model"),
    ),
}


def _preset(persona: GivenPersona, before: Mapping[str, Any]) -> dict[str, Any]:
    """The preset of a persona; `before`: the one that it came from, which knows the names of files.

    A preset is what stands in the field of the prompt, so that the place for one goes.
    """
    fields = persona.fields
    params = given.understood(fields)
    sampler, schedule = given.comfyui_pair(params)
    width, height = params.get("width"), params.get("height")
    found = {
        "default_prompt": fill(given.text(fields, "style_prompt"), ""),
        "default_prompt_negative": fill(given.text(fields, "negative_prompt"), ""),
        "default_loras": _slots(persona, before) or None,
        "default_model": params.get("model_name"),
        "default_cfg_scale": params.get("guidance_scale"),
        "default_sampler": sampler or None,
        "default_scheduler": schedule or None,
        "default_overwrite_step": params.get("num_inference_steps"),
        "default_aspect_ratio": f"{width}*{height}" if width and height else None,
    }
    return {key: value for key, value in found.items() if value is not None}


def _slots(persona: GivenPersona, before: Mapping[str, Any]) -> list[list[Any]]:
    files = {model_name(lora["name"]): lora["name"] for lora in _loras(before)}
    loras: list[LoraEntry] = persona.fields.get("loras") or []
    return [
        [
            lora.get("enabled", True),
            files.get(lora["name"], f"{lora['name']}.safetensors"),
            lora.get("weight", 1.0),
        ]
        for lora in loras[:MAX_SLOTS]
    ]


def lost(persona: GivenPersona) -> list[Remark]:
    """What a preset has no place for."""
    remarks = given.not_carried(persona, TARGET)
    loras: list[LoraEntry] = persona.fields.get("loras") or []
    if len(loras) > MAX_SLOTS:
        detail = f"Fooocus preset: no place for more than {MAX_SLOTS} LoRAs; it has {len(loras)}."
        remarks.append(Remark("not_carried", detail, "loras"))
    if any(lora.get("clip_weight") is not None for lora in loras):
        detail = "Fooocus preset: no place for a LoRA's text encoder weight."
        remarks.append(Remark("not_carried", detail, "loras"))
    return remarks
