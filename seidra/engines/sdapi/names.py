"""The names that servers of the `sdapi` family have for samplers, schedules, models and LoRAs.

Facts: engines.md, C.2, C.3 and D.7. What each dialect calls SEIDRA's schedulers stands in
`seidra.engines.samplers`; here is what is chosen of what a server lists.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from seidra.engines import samplers
from seidra.engines.base import RenderRequest

A1111: samplers.Dialect = "a1111"
"""A1111's dialect, which Forge speaks too."""
SDNEXT: samplers.Dialect = "sdnext"
SDCPP: samplers.Dialect = "sdcpp"

OWN = "Automatic"
"""The schedule that A1111 thinks right for the sampler: it needs no list."""


def pick_sampler(
    dialect: samplers.Dialect, request: RenderRequest, foreign: Mapping[str, Sequence[str]]
) -> samplers.Pair | None:
    """The sampler and schedule to send, of what the server lists (`Capabilities.foreign`); None
    where it has not got them. Another tool's pair that it does not list gives way to the
    request's scheduler."""
    listed, schedules = foreign["samplers"], foreign["schedules"]
    own = samplers.wanted_pair(request)
    if own is not None and samplers.lists_pair(own, foreign):
        return samplers.choose(dialect, request, foreign)
    theirs = samplers.pair(dialect, request.scheduler)
    if theirs is None:
        named = samplers.Pair(request.scheduler, OWN if dialect == A1111 else _plain(dialect))
        return named if named.sampler in listed else None
    if dialect == A1111 and not schedules:
        return _pick_of_joined(theirs, listed)
    if theirs.sampler not in listed:
        return None
    if dialect == SDNEXT or theirs.schedule == OWN or theirs.schedule in schedules:
        return theirs
    if theirs.schedule == "Uniform":
        # Named otherwise, or not to be had: then the server's own for this sampler.
        return theirs._replace(schedule="Normal" if "Normal" in schedules else OWN)
    return None


def _plain(dialect: samplers.Dialect) -> str:
    return "default" if dialect == SDNEXT else "discrete"


def _pick_of_joined(theirs: samplers.Pair, listed: Sequence[str]) -> samplers.Pair | None:
    """An A1111 of before the two were parted has the schedule in the sampler's name ("DPM++ 2M
    Karras"), and without one goes evenly over the steps."""
    evenly = theirs.schedule in (OWN, "Uniform")
    name = theirs.sampler if evenly else f"{theirs.sampler} {theirs.schedule}"
    return samplers.Pair(name, OWN) if name in listed else None


def known_schedulers(dialect: samplers.Dialect, foreign: Mapping[str, Sequence[str]]) -> list[str]:
    """SEIDRA's names for what the server has."""
    return [
        name
        for name in samplers.all_names()
        if samplers.pair(dialect, name)
        and pick_sampler(dialect, RenderRequest("", 0, scheduler=name), foreign)
    ]


# --------------------------------------------------------------------------------- models and LoRAs

_EXTENSION = re.compile(r"\.(safetensors|sft|ckpt|pth?|bin|gguf)$", re.IGNORECASE)
_TITLE_HASH = re.compile(r"\s*\[[0-9a-fA-F]+\]$")


def _without_extension(name: str) -> str:
    """A file's name without extension, case, and the hash that A1111 puts behind it."""
    path = _TITLE_HASH.sub("", name.replace("\\", "/"))
    return _EXTENSION.sub("", path).casefold()


def short_name(name: str) -> str:
    """A file's name without folder, extension, case, and the hash that A1111 puts behind it."""
    return _without_extension(name).rsplit("/", 1)[-1]


def find_name(name: str, listed: Mapping[str, Iterable[str]]) -> list[str]:
    """The keys of `listed` that are meant by `name`: the one that is called just so (by itself or
    by one of its other names), else all that are without extension and case, else without folder
    too."""
    for key, others in listed.items():
        if name == key or name in others:
            return [key]
    for simplify in (_without_extension, short_name):
        wanted = simplify(name)
        found = [
            key
            for key, others in listed.items()
            if wanted in (simplify(key), *(simplify(other) for other in others))
        ]
        if found:
            return found
    return []


_FAMILIES = (
    ("zimage", ("z-image", "zimage", "z_image")),
    ("qwen", ("qwen",)),
    ("flux", ("flux",)),
    ("sd3", ("sd3", "stable diffusion 3", "stable-diffusion-3")),
    ("sdxl", ("sdxl", "sd_xl", "stable diffusion xl", "stable-diffusion-xl")),
    ("sd2", ("sd_v2", "sd_2", "sd2", "stable diffusion 2", "stable-diffusion-v2")),
    ("sd1", ("sd_v1", "sd_1", "sd1", "stable diffusion 1", "stable-diffusion-v1")),
)


def family_of(words: object) -> str | None:
    """The family that a server's word for a model's kind, or a LoRA file's `ss_base_model_version`,
    tells; None where it tells none."""
    text = words.casefold() if isinstance(words, str) else ""
    for family, marks in _FAMILIES:
        if any(mark in text for mark in marks):
            return family
    return None


# ------------------------------------------------------------------------------------------ prompts

_TAG = re.compile(r"<\w+:[^>]*>|</?sd_cpp_extra_args>")
_EXTRA_ARGS = re.compile(r"<sd_cpp_extra_args>.*?</sd_cpp_extra_args>", re.DOTALL)


def plain_text(text: str) -> str:
    """A prompt without what a server would read as orders: tags of extra networks
    (`<lora:name:1>`), and stable-diffusion.cpp's arguments. Looked for again until nothing is left,
    since taking one out may put another together."""
    while True:
        bare = _TAG.sub("", _EXTRA_ARGS.sub("", text))
        if bare == text:
            return text
        text = bare


_UNWRITABLE = re.compile(r"[<>:=]")


def lora_tag(name: str, weight: float, clip_weight: float | None) -> str | None:
    """The words in a prompt that apply a LoRA; None for a name that cannot be written there. The
    first number is the text encoder's weight and, without another, the model's too."""
    if not name or _UNWRITABLE.search(name):
        return None
    if clip_weight is None or clip_weight == weight:
        return f"<lora:{name}:{weight:g}>"
    return f"<lora:{name}:{clip_weight:g}:unet={weight:g}>"
