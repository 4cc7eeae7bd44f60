"""What can be asked of a server of the `sdapi` family, and what it answers.

Facts: engines.md, C.2 and C.3, and the sources of Forge, SD.Next and stable-diffusion.cpp. Three
manners of the same routes:

* A1111 and Forge take a task's id of ours (`force_task_id`), and tell at `/internal/progress`
  whether it waits or is worked on. That route is missing with `--nowebui`. A task is taken off
  there on success alone: one that failed stays active until the next begins, while
  `/sdapi/v1/progress` says that the server is idle.
* SD.Next takes no id; `/sdapi/v1/progress` tells of whatever runs.
* stable-diffusion.cpp tells nothing of what runs, and cannot be interrupted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from seidra.engines import samplers
from seidra.engines.base import EngineError
from seidra.engines.received import from_base64
from seidra.engines.sdapi.names import A1111, SDCPP, SDNEXT
from seidra.engines.wire import Answer, Nonsense, Wire

_ANY_TASK = "seidra-looks-around"


@dataclass(frozen=True, slots=True)
class Manner:
    """How a server wants to be talked to: its dialect, whether it takes ids of ours (`tasks`), and
    whether it tells what runs (`watched`)."""

    dialect: samplers.Dialect
    tasks: bool
    watched: bool


@dataclass(frozen=True, slots=True)
class Listed:
    """A model or a LoRA that the server lists. `name` is what it is asked for by, `label` what
    people call it, `others` what else it is called, `file` where it lies there."""

    name: str
    label: str
    others: Sequence[str]
    file: str = ""
    hash: str = ""
    kind: str = ""
    """The server's word for what it is made for; empty where it has none."""


@dataclass(frozen=True, slots=True)
class Stock:
    """What a server has, by the names that it is asked for by."""

    models: Mapping[str, Listed]
    loras: Mapping[str, Listed]
    foreign: Mapping[str, Sequence[str]]
    """Samplers and schedules, as in `Capabilities.foreign`."""


class Phase(Enum):
    """Where a render stands on its server. GONE: the server has finished it, or knows nothing of
    it (any more, or yet)."""

    QUEUED = "queued"
    RUNNING = "running"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Look:
    """What a server tells about a render: how far it is, 0 to 1, and what has to change for it to
    count as alive. `frame` is an unfinished picture, `id` what to ask the next one by."""

    phase: Phase
    fraction: float = 0.0
    sign: tuple[Any, ...] = ()
    frame: bytes | None = field(default=None, repr=False)
    frame_id: int = -1


