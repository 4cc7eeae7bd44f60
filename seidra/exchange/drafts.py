"""What readers of every format do alike: an entry of a file becomes the fields of a persona, with a
remark for each thing that is not taken as it stands."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

from seidra import folding, parameters
from seidra.engines import samplers
from seidra.engines.infotext import Infotext
from seidra.exchange.documents import Part
from seidra.exchange.found import FoundPersona, Remark
from seidra.prompts import MAX_LORAS, MAX_NEGATIVE_PROMPT, MAX_WEIGHT, PLACE, LoraEntry

MAX_NAME = 100
MAX_DESCRIPTION = 8_000
MAX_STYLE_PROMPT = 8_000
MAX_TAG = 50
MAX_ENTRY = 300
"""Characters of the name by which an entry is known again."""
MAX_ORIGINAL = 1024 * 1024
"""Bytes of an entry that are kept as they were."""

_NO_LINE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_DATA_URL = re.compile(r"data:image/(?:png|jpe?g|webp);base64,")
_WILDCARD = re.compile(r"__[\w/-]+__|\{[^{}|]*\|")
_MODEL_FILE = re.compile(r"\.(safetensors|sft|ckpt|pth?|bin|gguf)$", re.IGNORECASE)


class Draft:
    """A persona in the making, of one entry of a file."""

    def __init__(self, format_name: str, locator: str, entry: str, original: str) -> None:
        self._format = format_name
        self._locator = locator
        self._entry = entry[:MAX_ENTRY]
        self._original = original
        self.fields: dict[str, Any] = {}
        self.picture: bytes | None = None
        self._kept: dict[str, Any] = {}
        self._remarks: list[Remark] = []
        self._error: Remark | None = None

    def remark(self, code: str, detail: str, field: str = "") -> None:
        """Tell something about the entry, once."""
        remark = Remark(code, detail, field)
        if remark not in self._remarks:
            self._remarks.append(remark)

    def fail(self, code: str, detail: str, field: str = "") -> None:
        """Say why it cannot become a persona; the first reason stays."""
        self._error = self._error or Remark(code, detail, field)

    def keep(self, more: Mapping[str, Any]) -> None:
        """Keep what has no field, in the format's own namespace; empty things are left out."""
        self._kept |= {key: value for key, value in more.items() if value not in (None, "", {}, [])}

    def name(self, text: str, otherwise: str) -> None:
        """The name; where there is nothing to see in it, another one."""
        line = _NO_LINE.sub(" ", text).strip()
        if folding.is_blank(line):
            line = _NO_LINE.sub(" ", otherwise).strip()
            if folding.is_blank(line):
                line = "Unnamed"
            self.remark("name_missing", f"It has no name, and is called {line!r} here.", "name")
        if len(line) > MAX_NAME:
            self.remark(
                "name_shortened",
                f"The name has {len(line)} characters; the first {MAX_NAME} stay.",
                "name",
            )
        self.fields["name"] = folding.cut_text(line, MAX_NAME).strip()

    def prompts(self, style: str, negative: str, *, alone: bool = False) -> None:
        """The two prompts, untouched. Without both there is no persona, but where other things make
        one (`alone`): its style is then what is asked for."""
        if folding.is_blank(style) and folding.is_blank(negative):
            if alone:
                style = PLACE
                detail = "It has no prompt of its own: its style is what is asked for."
                self.remark("no_prompt", detail, "style_prompt")
            else:
                self.fail("no_prompt", "It has neither a prompt nor a negative prompt.")
        self._text("style_prompt", style, MAX_STYLE_PROMPT)
        self._text("negative_prompt", negative, MAX_NEGATIVE_PROMPT)
        for field, text in (("style_prompt", style), ("negative_prompt", negative)):
            if _WILDCARD.search(text):
                detail = "It has wildcards or choices, which stay as text."
                self.remark("contains_wildcards", detail, field)

    def _text(self, field: str, text: str, high: int) -> None:
        self.fields[field] = text
        if len(text) > high:
            detail = f"Has {len(text):,} characters; there may be at most {high:,}."
            self.fail("prompt_too_long", detail, field)

    def description(self, text: str) -> None:
        """The description; a longer one is shortened, and told."""
        if len(text) > MAX_DESCRIPTION:
            detail = f"It has {len(text):,} characters; the first {MAX_DESCRIPTION:,} stay."
            self.remark("description_shortened", detail, "description")
            text = folding.cut_text(text, MAX_DESCRIPTION)
        if text:
            self.fields["description"] = text

    def tag(self, path: str) -> None:
        """A heading or a folder becomes a plain tag."""
        line = _NO_LINE.sub(" ", path).strip()
        if folding.is_blank(line):
            return
        if len(line) > MAX_TAG:
            detail = f"The tag {line!r} has {len(line)} characters; the first {MAX_TAG} stay."
            self.remark("tag_shortened", detail, "tags")
        self.fields["tags"] = [folding.cut_text(line, MAX_TAG).strip()]

    def loras(self, entries: Iterable[LoraEntry]) -> None:
        """LoRAs beside the prompt, whose names lose the endings of files."""
        found: dict[str, LoraEntry] = {}
        for entry in entries:
            name = model_name(_NO_LINE.sub(" ", entry["name"]).strip())
            weight = max(-MAX_WEIGHT, min(MAX_WEIGHT, entry.get("weight", 1.0)))
            if weight != entry.get("weight", 1.0):
                detail = f"The weight of {name!r} is beyond {MAX_WEIGHT:g}, and was limited."
                self.remark("lora_weight_limited", detail, "loras")
            if 0 < len(name) <= 200:
                found[name] = {**entry, "name": name, "weight": weight}
            else:
                self.remark("lora_left_out", f"{name[:50]!r} is no name of a LoRA.", "loras")
        if len(found) > MAX_LORAS:
            detail = f"It has {len(found)} LoRAs; the first {MAX_LORAS} stay."
            self.remark("too_many_loras", detail, "loras")
        if found:
            self.fields["loras"] = list(found.values())[:MAX_LORAS]

    def parameters(self, found: Mapping[str, Any]) -> None:
        """Parameters under SEIDRA's names, or `sampler` and `schedule` in another tool's words.
        What breaks its rule is left out and told, and kept beside."""
        wanted = {key: value for key, value in found.items() if value not in (None, "")}
        left_out: dict[str, Any] = {}
        while True:
            understood = parameters.understand(wanted, samplers.recognise)
            wrong = {error.field: error for error in understood.errors}
            if not wrong:
                break
            for key, error in wrong.items():
                left_out[key] = wanted.pop(key)
                code = "seed_large" if key == "seed" else "parameter_left_out"
                detail = f"{key} is {shortened(left_out[key])}, which is left out. {error.detail}"
                self.remark(code, detail, f"generation_params.{key}")
        for warning in understood.warnings:
            self.remark(warning.code, warning.detail, f"generation_params.{warning.field}")
        if understood.ours:
            self.fields["generation_params"] = parameters.shown(understood.ours)
        self.keep({"parameters": left_out})

    def odd_numbers(self, part: Part) -> None:
        """Tell of numbers that are kept as text."""
        if part.odd:
            shown = ", ".join(shortened(word) for word in part.odd[:5])
            self.remark("number_kept_as_text", f"No number that can be kept: {shown}.")

    def done(self) -> FoundPersona:
        """The entry as it was found."""
        extensions = {self._format: self._kept} if self._kept else {}
        if not _storable([self.fields, extensions]):
            self.fail("text_unstorable", "It has NUL characters or unpaired surrogates.")
            extensions = {}
        original: bytes | None = self._original.encode(errors="replace")
        if original is not None and len(original) > MAX_ORIGINAL:
            self.remark("original_not_kept", f"It has more than {MAX_ORIGINAL:,} bytes.")
            original = None
        return FoundPersona(
            locator=self._locator,
            entry=self._entry,
            fields=self.fields,
            extensions=extensions,
            original=original,
            picture=self.picture,
            remarks=tuple(self._remarks),
            error=self._error,
        )


