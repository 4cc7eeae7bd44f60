"""The engine kind `sdapi`: AUTOMATIC1111's API, as A1111, Forge, SD.Next and stable-diffusion.cpp
speak it.

A picture is one blocking POST, made by a helper thread, while the render's own thread watches the
server and obeys its context. What is lost with a connection cannot be fetched again; so before a
second attempt sends anything, it waits until what the first one sent is over. The server changes
silently what it does not know: each answer is compared with what was asked for.

Facts: engines.md, C.2, C.3, D.5 and D.7.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import orjson

from seidra.engines.base import (
    Capabilities,
    Engine,
    EngineError,
    EngineUnavailable,
    Lora,
    Model,
    Options,
    Picture,
    RenderCancelled,
    RenderContext,
    RenderedImage,
    RenderRequest,
    Sizes,
)
from seidra.engines.findings import fit_size, only_one
from seidra.engines.received import (
    LARGEST_PICTURE,
    Call,
    ReceivedPicture,
    read_picture,
    sent_picture,
    trouble,
)
from seidra.engines.sdapi.names import (
    A1111,
    OWN,
    SDCPP,
    SDNEXT,
    family_of,
    find_name,
    known_schedulers,
    lora_tag,
    pick_sampler,
    plain_text,
    short_name,
)
from seidra.engines.sdapi.server import (
    Listed,
    Manner,
    Phase,
    Server,
    Stock,
    checked,
    find_manner,
)
from seidra.engines.sieve import Sieve
from seidra.engines.wire import Answer, Wire, WireError

__all__ = ["SdapiEngine"]

_LOOK_S = 0.5
"""Seconds between two looks at the server."""
_STOPPING_S = 60.0
"""How long a cancelled render stays to stop what waits in the server's queue; `abandon` does it
after that."""
_POST_SILENCE_S = 7 * 24 * 3600.0
"""The POST says nothing until the picture is made: it is the looks that tell whether it lives."""
_PROBE_S = 1.5
"""The most that one of a probe's requests may keep it waiting."""
_LARGEST_ANSWER = LARGEST_PICTURE // 3 * 4 + 4 * 1024 * 1024
_STEP_FACTORS = {"draft": 0.5, "standard": 1.0, "high": 1.5}
_MOST_STEPS = 150
_SEED_MAX = 2**53 - 1
"""Forge took it; the servers' own pages hold seeds as JavaScript's numbers."""
_SIZES = Sizes(multiple=8)
"""What every one of these servers keeps: Forge cuts to a multiple of 8 by itself, without a
word."""
_SIZES_SDCPP = Sizes(multiple=64)


@dataclass(frozen=True, slots=True)
class _Order:
    """What a job asks the server for, in the server's names. `body` lacks the seed and the id."""

    body: Mapping[str, Any]
    model: Listed | None
    loras: tuple[tuple[Lora, Listed], ...]
    sampler: str
    schedule: str
    width: int
    height: int
    steps: int
    guidance: float


@dataclass(slots=True)
class _Task:
    """A picture that is being made: its id on the server (empty where it takes none), and whether
    it began on an idle server, so that what runs until its answer is it."""

    id: str
    alone: bool


