"""What a ComfyUI server has: models, LoRAs, samplers, and how a name of ours finds one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seidra.engines.comfyui.client import Client


@dataclass(frozen=True, slots=True)
class Stock:
    """The server's lists, by its own names (files as paths below their folder)."""

    checkpoints: Sequence[str] = ()
    diffusion_models: Sequence[str] = ()
    loras: Sequence[str] = ()
    samplers: Sequence[str] = ()
    schedules: Sequence[str] = ()

    @property
    def foreign(self) -> Mapping[str, Sequence[str]]:
        """Samplers and schedules, as in `Capabilities.foreign`."""
        return {"samplers": self.samplers, "schedules": self.schedules}


def take_stock(client: Client) -> Stock:
    """Ask a server what it has. Its lists are made anew at each question."""
    sampler = client.node("KSampler")
    return Stock(
        checkpoints=choices(client.node("CheckpointLoaderSimple"), "ckpt_name"),
        diffusion_models=choices(client.node("UNETLoader"), "unet_name"),
        loras=choices(client.node("LoraLoader"), "lora_name"),
        samplers=choices(sampler, "sampler_name"),
        schedules=choices(sampler, "scheduler"),
    )


def choices(node: Mapping[str, Any], name: str) -> Sequence[str]:
    """What an input of a node's class may be set to. Both spellings of `/object_info`: a list of
    the values, and `"COMBO"` with `options` beside it. Empty where it is no such input."""
    try:
        spec = node["input"]["required"][name]
        values = spec[0] if isinstance(spec[0], list) else spec[1]["options"]
    except (KeyError, IndexError, TypeError):
        return ()
    return [value for value in values if isinstance(value, str)] if isinstance(values, list) else ()


def matches(name: str, files: Iterable[str]) -> Sequence[str]:
    """The files that a name means: the one called so, else those called so but for case, folder
    and extension."""
    files = list(files)
    if name in files:
        return [name]
    spelled = name.replace("\\", "/").casefold()
    same = [file for file in files if file.replace("\\", "/").casefold() == spelled]
    return same or [file for file in files if stem(file) == stem(name)]


def stem(name: str) -> str:
    """A file's name without folder, extension and case."""
    last = re.split(r"[/\\]", name.casefold())[-1]
    return re.sub(r"\.(safetensors|sft|ckpt|pth?|bin|gguf)$", "", last)


_FAMILIES = (
    (re.compile(r"z[-_ ]?image"), "zimage"),
    (re.compile(r"qwen"), "qwen"),
    (re.compile(r"flux"), "flux"),
    (re.compile(r"sd[-_ ]?3|stable[-_ ]?diffusion[-_ ]?3"), "sd3"),
    (re.compile(r"xl|pony|illustrious|noobai|animagine"), "sdxl"),
    (re.compile(r"sd[-_ ]?1|v1[-_.]?[45]|stable[-_ ]?diffusion[-_ ]?v?1"), "sd1"),
)


def guess_family(file: str) -> str | None:
    """A model's family by its file's name; None where that tells nothing."""
    name = stem(file)
    return next((family for pattern, family in _FAMILIES if pattern.search(name)), None)
