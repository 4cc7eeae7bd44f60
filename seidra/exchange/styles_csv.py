"""styles.csv of A1111 and Forge, which StyleSelector, ComfyUI's loaders, SwarmUI and InvokeAI read
and write too.

What spreadsheets and hands did to such files is mended and told (formats.md, A1): of a hundred real
ones every second needs it. Prompts are taken as they stand.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seidra import folding
from seidra.engines import infotext
from seidra.exchange import given, texts
from seidra.exchange.documents import MAX_PARTS, broken, too_many
from seidra.exchange.drafts import Draft, parameters_of, told_apart
from seidra.exchange.found import (
    FoundFile,
    FoundPersona,
    GivenPersona,
    IncomingFile,
    Remark,
    WrittenFile,
)
from seidra.exchange.given import Target

FORMAT = "a1111"
TARGET = Target("styles.csv", FORMAT, frozenset({"loras"}))

# A field that swallowed the rest of its file is longer than csv takes at first. The limit is the
# process's; nothing else here reads CSV.
csv.field_size_limit(2**31 - 1)

_COLUMNS = {
    "name": "name",
    "prompt": "prompt",
    "text": "prompt",
    "positive_prompt": "prompt",
    "negative_prompt": "negative_prompt",
    "negative": "negative_prompt",
    "negativeprompt": "negative_prompt",
    "negative prompt": "negative_prompt",
}
"""Ours for each word that a header has: A1111's, its own before 2022, SD.Next's, InvokeAI's and
those that people write."""

_FIRST_LINES = 4096
"""Characters in which the header must be."""
_SEPARATORS = (",", ";", "\t", "|")
_EXCEL = re.compile(r"sep=([,;\t|])\r?\n", re.IGNORECASE)
"""Where Excel is told the separator."""
_MARKERS = re.compile(r"^(?:<{7} .*|\|{7}(?: .*)?|={7}|>{7} .*)(?:\r\n|\n|\Z)", re.MULTILINE)
_OPENED = re.compile(r"^<{7} ", re.MULTILINE)
_CLOSED = re.compile(r"^>{7} ", re.MULTILINE)
_SWALLOWED = re.compile(r'\n[^",\n]{1,100},"(?!")')
"""A row within a row: a name, a separator, and a quotation mark that is no part of a text."""
_LONGEST_NAME = 100
_LONGEST_HEADING = 200
_KEPT_HEADINGS = 4_096
"""Characters of the headings above a row that are kept with each row below them."""

_DECORATION = " \t_*=#~<>|+.:;-" + "".join(
    chr(code)
    for first, last in ((0x2010, 0x2015), (0x2022, 0x2022), (0x2500, 0x27BF))
    for code in range(first, last + 1)
)
"""What headings are drawn with: marks, dashes, bullets, lines, blocks, signs."""
_CUT_AT = range(253, 256)
"""How long fields are that a spreadsheet cut at 255 bytes or characters."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """How the rows of a file are to be read."""

    delimiter: str
    columns: Sequence[str]

    def facts(self) -> dict[str, Any]:
        return {"delimiter": self.delimiter, "columns": list(self.columns)}


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of a file: its number as a spreadsheet counts, its cells, and how it was written."""

    number: int
    cells: Sequence[str]
    raw: str


def recognise(file: IncomingFile) -> bool:
    """Whether the first row names a name and a prompt."""
    text = file.known_text
    try:
        return text is not None and file.document is None and _layout(text) is not None
    except csv.Error:
        return False


def read(file: IncomingFile) -> FoundFile:
    """The styles of a file. Raises Invalid where it has no header, or too many rows."""
    text, remarks = _without_markers(file.text)
    try:
        layout = _layout(text)
    except csv.Error as error:
        raise broken(f"Is no CSV that can be read: {error}.") from None
    if layout is None:
        raise broken(
            "Has no header: its first row must name the columns name, prompt and negative_prompt.",
            "no_header",
        )
    reading = _Reading(file, layout)
    try:
        entries, repeated = told_apart(reading.entries(text))
    except csv.Error as error:
        raise broken(f"Is no CSV that can be read: {error}.") from None
    facts = layout.facts() | {
        "byte_order_mark": texts.has_mark(file.data),
        "line_ends": "\r\n" if "\r\n" in text[:_FIRST_LINES] else "\n",
    }
    return FoundFile(FORMAT, "A1111", entries, facts, [*remarks, *reading.remarks(), *repeated])


