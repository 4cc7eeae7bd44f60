"""docs/portability.md says what is lost where, and which formats and encodings there are."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from exchanged import incoming, write

from seidra.exchange import formats
from seidra.exchange.formats import WRITERS
from seidra.exchange.found import GivenPersona
from seidra.exchange.texts import ENCODINGS

PAGE = (Path(__file__).parents[2] / "docs" / "portability.md").read_text(encoding="utf-8")

PLAIN = GivenPersona(
    fields={"name": "Ink", "style_prompt": "ink", "negative_prompt": "blur"},
    uid="uid",
    revision=1,
)
INK = {"name": "ink", "weight": 0.8, "enabled": True}


def with_fields(**fields: Any) -> GivenPersona:
    return replace(PLAIN, fields={**PLAIN.fields, **fields})


CASES: dict[str, GivenPersona] = {
    "both prompts": PLAIN,
    "description": with_fields(description="Of old"),
    "tags": with_fields(tags=["sea"]),
    "picture": replace(PLAIN, picture=b"picture"),
    "favourite": with_fields(is_favorite=True),
    "NSFW": with_fields(is_nsfw=True),
    "LoRAs and weights": with_fields(loras=[INK]),
    "a LoRA that is switched off": with_fields(loras=[{**INK, "enabled": False}]),
    "a weight for the text encoder": with_fields(loras=[{**INK, "clip_weight": 0.5}]),
    "size, steps, guidance, sampler, model": with_fields(
        generation_params={
            "width": 64,
            "height": 128,
            "num_inference_steps": 5,
            "guidance_scale": 7.5,
            "scheduler": "euler_a",
            "model_name": "xl",
        }
    ),
    "seed": with_fields(generation_params={"seed": 7}),
    "quality, engine, other parameters": with_fields(
        generation_params={"quality": "high", "engine": "mock", "x": 1}
    ),
    "the place for a prompt": with_fields(style_prompt="{prompt}, ink"),
    "that place twice": with_fields(style_prompt="{prompt}, {prompt}"),
    "what another program's file had beside": replace(PLAIN, extensions={"other": {"x": 1}}),
}


def table(heading: str) -> list[list[str]]:
    """The table of a section, its cells without code marks."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [line[1:-1].split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip().replace("`", "") for cell in row] for row in rows if "---" not in row[0]]


def cell(row: list[str], format: str) -> str:
    return row[HEADER.index(format)]


def lost(format: str, persona: GivenPersona) -> list[str]:
    return [remark.field for remark in formats.lost(format, [persona]).get(persona.uid, [])]


HEADER, *ROWS = table("What is lost where")


def test_the_table_has_every_writer_and_every_case() -> None:
    assert {*WRITERS} <= {*HEADER}
    assert {row[0] for row in ROWS} >= {"name", *CASES}


@pytest.mark.parametrize("format", WRITERS)
@pytest.mark.parametrize("row", [row for row in ROWS if row[0] in CASES], ids=lambda row: row[0])
def test_what_is_lost_is_what_the_table_says(format: str, row: list[str]) -> None:
    said = cell(row, format)
    told = len(lost(format, CASES[row[0]])) - len(lost(format, PLAIN))
    assert said == ("-" if told > 0 else "yes")


@pytest.mark.parametrize("format", WRITERS)
def test_the_name_is_lost_where_the_table_says(format: str) -> None:
    [row] = [row for row in ROWS if row[0] == "name"]
    said = cell(row, format)
    assert said == ("-" if "name" in lost(format, PLAIN) else "yes")


@pytest.mark.parametrize("format", WRITERS)
@pytest.mark.parametrize("case", CASES)
def test_what_is_lost_can_be_written_all_the_same(format: str, case: str) -> None:
    assert all(file.data for file in write([CASES[case]], format))


def test_names_that_fall_together_for_fooocus() -> None:
    first, second = with_fields(name="sai-anime"), replace(with_fields(name="Sai Anime"), uid="2")
    told = formats.lost("fooocus", [first, second])
    assert [remark.code for remark in told["uid"]] == ["names_fall_together"]
    assert "2" not in told


def test_the_format_that_the_architecture_shows_works() -> None:
    page = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = page.split("## Add a format\n")[1].split("\n## ")[0]
    [code] = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    module: dict[str, Any] = {}
    exec(code, module)
    assert module["recognise"](incoming("prompts:\na\nb\na\n"))
    assert not module["recognise"](incoming("a\nb\n"))
    file = module["read"](incoming("prompts:\na\nb\na\n", "x.txt"))
    assert [found.fields["style_prompt"] for found in file.entries] == ["a", "b"]
    assert file.entries[1].locator == "x.txt line 3"


def test_formats_and_encodings_stand_there() -> None:
    names = {row[0] for row in table("Formats")[1:]}
    assert {*formats.formats_read(), *WRITERS} <= names
    written = {row[0] for row in table("Formats")[1:] if row[3] != "no"}
    assert {*WRITERS} <= written
    beginning = PAGE.split("## Formats")[0]
    assert [*re.findall(r"`([a-z0-9_-]+)`", beginning.split("(`encoding`): ")[1])] == [*ENCODINGS]
