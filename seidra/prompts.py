"""Composing: what a persona says and what a person asks for become one prompt, one negative prompt,
one list of LoRAs and one set of parameters.

The rules are those of decisions.md ("Prompts, LoRAs, samplers, seeds"). Nothing here touches what
is stored: tags of LoRAs and templates stay in a persona's texts as they were written.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NotRequired, TypedDict

from seidra import parameters
from seidra.errors import Invalid

MAX_REQUEST_PROMPT = 8_000
MAX_NEGATIVE_PROMPT = 16_000
MAX_COMPOSED = 32_000
"""Of a prompt, and of a negative prompt, as an engine gets it."""
MAX_LORAS = 50
MAX_WEIGHT = 10.0
"""A LoRA's weight is from minus this to this."""
PLACE = "{prompt}"
"""What stands in a style for what the person asks for."""

_NEAR = 200
_TAG_START = re.compile(r"<lora:", re.IGNORECASE)


class LoraEntry(TypedDict):
    """A LoRA as personas, requests and jobs have it; a composed list has no `enabled`."""

    name: str
    weight: NotRequired[float]
    clip_weight: NotRequired[float | None]
    enabled: NotRequired[bool]


class Warned(NamedTuple):
    """What was not done as it was written: `code` for programs, `detail` a sentence for people."""

    code: str
    field: str
    detail: str


@dataclass(frozen=True, slots=True)
class Layer:
    """What a persona says, or a request: texts, LoRAs, and parameters under SEIDRA's names."""

    prompt: str = ""
    negative_prompt: str = ""
    loras: Sequence[LoraEntry] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Composed:
    """What an engine gets: texts without tags, LoRAs without doubles and none of weight 0."""

    prompt: str
    negative_prompt: str
    loras: list[LoraEntry]
    parameters: dict[str, Any]
    warnings: list[Warned]


class PromptTooLong(Invalid):
    """A request's text, or a composed one, is longer than it may be."""

    code = "prompt_too_long"

    def __init__(self, name: str, length: int, limit: int, *, composed: bool = False) -> None:
        what = "With the persona's it would have" if composed else "Has"
        super().__init__({name: [f"{what} {length:,} characters; there may be at most {limit:,}."]})
        self.name = name
        self.length = length
        self.limit = limit


class TooManyLoras(Invalid):
    """More LoRAs than an engine is asked for at once."""

    code = "too_many_loras"

    def __init__(self, count: int) -> None:
        super().__init__({"loras": [f"There are {count}; there may be at most {MAX_LORAS}."]})


def compose(
    persona: Layer | None, request: Layer, defaults: Mapping[str, Any] | None = None
) -> Composed:
    """Put a request into a persona's style; `defaults` are the parameters of neither.

    LoRAs are joined by name: the persona's list, the tags in the texts (the persona's first), the
    request's list; the last weight wins. Raises PromptTooLong or TooManyLoras.
    """
    persona = persona or Layer()
    _check_request(request)
    warnings: list[Warned] = []
    style, style_loras = take_tags(persona.prompt, "style_prompt", warnings)
    avoid, avoid_loras = take_tags(persona.negative_prompt, "negative_prompt", warnings)
    asked, asked_loras = take_tags(request.prompt, "prompt", warnings)
    unwanted, unwanted_loras = take_tags(request.negative_prompt, "negative_prompt", warnings)

    # A tag can also come of a style and a request together: <lora:{prompt}:1>.
    prompt, late_loras = take_tags(fill(style, asked, "prompt"), "prompt", warnings)
    negative_prompt, late_negative_loras = take_tags(
        fill(avoid, unwanted, "negative_prompt"), "negative_prompt", warnings
    )
    loras = join_loras(
        persona.loras,
        style_loras,
        avoid_loras,
        asked_loras,
        unwanted_loras,
        late_loras,
        late_negative_loras,
        request.loras,
    )
    if len(loras) > MAX_LORAS:
        raise TooManyLoras(len(loras))
    merged = parameters.merge(defaults or {}, persona.parameters, request.parameters)
    return Composed(prompt, negative_prompt, loras, merged, warnings)


