"""The names that servers of the `sdapi` family have for samplers, schedules, models and LoRAs.

Facts: engines.md, C.2, C.3 and D.7. A1111 and Forge take a sampler and a schedule; without one many
of their samplers take Karras, so that a plain sampler must ask for `Uniform`. SD.Next takes a
sampler and a setting for its sigmas. stable-diffusion.cpp has method names of its own.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

A1111, SDNEXT, SDCPP = "a1111", "sdnext", "sdcpp"
"""The dialects. A1111's is spoken by Forge too."""

PLAIN = ""
"""No schedule of one's own: evenly over the model's steps, whatever the server calls that."""
OWN = "Automatic"
"""The schedule that the server thinks right for the sampler."""

# fmt: off
_SAMPLERS: dict[str, dict[str, tuple[str, str]]] = {
    A1111: {
        "ddim": ("DDIM", OWN),
        "ddpm": ("DDPM", OWN),
        "pndm": ("PLMS", OWN),
        "lms": ("LMS", OWN),
        "euler": ("Euler", OWN),
        "euler_a": ("Euler a", OWN),
        "heun": ("Heun", OWN),
        "dpm2": ("DPM2", PLAIN),
        "dpm2_a": ("DPM2 a", PLAIN),
        "dpmpp_2m": ("DPM++ 2M", PLAIN),
        "dpmpp_2m_sde": ("DPM++ 2M SDE", PLAIN),
        "dpmpp_sde": ("DPM++ SDE", PLAIN),
        "dpmpp_2s_a": ("DPM++ 2S a", PLAIN),
        "dpmpp_3m_sde": ("DPM++ 3M SDE", PLAIN),
        "unipc": ("UniPC", OWN),
        "deis": ("DEIS", OWN),
        "lcm": ("LCM", OWN),
    },
    SDNEXT: {
        "ddim": ("DDIM", PLAIN),
        "ddpm": ("DDPM", PLAIN),
        "pndm": ("PNDM", PLAIN),
        "lms": ("LMSD", PLAIN),
        "euler": ("Euler", PLAIN),
        "euler_a": ("Euler a", PLAIN),
        "heun": ("Heun", PLAIN),
        "dpm2": ("KDPM2", PLAIN),
        "dpm2_a": ("KDPM2 a", PLAIN),
        "dpmpp_2m": ("DPM++ 2M", PLAIN),
        "dpmpp_2m_sde": ("DPM++ 2M SDE", PLAIN),
        "dpmpp_sde": ("DPM++ SDE", PLAIN),
        "dpmpp_2s_a": ("DPM++ 1S", PLAIN),
        "dpmpp_3m_sde": ("DPM++ 3M SDE", PLAIN),
        "unipc": ("UniPC", PLAIN),
        "deis": ("DEIS", PLAIN),
        "lcm": ("LCM", PLAIN),
    },
    SDCPP: {
        "ddim": ("ddim_trailing", PLAIN),
        "euler": ("euler", PLAIN),
        "euler_a": ("euler_a", PLAIN),
        "heun": ("heun", PLAIN),
        "dpm2": ("dpm2", PLAIN),
        "dpmpp_2m": ("dpm++2m", PLAIN),
        "dpmpp_2m_sde": ("dpm++2m_sde", PLAIN),
        "dpmpp_2s_a": ("dpm++2s_a", PLAIN),
        "lcm": ("lcm", "lcm"),
    },
}
_SUFFIXES: dict[str, dict[str, str]] = {
    A1111: {
        "karras": "Karras", "exponential": "Exponential", "sgm_uniform": "SGM Uniform",
        "beta": "Beta", "simple": "Simple",
    },
    SDNEXT: {"karras": "karras", "exponential": "exponential", "beta": "betas"},
    SDCPP: {
        "karras": "karras", "exponential": "exponential", "sgm_uniform": "sgm_uniform",
        "simple": "simple",
    },
}
_PLAIN_NAMES: dict[str, tuple[str, ...]] = {
    A1111: ("Uniform", "Normal", OWN), SDNEXT: ("default",), SDCPP: ("discrete",),
}
# fmt: on


def pick_sampler(
    dialect: str, scheduler: str, samplers: Collection[str], schedules: Collection[str]
) -> tuple[str, str] | None:
    """The server's names for one of SEIDRA's schedulers, or for a name of the server's own; None
    where it has not got it. An A1111 of before the two were parted lists no `schedules` and has
    the schedule in the sampler's name ("DPM++ 2M Karras")."""
    table, suffixes = _SAMPLERS[dialect], _SUFFIXES[dialect]
    if scheduler in table:
        sampler, schedule = table[scheduler]
    else:
        suffix = next((word for word in suffixes if scheduler.endswith(f"_{word}")), None)
        base = scheduler.removesuffix(f"_{suffix}")
        if suffix is None or base not in table:
            return (scheduler, _plain(dialect, schedules)) if scheduler in samplers else None
        sampler, schedule = table[base][0], suffixes[suffix]
        if not schedules and dialect == A1111:
            joined = f"{sampler} {schedule}"
            return (joined, OWN) if joined in samplers else None
    if sampler not in samplers:
        return None
    if schedule == PLAIN:
        return sampler, _plain(dialect, schedules)
    if schedule == OWN or dialect == SDNEXT or schedule in schedules:
        return sampler, schedule
    return None


def _plain(dialect: str, schedules: Collection[str]) -> str:
    names = _PLAIN_NAMES[dialect]
    return next((name for name in names if name in schedules), names[-1])


def known_schedulers(
    dialect: str, samplers: Collection[str], schedules: Collection[str]
) -> list[str]:
    """SEIDRA's names for what the server has."""
    bases = list(_SAMPLERS[dialect])
    names = [*bases, *(f"{base}_{suffix}" for base in bases for suffix in _SUFFIXES[dialect])]
    return [name for name in names if pick_sampler(dialect, name, samplers, schedules)]


# --------------------------------------------------------------------------------- models and LoRAs

_EXTENSION = re.compile(r"\.(safetensors|sft|ckpt|pt|pth|bin|gguf)$", re.IGNORECASE)
_TITLE_HASH = re.compile(r"\s*\[[0-9a-fA-F]+\]$")


def short_name(name: str) -> str:
    """A file's name without folder, extension, the hash that A1111 puts behind it, and case."""
    last = _TITLE_HASH.sub("", name.replace("\\", "/").rsplit("/", 1)[-1])
    return _EXTENSION.sub("", last).casefold()


def find_name(name: str, listed: Mapping[str, Iterable[str]]) -> list[str]:
    """The keys of `listed` that are meant by `name`: the one that is called just so (by itself or
    by one of its other names), else all that are without folder, extension and case."""
    for key, others in listed.items():
        if name == key or name in others:
            return [key]
    wanted = short_name(name)
    return [
        key
        for key, others in listed.items()
        if wanted == short_name(key) or any(wanted == short_name(other) for other in others)
    ]


_FAMILIES = (
    ("zimage", ("z-image", "zimage", "z_image")),
    ("qwen", ("qwen",)),
    ("flux", ("flux",)),
    ("sd3", ("sd3", "stable diffusion 3", "stable-diffusion-3")),
    ("sdxl", ("sdxl", "sd_xl", "stable diffusion xl", "stable-diffusion-xl")),
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
