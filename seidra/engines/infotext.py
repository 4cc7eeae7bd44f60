"""The `parameters` text that pictures carry, as A1111 writes it and its readers read it: the
prompt, the negative prompt, and a last line of `Key: value` pairs.

A value that could be taken for more than itself (it holds a comma, a colon or a line's end, or
begins with a quotation mark) is written as a JSON string, so that no model's name says another
seed. LoRAs stand behind the prompt as tags, once, with their weights. The form is described in
formats.md, A6; what A1111 does when it reads was looked up in its source.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from seidra.engines import samplers
from seidra.engines.base import Lora, RenderedImage, RenderRequest
from seidra.prompts import take_tags, write_tag

_NEGATIVE = "Negative prompt:"
_NEGATIVE_LINE = re.compile(rf"^([^\S\n]*)(?={_NEGATIVE})", re.MULTILINE)
_TAG_START = re.compile(r"<lora:", re.IGNORECASE)
_UNWRITABLE = re.compile("[\0\ud800-\udfff]")
"""What neither a PNG's text nor UTF-8 holds."""

_PAIR = re.compile(r'(\w[\w \-/]{1,60}):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
_KEY = re.compile(r"\w[\w \-/]{0,59}[\w\-/]")
_NEEDS_QUOTES = re.compile(r'^"|[,:\n\r\v\f\x1c-\x1e\x85\u2028\u2029\0\ud800-\udfff]')
_UNESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_SIZE = re.compile(r"([0-9]{1,6})x([0-9]{1,6})")
_LABEL = re.compile(r"(Negative prompt|Template|Negative [Tt]emplate):")
_STEPS = re.compile(r"\bSteps: [0-9]+,")
_DECODER = json.JSONDecoder()
_TRIES = 20
"""How many values that begin as JSON are looked at in one text."""

# What A1111's form cannot carry; the first two are Fooocus's words for it.
_RAW_PROMPT, _RAW_NEGATIVE, _MORE_LORAS = "Raw prompt", "Raw negative prompt", "More LoRAs"
_APP, _OURS = "App", "SEIDRA"
_RAW = (_RAW_PROMPT, _RAW_NEGATIVE)
_LORA_WEIGHTS = "Lora weights"
"""Fooocus's."""


@dataclass(frozen=True, slots=True)
class Infotext:
    """How a picture was made. The prompts hold no LoRA tags. None, or "", is what is not known.

    `more` holds further pairs by their keys, which have 2 to 61 word characters, blanks, - or /.
    """

    prompt: str = ""
    negative_prompt: str = ""
    steps: int | None = None
    sampler: str = ""
    schedule: str = ""
    guidance_scale: float | None = None
    seed: int | None = None
    size: tuple[int, int] | None = None
    model: str = ""
    loras: Sequence[Lora] = ()
    more: Mapping[str, str] = field(default_factory=dict)


def of_picture(request: RenderRequest, image: RenderedImage) -> Infotext:
    """What to write into a picture: what was really used where the engine told it, else what was
    asked for; nothing that the engine dropped. Samplers go by A1111's names where it has them."""
    used, dropped = image.used, set(image.dropped)
    pair = samplers.Pair("", "")
    if not dropped & {"scheduler", "sampler"}:
        pair = _told_pair(request, used)
    return Infotext(
        prompt=request.prompt,
        negative_prompt="" if "negative_prompt" in dropped else request.negative_prompt,
        steps=None if "steps" in dropped else int(used.get("steps", request.steps)),
        sampler=pair.sampler,
        schedule=pair.schedule,
        guidance_scale=(
            None
            if dropped & {"guidance", "guidance_scale"}
            else float(used.get("guidance_scale", request.guidance_scale))
        ),
        seed=image.seed,
        size=(image.width, image.height),
        model=str(used.get("model") or request.model_name),
        loras=() if "loras" in dropped else tuple(request.loras),
    )


def _told_pair(request: RenderRequest, used: Mapping[str, Any]) -> samplers.Pair:
    """The sampler and the schedule of a picture, by A1111's names where it has them."""
    pair = samplers.wanted_pair(request)
    if "sampler" in used:
        pair = samplers.Pair(str(used["sampler"]), str(used.get("schedule") or ""))
    ours = samplers.recognise(*pair) if pair else request.scheduler
    theirs = samplers.pair("a1111", ours) if ours else None
    return theirs or pair or samplers.Pair(request.scheduler, "")


def write(info: Infotext) -> str:
    """The text of a picture, of which `read` makes `info` again.

    A1111's readers understand the same prompts; where their form cannot say one (it has a line
    "Negative prompt:", or blanks at the end of a line), it is written as near as can be, and whole
    under `Raw prompt`.
    """
    tags = [_tag(lora) for lora in info.loras]
    untold = [lora for lora, tag in zip(info.loras, tags, strict=True) if tag is None]
    told = "".join(tag for tag in tags if tag is not None)
    prompt = f"{_disarmed(info.prompt)} {told}" if told else _disarmed(info.prompt)
    lines = [prompt]
    if info.negative_prompt:
        lines.append(f"{_NEGATIVE} {_UNWRITABLE.sub('', info.negative_prompt)}")
    pairs = _pairs_of(info)
    # A1111's word for any seed. Three pairs make a line of parameters: there always are.
    pairs = {key: -1 if key == "Seed" and value is None else value for key, value in pairs.items()}
    if untold:
        pairs[_MORE_LORAS] = _lora_list(untold)
    pairs = {key: value for key, value in pairs.items() if value is not None}
    more = {key: value for key, value in info.more.items() if _may_be_more(key)}
    parts = _part("\n".join([*lines, _write_pairs(pairs | more | {_APP: _OURS})]))
    if (take_tags(parts.prompt)[0], parts.negative_prompt) != (info.prompt, info.negative_prompt):
        pairs |= {_RAW_PROMPT: info.prompt, _RAW_NEGATIVE: info.negative_prompt}
    return "\n".join([*lines, _write_pairs(pairs | more | {_APP: _OURS})])


def write_parameters(info: Infotext) -> str:
    """The line of parameters alone, of which `read_parameters` makes them again; "" for none."""
    more = {key: value for key, value in info.more.items() if _may_be_more(key)}
    pairs = {key: value for key, value in _pairs_of(info).items() if value is not None}
    return _write_pairs(pairs | more)


def _pairs_of(info: Infotext) -> dict[str, Any]:
    """The pairs that have a place of their own; None for what is not known."""
    return {
        "Steps": info.steps,
        "Sampler": info.sampler or None,
        "Schedule type": info.schedule or None,
        "CFG scale": info.guidance_scale,
        "Seed": info.seed,
        "Size": f"{info.size[0]}x{info.size[1]}" if info.size else None,
        "Model": info.model or None,
    }


def _write_pairs(pairs: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}: {_quoted(value)}" for key, value in pairs.items())


class Reading(NamedTuple):
    """A text as it was read. `prompt` is the one of `info`, with its LoRA tags still in it."""

    info: Infotext
    prompt: str
    has_parameters: bool


def read(text: str) -> Infotext:
    """What a text says; a text without a line of parameters is a prompt and a negative prompt.

    Texts of others are read as A1111 reads them, those of Fooocus, SD.Next, Civitai and
    stable-diffusion.cpp as they differ; what has no place of its own is in `more`.
    """
    return read_whole(text).info


def read_whole(text: str) -> Reading:
    """As `read`, with what an infotext has no place for."""
    parts = _part(text)
    # Fooocus's prompt is its styles' resolved: what was asked for stands under the same word.
    ours = parts.pairs.get(_APP) == _OURS
    whole = parts.pairs.get(_RAW_PROMPT, parts.prompt)
    prompt, tags = take_tags(whole)
    if _RAW_PROMPT in parts.pairs and ours:
        # Ours is without the tags, which stand behind the prompt that others read.
        prompt, tags = whole, take_tags(parts.prompt)[1]
    loras = [Lora(entry["name"], entry["weight"], entry.get("clip_weight")) for entry in tags]
    info = _read_pairs_of(parts.pairs, parts.templates)
    info = replace(
        info,
        prompt=prompt,
        negative_prompt=parts.pairs.get(_RAW_NEGATIVE, parts.negative_prompt),
        loras=(*loras, *info.loras),
    )
    return Reading(info, whole, bool(parts.pairs))


def read_parameters(line: str) -> Infotext:
    """What a line of parameters says by itself, however few they are."""
    return _read_pairs_of(_read_pairs(line), {})


class _Parts(NamedTuple):
    """The parts of a text: `templates` are what SD.Next, and Dynamic Prompts of A1111, write of the
    prompts before their wildcards and styles were put in."""

    prompt: str
    negative_prompt: str
    templates: Mapping[str, str]
    pairs: Mapping[str, str]


def _part(text: str) -> _Parts:
    """A text in its parts, as A1111 reads them: each line without its edge blanks, no empty line
    first, and what has fewer than three pairs is no line of parameters."""
    lines = text.strip().split("\n")
    last = _parameters_line(lines)
    pairs = _read_pairs(lines[last])
    steps = _STEPS.search(lines[last]) if lines[last].startswith(_NEGATIVE) else None
    if steps:
        # Early SD.Next has the negative prompt and the parameters on one line.
        line = lines[last]
        lines[last : last + 1] = [line[: steps.start()].rstrip(", "), line[steps.start() :]]
        last += 1
        pairs = _read_pairs(lines[last])
    ours = pairs.get(_APP) == _OURS
    if len(pairs) < 3 and not ours:
        pairs, last = {}, len(lines)
    texts: dict[str, list[str]] = {}
    place = "Prompt"
    for number, line in enumerate(lines):
        if number == last:
            continue
        line = line.strip()
        label = _LABEL.match(line)
        # A prompt's own line may begin so too. Ours has its templates among the pairs.
        beyond = place != "Prompt" or number > last or pairs.get(_APP) == "SD.Next"
        if label and (label[1] == "Negative prompt" or (pairs and beyond and not ours)):
            place = label[1].capitalize()
            line = line[label.end() :].strip()
        told = texts.setdefault(place, [])
        if line or told:
            told.append(line)
    joined = {place: "\n".join(told) for place, told in texts.items()}
    prompts = joined.pop("Prompt", ""), joined.pop("Negative prompt", "")
    return _Parts(*prompts, {key: text for key, text in joined.items() if text}, pairs)


def _parameters_line(lines: Sequence[str]) -> int:
    """Which line the parameters stand on if they are there: the last, or the last before the
    templates that Dynamic Prompts writes behind it."""
    last = len(lines) - 1
    pairs = _read_pairs(lines[last])
    if pairs.get(_APP) == _OURS or (len(pairs) >= 3 and not _is_template(lines[last])):
        return last
    for number in range(last, 0, -1):
        if _is_template(lines[number]) and len(_read_pairs(lines[number - 1])) >= 3:
            return number - 1
    return last


def _is_template(line: str) -> bool:
    label = _LABEL.match(line)
    return label is not None and label[1] != "Negative prompt"


def _read_pairs_of(read_pairs: Mapping[str, str], templates: Mapping[str, str]) -> Infotext:
    """What the pairs say, but for the prompts; what has no place of its own is in `more`."""
    pairs = {key: value for key, value in read_pairs.items() if key not in _RAW}
    reading = _Pairs(pairs)
    seed = reading.whole("Seed")
    size = _SIZE.fullmatch(pairs.get("Size", ""))
    if size:
        del pairs["Size"]
    if pairs.get(_APP) == _OURS:
        del pairs[_APP]
    loras = list(_weights(pairs.get(_LORA_WEIGHTS, "")))
    if loras:
        del pairs[_LORA_WEIGHTS]
    return Infotext(
        steps=reading.whole("Steps"),
        sampler=pairs.pop("Sampler", ""),
        schedule=pairs.pop("Schedule type", ""),
        guidance_scale=reading.number("CFG scale"),
        seed=None if seed == -1 else seed,
        size=(int(size[1]), int(size[2])) if size else None,
        model=pairs.pop("Model", ""),
        loras=(*loras, *_read_lora_list(pairs.pop(_MORE_LORAS, ""))),
        more={**templates, **pairs},
    )


def _weights(text: str) -> Iterator[Lora]:
    """The LoRAs of Fooocus's list: "a: 0.1, b: 0.5"."""
    for entry in text.split(","):
        name, _, weight = entry.rpartition(":")
        number = _number(weight)
        if name.strip() and number:
            yield Lora(name.strip(), number)


def _read_pairs(line: str) -> dict[str, str]:
    """The pairs of a line. A value that begins as JSON and is it (Civitai, stable-diffusion.cpp)
    is taken whole."""
    pairs: dict[str, str] = {}
    at, tries = 0, _TRIES
    while found := _PAIR.search(line, at):
        at, value = found.end(), found[2]
        if value[:1] in ("[", "{") and tries:
            tries -= 1
            end = _json_end(line, found.start(2))
            if end is not None:
                value, at = line[found.start(2) : end], end + (line[end : end + 1] == ",")
        pairs[found[1]] = _unquoted(value.strip())
    return pairs


def _json_end(line: str, start: int) -> int | None:
    try:
        end = _DECODER.raw_decode(line, start)[1]
    except (ValueError, RecursionError):
        return None
    return end if re.match(r"\s*(?:,|$)", line[end:]) else None


class _Pairs:
    """The pairs of a text, from which what can be read is taken out."""

    def __init__(self, pairs: dict[str, str]) -> None:
        self._pairs = pairs

    def whole(self, key: str) -> int | None:
        """A whole number; None where there is none."""
        found = re.fullmatch(r"-?[0-9]{1,20}", self._pairs.get(key, ""))
        return int(self._pairs.pop(key)) if found else None

    def number(self, key: str) -> float | None:
        """A number; None where there is none."""
        number = _number(self._pairs.get(key, ""))
        if number is not None:
            del self._pairs[key]
        return number


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _tag(lora: Lora) -> str | None:
    """The LoRA's tag; None where its name cannot stand in one."""
    if _UNWRITABLE.search(lora.name):
        return None
    return write_tag(lora.name, lora.weight, lora.clip_weight)


def _disarmed(prompt: str) -> str:
    """A prompt without what its reader would take for something else: a negative prompt, or the
    beginning of a tag that the LoRAs behind it would close."""
    prompt = _TAG_START.sub("<lora :", _UNWRITABLE.sub("", prompt))
    return _NEGATIVE_LINE.sub(r"\1, ", prompt)


def _may_be_more(key: str) -> bool:
    known = {"Steps", "Sampler", "Schedule type", "CFG scale", "Seed", "Size", "Model", _APP}
    return bool(_KEY.fullmatch(key)) and key not in known | {*_RAW, _MORE_LORAS, _LORA_WEIGHTS}


def _quoted(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value)
    if text == text.strip() and text and not _NEEDS_QUOTES.search(text):
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return _UNESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", quoted)


def _unquoted(value: str) -> str:
    if len(value) < 2 or value[0] != '"' or value[-1] != '"':
        return value
    try:
        return str(json.loads(value))
    except ValueError:
        return value


def _lora_list(loras: Sequence[Lora]) -> str:
    entries = [[lora.name, lora.weight, lora.clip_weight] for lora in loras]
    return json.dumps(entries, ensure_ascii=False)


def _read_lora_list(text: str) -> list[Lora]:
    try:
        return [Lora(str(name), float(weight), clip) for name, weight, clip in json.loads(text)]
    except (ValueError, TypeError, RecursionError):
        return []
