"""The text that A1111 and those after it write of a picture, pasted or in a file (formats.md,
A6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from seidra.engines import infotext
from seidra.exchange import given
from seidra.exchange.carried import MAX_TEXT
from seidra.exchange.documents import broken
from seidra.exchange.drafts import Draft, parameters_of
from seidra.exchange.found import (
    FoundFile,
    FoundPersona,
    GivenPersona,
    IncomingFile,
    Remark,
    WrittenFile,
)
from seidra.exchange.given import INFOTEXT_PARAMETERS, Target
from seidra.folding import cut_text
from seidra.prompts import LoraEntry, fill, join_loras, take_tags

FORMAT = "infotext"
TARGET = Target("Infotext", FORMAT, frozenset({"loras"}), INFOTEXT_PARAMETERS, template=False)

NAME_LENGTH = 60
"""Characters of the prompt that become the name."""


def recognise(file: IncomingFile) -> bool:
    """Whether its last line is one of parameters."""
    text = file.known_text
    return (
        text is not None
        and file.document is None
        and len(text) <= MAX_TEXT
        and infotext.read_whole(text).has_parameters
    )


def read(file: IncomingFile) -> FoundFile:
    """The persona of a text; one without parameters has a prompt alone. Raises Invalid where there
    is nothing in it."""
    if not file.text.strip():
        raise broken("Is empty.", "empty")
    if len(file.text) > MAX_TEXT:
        raise broken(f"Has more than {MAX_TEXT:,} characters.", "text_too_long")
    found = found_persona(file.text, file.name, file.stem)
    tool = "SEIDRA" if "App: SEIDRA" in file.text else "A1111"
    return FoundFile(FORMAT, tool, [found])


def found_persona(text: str, locator: str, stem: str, picture: bytes | None = None) -> FoundPersona:
    """What an infotext makes; `picture` is the one that it was in."""
    reading = infotext.read_whole(text)
    info = reading.info
    beside = take_tags(reading.prompt)[0]
    draft = Draft(FORMAT, locator, _first_words(beside) or stem, text)
    draft.name(_first_words(beside) or _first_words(info.negative_prompt), stem)
    draft.prompts(reading.prompt, info.negative_prompt, alone=reading.has_parameters)
    draft.loras(_loras_beside(reading))
    draft.parameters(parameters_of(info))
    draft.keep(dict(info.more))
    draft.picture = picture
    return draft.done()


def _first_words(prompt: str) -> str:
    """The beginning of a prompt, which ends with a word where it can."""
    line = " ".join(prompt[: 10 * NAME_LENGTH].split())
    if len(line) <= NAME_LENGTH:
        return line.rstrip(" ,.")
    cut = cut_text(line, NAME_LENGTH)
    words, _, _ = cut.rpartition(" ")
    return (words if len(words) > NAME_LENGTH // 2 else cut).rstrip(" ,.")


def _loras_beside(reading: infotext.Reading) -> list[LoraEntry]:
    """The LoRAs that the prompt has no tag for."""
    tagged = {lora["name"] for lora in take_tags(reading.prompt)[1]}
    found: list[LoraEntry] = []
    for lora in reading.info.loras:
        if lora.name not in tagged:
            entry: LoraEntry = {"name": lora.name, "weight": lora.weight}
            if lora.clip_weight is not None and lora.clip_weight != lora.weight:
                entry["clip_weight"] = lora.clip_weight
            found.append(entry)
    return found


def write(personas: Sequence[GivenPersona]) -> list[WrittenFile]:
    """One text a persona, to be pasted where A1111, Forge or SD.Next take one. What came from a
    text gives the same again where nothing was changed."""
    names = given.file_names([given.text(persona.fields, "name") for persona in personas], ".txt")
    return [
        WrittenFile(name, "text/plain; charset=utf-8", _encoded(text_of_persona(persona)))
        for name, persona in zip(names, personas, strict=True)
    ]


def _encoded(text: str) -> bytes:
    # A mark that is the first character of a prompt would be taken for the file's.
    return text.encode("utf-8-sig" if text.startswith("﻿") else "utf-8")


def text_of_persona(persona: GivenPersona) -> str:
    """The infotext of a persona: without a place for what is asked for, each LoRA once."""
    original = given.original_of(persona, FORMAT)
    more = {}
    if original is not None:
        changes = given.changed(persona, found_persona(original, "", ""))
        # A text has no place for the others.
        if not changes - {"name", "description", "is_favorite"}:
            return original
        more = dict(infotext.read(original).more)
    style, tagged = take_tags(given.text(persona.fields, "style_prompt"))
    avoid, avoided = take_tags(given.text(persona.fields, "negative_prompt"))
    loras = join_loras(persona.fields.get("loras") or (), tagged, avoided)
    info = replace(
        given.infotext_of(persona),
        prompt=fill(style, ""),
        negative_prompt=fill(avoid, "", "negative_prompt"),
        loras=given.as_loras(loras),
        more=more,
    )
    return infotext.write(info)


def lost(persona: GivenPersona) -> list[Remark]:
    """What an infotext has no place for."""
    remarks = given.not_carried(persona, TARGET)
    if len(given.on(persona)) < len(persona.fields.get("loras") or ()):
        detail = "Infotext: no place for LoRAs that are switched off."
        remarks.append(Remark("not_carried", detail, "loras"))
    return [*remarks, Remark("not_carried", "Infotext: no place for the name.", "name")]
