"""The kinds of engines. A new one is a module here and a line in `KINDS`; it is imported when it is
asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import cast

from seidra.config import Settings, engine_prefix, read_settings
from seidra.engines.base import Engine
from seidra.errors import StartError

KINDS: Mapping[str, tuple[str, str]] = {"mock": ("seidra.engines.mock", "MockEngine")}
"""The module and the class of each kind."""


def engine_class(kind: str) -> type[Engine]:
    """The class of a kind of engine. Raises StartError, listing the known ones, for any other."""
    if kind not in KINDS:
        raise StartError(
            f"SEIDRA_ENGINE names no engine: {kind!r}; there is {', '.join(sorted(KINDS))}."
        )
    module, name = KINDS[kind]
    return cast(type[Engine], getattr(import_module(module), name))


def make(kind: str, name: str, variables: Mapping[str, str] = MappingProxyType({})) -> Engine:
    """Make an engine of a kind, called `name`, with the settings that the kind declares as
    `variables` give them. Raises StartError for another kind or a value that breaks its rule."""
    declaring = engine_class(kind)
    return declaring(name=name, **read_settings(declaring, engine_prefix(kind), variables))


def make_selected(settings: Settings) -> Engine:
    """The engine that SEIDRA_ENGINE selects: the only one of its kind, and called like it."""
    return make(settings.engine, settings.engine, settings.engine_variables)