class Server:
    """A line to one server. Every method raises WireError where it cannot be asked, and EngineError
    where it refuses to answer."""

    def __init__(self, wire: Wire, manner: Manner) -> None:
        self.wire = wire
        self.manner = manner

    # ------------------------------------------------------------------------------ what it has

    def stock(self) -> Stock:
        """All that it lists."""
        models = [_model(entry) for entry in self._list("/sdapi/v1/sd-models")]
        schedules: list[str] = []
        if self.manner.dialect != SDNEXT:
            # SD.Next's route of that name lists samplers.
            for entry in self._list("/sdapi/v1/schedulers", missing_ok=True):
                schedules += [_text(entry, "label") or _text(entry, "name")]
        return Stock(
            {model.name: model for model in models if model.name},
            self.loras(),
            {
                "samplers": [
                    name
                    for entry in self._list("/sdapi/v1/samplers")
                    if (name := _text(entry, "name"))
                ],
                "schedules": [name for name in schedules if name],
            },
        )

    def loras(self, *, rescan: bool = False) -> dict[str, Listed]:
        """Its LoRAs; `rescan` has it look at its folders first (stable-diffusion.cpp always
        does)."""
        if rescan and self.manner.dialect != SDCPP:
            self.wire.request("POST", "/sdapi/v1/refresh-loras", json={})
        path = "/sdapi/v1/loras"
        return {
            name: Listed(
                name,
                name,
                [other for key in ("alias", "path") if (other := _text(entry, key))],
                _text(entry, "path"),
                kind=_base_model(entry),
            )
            for entry in self._list(path, missing_ok=True)
            if (name := _text(entry, "name"))
        }

    def loaded_model(self) -> str:
        """The title of the model that SD.Next has loaded; empty where it does not tell."""
        return _text(_table(self._get("/sdapi/v1/checkpoint")), "title")

    def tells_lora_hashes(self) -> bool:
        """Whether the server is set to tell which LoRAs it used."""
        options = _table(self._get("/sdapi/v1/options"))
        return options.get("lora_add_hashes_to_infotext") is not False

    def version(self) -> str:
        """SD.Next's version; A1111 and stable-diffusion.cpp have no route that tells it."""
        if self.manner.dialect != SDNEXT:
            return ""
        answer = _table(self._get("/sdapi/v1/version", missing_ok=True))
        return _text(answer, "updated") or _text(answer, "commit")

    # ------------------------------------------------------------------------------ what runs

    def look(self, task: str, frame_id: int = -1) -> Look:
        """How the render of this id stands; without ids, whatever runs. `frame_id` is that of the
        frame that was seen last."""
        if not (self.manner.tasks and task):
            return self._look_at_all()
        seen = _table(
            self._post(
                "/internal/progress",
                {"id_task": task, "id_live_preview": frame_id, "live_preview": True},
            )
        )
        if seen.get("active") is True:
            phase = Phase.RUNNING
        elif seen.get("queued") is True:
            phase = Phase.QUEUED
        else:
            return Look(Phase.GONE)
        fraction, words = _number(seen.get("progress")), _text(seen, "textinfo")
        return Look(
            phase,
            fraction,
            (phase, fraction, words, seen.get("id_live_preview")),
            _frame(seen.get("live_preview")),
            int(_number(seen.get("id_live_preview"), -1)),
        )

    def _look_at_all(self) -> Look:
        if not self.manner.watched:
            return Look(Phase.GONE)
        seen = self._progress()
        if _is_idle(seen):
            return Look(Phase.GONE)
        state = _table(seen.get("state"))
        fraction = _number(seen.get("progress"))
        marks = (state.get("job"), state.get("job_no"), state.get("sampling_step"))
        return Look(Phase.RUNNING, fraction, (fraction, *marks))

    def idle(self) -> bool:
        """Whether it renders nothing now; false where it does not tell."""
        return self.manner.watched and _is_idle(self._progress())

    def is_over(self, task: str) -> bool:
        """Whether nothing of this render (without ids: nothing at all) waits or runs any more. Only
        where the server is watched."""
        if not (self.manner.tasks and task):
            return self.idle()
        look = self.look(task)
        # A task that failed is called active for ever; then the server is idle.
        return look.phase is Phase.GONE or (look.phase is Phase.RUNNING and self.idle())

    def interrupt(self) -> None:
        """Stop whatever runs: ask first whether it is ours."""
        self.wire.request("POST", "/sdapi/v1/interrupt", json={})

    # ------------------------------------------------------------------------------ asking

    def _progress(self) -> dict[str, Any]:
        return _table(self._get("/sdapi/v1/progress", query={"skip_current_image": "true"}))

    def _get(
        self, path: str, *, query: Mapping[str, str] | None = None, missing_ok: bool = False
    ) -> Any:
        answer = self.wire.request("GET", path, query=query)
        if missing_ok and answer.status == 404:
            return None
        return checked(answer).json()

    def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        return checked(self.wire.request("POST", path, json=body)).json()

    def _list(self, path: str, *, missing_ok: bool = False) -> list[dict[str, Any]]:
        value = self._get(path, missing_ok=missing_ok)
        if value is None:
            return []
        if not isinstance(value, list):
            raise Nonsense("answers with something else than a list")
        return [entry for entry in value if isinstance(entry, dict)]


def find_manner(wire: Wire, dialect: str = "") -> Manner:
    """Find out how this server wants to be talked to; `dialect` is the operator's word for it.
    Raises WireError, and EngineError where it is no server of this family."""
    if dialect == SDCPP:
        return Manner(SDCPP, tasks=False, watched=False)
    if dialect == SDNEXT:
        return Manner(SDNEXT, tasks=False, watched=True)
    if not dialect and wire.request("GET", "/sdapi/v1/status").ok:
        return Manner(SDNEXT, tasks=False, watched=True)
    progress = wire.request("GET", "/sdapi/v1/progress", query={"skip_current_image": "true"})
    if progress.status in (404, 405):
        checked(wire.request("GET", "/sdapi/v1/sd-models"))
        return Manner(A1111 if dialect else SDCPP, tasks=False, watched=False)
    checked(progress)
    ask = {"id_task": _ANY_TASK, "live_preview": False}
    tasks = wire.request("POST", "/internal/progress", json=ask)
    return Manner(A1111, tasks=tasks.ok, watched=True)