def _check_request(request: Layer) -> None:
    if len(request.prompt) > MAX_REQUEST_PROMPT:
        raise PromptTooLong("prompt", len(request.prompt), MAX_REQUEST_PROMPT)
    if len(request.negative_prompt) > MAX_NEGATIVE_PROMPT:
        raise PromptTooLong("negative_prompt", len(request.negative_prompt), MAX_NEGATIVE_PROMPT)


def fill(style: str, asked: str, name: str = "prompt") -> str:
    """Put what was asked for into a style: at every `{prompt}`, else before it, joined by a comma.

    An empty request goes together with one comma beside its place; a text alone stays as it is.
    Raises PromptTooLong for `name`, before anything that long is made.
    """
    text = asked.strip()
    places = style.count(PLACE)
    if places and text:
        _check_composed(name, len(style) + places * (len(text) - len(PLACE)))
        return style.replace(PLACE, text)
    if places:
        joined = _without_places(style)
    elif text and style.strip():
        joined = f"{text}, {style.strip()}"
    else:
        joined = asked if text else style
    _check_composed(name, len(joined))
    return joined


def _check_composed(name: str, length: int) -> None:
    if length > MAX_COMPOSED:
        raise PromptTooLong(name, length, MAX_COMPOSED, composed=True)


def _without_places(style: str) -> str:
    filled, *rest = style.split(PLACE)
    for after in rest:
        before = filled.rstrip()
        if before.endswith(","):
            filled = _join_ends(before[:-1].rstrip(), after, " ")
        elif after.lstrip().startswith(","):
            filled = _join_ends(filled, after.lstrip()[1:].lstrip(), " ")
        else:
            filled = _join_ends(filled, after, "")
    return filled


def _join_ends(before: str, after: str, between: str) -> str:
    """Two parts of a text between which something is gone: with one run of blanks where there was
    one, else with `between`, and without blanks before a comma and at the text's ends."""
    left, right = before.rstrip(), after.lstrip()
    if not left or not right:
        return left or right
    if right.startswith(","):
        return left + right
    if before != left:
        return before + right
    return before + (after if after != right else between + right)


# ------------------------------------------------------------------------------------- LoRAs' tags


def take_tags(
    text: str, name: str = "prompt", warnings: list[Warned] | None = None
) -> tuple[str, list[LoraEntry]]:
    """A text without its LoRA tags, and the LoRAs that they name, in order.

    A tag is `<lora:NAME>`, `<lora:NAME:WEIGHT>` or A1111's `<lora:NAME:TEXT_ENCODER:UNET>`, with
    `te=` and `unet=` as well. What stood between two commas takes one of them along. A tag whose
    weight cannot be read is taken out with the rest, and told in `warnings` under the field `name`.
    """
    loras: list[LoraEntry] = []
    parts: list[str] = []
    at = 0
    while (found := _tag_at(text, at)) is not None:
        start, end = found
        parts.append(text[at:start])
        # A run of tags leaves one gap.
        while True:
            lora = _read_tag(text[start + len("<lora:") : end - 1], name, warnings)
            if lora is not None:
                loras.append(lora)
            after = _skip_blanks(text, end)
            following = _tag_at(text, after)
            if following is None or following[0] != after:
                break
            start, end = following
        at = end
    if not parts:
        return text, []
    done: list[str] = []
    taken = parts[0]
    for part in [*parts[1:], text[at:]]:
        taken = _close_gap(taken, part)
        # What lies far behind a word plays no part any more, and is not copied again and again.
        if len(taken) > 2 * _NEAR and taken[-_NEAR:].strip(" \t\n,"):
            done.append(taken[:-_NEAR])
            taken = taken[-_NEAR:]
    return "".join([*done, taken]), loras


