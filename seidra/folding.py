"""Search: what text folds to, and which rows contain every word of a query.

A row's `search_text` is its fields folded and joined by newlines; a query is folded the same way
and split into words; a row matches when each word is a substring of its search_text. So wildcards
and operators are plain.
"""

from __future__ import annotations

import re
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
_QUOTES = dict.fromkeys("‘’‚‛‹›ʹʻʼˈ՚׳′´ꞌ", "'") | dict.fromkeys("“”„‟«»ʺ״″〝〞〟❝❞", '"')
_DASHES = dict.fromkeys("‐‑‒–—―−⁃﹘﹣－⸺⸻֊᠆", "-")
_MARKS = str.maketrans(_QUOTES | _DASHES)
"""The forms of one mark, of which a keyboard has the plain one."""

IGNORABLE = (
    r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    r"\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
)
"""What Unicode (Default_Ignorable_Code_Point) has nothing shown for, within the basic plane:
joiners, directions, variation selectors, fillers. As a regular expression's set, for the OpenAPI
document too."""

_IGNORED = re.compile(
    f"[{IGNORABLE}\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_UNSEEN = re.compile(rf"(?:[\s\x00-\x1f\x7f-\x9f\u2800]|{_IGNORED.pattern})*")
FOLDING = "2"
"""The version of `fold`. Raise it with any change to what text folds to: the next start folds
everything anew."""

SORTING = "1"
"""The version of `sort_key`, likewise."""

TRIGRAM = 3
"""Words shorter than this are not in a trigram index."""


def fold(text: str) -> str:
    """Text without case and accents, in compatibility form, its white space single blanks.

    Accents are the combining marks that sit on letters of alphabets (Latin, Greek, Cyrillic, Hebrew
    points, Arabic harakat). Marks that make another letter stay: kana voicing, nukta, virama, vowel
    signs, Thai and Lao tones. Invisible characters go, with variation selectors, and the forms of
    a quotation mark or a dash become the plain one. Folding a folded text changes nothing.
    """
    if text.isascii():
        return " ".join(text.lower().split())
    # Before the compatibility form, which makes a prime or an acute accent of its own something
    # else, and behind it, which makes some of them.
    plain = _IGNORED.sub("", text.translate(_MARKS))
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", plain).casefold())
    decomposed = _IGNORED.sub("", decomposed.translate(_MARKS))
    kept = "".join(
        c for c in decomposed if not _is_accent(c) and unicodedata.category(c) != "Cf"
    ).casefold()
    return " ".join(unicodedata.normalize("NFC", kept.translate(_PLAIN)).split())


_DIGITS = re.compile(r"\d+")
_KEY = 400
"""How long a sort key may be; folded, a name of 100 characters can have a few thousand."""


def sort_key(text: str) -> str:
    """What a name is sorted by: folded, and its numbers by their value, in the digits of any
    script. How many digits a number has goes before it: 2 before 10 before 10a."""
    return _DIGITS.sub(_number_key, fold(text)[:_KEY])[:_KEY]


def _number_key(match: re.Match[str]) -> str:
    digits = str(int(match[0]))
    return f"{len(digits):03d}{digits}"


def is_blank(text: str) -> bool:
    """Whether a text has nothing to see: blanks, controls, invisible characters, an empty braille
    cell."""
    return _UNSEEN.fullmatch(text) is not None


def cut_text(text: str, high: int) -> str:
    """The first characters of a text, `high` at most, cut where no character that people see is
    broken: an emoji of several, a flag, a letter with its marks. One that is longer than all of it
    is cut all the same."""
    if len(text) <= high:
        return text
    return text[: next((at for at in range(high, 0, -1) if _is_boundary(text, at)), high)]


# Unicode Standard Annex 29, the rules that names meet: what belongs to the character before it
# (marks, joiners, skin tones, tags, vowels and final consonants of Hangul), and what to the one
# behind it (the joiner of emojis, a virama).
_BELONGS = re.compile(
    "[\u200c\u200d\uff9e\uff9f\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f\u1160-\u11ff\ud7b0-\ud7fb]"
)
_FLAG = re.compile("[\U0001f1e6-\U0001f1ff]+$")


def _is_boundary(text: str, at: int) -> bool:
    before, after = text[at - 1], text[at]
    if unicodedata.category(after).startswith("M") or _BELONGS.match(after):
        return False
    if before == "\u200d" or unicodedata.combining(before) == 9:
        return False
    # A flag is two letters: between two of a row there is a boundary behind every second one.
    letters = _FLAG.search(text[:at])
    return not (letters and _FLAG.match(after) and len(letters[0]) % 2)


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


def matching_all(query_words: list[str], matching: Callable[[str, bool], list[Any]]) -> list[Any]:
    """The rows that contain every word, in the order of `matching`, which is asked once: for the
    rows (id, search_text, ...) that contain the first word, and whether their texts are needed for
    the others."""
    first, *others = query_words
    rows = matching(first, bool(others))
    return [row for row in rows if all(word in row[1] for word in others)] if others else rows