class SdapiEngine(Engine):
    """Renders on a server that speaks A1111's API.

    `dialect` may be `a1111`, `sdnext` or `sdcpp`; it is found out where it is not given.
    `extra["shared"]` says that others use the server too: then it goes back to its own model after
    each picture.
    """

    kind = "sdapi"

    def __init__(self, name: str = "", options: Options | None = None) -> None:
        super().__init__(name, options)
        self._wire = Wire(self.options.url, self.options.key)
        self._manner: Manner | None = None
        self._stock: Stock | None = None

    # ------------------------------------------------------------------------------ what it can

    def probe(self) -> Capabilities:
        """What the server lists, under its names and the operator's."""
        with _reaching():
            wire = self._wire.afresh(connect_s=_PROBE_S, silence_s=_PROBE_S)
            server = Server(wire, find_manner(wire, self.options.dialect))
            stock = server.stock()
            version = server.version()
        self._manner, self._stock = server.manner, stock
        dialect = server.manner.dialect
        features = {
            "negative_prompt",
            "seed",
            "steps",
            "guidance",
            "loras",
            "lora_weights",
            "sizes",
        }
        if server.manner.watched:
            features |= {"progress", "cancel_running"}
        if server.manner.tasks:
            features |= {"frames", "cancel_queued", "own_id", "ask"}
        return Capabilities(
            version=version,
            models=_named(stock.models, self.options.models),
            loras=_named(stock.loras, self.options.loras),
            schedulers=known_schedulers(dialect, stock.foreign),
            foreign=stock.foreign,
            features=frozenset(features),
            sizes=_sizes(dialect),
            seed_max=_SEED_MAX,
        )

    # ------------------------------------------------------------------------------ rendering

    def render(self, request: RenderRequest, context: RenderContext) -> Iterator[RenderedImage]:
        """Render the pictures one after another. Raises EngineError (permanent where a model, a
        LoRA or a sampler is missing, or was left out), EngineUnavailable, and what `context`
        raises."""
        with _reaching():
            server = self._server()
            order = self._order(server, request)
            self._await_earlier(server, context)
        wanted = request.wanted()
        for done, picture in enumerate(wanted):

            def report(fraction: float, step: int | None, done: int = done) -> None:
                context.report((done + fraction) / len(wanted), step, order.steps)

            yield self._picture(server, order, request, picture, context, report)
            context.report((done + 1) / len(wanted))

    def abandon(self, state: Mapping[str, Any]) -> bool:
        """Interrupt the task that the state names, once it is worked on: one that waits in the
        server's queue cannot be taken out. Where the server takes no ids, nothing of ours can be
        told from others': true once the server is idle, and at once where it tells nothing."""
        if not state.get("sent"):
            return True
        with _reaching():
            server = self._server()
            task = str(state.get("task") or "")
            if not server.manner.watched or server.is_over(task):
                return True
            if task and server.manner.tasks and server.look(task).phase is Phase.RUNNING:
                server.interrupt()
            return False

    def _server(self) -> Server:
        """A line to the server; it is asked only once how it wants to be talked to."""
        if self._manner is None:
            self._manner = find_manner(self._wire, self.options.dialect)
        return Server(self._wire, self._manner)

    def _picture(
        self,
        server: Server,
        order: _Order,
        request: RenderRequest,
        picture: Picture,
        context: RenderContext,
        report: Callable[[float, int | None], None],
    ) -> RenderedImage:
        seed = picture.seed % (_SEED_MAX + 1)
        body = {**order.body, "seed": seed}
        if server.manner.tasks:
            task = _Task(f"seidra-{uuid4()}", alone=False)
            body["force_task_id"] = task.id
        else:
            with _reaching():
                task = _Task("", alone=server.idle())
        context.remember(task=task.id, sent=True)
        if picture == request.wanted()[0]:
            context.submitting()
        context.raise_if_ended()
        line = self._wire.afresh(silence_s=_POST_SILENCE_S)
        # Ended with the render, so that a server that does not answer a look holds up no leaving.
        looking = Server(self._wire.afresh(), server.manner)
        context.on_end(looking.wire.end)

        sieve = Sieve(LARGEST_PICTURE)

        def ask() -> Answer:
            path = "/sdapi/v1/txt2img"
            return line.request("POST", path, json=body, limit=_LARGEST_ANSWER, take=sieve.feed)

        call = Call(ask, line.end, context)
        try:
            self._follow(looking, task, call, order, context, report)
            told, received = self._received(call, sieve, task, context)
        except RenderCancelled:
            self._stop(server, task, call)
            raise
        finally:
            call.end()
        return self._rendered(server, order, request, picture, seed, told, received)

    def _follow(
        self,
        server: Server,
        task: _Task,
        call: Call,
        order: _Order,
        context: RenderContext,
        report: Callable[[float, int | None], None],
    ) -> None:
        """Watch until the answer is there, and pass on what is seen. What comes after a cancel is
        an unfinished picture: nobody gets it."""
        sign: object = None
        seen_at = time.monotonic()
        frame_id = -1
        while not call.wait(_LOOK_S):
            context.raise_if_ended()
            try:
                look = server.look(task.id, frame_id)
            except (WireError, EngineError):
                # The POST's own answer decides; a server that loads a model answers nothing else.
                look = None
            if look is not None and look.sign != sign:
                sign, seen_at = look.sign, time.monotonic()
            if look is not None and look.phase is Phase.RUNNING and (task.id or task.alone):
                frame_id = look.frame_id
                if look.frame:
                    context.preview(look.frame)
                report(look.fraction, round(look.fraction * order.steps))
            if time.monotonic() - seen_at > self.options.timeout_s:
                self._stop(server, task, call, for_s=0.0)
                raise EngineError(
                    "The engine gave no sign of progress for too long.", code="engine_silent"
                )
        context.raise_if_ended()

    def _received(
        self, call: Call, sieve: Sieve, task: _Task, context: RenderContext
    ) -> tuple[Mapping[str, Any], ReceivedPicture]:
        try:
            answer = call.answer()
            if not task.id:
                # Without an id, nothing else could tell the next attempt that this one is over.
                context.remember(sent=False)
            return _read(checked(answer).json(), sieve)
        except WireError as error:
            # It may be another server by the next time.
            self._manner = None
            raise trouble(error) from error

    def _stop(self, server: Server, task: _Task, call: Call, for_s: float = _STOPPING_S) -> None:
        """Interrupt our render, again and again until its call ends, and never anybody else's. One
        that waits in the server's queue is interrupted when it begins."""
        if not (task.id or task.alone):
            return
        until = time.monotonic() + for_s
        while not call.over:
            with contextlib.suppress(WireError, EngineError):
                if server.look(task.id).phase is Phase.RUNNING:
                    server.interrupt()
            if time.monotonic() > until:
                return
            call.wait_out(_LOOK_S)

    def _await_earlier(self, server: Server, context: RenderContext) -> None:
        """Wait until what an earlier attempt sent is over, so that two do not render the same. Its
        picture is lost with its connection; but the server would make it all the same."""
        if not context.state.get("sent") or not server.manner.watched:
            return
        task = str(context.state.get("task") or "")
        sign: object = None
        seen_at = time.monotonic()
        try:
            while not server.is_over(task):
                look = server.look(task)
                if look.sign != sign:
                    sign, seen_at = look.sign, time.monotonic()
                if time.monotonic() - seen_at > self.options.timeout_s:
                    return
                context.wait(_LOOK_S)
        except RenderCancelled:
            until = time.monotonic() + _STOPPING_S
            with contextlib.suppress(EngineError):
                while not self.abandon(context.state) and time.monotonic() < until:
                    time.sleep(_LOOK_S)
            raise

    # ------------------------------------------------------------------------------ the order

    def _order(self, server: Server, request: RenderRequest) -> _Order:
        """The request in the server's names. Raises EngineError where it lacks something."""
        if self._stock is not None:
            with contextlib.suppress(EngineError):
                return self._order_from(self._stock, server, request)
        # Lists change while a job waits. LoRAs are looked for on the server's disk again.
        if request.loras:
            server.loras(rescan=True)
        self._stock = server.stock()
        return self._order_from(self._stock, server, request)

    def _order_from(self, stock: Stock, server: Server, request: RenderRequest) -> _Order:
        dialect = server.manner.dialect
        model = self._model(stock, request)
        loras = tuple((lora, self._lora(stock, lora)) for lora in request.loras)
        picked = pick_sampler(dialect, request, stock.foreign)
        if picked is None:
            raise EngineError(
                f"The engine has no sampler for {request.scheduler!r}.",
                permanent=True,
                code="unknown_scheduler",
            )
        sampler, schedule = picked
        factor = _STEP_FACTORS.get(request.quality, 1.0)
        steps = min(max(round(request.steps * factor), 1), _MOST_STEPS)
        width, height = fit_size(request.width, request.height, _sizes(dialect))
        prompt = plain_text(request.prompt)
        body: dict[str, Any] = {
            "negative_prompt": plain_text(request.negative_prompt),
            "steps": steps,
            "cfg_scale": request.guidance_scale,
            "width": width,
            "height": height,
            "sampler_name": sampler,
            "batch_size": 1,
            "n_iter": 1,
            "send_images": True,
            "save_images": False,
        }
        if dialect == SDCPP:
            body["lora"] = [
                {"path": listed.file or listed.name, "multiplier": lora.weight}
                for lora, listed in loras
            ]
        else:
            prompt = " ".join([prompt, *(_tag(lora, listed) for lora, listed in loras)])
            settings: dict[str, Any] = {}
            if model is not None:
                settings["sd_model_checkpoint"] = model.name
            if dialect == SDNEXT:
                settings["schedulers_sigma"] = schedule
            body["override_settings"] = settings
            body["override_settings_restore_afterwards"] = bool(self.options.extra.get("shared"))
        if dialect != SDNEXT:
            body["scheduler"] = schedule
        body["prompt"] = prompt
        return _Order(
            body,
            model,
            loras,
            sampler,
            schedule,
            width,
            height,
            steps,
            request.guidance_scale,
        )

    def _model(self, stock: Stock, request: RenderRequest) -> Listed | None:
        """The server's model for the request's; None is whatever it has loaded."""
        name = request.model_name or self.options.default_model
        if not name:
            return None
        return _one("model", name, self.options.models, stock.models)

    def _lora(self, stock: Stock, lora: Lora) -> Listed:
        return _one("LoRA", lora.name, self.options.loras, stock.loras)

    # ------------------------------------------------------------------------------ the answer

    def _rendered(
        self,
        server: Server,
        order: _Order,
        request: RenderRequest,
        picture: Picture,
        seed: int,
        told: Mapping[str, Any],
        received: ReceivedPicture,
    ) -> RenderedImage:
        """The picture with what was used for it. Raises EngineError where the server took another
        model or left a LoRA out; what else it changed becomes a warning."""
        model = _model_used(server, order, told)
        warnings = _lora_findings(server, order, told)
        generation = told.get("extra_generation_params")
        extra: Mapping[str, Any] = generation if isinstance(generation, dict) else {}
        sampler, schedule = _word(told.get("sampler_name")), _word(extra.get("Schedule type"))
        if sampler and not _same_sampler(order.sampler, sampler):
            warnings.append(
                _warning(
                    "sampler_changed",
                    "scheduler",
                    f"The engine has no sampler {order.sampler} and took {sampler}.",
                )
            )
        elif (
            schedule and order.schedule != OWN and schedule.casefold() != order.schedule.casefold()
        ):
            warnings.append(
                _warning(
                    "schedule_changed",
                    "scheduler",
                    f"The engine has no schedule {order.schedule} and took {schedule}.",
                )
            )
        if (received.width, received.height) != (request.width, request.height):
            warnings.append(
                _warning(
                    "size_changed",
                    "width" if received.width != request.width else "height",
                    f"The engine made {received.width}x{received.height} of"
                    f" {request.width}x{request.height}.",
                )
            )
        seed_used = _seed_used(told, received.text)
        if seed != picture.seed:
            warnings.append(
                _warning(
                    "seed_reduced",
                    "seed",
                    f"The engine takes no seed above {_SEED_MAX}; it got {seed}.",
                )
            )
        elif seed_used is not None and seed_used != seed:
            warnings.append(
                _warning("seed_changed", "seed", f"The engine took the seed {seed_used}.")
            )
        used: dict[str, Any] = {
            "sampler": sampler or order.sampler,
            "schedule": schedule or order.schedule,
            "steps": order.steps,
            "guidance": order.guidance,
            "width": received.width,
            "height": received.height,
            "loras": [{"name": listed.name, "weight": lora.weight} for lora, listed in order.loras],
        }
        if model:
            used["model"] = model
        dropped = ["images"] if request.images else []
        if server.manner.dialect == SDCPP and any(lora.clip_weight for lora, _ in order.loras):
            dropped.append("loras.clip_weight")
        return RenderedImage(
            received.data,
            received.mime_type,
            received.width,
            received.height,
            {"engine": self.name, "warnings": warnings} if warnings else {"engine": self.name},
            position=picture.position,
            seed=seed_used,
            used=used,
            dropped=dropped,
        )


