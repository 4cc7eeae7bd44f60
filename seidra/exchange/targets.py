"""The formats that personas are exported in, by the names that people ask for them by; and what one
file, or a ZIP of several, holds."""

from __future__ import annotations

import itertools
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import IO, Any

import orjson

from seidra.exchange import own
from seidra.exchange.belongings import Cover
from seidra.exchange.formats import WRITERS, lost
from seidra.exchange.found import GivenPersona, WrittenFile
from seidra.folding import cut_text
from seidra.media.view import plain_name

SEIDRA = own.FORMAT

_REPORTED = 1_000
"""Personas whose losses are told one by one; of the others there are figures."""

_NAME = 100
"""Characters of a file's name in a ZIP."""


@dataclass(frozen=True)
class Target:
    """How personas go into a format: with which picture, and how many are written together, in one
    file where the format has one for several."""

    cover: Cover = "none"
    together: int = 20_000


TARGETS: Mapping[str, Target] = {
    SEIDRA: Target(together=1),
    "card-png": Target("whole", 1),
    "card-json": Target(together=200),
    "charx": Target("whole", 1),
    "a1111": Target(),
    "sdnext": Target("small", 500),
    "fooocus": Target(),
    "fooocus-preset": Target(together=500),
    "swarmui": Target("small", 500),
    "invokeai": Target(),
    "infotext": Target(together=500),
}
"""By the name of the format that is asked for."""


def write_files(target: str, personas: Sequence[GivenPersona]) -> Sequence[WrittenFile]:
    """Files of personas, as many as are written together."""
    return WRITERS[target].write(personas)


class Losses:
    """What a format cannot carry of personas, counted, and told for the first of them."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.personas = self.lost = 0
        self._codes: Counter[str] = Counter()
        self._told: list[dict[str, Any]] = []

    def add(self, personas: Sequence[GivenPersona], *, nothing: bool = False) -> None:
        """Count what is lost of personas that are written together: `nothing` where they go into a
        library of our own."""
        self.personas += len(personas)
        if nothing:
            return
        remarks = lost(self.target, personas)
        for persona in personas:
            told = remarks.get(persona.uid, ())
            self.lost += len(told)
            self._codes.update(remark.code for remark in told)
            if told and len(self._told) < _REPORTED:
                self._told.append(
                    {
                        "uid": persona.uid,
                        "name": persona.fields["name"],
                        "lost": [
                            {"code": each.code, "field": each.field, "detail": each.detail}
                            for each in told
                        ],
                    }
                )

    def as_json(self) -> dict[str, Any]:
        """For people and programs: how much is lost, of what kinds, and of whom."""
        return {
            "to": self.target,
            "personas": self.personas,
            "lost": self.lost,
            "codes": dict(self._codes),
            "entries": self._told,
        }


def write_zip(out: IO[bytes], losses: Losses, personas: Iterable[GivenPersona]) -> Iterator[int]:
    """Write personas in the format of `losses` into a ZIP, with a report of what is lost. It is
    done as far as it is iterated: each step says how many personas are in it that were not
    before."""
    target = TARGETS[losses.target]
    names = _Names()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for batch in batched(personas, target.together):
            losses.add(batch)
            for file in write_files(losses.target, batch):
                info = zipfile.ZipInfo(names.free(file.name))
                packed = not file.mime_type.startswith("image/")
                info.compress_type = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
                info.external_attr = 0o600 << 16
                archive.writestr(info, file.data)
            yield len(batch)
        report = orjson.dumps(losses.as_json(), option=orjson.OPT_INDENT_2)
        archive.writestr(own.REPORT, report)


def batched(personas: Iterable[GivenPersona], size: int) -> Iterator[list[GivenPersona]]:
    """Personas in lists of this size; the last one may be shorter."""
    left = iter(personas)
    while batch := list(itertools.islice(left, size)):
        yield batch


class _Names:
    """Names of files in one folder: what no system refuses, and none twice, whatever its case."""

    def __init__(self) -> None:
        self._taken = {own.REPORT}

    def free(self, wanted: str) -> str:
        """A name like this one that is not taken yet, and now is."""
        path = PurePath(plain_name(wanted) or "persona")
        stem, ending = cut_text(path.stem, _NAME), path.suffix
        name = f"{stem}{ending}"
        for number in itertools.count(2):
            if name.casefold() not in self._taken:
                break
            name = f"{stem} ({number}){ending}"
        self._taken.add(name.casefold())
        return name
