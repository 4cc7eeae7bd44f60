"""Lists of styles in JSON: Fooocus, sdxl_prompt_styler, StyleSelectorXL and those after them
(formats.md, A3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from seidra.exchange import given
from seidra.exchange.documents import Part, parse
from seidra.exchange.documents import write as to_json
from seidra.exchange.drafts import Draft, picture_in, text_of, told_apart
from seidra.exchange.found import (
    FoundFile,
    FoundPersona,
    GivenPersona,
    IncomingFile,
    Remark,
    WrittenFile,
)
from seidra.exchange.given import Target
from seidra.folding import fold

FORMAT = "fooocus"
TARGET = Target("Style list", FORMAT, frozenset({"loras"}))

_KEYS = frozenset({"name", "prompt", "negative_prompt", "description"})
_PSEUDO = frozenset({"fooocus v2", "random style"})
"""What Fooocus lists as styles and computes itself."""


def recognise(file: IncomingFile) -> bool:
    """Whether it is a list of objects with a name and a prompt."""
    document = file.document
    return (
        document is not None
        and isinstance(document.value, list)
        and bool(document.value)
        and all(map(_is_style, document.value))
    )


def _is_style(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and "name" in value
        and bool({"prompt", "negative_prompt"} & value.keys())
    )


def read(file: IncomingFile) -> FoundFile:
    """The styles of a list, in order."""
    document = file.json
    found = [
        _read(part, f"{file.name} entry {number}", file.stem)
        for number, part in enumerate(document.parts, 1)
        if not _is_pseudo(part.value)
    ]
    entries, remarks = told_apart(found)
    three = {"name", "prompt", "negative_prompt"}
    if all(isinstance(part.value, dict) and part.value.keys() == three for part in document.parts):
        detail = "Read as a list of styles; those of InvokeAI and SwarmUI look the same."
        remarks = [*remarks, Remark("format_ambiguous", detail)]
    return FoundFile(FORMAT, "Fooocus", entries, {}, remarks)


def _is_pseudo(value: Any) -> bool:
    """Whether an entry only names what Fooocus computes."""
    return (
        isinstance(value, dict)
        and fold(text_of(value.get("name"))) in _PSEUDO
        and not (text_of(value.get("prompt")) or text_of(value.get("negative_prompt")))
    )


def _read(part: Part, locator: str, stem: str) -> FoundPersona:
    style = part.value if isinstance(part.value, dict) else {}
    name = text_of(style.get("name"))
    draft = Draft(FORMAT, locator, name, part.raw)
    draft.odd_numbers(part)
    draft.name(name, stem)
    draft.description(text_of(style.get("description")))
    draft.prompts(text_of(style.get("prompt")), text_of(style.get("negative_prompt")))
    draft.picture = picture_in(style.get("thumbnail"))
    more = {key: value for key, value in style.items() if key not in _KEYS}
    if draft.picture is not None:
        del more["thumbnail"]
    draft.keep(more)
    return draft.done()


def write(personas: Sequence[GivenPersona]) -> list[WrittenFile]:
    """One list with all three keys in each entry, without which prompt_styler refuses the file.
    What came from such a list gives the same bytes again where nothing was changed."""
    entries = given.list_of(_written(persona) for persona in personas)
    return [WrittenFile("sdxl_styles_seidra.json", "application/json", entries.encode())]


def _written(persona: GivenPersona) -> str:
    ours = given.style_of(persona)
    original = given.original_of(persona, FORMAT)
    if original is None:
        return to_json(ours)
    part = Part(None, parse(original).value, original)
    changes = given.changed(persona, _read(part, "", ""))
    if isinstance(part.value, Mapping) and "description" in part.value:
        ours["description"] = given.text(persona.fields, "description")
    else:
        changes -= {"description"}
    changes -= {"generation_params", "is_favorite"}
    if not changes:
        return original
    edited = {key: value for key, value in ours.items() if given.touches(changes, key)}
    return to_json({**part.value, **edited})


def lost(persona: GivenPersona) -> list[Remark]:
    """What such an entry has no place for."""
    remarks = [*given.not_carried(persona, TARGET), *given.untold_loras(persona, TARGET)]
    if any(lora.get("clip_weight") is not None for lora in given.on(persona)):
        detail = "Style list: Fooocus takes no weight of a LoRA for the text encoder alone."
        remarks.append(Remark("not_carried", detail, "loras"))
    return remarks


def lost_together(personas: Sequence[GivenPersona]) -> dict[str, list[Remark]]:
    """What gets lost because of the others in the list, by `uid`: Fooocus keeps the last of the
    names that it changes into the same."""
    last: dict[str, GivenPersona] = {}
    remarks: dict[str, list[Remark]] = {}
    for persona in personas:
        name = given.text(persona.fields, "name")
        before = last.get(fooocus_name(name))
        if before is not None:
            other = given.text(before.fields, "name")
            detail = f"Style list: Fooocus reads {other!r} and {name!r} as one name."
            remarks.setdefault(before.uid, []).append(Remark("names_fall_together", detail, "name"))
        last[fooocus_name(name)] = persona
    return remarks


def fooocus_name(name: str) -> str:
    """What Fooocus makes of a style's name, without case: a dash is a blank to it."""
    return " ".join(name.replace("-", " ").casefold().split())