def _without_markers(text: str) -> tuple[str, list[Remark]]:
    """A text without the lines that git left in it where two versions meet; both sides stay."""
    if not (_OPENED.search(text) and _CLOSED.search(text)):
        return text, []
    detail = "It has the marks of a conflict of git; both sides were taken."
    return _MARKERS.sub("", text), [Remark("conflict_markers", detail)]


def _layout(text: str) -> _Layout | None:
    """The separator and the columns, by the header; None where the first row is none."""
    beginning = text[:_FIRST_LINES]
    excel = _EXCEL.match(beginning)
    beginning = beginning[excel.end() :] if excel else beginning
    for delimiter in (excel[1],) if excel else _SEPARATORS:
        for row in _rows(beginning, delimiter):
            if not any(cell.strip() for cell in row.cells):
                continue
            cells = _unpacked(row.cells, delimiter, 2)
            columns = [_COLUMNS.get(cell.strip().lower(), cell.strip()) for cell in cells]
            while columns and not columns[-1]:
                del columns[-1]
            if "name" in columns and {"prompt", "negative_prompt"} & set(columns):
                return _Layout(delimiter, columns)
            break
    return None


def _rows(text: str, delimiter: str) -> Iterator[_Row]:
    """The rows of a text as A1111 reads them: blanks behind a separator do not count, and a field
    in quotation marks may have lines of its own."""
    taken: list[str] = []

    def lines() -> Iterator[str]:
        for line in io.StringIO(text, newline=""):
            taken.append(line)
            yield line

    rows = csv.reader(lines(), delimiter=delimiter, skipinitialspace=True)
    for number, cells in enumerate(rows, start=1):
        yield _Row(number, cells, "".join(taken))
        taken.clear()


