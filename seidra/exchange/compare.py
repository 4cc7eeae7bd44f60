"""What a file says of a persona, compared with what is here and with what the file said the last
time: field by field, generation parameters key by key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from seidra.values import same_json

Outcome = Literal["there", "here", "conflict"]
"""Whose value holds. `conflict`: both have changed it, or nobody knows who has."""

_ABSENT: Any = object()
_BY_KEY = ("generation_params", "extensions")


class Difference(NamedTuple):
    """One field in which file and persona differ. `name` is dotted for a parameter; a value that is
    not there is None."""

    name: str
    base: Any
    here: Any
    there: Any
    outcome: Outcome

    def shown(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "field": self.name,
            "base": self.base,
            "here": self.here,
            "there": self.there,
            "outcome": self.outcome,
        }


class Compared(NamedTuple):
    """`merged` are all fields as an update would leave them: what the file says wins a conflict."""

    merged: dict[str, Any]
    differences: list[Difference]

    @property
    def changes(self) -> bool:
        """Whether an update would change anything."""
        return any(found.outcome != "here" for found in self.differences)

    @property
    def conflicts(self) -> bool:
        """Whether people have to say what holds."""
        return any(found.outcome == "conflict" for found in self.differences)


def compare(
    base: Mapping[str, Any] | None, here: Mapping[str, Any], there: Mapping[str, Any]
) -> Compared:
    """Compare what a file says (`there`: the fields that it has) with a persona. What changed there
    alone is taken, what changed here alone stays; without a `base` every difference is a
    conflict."""
    merged = {**here, **{name: dict(here.get(name, {})) for name in _BY_KEY if name in there}}
    differences = []
    ours, theirs, before = _flat(here), _flat(there), _flat(base or {})
    for path in [*theirs, *(path for path in before if path[0] in there and path not in theirs)]:
        mine, other = ours.get(path, _ABSENT), theirs.get(path, _ABSENT)
        last = before.get(path, _ABSENT)
        if _same(mine, other):
            continue
        if base is None or not (_same(last, mine) or _same(last, other)):
            outcome: Outcome = "conflict"
        else:
            outcome = "there" if _same(last, mine) else "here"
        if outcome != "here":
            _put(merged, path, other)
        differences.append(
            Difference(".".join(path), _shown(last), _shown(mine), _shown(other), outcome)
        )
    return Compared(merged, differences)


def _flat(values: Mapping[str, Any]) -> dict[tuple[str, ...], Any]:
    found: dict[tuple[str, ...], Any] = {}
    for name, value in values.items():
        if name in _BY_KEY:
            found.update({(name, key): part for key, part in value.items()})
        else:
            found[(name,)] = value
    return found


def _put(merged: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    if len(path) == 1:
        merged[path[0]] = value
    elif value is _ABSENT:
        merged[path[0]].pop(path[1], None)
    else:
        merged[path[0]][path[1]] = value


def _same(one: Any, other: Any) -> bool:
    if one is _ABSENT or other is _ABSENT:
        return one is other
    return same_json(one, other)


def _shown(value: Any) -> Any:
    return None if value is _ABSENT else value
