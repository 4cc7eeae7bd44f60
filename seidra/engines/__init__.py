"""The kinds of engines, and how the configured ones are made. A new kind is a module here and a
line in `KINDS`; it is imported when an engine of it is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from importlib import import_module
from typing import cast

from seidra.config import Settings
from seidra.engines.base import Engine
from seidra.engines.setup import Configured, Setup, read_engines
from seidra.errors import StartError

KINDS: Mapping[str, tuple[str, str]] = {
    "mock": ("seidra.engines.mock", "MockEngine"),
    "comfyui": ("seidra.engines.comfyui", "ComfyUIEngine"),
    "sdapi": ("seidra.engines.sdapi", "SdapiEngine"),
    "openai": ("seidra.engines.openai", "OpenaiEngine"),
    "diffusers": ("seidra.engines.diffusers", "DiffusersEngine"),
}
"""The module and the class of each kind."""

OWN_WORKER = frozenset({"diffusers"})
"""The kinds that only `flask worker` serves, also the one that `flask serve` begins: they render on
this machine with gigabytes of libraries, which no server process is to carry."""


@lru_cache(maxsize=4)
def read_setup(settings: Settings) -> Setup:
    """Which engines there are, as these settings say; files are read at the first call. Raises
    StartError."""
    setup = read_engines(
        {
            settings.variable(field): getattr(settings, field) or ""
            for field in ("engines", "engine", "engine_url", "engine_key_file")
        }
    )
    folder = str(settings.models_dir)
    return replace(
        setup,
        engines={
            name: engine._replace(options=replace(engine.options, models_dir=folder))
            if engine.kind in OWN_WORKER
            else engine
            for name, engine in setup.engines.items()
        },
    )


def make(name: str, configured: Configured) -> Engine:
    """Make an engine, called `name`: one for each thread that renders. Raises StartError for a kind
    that this version has not, or options that break the kind's rules."""
    if configured.kind not in KINDS:
        raise StartError(
            f"The engine {name!r} is of the kind {configured.kind!r}, which this version has not;"
            f" there is {', '.join(sorted(KINDS))}."
        )
    module, class_name = KINDS[configured.kind]
    kind = cast(type[Engine], getattr(import_module(module), class_name))
    return kind(name, configured.options)


def without_own_worker(setup: Setup) -> Setup:
    """The engines that a server process may serve."""
    return _chosen(setup, own=False)


def with_own_worker(setup: Setup) -> Setup:
    """The engines that a server process may not serve."""
    return _chosen(setup, own=True)


def _chosen(setup: Setup, *, own: bool) -> Setup:
    chosen = {
        name: engine for name, engine in setup.engines.items() if (engine.kind in OWN_WORKER) is own
    }
    return replace(setup, engines=chosen)


def check_setup(settings: Settings) -> Setup:
    """Read which engines there are and make each once, so that a wrong one stops the start. Raises
    StartError."""
    setup = read_setup(settings)
    for name, configured in setup.engines.items():
        make(name, configured)
    return setup
