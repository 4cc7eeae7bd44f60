"""What writers of every format do alike: what was changed since a persona came in, what a target
has no place for, and names that can stand beside each other."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image

from seidra import parameters
from seidra.engines import infotext, samplers
from seidra.engines.base import Lora
from seidra.engines.infotext import Infotext
from seidra.exchange.drafts import numbered
from seidra.exchange.found import FoundPersona, GivenPersona, Remark
from seidra.folding import cut_text, fold
from seidra.prompts import PLACE, LoraEntry, join_loras, take_tags, write_tag

_UNFIT = re.compile(r'[\x00-\x1f\x7f-\x9f\u2028\u2029/\\:*?"<>|]+')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_NUMBER = re.compile(r" \([0-9]+\)$")
_PREVIEW_EDGE = 512
"""Pixels of a picture that goes into a text file."""

_WORDS = {
    "description": "description",
    "loras": "LoRAs",
    "tags": "tags",
    "is_favorite": "mark of a favourite",
    "is_nsfw": "mark NSFW",
    "picture": "picture",
}


@dataclass(frozen=True, slots=True)
class Target:
    """A form that personas are written in: what it is called, the format that reads it, and what it
    has a place for beside name and prompts. `parameters` None: for all of them."""

    title: str
    format: str
    fields: frozenset[str] = frozenset()
    parameters: frozenset[str] | None = frozenset()
    template: bool = True


def not_carried(persona: GivenPersona, target: Target) -> list[Remark]:
    """What a persona has and a target has no place for."""

    def lacks(what: str, field: str) -> Remark:
        return Remark("not_carried", f"{target.title}: no place for {what}.", field)

    fields = persona.fields
    has = {name: bool(fields.get(name)) for name in _WORDS} | {
        "picture": persona.picture is not None
    }
    remarks = [
        lacks(f"its {words}", name)
        for name, words in _WORDS.items()
        if has[name] and name not in target.fields
    ]
    known = target.parameters
    stored = fields.get("generation_params") or {}
    for key, value in stored.items():
        if known is not None and key not in known and value is not None:
            remarks.append(lacks(key, f"generation_params.{key}"))
    if known == INFOTEXT_PARAMETERS and ("width" in stored) != ("height" in stored):
        remarks.append(lacks("a width or height alone", "generation_params.width"))
    if not target.template and PLACE in text(fields, "style_prompt") + text(
        fields, "negative_prompt"
    ):
        remarks.append(lacks("{prompt}, which is left out", "style_prompt"))
    for namespace in persona.extensions:
        if namespace != target.format:
            remarks.append(lacks(f"what {namespace} keeps beside", f"extensions.{namespace}"))
    return remarks


def text(fields: Mapping[str, Any], name: str) -> str:
    """A text of a persona, "" where it has none."""
    return str(fields.get(name) or "")


# ------------------------------------------------------------------------------- what was changed


def original_of(persona: GivenPersona, format_name: str) -> str | None:
    """The entry that a persona was read from, where it was of that format."""
    source = persona.source
    if source is None or source.format != format_name or source.original is None:
        return None
    return source.original.decode(errors="replace")


def changed(persona: GivenPersona, found: FoundPersona) -> set[str]:
    """The fields in which a persona differs from what its entry says."""
    ours, theirs = persona.fields, found.fields
    differing = {
        name
        for name in ("description", "style_prompt", "negative_prompt")
        if text(ours, name) != text(theirs, name)
    }
    names = {text(theirs, "name")}
    number = _NUMBER.search(persona.source.entry) if persona.source else None
    if number is not None:
        # One of two entries of the same name was read under another.
        names.add(numbered(text(theirs, "name"), number[0]))
    if text(ours, "name") not in names:
        differing.add("name")
    if bool(ours.get("is_favorite")) != bool(theirs.get("is_favorite")):
        differing.add("is_favorite")
    if _lora_list(ours) != _lora_list(theirs):
        differing.add("loras")
    if understood(ours) != understood(theirs):
        differing.add("generation_params")
    return differing


def _lora_list(fields: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    return [
        (
            lora["name"],
            float(lora.get("weight", 1)),
            lora.get("clip_weight"),
            lora.get("enabled", True),
        )
        for lora in fields.get("loras") or ()
    ]


def understood(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a persona under SEIDRA's names."""
    stored = fields.get("generation_params") or {}
    return parameters.shown(parameters.understand(stored, samplers.recognise).ours)


PROMPTS = frozenset({"name", "style_prompt", "negative_prompt", "loras"})
"""The fields that a target of mere prompts holds."""

_HELD = {"name": {"name"}, "prompt": {"style_prompt", "loras"}}


def touches(changes: set[str], key: str) -> bool:
    """Whether what was changed is held by a key of a list of styles."""
    return bool(changes & _HELD.get(key, {key}))


# ------------------------------------------------------------------------- prompts and parameters


def style_of(persona: GivenPersona) -> dict[str, str]:
    """A persona as the entry of a list of styles: name and prompts, its LoRAs as tags."""
    return {
        "name": text(persona.fields, "name"),
        "prompt": with_tags(persona),
        "negative_prompt": text(persona.fields, "negative_prompt"),
    }


def with_tags(persona: GivenPersona) -> str:
    """The style prompt with a tag for each LoRA that is on and not in it yet."""
    style = text(persona.fields, "style_prompt")
    there = {lora["name"] for lora in take_tags(style)[1]}
    missing = [lora for lora in on(persona) if lora["name"] not in there]
    tags = "".join(
        tag
        for lora in missing
        if (tag := write_tag(lora["name"], lora.get("weight", 1), lora.get("clip_weight")))
    )
    return f"{style} {tags}" if tags and style else style or tags


