"""What the engines, as they were last seen, know of the names in a persona."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from seidra.database.base import Connection
from seidra.database.queries import queries
from seidra.engines.base import Capabilities, Model
from seidra.engines.findings import Names
from seidra.engines.stored import read_capabilities
from seidra.exchange.found import Remark
from seidra.prompts import take_tags
from seidra.values import from_json


class Catalogue:
    """The models, LoRAs and samplers of all engines together. What no engine tells is not looked
    at."""

    def __init__(self, seen: Sequence[Capabilities]) -> None:
        self._models = _names([each.models for each in seen])
        # An engine that names neither models nor LoRAs tells nothing of LoRAs.
        self._loras = _names(
            [each.loras for each in seen if "loras" in each.features],
            told=any("loras" in each.features and (each.loras or each.models) for each in seen),
        )
        self._schedulers = {
            name for each in seen for name in (*each.schedulers, *each.foreign.get("samplers", ()))
        }
        self._known: dict[tuple[str, str], bool] = {}

    def unknown(self, values: Mapping[str, Any]) -> Iterator[Remark]:
        """What a persona names and no engine has."""
        params = values["generation_params"]
        model, scheduler = params.get("model_name"), params.get("scheduler")
        if model and not self._has("model", self._models, model):
            yield Remark(
                "model_unknown",
                f"No engine has the model {model!r}.",
                "generation_params.model_name",
            )
        if scheduler and self._schedulers and scheduler not in self._schedulers:
            yield Remark(
                "sampler_unknown",
                f"No engine has the sampler {scheduler!r}.",
                "generation_params.scheduler",
            )
        for field, name in _loras_of(values):
            if not self._has("lora", self._loras, name):
                yield Remark("lora_unknown", f"No engine has the LoRA {name!r}.", field)

    def _has(self, kind: str, names: Names | None, name: str) -> bool:
        if names is None:
            return True
        key = (kind, name)
        if key not in self._known:
            self._known[key] = bool(names.find(name))
        return self._known[key]


def _names(found: Sequence[Mapping[str, Model]], told: bool = False) -> Names | None:
    things = {name: thing for each in found for name, thing in each.items()}
    return Names(things) if things or told else None


def _loras_of(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The LoRAs of a persona, in its list and in its texts, each once: field and name."""
    named: dict[str, str] = {}
    for lora in values["loras"]:
        named.setdefault(lora["name"], "loras")
    for field in ("style_prompt", "negative_prompt"):
        if "<" in values[field]:
            for lora in take_tags(values[field])[1]:
                named.setdefault(lora["name"], field)
    yield from ((field, name) for name, field in named.items())


def read_catalogue(connection: Connection) -> Catalogue:
    """What the engines that workers have seen have."""
    rows = queries.engines.list_all(connection)
    return Catalogue([read_capabilities(from_json(row["capabilities"])) for row in rows])
