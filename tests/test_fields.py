"""Fields: what they take is what the OpenAPI document says that they take."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import strategies as st
from marshmallow import ValidationError, fields

from seidra.web.fields import Body, Flag, Text

# ECMA-262, 12.2 White Space and 12.3 Line Terminators: what \s means in the pattern of a JSON
# Schema.
ECMA_BLANK = {*"\t\v\f\ufeff\n\r\u2028\u2029"} | {
    chr(n) for n in range(0x10000) if unicodedata.category(chr(n)) == "Zs"
}
CONTROLS = {chr(n) for n in (*range(0x20), *range(0x7F, 0xA0))}
# Unicode's Default_Ignorable_Code_Point (DerivedCoreProperties.txt), interlinear annotation, and
# the empty braille cell.
UNSEEN = {
    chr(n)
    for first, last in (
        (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5),
        (0x180B, 0x180F), (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x2800, 0x2800),
        (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFFB),
    )
    for n in range(first, last + 1)
}  # fmt: skip


def takes(field: Text, text: str) -> bool:
    try:
        field.deserialize(text)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("line", [False, True])
def test_what_is_blank_is_the_same_here_and_in_the_document(line: bool) -> None:
    field = Text(1, 9, line=line)
    control = {chr(n) for n in (*range(0x20), *range(0x7F, 0xA0))} if line else {"\0"}
    for character in map(chr, (*range(0xD800), *range(0xE000, 0x10000))):
        blank = character in ECMA_BLANK | CONTROLS | UNSEEN
        assert takes(field, character) is not blank, repr(character)
        assert takes(field, f"a{character}b") is not (
            character in control or (line and character in "\u2028\u2029")
        )


class Inner(Body):
    needed = Flag(required=True)
    assumed = Flag(load_default=True)


class Outer(Inner):
    inner = fields.Nested(Inner)


class OuterChange(Outer):
    def __init__(self) -> None:
        super().__init__(partial=True)


VALUES = st.sampled_from([
    None, True, False, 0, 64, 64.0, 1e400, "", " ", "low", "a@b.example", "a long password", "\0",
    [], ["a", "A"], [1], {}, {"width": 64}, {"width": 64, "own": [None]}, {"width": 1, "own": 2},
    {"own": 2**70}, {"id": 1},
    {"suggestive": True}, {"suggestive": 1}, {"news": True}, {"needed": True}, {"assumed": False},
])  # fmt: skip


def answer(schema: Body, body: Any) -> Any:
    try:
        return schema.load(body)
    except ValidationError as error:
        return error.messages