def _storable(value: Any) -> bool:
    """Whether the texts in a value can be stored: no NUL, no unpaired surrogate."""
    left = [value]
    while left:
        part = left.pop()
        if isinstance(part, str):
            if _UNSTORABLE.search(part):
                return False
        elif isinstance(part, dict):
            left += [*part.keys(), *part.values()]
        elif isinstance(part, (list, tuple)):
            left += part
    return True


# ------------------------------------------------------------------------ values of other programs


def text_of(value: Any) -> str:
    """A text; "" for what is none."""
    return value if isinstance(value, str) else ""


def number_of(value: Any) -> float | None:
    """A number, or what its decimal text says; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def shortened(value: Any) -> str:
    """A value as a remark shows it."""
    return folding.cut_text(str(value), 60)


def model_name(file: str) -> str:
    """The name of a model or LoRA by its file: without the ending."""
    return _MODEL_FILE.sub("", file)


def split_path(path: str) -> tuple[str, str]:
    """The folder of a name that is a path, "" for none, and the name in it."""
    folder, _, name = path.replace("\\", "/").rpartition("/")
    return folder.strip("/ "), name


def picture_in(url: Any) -> bytes | None:
    """The picture in a data URL; None for anything else: what stands elsewhere is not fetched."""
    found = _DATA_URL.match(url) if isinstance(url, str) else None
    if found is None:
        return None
    try:
        return base64.b64decode(found.string[found.end() :], validate=True) or None
    except ValueError:
        return None


def text_of_html(markup: str) -> str:
    """The text of a description in HTML, a line for each of its paragraphs."""
    reader = _PlainText()
    reader.feed(markup)
    reader.close()
    lines = (" ".join(line.split()) for line in "".join(reader.parts).split("\n"))
    return "\n".join(line for line in lines if line)


class _PlainText(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("p", "br", "div", "li", "ul", "ol", "h1", "h2", "h3", "h4"):
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        self.parts.append(data)


def parameters_of(info: Infotext) -> dict[str, Any]:
    """The parameters that an infotext says, for `Draft.parameters`."""
    sampler, schedule = info.sampler, info.schedule
    if not sampler:
        # SD.Next names the class where the sampler is the model's own.
        sampler = info.more.get("Scheduler", "")
    if sampler == "Undefined":
        sampler = ""  # Civitai, for models that it does not say more of
    # Forge: the guidance of Flux, beside which the CFG scale is 1.
    distilled = number_of(info.more.get("Distilled CFG Scale"))
    width, height = info.size or (None, None)
    return {
        "width": width,
        "height": height,
        "num_inference_steps": info.steps,
        "guidance_scale": info.guidance_scale if distilled is None else distilled,
        "seed": info.seed,
        "sampler": sampler,
        "schedule": schedule if sampler else "",
        "model_name": info.model,
    }


# ------------------------------------------------------------------------------ the whole of a file


def told_apart(
    entries: Iterable[FoundPersona],
) -> tuple[list[FoundPersona], list[Remark]]:
    """Entries of which no two have one name: the same thing again goes, another one gets a number
    behind its name. The remarks say how many went."""
    found = list(entries)
    taken = {entry.entry for entry in found}
    first: dict[str, FoundPersona] = {}
    known: dict[str, set[str]] = {}
    number: dict[str, int] = {}
    apart: list[FoundPersona] = []
    doubles = 0
    for entry in found:
        name = entry.entry
        if name not in first:
            first[name] = entry
            apart.append(entry)
            continue
        contents = known.setdefault(name, {_content(first[name])})
        content = _content(entry)
        if content in contents:
            doubles += 1
            continue
        contents.add(content)
        number.setdefault(name, 2)
        while (other := f"{name} ({number[name]})") in taken:
            number[name] += 1
        taken.add(other)
        end = f" ({number[name]})"
        fields = {**entry.fields, "name": numbered(entry.fields["name"], end)}
        detail = f"The name {shortened(name)!r} is there already, with other texts."
        remarks = (*entry.remarks, Remark("name_repeated", detail, "name"))
        apart.append(replace(entry, entry=other, fields=fields, remarks=remarks))
    if not doubles:
        return apart, []
    sentence = f"{doubles} entries are there twice, with the same name and text."
    return apart, [Remark("entries_repeated", sentence)]


def numbered(name: str, end: str) -> str:
    """A name with a number behind it, no longer than a name may be."""
    return f"{folding.cut_text(name, MAX_NAME - len(end)).rstrip()}{end}"


def _content(entry: FoundPersona) -> str:
    return json.dumps(entry.fields, sort_keys=True)