# --------------------------------------------------------------------------------- names and sizes


@contextlib.contextmanager
def _reaching() -> Iterator[None]:
    """While nothing was sent for the job yet: a server that cannot be asked is not its fault."""
    try:
        yield
    except WireError as error:
        raise EngineUnavailable(f"The engine {error}.") from error
    except EngineUnavailable:
        raise
    except EngineError as error:
        if error.code in ("engine_lost", "engine_busy"):
            raise EngineUnavailable(str(error)) from error
        raise


def _one(
    what: str,
    name: str,
    mapped: Mapping[str, Mapping[str, Any]],
    listed: Mapping[str, Listed],
) -> Listed:
    """The one that is meant by a name of SEIDRA's. Raises EngineError for none and for several."""
    wanted = str(mapped.get(name, {}).get("file") or name)
    found = find_name(wanted, {key: entry.others for key, entry in listed.items()})
    return listed[only_one(what, name, found)]


def _named(
    listed: Mapping[str, Listed], mapped: Mapping[str, Mapping[str, Any]]
) -> dict[str, Model]:
    """What the server lists, by its own names and, where it has what they stand for, by the
    operator's."""
    families = {key: family_of(entry.kind) for key, entry in listed.items()}
    found = {entry.label: Model(key, families[key]) for key, entry in listed.items()}
    keys = {key: entry.others for key, entry in listed.items()}
    for name, setting in mapped.items():
        hits = find_name(str(setting.get("file") or name), keys)
        if len(hits) == 1:
            found[name] = Model(hits[0], setting.get("family") or families[hits[0]])
    return found


