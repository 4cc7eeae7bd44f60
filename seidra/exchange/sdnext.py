"""Styles of SD.Next: JSON, one file a style, or a list of them (formats.md, A2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from seidra.engines import infotext
from seidra.exchange import given
from seidra.exchange.documents import Part, parse
from seidra.exchange.documents import write as to_json
from seidra.exchange.drafts import (
    Draft,
    parameters_of,
    picture_in,
    split_path,
    text_of,
    told_apart,
)
from seidra.exchange.found import (
    FoundFile,
    FoundPersona,
    GivenPersona,
    IncomingFile,
    Remark,
    WrittenFile,
)
from seidra.exchange.given import INFOTEXT_PARAMETERS, Target

FORMAT = "sdnext"
TARGET = Target(
    "SD.Next", FORMAT, frozenset({"description", "loras", "picture"}), INFOTEXT_PARAMETERS
)

_KEYS = frozenset({"name", "description", "prompt", "negative", "extra", "preview"})


def recognise(file: IncomingFile) -> bool:
    """Whether the entries have SD.Next's own keys beside a name."""
    document = file.document
    if document is None:
        return False
    values = document.value if isinstance(document.value, list) else [document.value]
    return bool(values) and all(map(_is_style, values)) and any("negative" in v for v in values)


def _is_style(value: Any) -> bool:
    return isinstance(value, dict) and "name" in value and bool({"prompt", "negative"} & {*value})


def read(file: IncomingFile) -> FoundFile:
    """The styles of a file, in order."""
    document = file.json
    if isinstance(document.value, list):
        parts = [(f"{file.name} entry {n}", part) for n, part in enumerate(document.parts, 1)]
    else:
        parts = [(file.name, Part(None, document.value, document.raw, document.odd))]
    entries, remarks = told_apart(_read(part, locator, file.stem) for locator, part in parts)
    return FoundFile(FORMAT, "SD.Next", entries, {}, remarks)


def _read(part: Part, locator: str, stem: str) -> FoundPersona:
    style = part.value if isinstance(part.value, dict) else {}
    entry = text_of(style.get("name"))
    folder, name = split_path(entry)
    draft = Draft(FORMAT, locator, entry, part.raw)
    draft.odd_numbers(part)
    draft.name(name, stem)
    draft.tag(folder)
    draft.description(text_of(style.get("description")))
    extra = text_of(style.get("extra"))
    info = infotext.read_parameters(extra)
    draft.prompts(text_of(style.get("prompt")), text_of(style.get("negative")), alone=bool(extra))
    draft.parameters(parameters_of(info))
    draft.picture = picture_in(style.get("preview"))
    if text_of(style.get("wildcards")):
        draft.remark("contains_wildcards", "Its own wildcards are kept, and not used.")
    more = {key: value for key, value in style.items() if key not in _KEYS}
    if draft.picture is None:
        more["preview"] = style.get("preview")
    draft.keep({**more, "extra": dict(info.more)})
    return draft.done()


def write(personas: Sequence[GivenPersona]) -> list[WrittenFile]:
    """One file a persona. What came from SD.Next gives the same bytes again where nothing was
    changed, and else keeps what was not."""
    names = given.file_names([given.text(persona.fields, "name") for persona in personas], ".json")
    return [
        WrittenFile(name, "application/json", _written(persona).encode())
        for name, persona in zip(names, personas, strict=True)
    ]


def _written(persona: GivenPersona) -> str:
    fields = persona.fields
    ours: dict[str, Any] = {
        "name": given.text(fields, "name"),
        "description": given.text(fields, "description"),
        "prompt": given.with_tags(persona),
        "negative": given.text(fields, "negative_prompt"),
        "extra": given.parameters_line(persona),
        "preview": given.preview_of(persona.picture),
    }
    original = given.original_of(persona, FORMAT)
    if original is None:
        return to_json(ours)
    part = Part(None, parse(original).value, original)
    changes = given.changed(persona, _read(part, "", ""))
    if not changes:
        return original
    style = dict(part.value)
    if "name" in changes:
        folder = split_path(text_of(style.get("name")))[0]
        style["name"] = f"{folder}/{ours['name']}" if folder else ours["name"]
    for key, field in (
        ("description", "description"),
        ("prompt", "style_prompt"),
        ("prompt", "loras"),
        ("negative", "negative_prompt"),
    ):
        if field in changes:
            style[key] = ours[key]
    if "generation_params" in changes:
        style["extra"] = given.parameters_line(
            persona, infotext.read_parameters(text_of(style.get("extra"))).more
        )
    return to_json(style)


def lost(persona: GivenPersona) -> list[Remark]:
    """What a style of SD.Next has no place for."""
    remarks = [*given.not_carried(persona, TARGET), *given.untold_loras(persona, TARGET)]
    if "/" in given.text(persona.fields, "name") and given.original_of(persona, FORMAT) is None:
        detail = "SD.Next: takes what stands before a slash in the name for a folder."
        remarks.append(Remark("name_is_path", detail, "name"))
    return remarks
