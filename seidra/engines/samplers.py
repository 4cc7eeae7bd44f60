"""Schedulers: SEIDRA's names for them, and what each kind of engine calls the same thing.

A name of ours is a sampler with an optional schedule behind it: `dpmpp_2m`, `dpmpp_2m_karras`. The
facts are from engines.md, D.7: the lists of ComfyUI 0.30.0, Forge of June 2025, sd-server and the
classes of diffusers 0.42.1 as they run, SD.Next of July 2026 as it is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from seidra.engines.base import RenderRequest

Dialect = Literal["comfyui", "a1111", "sdnext", "sdcpp"]
"""Whose names a pair has. `a1111` is Forge too; SD.Next's schedule is its `schedulers_sigma`."""


class Pair(NamedTuple):
    """A sampler and a schedule, as an engine calls them."""

    sampler: str
    schedule: str


class DiffusersClass(NamedTuple):
    """A scheduler's class in diffusers, and what its `from_config` is given beside the config."""

    name: str
    settings: Mapping[str, Any]


DIALECTS: Sequence[Dialect] = ("comfyui", "a1111", "sdnext", "sdcpp")
SUFFIXES = ("karras", "exponential", "sgm_uniform", "beta", "simple")
"""The schedules that a name of ours may end in."""

# A sampler's plain form, in the order of DIALECTS; empty where there is none. A1111's "Automatic"
# means Karras or Exponential for the samplers of DPM, so that their plain form says "Uniform".
_PLAIN = {
    "ddim": ("ddim/ddim_uniform", "DDIM/Automatic", "DDIM/default", "ddim_trailing/discrete"),
    "ddpm": ("ddpm/normal", "DDPM/Automatic", "DDPM/default", ""),
    "pndm": ("", "PLMS/Automatic", "PNDM/default", ""),
    "lms": ("lms/normal", "LMS/Automatic", "LMSD/default", ""),
    "euler": ("euler/normal", "Euler/Automatic", "Euler/default", "euler/discrete"),
    "euler_a": (
        "euler_ancestral/normal",
        "Euler a/Automatic",
        "Euler a/default",
        "euler_a/discrete",
    ),
    "heun": ("heun/normal", "Heun/Automatic", "Heun/default", "heun/discrete"),
    "dpm2": ("dpm_2/normal", "DPM2/Uniform", "KDPM2/default", "dpm2/discrete"),
    "dpm2_a": ("dpm_2_ancestral/normal", "DPM2 a/Uniform", "KDPM2 a/default", ""),
    "dpmpp_2m": ("dpmpp_2m/normal", "DPM++ 2M/Uniform", "DPM++ 2M/default", "dpm++2m/discrete"),
    "dpmpp_2m_sde": (
        "dpmpp_2m_sde/normal",
        "DPM++ 2M SDE/Uniform",
        "DPM++ 2M SDE/default",
        "dpm++2m_sde/discrete",
    ),
    "dpmpp_sde": ("dpmpp_sde/normal", "DPM++ SDE/Uniform", "DPM++ SDE/default", ""),
    "dpmpp_2s_a": (
        "dpmpp_2s_ancestral/normal",
        "DPM++ 2S a/Uniform",
        "DPM++ 1S/default",
        "dpm++2s_a/discrete",
    ),
    "dpmpp_3m_sde": ("dpmpp_3m_sde/normal", "DPM++ 3M SDE/Uniform", "DPM++ 3M SDE/default", ""),
    "unipc": ("uni_pc/normal", "UniPC/Automatic", "UniPC/default", ""),
    "deis": ("deis/normal", "DEIS/Automatic", "DEIS/default", ""),
    "lcm": ("lcm/sgm_uniform", "LCM/SGM Uniform", "LCM/default", "lcm/lcm"),
}

_SCHEDULES: Mapping[str, Mapping[str, str]] = {
    "comfyui": {name: name for name in SUFFIXES},
    "a1111": {
        "karras": "Karras",
        "exponential": "Exponential",
        "sgm_uniform": "SGM Uniform",
        "beta": "Beta",
        "simple": "Simple",
    },
    "sdnext": {"karras": "karras", "exponential": "exponential", "beta": "betas"},
    "sdcpp": {name: name for name in ("karras", "exponential", "sgm_uniform", "simple")},
}

_NO_SIGMAS = frozenset({"ddim", "ddpm", "pndm", "euler_a", "lcm"})
"""Those whose class in diffusers (which SD.Next uses too) takes no other sigmas."""

_PLAIN_ONLY: Mapping[str, frozenset[str]] = {
    "comfyui": frozenset(),
    # Samplers over timesteps: A1111 takes a schedule beside them and ignores it.
    "a1111": frozenset({"ddim", "pndm", "unipc"}),
    "sdnext": _NO_SIGMAS,
    "sdcpp": frozenset({"lcm"}),
}