def _sizes(dialect: str) -> Sizes:
    return _SIZES_SDCPP if dialect == SDCPP else _SIZES


def _tag(lora: Lora, listed: Listed) -> str:
    tag = lora_tag(listed.name, lora.weight, lora.clip_weight)
    if tag is None:
        raise EngineError(
            f"The LoRA {lora.name!r} has a name that this engine cannot be asked for.",
            permanent=True,
            code="unknown_lora",
        )
    return tag


# ------------------------------------------------------------------------------ reading the answer


def _read(value: Any, sieve: Sieve) -> tuple[Mapping[str, Any], ReceivedPicture]:
    """What an answer tells of the render, and its picture.
    `info` is JSON as text, or empty; a grid may stand before the picture, and maps of ControlNet
    behind it."""
    images = value.get("images") if isinstance(value, dict) else None
    if not isinstance(images, list) or not images:
        raise EngineError("The engine answered without a picture.", code="nonsense")
    told = _info(value.get("info"))
    first = told.get("index_of_first_image")
    place = first if isinstance(first, int) and 0 <= first < len(images) else 0
    return told, read_picture(sent_picture(images[place], sieve))


def _info(text: object) -> Mapping[str, Any]:
    if not isinstance(text, str) or not text:
        return {}
    try:
        told = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return told if isinstance(told, dict) else {}