def on(persona: GivenPersona) -> list[LoraEntry]:
    """The LoRAs of the list that are not switched off."""
    return join_loras(persona.fields.get("loras") or ())


def untold_loras(persona: GivenPersona, target: Target) -> list[Remark]:
    """What tags in a prompt do not say of a persona's LoRAs."""
    remarks = []
    entries: list[LoraEntry] = persona.fields.get("loras") or []
    if any(not lora.get("enabled", True) or lora.get("weight") == 0 for lora in entries):
        detail = f"{target.title}: no place for LoRAs that are switched off."
        remarks.append(Remark("not_carried", detail, "loras"))
    untold = [lora["name"] for lora in on(persona) if write_tag(lora["name"], 1) is None]
    if untold:
        detail = f"{target.title}: no tag can hold the LoRA {untold[0]!r}."
        remarks.append(Remark("not_carried", detail, "loras"))
    return remarks


def places_lost(persona: GivenPersona, target: Target) -> list[Remark]:
    """What a target does not do that fills in only the first `{prompt}`."""
    return [
        Remark("not_carried", f"{target.title}: only the first {{prompt}} is filled in.", field)
        for field in ("style_prompt", "negative_prompt")
        if text(persona.fields, field).count(PLACE) > 1
    ]


def comfyui_pair(params: Mapping[str, Any]) -> tuple[str, str]:
    """Sampler and schedule by ComfyUI's names where it has them; SwarmUI and Fooocus know these."""
    scheduler = params.get("scheduler")
    pair = samplers.pair("comfyui", scheduler) if scheduler else None
    if pair is not None:
        return pair.sampler, pair.schedule
    return str(scheduler or params.get("sampler") or ""), str(params.get("schedule") or "")


def plain(value: Any) -> str:
    """A number as short as it can be read back, a text as it is."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)


def infotext_of(persona: GivenPersona) -> Infotext:
    """The parameters of a persona as an infotext says them, by A1111's names; without prompts."""
    params = understood(persona.fields)
    scheduler = params.get("scheduler")
    pair = samplers.pair("a1111", scheduler) if scheduler else None
    seed = params.get("seed")
    width, height = params.get("width"), params.get("height")
    return Infotext(
        steps=params.get("num_inference_steps"),
        sampler=pair.sampler if pair else str(scheduler or params.get("sampler") or ""),
        schedule=pair.schedule if pair else str(params.get("schedule") or ""),
        guidance_scale=params.get("guidance_scale"),
        seed=None if seed in (None, -1) else int(seed),
        size=(width, height) if width and height else None,
        model=str(params.get("model_name") or ""),
        loras=as_loras(on(persona)),
    )


def as_loras(entries: Iterable[LoraEntry]) -> list[Lora]:
    """LoRAs as an infotext has them."""
    return [
        Lora(entry["name"], entry.get("weight", 1.0), entry.get("clip_weight")) for entry in entries
    ]


def parameters_line(persona: GivenPersona, more: Mapping[str, str] | None = None) -> str:
    """The parameters of a persona as the line of an infotext, with further pairs; "" for none."""
    return infotext.write_parameters(replace(infotext_of(persona), more=more or {}))


INFOTEXT_PARAMETERS = frozenset(
    {
        *("num_inference_steps", "sampler", "schedule", "scheduler", "guidance_scale"),
        *("seed", "width", "height", "model_name"),
    }
)
"""The parameters that an infotext has a place for."""


def preview_of(picture: bytes | None) -> str:
    """A picture as a JPEG's data URL, small; "" where there is none that can be read."""
    if picture is None:
        return ""
    try:
        with Image.open(io.BytesIO(picture), formats=("PNG", "JPEG", "WEBP")) as image:
            image.draft("RGB", (_PREVIEW_EDGE, _PREVIEW_EDGE))
            small = image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return ""
    small.thumbnail((_PREVIEW_EDGE, _PREVIEW_EDGE))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def list_of(entries: Iterable[str]) -> str:
    """A JSON list of entries that are JSON already."""
    joined = ",\n    ".join(entries)
    return f"[\n    {joined}\n]\n" if joined else "[]\n"


def object_of(members: Iterable[str]) -> str:
    """A JSON object of members that are JSON already."""
    joined = ",\n    ".join(members)
    return f"{{\n    {joined}\n}}\n" if joined else "{}\n"


# ------------------------------------------------------------------------------------------ names


def apart(names: Iterable[str]) -> list[str]:
    """Names of which no two are the same: a number goes behind those that come again."""
    wanted = list(names)
    taken = set(wanted)
    given: set[str] = set()
    number: dict[str, int] = {}
    found = []
    for name in wanted:
        other = name
        if name in given:
            number.setdefault(name, 2)
            while (other := f"{name} ({number[name]})") in taken:
                number[name] += 1
        taken.add(other)
        given.add(other)
        found.append(other)
    return found


def file_names(names: Sequence[str], ending: str) -> list[str]:
    """Names of files for personas, which every system takes: apart without case, too."""
    stems = []
    for name in names:
        stem = cut_text(_UNFIT.sub(" ", name).strip(" ."), 80).rstrip(" .")
        while len(stem.encode()) > 200:
            stem = stem[:-1]
        stems.append(f"{stem}_" if _RESERVED.fullmatch(stem) else stem or "persona")
    taken: set[str] = set()
    number: dict[str, int] = {}
    found = []
    for stem in stems:
        other, key = stem, fold(stem)
        while fold(other) in taken:
            number[key] = number.get(key, 1) + 1
            other = f"{stem} ({number[key]})"
        taken.add(fold(other))
        found.append(f"{other}{ending}")
    return found