def _tag_at(text: str, at: int) -> tuple[int, int] | None:
    """Where the next tag begins and ends; None when none does."""
    start = _TAG_START.search(text, at)
    end = text.find(">", start.end()) if start else -1
    return (start.start(), end + 1) if start and end >= 0 else None


def _skip_blanks(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _close_gap(before: str, after: str) -> str:
    """Two parts of a text between which a tag was. Words do not run into each other, so that no
    tag comes of two halves."""
    left, right = before.rstrip(), after.lstrip()
    if not left:
        return right.removeprefix(",").lstrip()
    if not right:
        return left.removesuffix(",").rstrip()
    if left.endswith(","):
        return before + (right[1:].lstrip() if right.startswith(",") else right)
    return _join_ends(before, after, " ")


def _read_tag(inner: str, name: str, warnings: list[Warned] | None) -> LoraEntry | None:
    lora_name, *arguments = inner.split(":")
    lora_name = lora_name.strip()
    numbers: list[float] = []
    named: dict[str, float] = {}
    try:
        for argument in arguments:
            key, equals, value = argument.rpartition("=")
            number = float(value)
            if not math.isfinite(number):
                raise ValueError
            if equals:
                named[key.strip().lower()] = number
            else:
                numbers.append(number)
    except ValueError:
        lora_name = ""
    if not lora_name:
        detail = "A LoRA's tag could not be read and was left out; it is <lora:NAME:WEIGHT>."
        _warn(warnings, Warned("lora_tag_unreadable", name, detail))
        return None
    # A1111: the text encoder's weight, then the model's; one alone is both.
    clip = named.get("te", numbers[0] if numbers else 1.0)
    weight = named.get("unet", numbers[1] if len(numbers) > 1 else clip)
    limited = [max(-MAX_WEIGHT, min(MAX_WEIGHT, number)) for number in (weight, clip)]
    if limited != [weight, clip]:
        detail = f"A LoRA's weight is from {-MAX_WEIGHT:g} to {MAX_WEIGHT:g}; it was limited."
        _warn(warnings, Warned("lora_weight_limited", name, detail))
    weight, clip = limited
    lora: LoraEntry = {"name": lora_name, "weight": weight}
    if clip != weight:
        lora["clip_weight"] = clip
    return lora


def _warn(warnings: list[Warned] | None, warned: Warned) -> None:
    if warnings is not None and warned not in warnings:
        warnings.append(warned)


def write_tag(name: str, weight: float, clip_weight: float | None = None) -> str | None:
    """The tag of a LoRA, as A1111 reads it; None for a name that no tag can hold."""
    if not name or name != name.strip() or re.search(r"[:<>\n\r]", name):
        return None
    weights = [weight] if clip_weight in (None, weight) else [clip_weight, weight]
    return f"<lora:{name}:{':'.join(_plain(number) for number in weights if number is not None)}>"


def _plain(number: float) -> str:
    """A number as short as it can be read back: 1, 0.8."""
    return str(int(number)) if float(number).is_integer() else repr(float(number))


def join_loras(*lists: Iterable[LoraEntry]) -> list[LoraEntry]:
    """Lists of LoRAs joined by name; the last one's weights win. Weight 0 or `enabled: false` takes
    a LoRA out."""
    last: dict[str, LoraEntry] = {}
    for loras in lists:
        for lora in loras:
            last[lora["name"]] = lora
    joined: list[LoraEntry] = []
    for name, lora in last.items():
        weight = lora.get("weight", 1.0)
        if weight == 0 or not lora.get("enabled", True):
            continue
        entry: LoraEntry = {"name": name, "weight": weight}
        clip_weight = lora.get("clip_weight")
        if clip_weight is not None and clip_weight != weight:
            entry["clip_weight"] = clip_weight
        joined.append(entry)
    return joined