def _word(value: object) -> str:
    return value if isinstance(value, str) else ""


def _warning(code: str, field: str, detail: str) -> dict[str, str]:
    return {"code": code, "field": field, "detail": detail}


def _same_sampler(asked: str, used: str) -> bool:
    """ "DPM++ 2M Karras" is taken apart by servers that part sampler and schedule."""
    return asked.casefold() == used.casefold() or asked.casefold().startswith(f"{used} ".casefold())


def _model_used(server: Server, order: _Order, told: Mapping[str, Any]) -> str:
    """The model that was used, as far as the server tells. Raises EngineError for another than was
    asked for: an unknown one is dropped silently, and the one that is loaded renders."""
    name, digest = _word(told.get("sd_model_name")), _word(told.get("sd_model_hash"))
    listed = order.model.hash if order.model else ""
    if not name and not (digest and listed) and server.manner.dialect == SDNEXT:
        # A picture that is there is not lost to a question that fails.
        with contextlib.suppress(WireError, EngineError):
            name = server.loaded_model()
    if order.model is None or not (name or digest):
        return name or (order.model.name if order.model else "")
    model = order.model
    known = {short_name(model.name), *(short_name(other) for other in model.others)}
    if (name and short_name(name) in known) or (digest and digest == model.hash):
        return name or model.name
    if not name and not model.hash:
        # It tells only a hash, and lists none to compare it with.
        return model.name
    raise EngineError(
        f"The engine rendered with another model than {short_name(model.name)!r}"
        f"{f', {name!r}' if name else ''}.",
        permanent=True,
        code="model_changed",
    )


