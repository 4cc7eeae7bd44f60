"""The `parameters` text that pictures carry, as A1111 writes it and its readers read it: the
prompt, the negative prompt, and a last line of `Key: value` pairs.

A value that could be taken for more than itself (it holds a comma, a colon or a line's end, or
begins with a quotation mark) is written as a JSON string, so that no model's name says another
seed. LoRAs stand behind the prompt as tags, once, with their weights. The form is described in
formats.md, A6; what A1111 does when it reads was looked up in its source.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from seidra.engines import samplers
from seidra.engines.base import Lora, RenderedImage, RenderRequest
from seidra.prompts import take_tags, write_tag

_NEGATIVE = "Negative prompt:"
_NEGATIVE_LINE = re.compile(rf"^([^\S\n]*)(?={_NEGATIVE})", re.MULTILINE)
_TAG_START = re.compile(r"<lora:", re.IGNORECASE)
_UNWRITABLE = re.compile("[\0\ud800-\udfff]")
"""What neither a PNG's text nor UTF-8 holds."""

_PAIR = re.compile(r'\s*(\w[\w \-/]{1,60}):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
_KEY = re.compile(r"\w[\w \-/]{0,59}[\w\-/]")
_NEEDS_QUOTES = re.compile(r'^"|[,:\n\r\v\f\x1c-\x1e\x85\u2028\u2029\0\ud800-\udfff]')
_UNESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_SIZE = re.compile(r"([0-9]{1,6})x([0-9]{1,6})")

# What A1111's form cannot carry; the first two are Fooocus's words for it.
_RAW_PROMPT, _RAW_NEGATIVE, _MORE_LORAS = "Raw prompt", "Raw negative prompt", "More LoRAs"
_APP, _OURS = "App", "SEIDRA"


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
    pairs: dict[str, Any] = {
        "Steps": info.steps,
        "Sampler": info.sampler or None,
        "Schedule type": info.schedule or None,
        "CFG scale": info.guidance_scale,
        # A1111's word for any seed. Three pairs make a line of parameters: there always are.
        "Seed": -1 if info.seed is None else info.seed,
        "Size": f"{info.size[0]}x{info.size[1]}" if info.size else None,
        "Model": info.model or None,
        _MORE_LORAS: _lora_list(untold) if untold else None,
    }
    if _read_body("\n".join(lines))[:2] != (info.prompt, info.negative_prompt):
        pairs |= {_RAW_PROMPT: info.prompt, _RAW_NEGATIVE: info.negative_prompt}
    pairs = {key: value for key, value in pairs.items() if value is not None}
    more = {key: value for key, value in info.more.items() if _may_be_more(key)}
    written = {**pairs, **more, _APP: _OURS}
    last = ", ".join(f"{key}: {_quoted(value)}" for key, value in written.items())
    return "\n".join([*lines, last])


def read(text: str) -> Infotext:
    """What a text says; a text without a line of parameters is a prompt and a negative prompt.

    Texts of others are read as A1111 reads them; what has no place of its own is in `more`.
    """
    body, _, last = text.strip().rpartition("\n")
    pairs = {key: _unquoted(value.strip()) for key, value in _PAIR.findall(last)}
    if len(pairs) < 3 and pairs.get(_APP) != _OURS:
        body, pairs = text, {}
    prompt, negative_prompt, loras = _read_body(body)
    reading = _Pairs(pairs)
    seed = reading.whole("Seed")
    size = _SIZE.fullmatch(pairs.get("Size", ""))
    if size:
        del pairs["Size"]
    if pairs.get(_APP) == _OURS:
        del pairs[_APP]
    return Infotext(
        prompt=pairs.pop(_RAW_PROMPT, prompt),
        negative_prompt=pairs.pop(_RAW_NEGATIVE, negative_prompt),
        steps=reading.whole("Steps"),
        sampler=pairs.pop("Sampler", ""),
        schedule=pairs.pop("Schedule type", ""),
        guidance_scale=reading.number("CFG scale"),
        seed=None if seed == -1 else seed,
        size=(int(size[1]), int(size[2])) if size else None,
        model=pairs.pop("Model", ""),
        loras=(*loras, *_read_lora_list(pairs.pop(_MORE_LORAS, ""))),
        more=pairs,
    )


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
        try:
            number = float(self._pairs.get(key, ""))
        except ValueError:
            return None
        del self._pairs[key]
        return number


def _read_body(body: str) -> tuple[str, str, list[Lora]]:
    """The prompt, the negative prompt and the LoRAs of what stands before the parameters, as A1111
    reads them: each line without its edge blanks, and no empty line first."""
    prompts = {False: "", True: ""}
    negative = False
    for line in body.strip().split("\n"):
        line = line.strip()
        if line.startswith(_NEGATIVE):
            negative, line = True, line[len(_NEGATIVE) :].strip()
        prompts[negative] += f"\n{line}" if prompts[negative] else line
    prompt, entries = take_tags(prompts[False])
    loras = [Lora(entry["name"], entry["weight"], entry.get("clip_weight")) for entry in entries]
    return prompt, prompts[True], loras


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
    raw = {_RAW_PROMPT, _RAW_NEGATIVE, _MORE_LORAS}
    return bool(_KEY.fullmatch(key)) and key not in known | raw


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
