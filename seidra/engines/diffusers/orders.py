"""What a worker and the process that renders for it say to each other, over a pipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Device:
    """What the process renders on; empty texts and 0 leave it to the machine."""

    name: str = ""
    dtype: str = ""
    threads: int = 0
    offload: bool = False


class Weighted(NamedTuple):
    """A LoRA's file, and how strong it is on the picture's model and on the text encoders."""

    path: str
    weight: float
    clip_weight: float


@dataclass(frozen=True, slots=True)
class Order:
    """One picture. `config` is the folder that says how a single file's model is built, empty for
    a model that is a folder itself. `number` tells one order from another."""

    number: int
    model: str
    config: str
    loras: tuple[Weighted, ...]
    prompt: str
    negative_prompt: str
    seed: int
    width: int
    height: int
    steps: int
    guidance: float
    scheduler: str


class Begun(NamedTuple):
    """The process has loaded its libraries."""


class Step(NamedTuple):
    """So many of so many steps are done."""

    done: int
    steps: int


class Made(NamedTuple):
    """The picture: RGB, three bytes a pixel. `dropped` are the fields that the model has no use
    for."""

    width: int
    height: int
    pixels: bytes
    device: str
    dropped: tuple[str, ...]


class Failed(NamedTuple):
    """The picture cannot be made: an EngineError's parts."""

    message: str
    code: str
    permanent: bool


class Stopped(NamedTuple):
    """The order was cancelled, and nothing of it runs any more."""


Told = Begun | Step | Made | Failed | Stopped
