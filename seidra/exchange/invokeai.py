"""Prompt templates of InvokeAI (formats.md, A8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from seidra.exchange import given
from seidra.exchange.documents import Part, parse
from seidra.exchange.documents import write as to_json
from seidra.exchange.drafts import Draft, text_of, told_apart
from seidra.exchange.found import (
    FoundFile,
    FoundPersona,
    GivenPersona,
    IncomingFile,
    Remark,
    WrittenFile,
)
from seidra.exchange.given import Target

FORMAT = "invokeai"
TARGET = Target("InvokeAI", FORMAT, frozenset({"loras"}))

_KEYS = frozenset({"name", "prompt", "positive_prompt", "negative_prompt"})


def recognise(file: IncomingFile) -> bool:
    """Whether it is a list with InvokeAI's word for a prompt in it."""
    document = file.document
    return (
        document is not None
        and isinstance(document.value, list)
        and bool(document.value)
        and all(isinstance(value, dict) and "name" in value for value in document.value)
        and any("positive_prompt" in _prompts(value) for value in document.value)
    )


def _prompts(preset: Mapping[str, Any]) -> Mapping[str, Any]:
    """What holds the prompts: the entry, or in InvokeAI's own list of defaults an object in it."""
    within = preset.get("preset_data")
    return within if isinstance(within, dict) else preset


def read(file: IncomingFile) -> FoundFile:
    """The templates of a list, in order."""
    found = [
        _read(part, f"{file.name} entry {number}", file.stem)
        for number, part in enumerate(file.json.parts, 1)
    ]
    entries, remarks = told_apart(found)
    return FoundFile(FORMAT, "InvokeAI", entries, {}, remarks)


def _read(part: Part, locator: str, stem: str) -> FoundPersona:
    preset = part.value if isinstance(part.value, dict) else {}
    prompts = _prompts(preset)
    name = text_of(preset.get("name"))
    draft = Draft(FORMAT, locator, name, part.raw)
    draft.odd_numbers(part)
    draft.name(name, stem)
    key = "positive_prompt" if "positive_prompt" in prompts else "prompt"
    draft.prompts(text_of(prompts.get(key)), text_of(prompts.get("negative_prompt")))
    known = {*_KEYS, "preset_data"}
    draft.keep({key: value for key, value in preset.items() if key not in known})
    return draft.done()


def write(personas: Sequence[GivenPersona]) -> list[WrittenFile]:
    """One list, of entries with exactly the three keys that InvokeAI takes, without a byte order
    mark."""
    entries = given.list_of(_written(persona) for persona in personas)
    return [WrittenFile("invokeai_presets.json", "application/json", entries.encode())]


def _written(persona: GivenPersona) -> str:
    ours = given.style_of(persona)
    original = given.original_of(persona, FORMAT)
    if original is None:
        return to_json(ours)
    part = Part(None, parse(original).value, original)
    if not isinstance(part.value, dict) or not part.value.keys() <= _KEYS or len(part.value) != 3:
        return to_json(ours)
    changes = given.changed(persona, _read(part, "", "")) & given.PROMPTS
    if not changes:
        return original
    key = "positive_prompt" if "positive_prompt" in part.value else "prompt"
    ours[key] = ours.pop("prompt")
    return to_json({name: ours[name] for name in part.value})


def lost(persona: GivenPersona) -> list[Remark]:
    """What a template has no place for."""
    remarks = [*given.not_carried(persona, TARGET), *given.untold_loras(persona, TARGET)]
    return [*remarks, *given.places_lost(persona, TARGET)]
