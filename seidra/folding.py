"""Search: what text folds to, and which rows contain every word of a query.

A row's `search_text` is its fields folded and joined by newlines; a query is folded the same way
and split into words; a row matches when each word is a substring of its search_text. So wildcards
and operators are plain.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable
from typing import Any

# Letters with a stroke or ligature: Unicode gives them no decomposition, people type them without.
_PLAIN = str.maketrans(
    {
        "ł": "l",
        "ø": "o",
        "đ": "d",
        "ħ": "h",
        "ŧ": "t",
        "ı": "i",
        "æ": "ae",
        "œ": "oe",
        "ð": "d",
        "þ": "th",
    }
)
FOLDING = "1"
"""The version of `fold`. Raise it with any change to what text folds to: the next start folds
everything anew."""

TRIGRAM = 3
"""Words shorter than this are not in a trigram index."""


def fold(text: str) -> str:
    """Text without case and accents, in compatibility form, its white space single blanks.

    Accents are the combining marks that sit on letters of alphabets (Latin, Greek, Cyrillic, Hebrew
    points, Arabic harakat). Marks that make another letter stay: kana voicing, nukta, virama, vowel
    signs, Thai and Lao tones. Invisible format characters go. Folding a folded text changes
    nothing.
    """
    if text.isascii():
        return " ".join(text.lower().split())
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    kept = "".join(
        c for c in decomposed if not _is_accent(c) and unicodedata.category(c) != "Cf"
    ).casefold()
    return " ".join(unicodedata.normalize("NFC", kept.translate(_PLAIN)).split())


def is_blank(text: str) -> bool:
    """Whether a text has nothing to see: blanks, controls, and characters that are invisible."""
    return all(_is_unseen(c) for c in text)


_UNSEEN = frozenset(
    map(
        chr, [0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0, *range(0x180B, 0x1810)]
    )
)
"""What Unicode calls default-ignorable, beside format characters and variation selectors, and the
empty Braille pattern."""


def _is_unseen(character: str) -> bool:
    return (
        character.isspace()
        or character in _UNSEEN
        or "\ufe00" <= character <= "\ufe0f"
        or "\U000e0000" <= character <= "\U000e0fff"
        or unicodedata.category(character) in ("Cf", "Cc")
    )


def _is_accent(character: str) -> bool:
    # Canonical combining classes (Unicode Standard, section 4.3): 1 overlays, 10-36 Hebrew, Arabic
    # and Syriac points, 200 and up attached, above and below; 7-9 and 103-132 are the marks that
    # make another letter.
    position = unicodedata.combining(character)
    return position == 1 or 10 <= position <= 36 or position >= 200


def document(fields: Iterable[str]) -> str:
    """The search_text of a row: its fields, folded, one a line, so that no word matches across
    two."""
    return "\n".join(fold(field) for field in fields)


def words(query: str) -> list[str]:
    """The folded words of a query, longest first, without those that another one contains."""
    found: list[str] = []
    for word in sorted(set(fold(query).split()), key=lambda word: (-len(word), word)):
        if not any(word in longer for longer in found):
            found.append(word)
    return found


def like(word: str) -> str:
    """The LIKE pattern (ESCAPE backslash) of the texts that contain a folded word."""
    escaped = word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def matching_all(query_words: list[str], matching: Callable[[str], list[Any]]) -> list[Any]:
    """The ids that `matching` answers for every word, in the order of its first answer."""
    first, *others = query_words
    ids = [row[0] for row in matching(first)]
    for word in others:
        found = {row[0] for row in matching(word)}
        ids = [id for id in ids if id in found]
    return ids
