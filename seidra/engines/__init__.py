"""Engines by name. A new one is a module here and a line in `_ENGINES`; it is imported when it is
asked for."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from seidra.engines.base import Engine
from seidra.errors import StartError

_ENGINES = {"mock": ("seidra.engines.mock", "MockEngine")}


def check(name: str) -> None:
    """Raise StartError, listing the known ones, unless there is an engine called `name`."""
    if name not in _ENGINES:
        raise StartError(
            f"SEIDRA_ENGINE names no engine: {name!r}; there is {', '.join(sorted(_ENGINES))}."
        )


def get(name: str) -> Engine:
    """Make the engine called `name`. Raises StartError for any other name."""
    check(name)
    module, attribute = _ENGINES[name]
    return cast(Engine, getattr(import_module(module), attribute)())
