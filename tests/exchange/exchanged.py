"""What the tests of the formats share: files made of texts, personas as the house stores them, and
texts that files get wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from seidra import parameters
from seidra.engines import samplers
from seidra.exchange.formats import WRITERS, read_file
from seidra.exchange.found import (
    FoundFile,
    FoundPersona,
    GivenPersona,
    IncomingFile,
    Source,
    WrittenFile,
)


def incoming(data: Any, name: str = "file.json", encoding: str | None = None) -> IncomingFile:
    """A file of bytes, of a text, or of a value as JSON."""
    if not isinstance(data, (bytes, str)):
        data = json.dumps(data, ensure_ascii=False, indent=2)
    return IncomingFile(name, data.encode() if isinstance(data, str) else data, encoding)


def read(data: Any, name: str = "file.json", format: str = "auto") -> FoundFile:
    return read_file(incoming(data, name), format)


def codes(found: FoundPersona | FoundFile) -> set[str]:
    return {remark.code for remark in found.remarks}


def stored(found: FoundPersona, file: FoundFile, name: str = "file") -> GivenPersona:
    """An entry as a writer gets it after it was imported: with every field, as the API stores
    them."""
    fields = found.fields
    loras = [{"weight": 1.0, "enabled": True, **lora} for lora in fields.get("loras", [])]
    params = parameters.understand(fields.get("generation_params", {}), samplers.recognise)
    assert not params.errors
    return GivenPersona(
        fields={
            "name": fields["name"],
            "description": fields.get("description", ""),
            "style_prompt": fields.get("style_prompt", ""),
            "negative_prompt": fields.get("negative_prompt", ""),
            "loras": loras,
            "generation_params": params.ours,
            "tags": fields.get("tags", []),
            "is_favorite": fields.get("is_favorite", False),
            "is_nsfw": fields.get("is_nsfw", False),
        },
        uid=f"uid of {found.entry}",
        revision=1,
        extensions=found.extensions,
        source=Source(file.format, file.tool, name, found.entry, found.original, file.facts),
        picture=found.picture,
    )


def all_stored(file: FoundFile) -> list[GivenPersona]:
    return [stored(found, file) for found in file.entries]


def changed(persona: GivenPersona, **fields: Any) -> GivenPersona:
    return replace(persona, fields={**persona.fields, **fields})


def foreign(persona: GivenPersona) -> GivenPersona:
    """As if it came from nowhere."""
    return replace(persona, source=None, extensions={})


def write(personas: Sequence[GivenPersona], format: str) -> list[WrittenFile]:
    return WRITERS[format].write(personas)


def again(written: Sequence[WrittenFile], format: str = "auto") -> list[FoundPersona]:
    """What is in files that were written."""
    return [
        found
        for file in written
        for found in read_file(IncomingFile(file.name, file.data), format).entries
    ]


TEXT_FORMATS = (
    *("a1111", "fooocus", "fooocus-preset", "infotext", "invokeai", "sdnext", "swarmui"),
)
"""The formats of texts that are written."""

TRICKY = [
    *('"', '""', "'", "\n", "\r\n", "\r", ",", ", ", ";", "\t", " ", "\\", "\\(", "/", ":"),
    *("{prompt}", "{value}", "{a|b}", "__wild__", "(x:1.2)", "((y))", "[a:b:0.5]", "BREAK"),
    *("<lora:ink:0.8>", "<lyco:z>", "# x", "=1+1", "@", "-", "+", "\ufeff", "\u2028", "\x85"),
    *(
        "\N{ROBOT FACE}",
        "👩🏽‍🚀",
        "é",
        "海",
        "name,prompt",
        "Negative prompt: b",
        "Steps: 20, Seed: 1",
    ),
]
"""What files get wrong, and must not."""

PIECES = st.one_of(
    st.sampled_from(TRICKY),
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=8),
)
TEXTS = st.lists(PIECES, max_size=8).map("".join)
PROMPTS = TEXTS.map(lambda text: f"{text}x")
"""With something to see."""
LONG = 'a, "b" 海\n' * 1600
"""Of 16,000 characters."""