# ------------------------------------------------------------------------ answers that are failures

_REFUSED_FIELDS = 5


def checked(answer: Answer) -> Answer:
    """The answer, where it is a success. Raises EngineError in words that repeat nothing of what
    was sent: a server's own message may hold the prompt."""
    if answer.ok:
        return answer
    status = answer.status
    if status in (401, 403):
        raise EngineError(
            "The engine does not take the key that SEIDRA has for it.",
            permanent=True,
            code="engine_key",
        )
    try:
        told = _table(answer.json())
    except Nonsense:
        told = {}
    if status == 404 and told.get("detail") == "Sampler not found":
        raise EngineError(
            "The engine has no such sampler.", permanent=True, code="unknown_scheduler"
        )
    if status in (404, 405):
        raise EngineError(
            "The engine has no API at its address: A1111 and Forge have one when they are started"
            " with --api.",
            permanent=True,
            code="engine_api",
        )
    if status == 422:
        fields = ", ".join(_refused_fields(told.get("detail")))
        raise EngineError(
            f"The engine does not accept the request{f' ({fields})' if fields else ''}.",
            permanent=True,
            code="engine_refused",
        )
    if status == 429:
        raise EngineError("The engine has too many requests now.", code="engine_busy")
    if status < 500:
        raise EngineError(
            "The engine does not accept the request.", permanent=True, code="engine_refused"
        )
    raise _failure(status, _text(told, "error"))


def _failure(status: int, error_class: str) -> EngineError:
    """A1111, Forge and SD.Next name the exception's class; other words are not repeated."""
    if error_class in ("OutOfMemoryError", "torch.OutOfMemoryError", "MemoryError"):
        return EngineError("The engine ran out of memory.", code="out_of_memory")
    if error_class == "NansException":
        return EngineError(
            "The engine's model overflowed and made no picture of it.",
            permanent=True,
            code="black_picture",
        )
    if status in (502, 503, 504):
        return EngineError(
            f"The engine does not answer: what stands before it says {status}.", code="engine_lost"
        )
    named = f" with {error_class}" if error_class.isidentifier() and len(error_class) < 60 else ""
    return EngineError(f"The engine failed{named}.")


def _refused_fields(detail: object) -> list[str]:
    """The names of the fields that a validation error of FastAPI is about. Its messages and inputs
    stay behind: they may hold the prompt."""
    if not isinstance(detail, list):
        return []
    places = [_table(entry).get("loc") for entry in detail[:_REFUSED_FIELDS]]
    names = [str(place[-1]) for place in places if isinstance(place, list) and place]
    return [name for name in names if name.isidentifier() and len(name) < 60]


# ------------------------------------------------------------------------------- reading their JSON


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(table: Mapping[str, Any], key: str) -> str:
    value = table.get(key)
    return value if isinstance(value, str) else ""


def _number(value: object, otherwise: float = 0.0) -> float:
    return float(value) if isinstance(value, int | float) else otherwise


def _is_idle(progress: Mapping[str, Any]) -> bool:
    state = _table(progress.get("state"))
    return state.get("job_count") == 0 and not state.get("job")


def _model(entry: Mapping[str, Any]) -> Listed:
    name, title = _text(entry, "model_name"), _text(entry, "title")
    file = _text(entry, "filename")
    digest = _text(entry, "hash")
    others = [other for other in (name, file, digest) if other]
    return Listed(title or name, name or title, others, file, digest, _text(entry, "type"))


def _base_model(entry: Mapping[str, Any]) -> str:
    return _text(_table(entry.get("metadata")), "ss_base_model_version")


def _frame(value: object) -> bytes | None:
    try:
        return from_base64(value) if value else None
    except EngineError:
        return None
