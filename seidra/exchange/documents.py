"""JSON of others, read with care: each part of the outermost list or object also as it was written,
numbers that SEIDRA cannot hold as text, and nothing nested deeper than 32 levels."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from seidra.errors import Invalid, Mistake

MAX_DEPTH = 32
MAX_PARTS = 20_000
"""Entries that a file may have."""
_MAX_CONTAINERS = 1_000_000
"""Lists and objects that a file may have in all: what bounds the memory that reading it takes."""

_MAX_MEMBERS = 2_000_000
"""Members that all objects of a file may have: each takes a hundred bytes and more."""

_BLANKS = re.compile(r"[ \t\n\r]*")
_DECIMALS = 20
"""Digits and sign of the longest whole number of 64 bits."""


@dataclass(frozen=True, slots=True)
class Part:
    """One value of the outermost list, or one member of the outermost object with its key. `raw` is
    how it was written. `odd`: numbers in it that are kept as text, as they are no numbers of JSON
    or of 64 bits."""

    key: str | None
    value: Any
    raw: str
    odd: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """A whole file: its value, its parts where it is a list or an object, and the odd numbers."""

    value: Any
    raw: str
    parts: Sequence[Part]
    odd: Sequence[str] = ()


def broken(sentence: str, code: str = "malformed") -> Invalid:
    """The 422 for a file that cannot be read."""
    return Invalid({"file": [Mistake(sentence, code)]})


def too_many() -> Invalid:
    """The 422 for a file with more entries than are taken at once."""
    return broken(f"Has more than {MAX_PARTS:,} entries; divide it.", "too_many_entries")


def check_parts(containers: int, members: int) -> None:
    """Raise Invalid for a text that may hold more lists and objects, or members of objects, than
    there may be: so many brackets, and so many colons."""
    if containers > _MAX_CONTAINERS:
        raise broken(f"Has more than {_MAX_CONTAINERS:,} lists and objects.", "too_large")
    if members > _MAX_MEMBERS:
        raise broken(f"Has more than {_MAX_MEMBERS:,} colons.", "too_large")


def parse(text: str) -> Document:
    """Read a JSON text. Raises Invalid, which says where it breaks which rule."""
    check_parts(text.count("[") + text.count("{"), text.count(":"))
    scanner = _Scanner()
    try:
        document = _parse(text, scanner)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise broken(f"Is not JSON: {error.msg} ({where}).") from None
    except RecursionError:
        raise _too_deep() from None
    _check_depth(document.value)
    return document


def _too_deep() -> Invalid:
    return broken(f"Is nested deeper than {MAX_DEPTH} levels.", "too_deep")


class _Scanner:
    """Python's JSON decoder, which tells of the numbers that are none."""

    def __init__(self) -> None:
        self.odd: list[str] = []
        self._decoder = json.JSONDecoder(
            parse_int=self._whole, parse_float=self._real, parse_constant=self._keep
        )

    def value_at(self, text: str, at: int) -> tuple[Any, int]:
        """The value that begins there, and where it ends."""
        value, end = self._decoder.raw_decode(text, at)
        return value, end

    def taken(self) -> list[str]:
        """The odd numbers since the last time."""
        odd, self.odd = self.odd, []
        return odd

    def _whole(self, digits: str) -> int | str:
        if len(digits) <= _DECIMALS and -(2**63) <= (number := int(digits)) < 2**63:
            return number
        return self._keep(digits)

    def _real(self, digits: str) -> float | str:
        number = float(digits)
        return number if math.isfinite(number) else self._keep(digits)

    def _keep(self, word: str) -> str:
        self.odd.append(word)
        return word


def _parse(text: str, scanner: _Scanner) -> Document:
    start = _skip(text, 0)
    first = text[start : start + 1]
    if first == "[":
        parts = list(_items(text, start + 1, scanner))
        value: Any = [part.value for part in parts]
    elif first == "{":
        parts = list(_members(text, start + 1, scanner))
        value = {part.key: part.value for part in parts}
    else:
        value, end = scanner.value_at(text, start)
        _at_end(text, end)
        return Document(value, text, (), tuple(scanner.taken()))
    return Document(value, text, parts, tuple(word for part in parts for word in part.odd))


def _skip(text: str, at: int) -> int:
    found = _BLANKS.match(text, at)
    return found.end() if found else at


def _at_end(text: str, at: int) -> None:
    at = _skip(text, at)
    if at != len(text):
        raise json.JSONDecodeError("Extra data", text, at)


def _items(text: str, at: int, scanner: _Scanner) -> Iterator[Part]:
    at = _skip(text, at)
    if text[at : at + 1] == "]":
        _at_end(text, at + 1)
        return
    for _ in range(MAX_PARTS):
        value, end = scanner.value_at(text, at)
        yield Part(None, value, text[at:end], tuple(scanner.taken()))
        at, more = _next(text, end, "]")
        if not more:
            return
    raise too_many()


def _members(text: str, at: int, scanner: _Scanner) -> Iterator[Part]:
    at = _skip(text, at)
    if text[at : at + 1] == "}":
        _at_end(text, at + 1)
        return
    for _ in range(MAX_PARTS):
        if text[at : at + 1] != '"':
            raise json.JSONDecodeError("Expecting a name in quotation marks", text, at)
        key, end = scanner.value_at(text, at)
        at = _skip(text, end)
        if text[at : at + 1] != ":":
            raise json.JSONDecodeError("Expecting ':'", text, at)
        at = _skip(text, at + 1)
        value, end = scanner.value_at(text, at)
        yield Part(key, value, text[at:end], tuple(scanner.taken()))
        at, more = _next(text, end, "}")
        if not more:
            return
    raise too_many()


def _next(text: str, at: int, closing: str) -> tuple[int, bool]:
    """Where the part behind a comma begins; False where the list or object ends, and the text with
    it."""
    at = _skip(text, at)
    if text[at : at + 1] == closing:
        _at_end(text, at + 1)
        return at, False
    if text[at : at + 1] != ",":
        raise json.JSONDecodeError(f"Expecting ',' or '{closing}'", text, at)
    return _skip(text, at + 1), True


def _check_depth(value: Any) -> None:
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(MAX_DEPTH):
        if not level:
            return
        level = [
            part
            for container in level
            for part in (container.values() if isinstance(container, dict) else container)
            if isinstance(part, (dict, list))
        ]
    if not level:
        return
    raise _too_deep()


def write(value: Any) -> str:
    """JSON as programs that people use write it: indented, in plain characters."""
    return json.dumps(value, ensure_ascii=False, indent=4)