_DIFFUSERS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "ddim": ("DDIMScheduler", {}),
    "ddpm": ("DDPMScheduler", {}),
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True}),
    "lms": ("LMSDiscreteScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler_a": ("EulerAncestralDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "dpm2": ("KDPM2DiscreteScheduler", {}),
    "dpm2_a": ("KDPM2AncestralDiscreteScheduler", {}),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++"}),
    "dpmpp_2m_sde": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    "dpmpp_sde": ("DPMSolverSDEScheduler", {}),
    "dpmpp_2s_a": ("DPMSolverSinglestepScheduler", {}),
    "dpmpp_3m_sde": (
        "DPMSolverMultistepScheduler",
        {"algorithm_type": "sde-dpmsolver++", "solver_order": 3},
    ),
    "unipc": ("UniPCMultistepScheduler", {}),
    "deis": ("DEISMultistepScheduler", {}),
    "lcm": ("LCMScheduler", {}),
}
_SIGMAS = {
    "karras": "use_karras_sigmas",
    "exponential": "use_exponential_sigmas",
    "beta": "use_beta_sigmas",
}

_DEFAULT_SCHEDULE: Mapping[str, str] = {
    "comfyui": "normal",
    "a1111": "Automatic",
    "sdnext": "default",
    "sdcpp": "discrete",
}
"""What a sampler of the engine's own is sent with where nobody named a schedule."""


def all_names() -> list[str]:
    """Every scheduler that SEIDRA has a name for."""
    return [name for plain in _PLAIN for name in (plain, *(f"{plain}_{end}" for end in SUFFIXES))]


def split(name: str) -> tuple[str, str] | None:
    """The sampler and the schedule (or "") of a name of ours; None for any other text."""
    if name in _PLAIN:
        return name, ""
    for suffix in SUFFIXES:
        sampler = name.removesuffix(f"_{suffix}")
        if sampler != name and sampler in _PLAIN:
            return sampler, suffix
    return None


def pair(dialect: Dialect, name: str) -> Pair | None:
    """What an engine of that dialect is sent for a name of ours; None where it has no such
    thing."""
    parts = split(name)
    if parts is None:
        return None
    sampler, suffix = parts
    plain = _PLAIN[sampler][DIALECTS.index(dialect)]
    if not plain:
        return None
    theirs = Pair(*plain.split("/"))
    if not suffix:
        return theirs
    schedule = _SCHEDULES[dialect].get(suffix)
    if schedule is None or sampler in _PLAIN_ONLY[dialect]:
        return None
    return theirs._replace(schedule=schedule)


def diffusers_class(name: str) -> DiffusersClass | None:
    """The class of a name of ours, and its settings; None where diffusers has no such thing. `lms`
    and every `_beta` need scipy, `dpmpp_sde` torchsde."""
    parts = split(name)
    if parts is None:
        return None
    sampler, suffix = parts
    class_name, settings = _DIFFUSERS[sampler]
    if not suffix:
        return DiffusersClass(class_name, settings)
    if suffix not in _SIGMAS or sampler in _NO_SIGMAS:
        return None
    return DiffusersClass(class_name, {**settings, _SIGMAS[suffix]: True})


def diffusers_names() -> list[str]:
    """The names of ours that diffusers has a class for."""
    return [name for name in all_names() if diffusers_class(name)]


def available(
    dialect: Dialect, samplers: Iterable[str], schedules: Iterable[str] = ()
) -> list[str]:
    """The names of ours that an engine can do which lists these samplers and schedules; without
    any schedule listed, only the sampler is looked at.

    Case, blanks and marks make no difference: A1111 takes a schedule by its name (`sgm_uniform`)
    and by its label (`SGM Uniform`).
    """
    has_sampler = {_fold(name) for name in samplers}
    has_schedule = {_fold(name) for name in schedules}
    found = []
    for name in all_names():
        theirs = pair(dialect, name)
        if theirs is None or _fold(theirs.sampler) not in has_sampler:
            continue
        if not has_schedule or _fold(theirs.schedule) in has_schedule:
            found.append(name)
    return found


def choose(
    dialect: Dialect, request: RenderRequest, foreign: Mapping[str, Sequence[str]]
) -> Pair | None:
    """The pair to send for a request: ours translated, or a name of the engine's own passed
    through where it lists that very name (`Capabilities.foreign`). None: the engine has it not.

    The persona's own pair (`wanted_pair`) goes before `request.scheduler`.
    """
    own = wanted_pair(request)
    if own is None:
        translated = pair(dialect, request.scheduler)
        if translated is not None:
            return translated
        own = Pair(request.scheduler, "")
    if not lists_pair(own, foreign):
        return None
    return own if own.schedule else own._replace(schedule=_DEFAULT_SCHEDULE[dialect])


def wanted_pair(request: RenderRequest) -> Pair | None:
    """Another tool's sampler and schedule that the parameters keep, as no name of ours is known
    for them; None where `scheduler` says it. A schedule that nobody named is ""."""
    sampler, schedule = request.parameters.get("sampler"), request.parameters.get("schedule")
    if not isinstance(sampler, str) or not sampler or request.parameters.get("scheduler"):
        return None
    return Pair(sampler, schedule if isinstance(schedule, str) else "")


def lists_pair(wanted: Pair, foreign: Mapping[str, Sequence[str]]) -> bool:
    """Whether an engine that lists these names of its own lists that very sampler and schedule."""
    return wanted.sampler in foreign.get("samplers", ()) and (
        not wanted.schedule or wanted.schedule in foreign.get("schedules", ())
    )


# ------------------------------------------------------------------------- what other tools write


def recognise(sampler: str, schedule: str | None = None) -> str | None:
    """Our name for another tool's sampler and schedule, in the spelling of any of them; None where
    there is no name of ours that makes the same picture.

    Without a schedule, one that the sampler's name ends in counts ("DPM++ 2M Karras", InvokeAI's
    "dpmpp_2m_k"). "Automatic" is A1111's word: Karras or Exponential for most samplers of DPM.
    """
    plain = _SAMPLERS.get(_fold(sampler))
    within = ""
    if plain is None:
        plain, within = _ending_in_schedule(sampler)
    if plain is None:
        return None
    named = _fold(schedule or "")
    if named == "automatic":
        named = within or _AUTOMATIC.get(plain, "")
    if within and named not in ("", within):
        return None
    named = named or within
    if not named or named in _plain_schedules(plain):
        return plain
    suffix = _SUFFIX_OF.get(named)
    return f"{plain}_{suffix}" if suffix else None


def _fold(name: str) -> str:
    """A name without case, blanks and marks; the ++ of DPM++ is what ComfyUI writes as pp."""
    return re.sub(r"[\W_]", "", name.casefold().replace("++", "pp"))


_SAMPLERS = {
    _fold(name): plain
    for plain, row in _PLAIN.items()
    for name in (
        plain,
        *(cell.split("/")[0] for cell in row if cell),
        # The class alone names one sampler where no other needs settings to be told from it.
        *([_DIFFUSERS[plain][0]] if plain not in ("dpmpp_2m_sde", "dpmpp_3m_sde") else ()),
    )
    # What is only near in one dialect is not the same thing when it comes from there.
    if name not in ("DPM++ 1S", "DPMSolverSinglestepScheduler")
} | {
    # Stable Diffusion's first scripts, InvokeAI, AI Horde and NovelAI
    "plms": "pndm",
    "kdpm2": "dpm2",
    "kdpm2a": "dpm2_a",
    "keuler": "euler",
    "keulera": "euler_a",
    "keulerancestral": "euler_a",
    "kheun": "heun",
    "klms": "lms",
    "kdpm2ancestral": "dpm2_a",
    "kdpmpp2m": "dpmpp_2m",
    "kdpmpp2sancestral": "dpmpp_2s_a",
    "kdpmpp2sa": "dpmpp_2s_a",
    "kdpmppsde": "dpmpp_sde",
    "kdpmpp2msde": "dpmpp_2m_sde",
}

_SUFFIX_OF = {_fold(suffix): suffix for suffix in SUFFIXES} | {"betas": "beta"}

_AUTOMATIC = {
    "dpm2": "karras",
    "dpm2_a": "karras",
    "dpmpp_2m": "karras",
    "dpmpp_sde": "karras",
    "dpmpp_2s_a": "karras",
    "dpmpp_2m_sde": "exponential",
    "dpmpp_3m_sde": "exponential",
}
"""The schedule that A1111 takes for "Automatic"; the model's own sigmas for all others."""


def _plain_schedules(plain: str) -> set[str]:
    """The schedules beside which a sampler is our plain name, folded."""
    found = {_fold(cell.split("/")[1]) for cell in _PLAIN[plain] if cell}
    # The two have other words for the model's own sigmas.
    return found | ({"normal", "uniform"} if found & {"normal", "uniform"} else set())


def _ending_in_schedule(sampler: str) -> tuple[str | None, str]:
    """The sampler and the folded schedule of a name that holds both."""
    folded = _fold(sampler)
    for ending in _SUFFIX_OF:
        plain = _SAMPLERS.get(folded.removesuffix(ending)) if folded.endswith(ending) else None
        if plain:
            return plain, ending
    if sampler.endswith("_k"):
        return _SAMPLERS.get(_fold(sampler[:-2])), "karras"
    return None, ""