def _lora_findings(server: Server, order: _Order, told: Mapping[str, Any]) -> list[dict[str, str]]:
    """Nothing where the server tells that each LoRA was used, and a warning where it does not tell.
    Raises EngineError for one that it left out: it says no word of that. stable-diffusion.cpp
    refuses what it does not know."""
    if not order.loras or server.manner.dialect == SDCPP:
        return []
    generation = told.get("extra_generation_params")
    extra: Mapping[str, Any] = generation if isinstance(generation, dict) else {}
    if server.manner.dialect == SDNEXT:
        applied = _word(extra.get("LoRA networks")).split(", ")
    else:
        # "style: b66a6b9bc21f, grain: 0123456789ab"; names lose their colons and commas here.
        hashes = _word(extra.get("Lora hashes"))
        applied = [entry.rpartition(": ")[0] for entry in hashes.split(", ")]
    tells = bool(told)
    if tells and not any(applied) and server.manner.dialect == A1111:
        tells = False
        with contextlib.suppress(WireError, EngineError):
            tells = server.tells_lora_hashes()
    if not tells:
        return [
            _warning("loras_untold", "loras", "The engine does not tell which LoRAs it applied.")
        ]
    names = {_bare(name) for name in applied}
    for lora, listed in order.loras:
        if not {_bare(listed.name), *(_bare(other) for other in listed.others)} & names:
            raise EngineError(
                f"The engine rendered without the LoRA {lora.name!r}.",
                permanent=True,
                code="lora_dropped",
            )
    return []


def _bare(name: str) -> str:
    return short_name(name.replace(":", "").replace(",", ""))


_SEED_TEXT = re.compile(r"(?:^|, )Seed: (\d{1,19})(?:,|$)")


def _seed_used(told: Mapping[str, Any], text: str) -> int | None:
    """The seed, by the answer or by the last line of the picture's own text: what stands before
    that line is the prompt."""
    seeds = told.get("all_seeds")
    seed = seeds[0] if isinstance(seeds, list) and seeds else told.get("seed")
    if isinstance(seed, int) and 0 <= seed < 2**63:
        return seed
    found = _SEED_TEXT.search(text.strip().rpartition("\n")[2])
    return int(found.group(1)) if found else None
