"""The text of a file: in what it is encoded is what it says itself, or what its sender chose;
nothing is guessed."""

from __future__ import annotations

import codecs

from seidra.errors import Invalid, Mistake

ENCODINGS = (
    "utf-8",
    "utf-16",
    "windows-1250",
    "windows-1251",
    "windows-1252",
    "windows-1253",
    "windows-1254",
    "windows-874",
    "koi8-r",
    "gb18030",
    "big5",
    "shift_jis",
    "euc-kr",
)
"""What a person can choose for a file that is neither UTF-8 nor marked as UTF-16."""

_PYTHON = {"windows-874": "cp874", "utf-8": "utf-8-sig"}
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def has_mark(data: bytes) -> bool:
    """Whether a file begins with a byte order mark."""
    return any(data.startswith(mark) for mark, _ in _MARKS)


def decode(data: bytes, encoding: str | None) -> str:
    """The text of a file, without its byte order mark. Raises Invalid, for `encoding` or for
    `file`."""
    if encoding is not None and encoding.lower() not in ENCODINGS:
        raise Invalid({"encoding": [Mistake(f"Must be one of: {', '.join(ENCODINGS)}.", "choice")]})
    marked = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    if encoding is None and marked is None and b"\0" in data:
        raise Invalid({"file": [Mistake("Is not a text.", "not_text")]})
    chosen = (encoding or "").lower()
    codec = _PYTHON.get(chosen, chosen) or marked or "utf-8"
    try:
        return data.decode(codec)
    except UnicodeError:
        said = chosen or ("UTF-16" if marked == "utf-16" else "UTF-8")
        sentence = f"The file is not {said}. Choose what it is: {', '.join(ENCODINGS)}."
        raise Invalid({"encoding": [Mistake(sentence, "encoding_unknown")]}) from None