def _unpacked(cells: Sequence[str], delimiter: str, columns: int) -> Sequence[str]:
    """The cells of a row that was put in quotation marks as a whole, so that it came as one."""
    if len([cell for cell in cells if cell]) != 1 or delimiter not in cells[0]:
        return cells
    try:
        again = next(csv.reader([cells[0]], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error:
        return cells  # Line ends, in a text that is no row.
    return again if len(again) >= columns else cells


class _Reading:
    """The rows of one file, and what was seen on the way."""

    def __init__(self, file: IncomingFile, layout: _Layout) -> None:
        self._file = file
        self._layout = layout
        self._above: list[str] = []
        self._above_length = 0
        self._headings: dict[str, Any] = {}
        self._seen_headings: list[str] = []
        self._seen = 0
        self._group = ""
        self._lengths: dict[int, int] = {}

    def entries(self, text: str) -> Iterator[FoundPersona]:
        """The styles, each with the heading above it as a tag."""
        excel = _EXCEL.match(text[:_FIRST_LINES])
        text = text[excel.end() :] if excel else text
        seen_header = False
        count = 0
        for row in _rows(text, self._layout.delimiter):
            if not any(cell.strip() for cell in row.cells):
                continue
            if not seen_header:
                seen_header = True
                continue
            style = _Style(row.cells, self._layout)
            if not style.has_prompts():
                self._heading(style.name)
                continue
            count += 1
            if count > MAX_PARTS:
                raise too_many()
            yield self._found(row, style)

    def _heading(self, name: str) -> None:
        line = name.strip()
        # A1111's own word for "no style".
        if not line or line == "None":
            return
        self._above_length += len(name)
        if self._above_length <= _KEPT_HEADINGS:
            self._above.append(name)
        group = heading_text(line)
        if group:
            self._group = group
            self._seen += 1
            if len(self._seen_headings) < 5:
                self._seen_headings.append(group)

    def _found(self, row: _Row, style: _Style) -> FoundPersona:
        for cell in (style.prompt, style.negative_prompt):
            if len(cell) in _CUT_AT:
                self._lengths[len(cell)] = self._lengths.get(len(cell), 0) + 1
        locator = f"{self._file.name} row {row.number}"
        draft = _drafted(style, locator, row.raw, self._file.stem)
        draft.tag(self._group)
        if self._above:
            number = self._headings.get("number", 0) + 1
            self._headings = {"number": number, "rows": self._above}
            if self._above_length > _KEPT_HEADINGS:
                detail = f"The headings above it have more than {_KEPT_HEADINGS:,} characters."
                draft.remark("headings_not_kept", f"{detail} Only the first are kept.")
            self._above, self._above_length = [], 0
        draft.keep({"headings": self._headings})
        return draft.done()

    def remarks(self) -> list[Remark]:
        """What is to be told of the file as a whole."""
        remarks = []
        if self._seen_headings:
            shown = ", ".join(self._seen_headings)
            more = ", ..." if self._seen > 5 else ""
            detail = (
                f"{self._seen} rows without prompts became tags of the rows that"
                f" follow: {shown}{more}."
            )
            remarks.append(Remark("group_from_heading", detail, "tags"))
        for length, count in sorted(self._lengths.items()):
            if count >= 3:
                detail = (
                    f"{count} prompts have {length} characters each: a spreadsheet may have cut"
                    " them."
                )
                remarks.append(Remark("cut_at_255", detail))
        return remarks


class _Style:
    """A row by its columns, mended; what was mended is in `mended`, by a code and a sentence."""

    def __init__(self, cells: Sequence[str], layout: _Layout) -> None:
        self.mended: dict[str, str] = {}
        width = len(layout.columns)
        unpacked = _unpacked(cells, layout.delimiter, width)
        if unpacked is not cells:
            self.mended["row_quoted_twice"] = (
                "The whole row was quoted once more; it was read again."
            )
        row = list(unpacked)
        # SwarmUI ends each of its rows with a separator.
        while len(row) > width and not row[-1].strip():
            del row[-1]
        if len(row) > width:
            self.mended["rejoined_columns"] = (
                f"The row has {len(row)} columns instead of {width}, as a text with commas was not"
                f" quoted; what was too much was joined to {layout.columns[-1]}."
            )
            joined = f"{layout.delimiter} ".join(row[width - 1 :])
            if joined.endswith('"') and joined.count('"') % 2:
                joined = joined[:-1]
            row = [*row[: width - 1], joined]
        self.columns = dict(zip(layout.columns, row, strict=False))
        self.name = self.columns.pop("name", "")
        self.prompt = self.columns.pop("prompt", "")
        self.negative_prompt = self.columns.pop("negative_prompt", "")

    def has_prompts(self) -> bool:
        """Whether it is a style, and not the heading of some."""
        return not (folding.is_blank(self.prompt) and folding.is_blank(self.negative_prompt))


def heading_text(heading: str) -> str:
    """What a heading says without its decoration: "Anime" of "____*Anime*____"; "" for a mere
    line."""
    text = heading.strip(_DECORATION)[:_LONGEST_HEADING]
    while len(text) > 2 and text[0] + text[-1] in ("[]", "()", "{}", "【】", "（）"):
        text = text[1:-1].strip(_DECORATION)
    return text


def _drafted(style: _Style, locator: str, raw: str, stem: str) -> Draft:
    draft = Draft(FORMAT, locator, style.name.strip(), raw)
    draft.name(style.name, stem)
    for code, detail in style.mended.items():
        draft.remark(code, detail)
    if len(style.name) > _LONGEST_NAME or "\n" in style.name.strip():
        detail = "The name looks like a prompt: a quotation mark may be missing above it."
        draft.remark("name_looks_like_prompt", detail, "name")
    if _SWALLOWED.search(raw):
        detail = "There seem to be further rows in it: a quotation mark may be missing."
        draft.remark("rows_swallowed", detail)
    if style.name.startswith("#"):
        detail = "A1111 and Forge leave out styles whose name begins with #."
        draft.remark("commented_out", detail, "name")
    pasted = None if style.negative_prompt else _pasted(style.prompt)
    if pasted is None:
        draft.prompts(style.prompt, style.negative_prompt)
    else:
        detail = "Its prompt is a text with parameters, and was taken apart."
        draft.remark("infotext_in_prompt", detail, "style_prompt")
        draft.prompts(pasted.prompt, pasted.info.negative_prompt)
        draft.parameters(parameters_of(pasted.info))
        draft.keep({"infotext": dict(pasted.info.more)})
    draft.keep({"columns": {name: cell for name, cell in style.columns.items() if name and cell}})
    return draft


def _pasted(prompt: str) -> infotext.Reading | None:
    """A prompt that is an infotext, read as one."""
    if "\nNegative prompt:" not in prompt or "Steps:" not in prompt:
        return None
    reading = infotext.read_whole(prompt)
    return reading if reading.has_parameters and reading.info.steps is not None else None


# ---------------------------------------------------------------------------------------- writing


def write(personas: Sequence[GivenPersona]) -> list[WrittenFile]:
    """One file as A1111 writes it: byte order mark, header, CRLF.

    What came from such a file and was not changed gives the same row again, and the headings above
    it.
    """
    rows = [_row_of(persona) for persona in personas]
    names = given.apart([row["name"] for _, row in rows])
    known = ["name", "prompt", "negative_prompt"]
    columns = list(dict.fromkeys([*known, *(key for _, row in rows for key in row)]))
    file = io.StringIO(newline="")
    plain = csv.writer(file)
    # Readers skip blanks behind a separator, but not in quotation marks.
    quoted = csv.writer(file, quoting=csv.QUOTE_ALL)
    plain.writerow(columns)
    above: Mapping[str, Any] = {}
    for name, (headings, row) in zip(names, rows, strict=True):
        if headings != above:
            above = headings
            for heading in headings.get("rows", ()):
                plain.writerow([heading, *[""] * (len(columns) - 1)])
        cells = [{**row, "name": name}.get(column, "") for column in columns]
        writer = quoted if any(cell.startswith(" ") for cell in cells) else plain
        writer.writerow(cells)
    data = file.getvalue().encode("utf-8-sig")
    return [WrittenFile("styles.csv", "text/csv; charset=utf-8", data)]


def _row_of(persona: GivenPersona) -> tuple[Mapping[str, Any], dict[str, str]]:
    """The headings above a persona's row, and its row by columns."""
    name = given.text(persona.fields, "name")
    row = given.style_of(persona)
    if name.startswith("#"):
        # A1111 takes such a row for a comment; a blank before it is lost again.
        row["name"] = f"_{name}"
    style = _original_of(persona)
    if style is None:
        return {}, row
    changes = given.changed(persona, _drafted(style, "", "", "").done())
    if not changes & {"style_prompt", "negative_prompt", "loras"}:
        row |= {"prompt": style.prompt, "negative_prompt": style.negative_prompt}
    if "name" not in changes:
        row["name"] = style.name
    kept = persona.extensions.get(FORMAT)
    headings = kept.get("headings") if isinstance(kept, Mapping) else None
    extra = {key: cell for key, cell in style.columns.items() if key and cell}
    return headings if isinstance(headings, Mapping) else {}, row | extra


def _original_of(persona: GivenPersona) -> _Style | None:
    original = given.original_of(persona, FORMAT)
    facts = persona.source.facts if persona.source else {}
    columns, delimiter = facts.get("columns"), facts.get("delimiter")
    if original is None or not isinstance(columns, list) or delimiter not in _SEPARATORS:
        return None
    row = next(_rows(original, delimiter), None)
    return _Style(row.cells, _Layout(delimiter, [str(name) for name in columns])) if row else None


def lost(persona: GivenPersona) -> list[Remark]:
    """What a row has no place for."""
    return [*given.not_carried(persona, TARGET), *given.untold_loras(persona, TARGET)]
