"""What the code of a test can reach, read from the code itself."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest

_TESTS = Path(__file__).parent
_OURS = (_TESTS, _TESTS.parent / "soak")


def reaches(item: pytest.Item, *names: str) -> bool:
    """Whether a test, one of its fixtures, or a function or class of the tests that one of them
    names, however many steps away, names one of these. A name that is only looked up by its text
    is not seen; one that is named and never called is."""
    if not isinstance(item, pytest.Function):
        return True
    definitions = item._fixtureinfo.name2fixturedefs.values()
    roots = [item.function, *(each.func for found in definitions for each in found)]
    return any(not _named_below(root).isdisjoint(names) for root in roots)


def _named_below(root: Any) -> frozenset[str]:
    """All names that the code of `root` and of what it names holds."""
    root = inspect.unwrap(root)
    try:
        return _closure(root)
    except TypeError:
        return frozenset()


@cache
def _closure(root: Any) -> frozenset[str]:
    seen: set[int] = set()
    names: set[str] = set()
    open_ = [root]
    while open_:
        thing = open_.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        for function in _functions(thing):
            found = set(_names(function.__code__))
            names |= found
            open_ += _named(function, found)
    return frozenset(names)


def _functions(thing: Any) -> Iterator[FunctionType]:
    """A function, or all that a class has."""
    thing = inspect.unwrap(getattr(thing, "__func__", thing))
    if isinstance(thing, FunctionType):
        yield thing
    elif isinstance(thing, type):
        for member in vars(thing).values():
            if isinstance(member, property):
                yield from (each for each in (member.fget, member.fset) if each is not None)
            else:
                yield from _functions(member) if not isinstance(member, type) else ()


def _names(code: CodeType) -> Iterator[str]:
    """The global names and attributes of a piece of code and of what is defined within it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _named(function: FunctionType, names: Iterable[str]) -> Iterator[Any]:
    """What of the tests' own a function names: from its module, from a module that it names, or
    from around it."""
    around = [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
    globals_ = [function.__globals__[name] for name in names if name in function.__globals__]
    modules = [each for each in globals_ if isinstance(each, ModuleType) and _is_ours(each)]
    members = [getattr(module, name, None) for module in modules for name in names]
    for thing in (*around, *globals_, *members):
        thing = getattr(thing, "__wrapped__", thing)
        if _is_ours(thing):
            yield thing


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018 (an empty one raises)
    except ValueError:
        return False
    return True


def _is_ours(thing: Any) -> bool:
    if isinstance(thing, ModuleType):
        place = getattr(thing, "__file__", None)
    elif isinstance(thing, FunctionType):
        place = thing.__code__.co_filename
    elif isinstance(thing, type):
        module = inspect.getmodule(thing)
        place = getattr(module, "__file__", None)
    else:
        return False
    return place is not None and any(Path(place).is_relative_to(folder) for folder in _OURS)
