"""Renders on a ComfyUI server: never two renders of a picture where the server can be asked."""

from __future__ import annotations

import io
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from PIL import Image

from seidra.engines import samplers
from seidra.engines.base import (
    Capabilities,
    Engine,
    EngineError,
    EngineUnavailable,
    Model,
    Options,
    Picture,
    RenderCancelled,
    RenderContext,
    RenderedImage,
    RenderRequest,
)
from seidra.engines.comfyui import failures
from seidra.engines.comfyui.client import Client, Fate, Refused, StoredFile
from seidra.engines.comfyui.graphs import FOLDER, BuiltIn, Drawing, OwnWorkflow
from seidra.engines.comfyui.listener import HAS_SOCKETS, Listener
from seidra.engines.comfyui.recipes import SIZES, ModelFiles, Recipe, make_recipe, read_models
from seidra.engines.comfyui.stock import Stock, guess_family, take_stock
from seidra.engines.wire import Ended, Nonsense, Unreachable, Wire, WireError

_ALWAYS = frozenset({"cancel_queued", "cancel_running", "own_id", "ask"})
_SOCKETS = frozenset({"progress", "frames"})

_MIME_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
_MOST_PIXELS = 8192 * 8192

_BEFORE_STEPS, _OF_STEPS = 0.05, 0.9
"""Shares of a picture's progress: loading and reading the prompt, then the steps, then decoding."""

_LONG_AGO = float("-inf")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the engine waits for what (seconds, and times)."""

    probe_s: float = 5.0
    away_s: float = 30.0
    """A server that is away while it has our job is waited for so long, before the job waits."""
    unknown_times: int = 3
    unknown_wait_s: float = 0.5
    """A job is lost when a server does not know it so many times in a row."""
    unanswered_s: float = 10.0
    """A job whose sending got no answer may yet come, so long after."""
    first_poll_s: float = 0.05
    poll_s: float = 0.5
    heard_poll_s: float = 2.0
    """The longest time between two questions, without and with a socket that tells more."""
    ended_poll_s: float = 0.015
    ended_polls: int = 20
    """A job whose end was heard of is asked after so often: the history is written a moment later,
    and the server has nothing to do meanwhile."""
    stop_s: float = 30.0
    stop_wait_s: float = 0.2
    """A cancel is repeated so long, and so often."""
    sendings: int = 3
    """How often a picture is sent in one render, where the server forgets it."""
    fetches: int = 3


class ComfyUIEngine(Engine):
    """One ComfyUI server, whose pictures are made one by one.

    What `remember` keeps is `{id, client, position}`: the job of the picture in hand on the server
    (an empty id: none), the id of the socket that its messages go to, and which picture it is; and
    `out_of_memory` once it was. A render that finds it asks after that job before it sends any.

    `RenderContext.submitting` is called once a render, before the first job is sent, and again for
    each that is sent because the server forgot one: not for each picture of a job.
    """

    kind: ClassVar[str] = "comfyui"
    patience = Patience()

    def __init__(self, name: str = "", options: Options | None = None) -> None:
        """Raises StartError for a URL, a map of models or a workflow that cannot be used."""
        super().__init__(name, options)
        self.models: Mapping[str, ModelFiles] = read_models(self.options.models)
        self.drawing: Drawing = BuiltIn()
        if self.options.workflow is not None:
            self.drawing = OwnWorkflow(self.options.workflow, self.options.inputs)
        self._wire = Wire(self.options.url, self.options.key)
        self._new: bool | None = None
        self._stock: Stock | None = None
        self._stock_until = 0.0

    # ------------------------------------------------------------------------------ what it can do

    def probe(self) -> Capabilities:
        """What the server has, within five seconds. Raises EngineUnavailable, and EngineError for
        a server that is no ComfyUI."""
        client = self._client()
        timer = threading.Timer(self.patience.probe_s, client.wire.end)
        timer.daemon = True
        timer.start()
        try:
            with self.translating():
                version = client.version()
                client.ask(str(uuid.uuid4()))
                stock = self._take_stock(client)
        except Ended as error:
            raise EngineUnavailable(f"The engine {self.name} does not answer in time.") from error
        finally:
            timer.cancel()
            self._new = client.new
        return self._capabilities(version, stock)

    def _capabilities(self, version: str, stock: Stock) -> Capabilities:
        models = {}
        if self.drawing.with_model:
            models = {file: Model(file, guess_family(file)) for file in stock.checkpoints}
            models |= {name: Model(files.file, files.family) for name, files in self.models.items()}
        loras = {}
        if self.drawing.with_loras:
            loras = {file: Model(file) for file in stock.loras}
            for name, entry in self.options.loras.items():
                family = entry.get("family")
                loras[name] = Model(str(entry.get("file") or name), str(family) if family else None)
        return Capabilities(
            version=version,
            models=models,
            loras=loras,
            schedulers=samplers.available("comfyui", stock.samplers, stock.schedules),
            foreign=stock.foreign,
            features=self.drawing.features | _ALWAYS | (_SOCKETS if HAS_SOCKETS else frozenset()),
            sizes=SIZES,
            images=list(self.drawing.images),
        )

    def _take_stock(self, client: Client) -> Stock:
        stock = take_stock(client)
        if not stock.samplers:
            raise EngineError(
                f"The engine {self.name} answers, and not as a ComfyUI does.",
                code="engine_nonsense",
            )
        self._stock, self._stock_until = stock, time.monotonic() + self.options.turn_s
        return stock

    # ------------------------------------------------------------------------------------- its work

    def render(self, request: RenderRequest, context: RenderContext) -> Iterator[RenderedImage]:
        """Render PNGs (whatever the workflow puts out: PNG, JPEG or WebP), each handed out as soon
        as it is made; sizes are rounded to multiples of eight, which `used` tells.

        A picture that is still in the server's queue is waited for without a limit; one that runs
        is given up after `timeout_s` without a sign of progress.
        """
        rendering = _Rendering(self, self._client(), request, context)
        try:
            yield from rendering.pictures()
        finally:
            rendering.close()
            self._new = rendering.client.new

    def abandon(self, state: Mapping[str, Any]) -> bool:
        """Stop the job of this state, running or queued."""
        job_id = state.get("id")
        if not isinstance(job_id, str) or not job_id:
            return True
        with self.translating():
            return stop(self._client(), job_id, self.patience, sure=False, within_s=5.0)

    def recipe(self, client: Client, request: RenderRequest) -> Recipe:
        """What the request comes to; the server's lists are looked at again where they were seen a
        while ago and something is missing in them."""
        if self._stock is not None and time.monotonic() < self._stock_until:
            try:
                return self._make_recipe(request, self._stock)
            except EngineError:
                # Somebody may have put it there since.
                pass
        return self._make_recipe(request, self._take_stock(client))

    def _make_recipe(self, request: RenderRequest, stock: Stock) -> Recipe:
        return make_recipe(
            request,
            self.options,
            self.models,
            stock,
            with_model=self.drawing.with_model,
            with_loras=self.drawing.with_loras,
            with_sampling=self.drawing.with_sampling,
        )

    def forget_stock(self) -> None:
        """Look at the server's lists anew the next time."""
        self._stock = None

    def _client(self) -> Client:
        return Client(self._wire.afresh(), new=self._new)

    @contextmanager
    def translating(self) -> Iterator[None]:
        """Raise what goes wrong on the wire as what the border knows. Lets Ended through."""
        try:
            yield
        except Ended:
            raise
        except Unreachable as error:
            raise EngineUnavailable(f"The engine {self.name} {error}.") from error
        except WireError as error:
            raise EngineError(f"The engine {self.name} {error}.", code="engine_nonsense") from error
        except Refused as error:
            if error.status in (401, 403):
                raise EngineUnavailable(
                    f"The engine {self.name} does not let SEIDRA in; its operator must look at the"
                    " key."
                ) from error
            raise EngineError(
                f"The engine {self.name} answers with the status {error.status}."
            ) from error


def stop(
    client: Client,
    job_id: str,
    patience: Patience,
    *,
    sure: bool,
    within_s: float,
    sent_at: float = _LONG_AGO,
) -> bool:
    """Cancel a job until the server says that it neither waits nor runs; True when it does so in
    time. `sure` says that the server has had the job: then not to know it is to be rid of it; else
    it may yet come, for a while after `sent_at` (monotonic). Raises what asking raises."""
    until = time.monotonic() + within_s
    unknown = 0
    while True:
        fate = client.ask(job_id)
        if fate.open:
            # Also a cancel that is answered well can be lost: the queue takes the job up, and then
            # forgets that it was to be interrupted.
            client.cancel(job_id, fate)
            unknown, sure = 0, True
        elif fate.status != "unknown" or sure:
            return True
        else:
            unknown += 1
            waited = time.monotonic() - sent_at >= patience.unanswered_s
            if waited and unknown >= patience.unknown_times:
                return True
        if time.monotonic() >= until:
            return False
        time.sleep(patience.stop_wait_s)


class _Rendering:
    """One call of `ComfyUIEngine.render`."""

    def __init__(
        self, engine: ComfyUIEngine, client: Client, request: RenderRequest, context: RenderContext
    ) -> None:
        self.client = client
        self._engine = engine
        self._patience = engine.patience
        self._request = request
        self._context = context
        self._wanted = request.wanted()
        self._index = 0
        self._submitted = False
        self._fraction = 0.0
        self._wake = threading.Event()
        self._uploaded: Mapping[str, str] | None = None
        # The job in hand on the server, and what is known of it.
        self._job_id = ""
        self._had_it = False
        self._sent_at = _LONG_AGO
        self._over = True
        self._client_id = str(context.state.get("client") or uuid.uuid4().hex)
        self._listener = Listener(client.wire, self._client_id, self._wake.set)
        context.on_end(client.wire.end)
        context.on_end(self._wake.set)

    def close(self) -> None:
        """Let go of the sockets."""
        self._listener.close()
        self.client.wire.end()

    def pictures(self) -> Iterator[RenderedImage]:
        """Make the pictures one after the other."""
        with self._translating():
            recipe = self._engine.recipe(self.client, self._request)
        for index, picture in enumerate(self._wanted):
            self._index = index
            yield self._picture(picture, recipe)
            self._report(1.0)

    def _picture(self, picture: Picture, recipe: Recipe) -> RenderedImage:
        try:
            with self._translating():
                return self._make(picture, recipe)
        except RenderCancelled:
            self._stop(self._patience.stop_s)
            raise
        except EngineUnavailable:
            # The job may go on there: the next attempt asks after it.
            raise
        except EngineError:
            # The next attempt is to send a job of its own, and this one must not run beside it:
            # one that may still run is kept in mind, to be asked after.
            if self._stop(self._patience.stop_s):
                self._context.remember(id="")
            raise

    @contextmanager
    def _translating(self) -> Iterator[None]:
        """As the engine's; what ended because the render is to end raises the reason of that."""
        try:
            with self._engine.translating():
                yield
        except Ended:
            self._context.raise_if_ended()
            raise

    def _stop(self, seconds: float) -> bool:
        """Stop the job in hand on the server, if any, over a line of its own. False where it may
        run on: that is left to the next attempt, or to `abandon`."""
        if self._over:
            return True
        self._over = True
        client = self.client.afresh()
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            try:
                return stop(
                    client,
                    self._job_id,
                    self._patience,
                    sure=self._had_it,
                    within_s=left,
                    sent_at=self._sent_at,
                )
            except Unreachable:
                time.sleep(self._patience.stop_wait_s)
            except (WireError, Refused):
                # Something else than a ComfyUI answers there by now.
                return True
        return False

    # --------------------------------------------------------------------------- sending, following

    def _make(self, picture: Picture, recipe: Recipe) -> RenderedImage:
        job_id = self._remembered(picture)
        for _ in range(self._patience.sendings):
            if not job_id:
                job_id = self._send(picture, recipe)
            fate = self._follow(job_id)
            if fate.status == "unknown":
                self._over = True
                # Its file outlives the server's memory.
                data = self._left_behind(job_id)
                if data is not None and (image := _decoded(data)) is not None:
                    return self._finished(picture, recipe, job_id, data, image)
                job_id = ""
                continue
            if fate.status == "completed":
                return self._fetched(picture, recipe, job_id, fate)
            raise self._failure(fate)
        raise EngineError(f"The engine {self._engine.name} forgets what it is sent.")

    def _remembered(self, picture: Picture) -> str:
        """The id of a job that an earlier attempt sent for this picture; empty without one."""
        state = self._context.state
        job_id = state.get("id")
        if not isinstance(job_id, str) or state.get("position") != picture.position:
            return ""
        if job_id:
            # Whether it ever came there is not known, nor when it was sent.
            self._job_id, self._over, self._had_it = job_id, False, False
            self._sent_at = _LONG_AGO
        return job_id

    def _send(self, picture: Picture, recipe: Recipe) -> str:
        job_id = str(uuid.uuid4())
        # A server that is away is found out here, before anything counts as sent.
        self.client.ask(job_id)
        recipe = replace(recipe, images=self._upload())
        graph = self._engine.drawing.graph(recipe, picture.seed, job_id)
        self._listener.wait_ready(1.0)
        self._listener.follow(job_id)
        self._context.remember(id=job_id, client=self._client_id, position=picture.position)
        if self._submitted and self._job_id == "":
            self._context.raise_if_ended()
        else:
            self._context.submitting()
            self._submitted = True
        self._job_id, self._over, self._had_it = job_id, False, False
        self._sent_at = time.monotonic()
        try:
            answer = self.client.submit(job_id, self._client_id, graph)
        except Unreachable as error:
            self._sent_at = time.monotonic()
            if not error.sent:
                self._over = True
                raise
            # It may have come: following it tells.
            return job_id
        except Refused as error:
            # It came to an answer, and so will not come any more.
            self._sent_at = _LONG_AGO
            if error.status != 400:
                raise
            self._over = True
            self._engine.forget_stock()
            raise failures.rejection(error.document) from error
        self._had_it = True
        if answer.get("prompt_id") != job_id:
            self._job_id = str(answer.get("prompt_id"))
            raise EngineError(
                f"The engine {self._engine.name} is older than ComfyUI 0.3.45, the first that takes"
                " the ids of others.",
                permanent=True,
                code="engine_too_old",
            )
        if answer.get("node_errors"):
            raise failures.rejection(answer)
        return job_id

    def _upload(self) -> Mapping[str, str]:
        """The pictures of the request that the workflow takes, put onto the server once a render
        (it may lose its input folder, and files of the same bytes have the same name)."""
        if self._uploaded is None:
            self._uploaded = {
                name: self.client.upload(data)
                for name, data in self._request.images.items()
                if name in self._engine.drawing.images
            }
        return self._uploaded

    def _follow(self, job_id: str) -> Fate:
        """Wait until the job is over or lost. Reports what is heard of it."""
        self._listener.follow(job_id)
        timeout = self._engine.options.timeout_s
        sign_at = time.monotonic()
        ask_at, pause = sign_at, self._patience.first_poll_s
        unknown = ended_polls = 0
        before = ""
        while True:
            now = time.monotonic()
            if now >= ask_at:
                fate = self._ask(job_id)
                now = time.monotonic()
                if fate.status == "unknown":
                    unknown += 1
                    lost = unknown >= self._patience.unknown_times
                    waited = now - self._sent_at >= self._patience.unanswered_s
                    if lost and (self._had_it or waited):
                        return fate
                    pause = self._patience.unknown_wait_s
                elif not fate.open:
                    self._over = True
                    return fate
                else:
                    unknown, self._had_it = 0, True
                    longest = self._patience.poll_s
                    if self._listener.alive:
                        longest = self._patience.heard_poll_s
                    pause = min(pause * 1.5, longest)
                if fate.status != before or fate.status == "pending":
                    before, sign_at = fate.status, now
                self._report(_BEFORE_STEPS if fate.status == "running" else 0.0)
                ask_at = now + (self._patience.ended_poll_s if ended_polls else pause)
                ended_polls = max(ended_polls - 1, 0)
            self._wake.wait(max(ask_at - time.monotonic(), 0.0))
            self._wake.clear()
            self._context.raise_if_ended()
            heard = self._listener.news()
            if heard.step is not None:
                step, steps = heard.step
                sign_at = time.monotonic()
                self._report(_BEFORE_STEPS + _OF_STEPS * step / max(steps, 1), step, steps)
            if heard.frame is not None:
                sign_at = time.monotonic()
                self._context.preview(heard.frame)
            if heard.ended:
                ask_at, ended_polls = time.monotonic(), self._patience.ended_polls
            if before == "running" and time.monotonic() - sign_at > timeout:
                raise EngineError(
                    f"The engine {self._engine.name} made no progress for {timeout} seconds.",
                    code="timed_out",
                )

    def _ask(self, job_id: str) -> Fate:
        """What became of the job; a server that is away is waited for a while."""
        until = time.monotonic() + (self._patience.away_s if self._had_it else 0.0)
        while True:
            try:
                return self.client.ask(job_id)
            except Unreachable:
                if time.monotonic() >= until:
                    raise
            except Refused as error:
                if error.status < 500 or time.monotonic() >= until:
                    raise
            self._context.wait(self._patience.unknown_wait_s)

    def _report(self, fraction: float, step: int | None = None, steps: int | None = None) -> None:
        done = (self._index + min(fraction, 1.0)) / len(self._wanted)
        # A second sampler begins at nothing again.
        self._fraction = max(self._fraction, done)
        self._context.report(self._fraction, step, steps)

    # ------------------------------------------------------------------------------ what comes back

    def _failure(self, fate: Fate) -> EngineError:
        if fate.status == "cancelled":
            return EngineError(
                f"The job was stopped on the engine {self._engine.name} itself.",
                permanent=True,
                code="stopped_on_engine",
            )
        before = bool(self._context.state.get("out_of_memory"))
        failure = failures.execution(fate.error, again=before)
        if failure.code == "out_of_memory":
            self._context.remember(out_of_memory=True)
        return failure

    def _left_behind(self, job_id: str) -> bytes | None:
        """What lies where the job's first picture was to be saved; None where nothing does."""
        try:
            return self.client.fetch(StoredFile(f"{job_id}_00001_.png", FOLDER))
        except (Nonsense, Refused):
            return None

    def _fetched(self, picture: Picture, recipe: Recipe, job_id: str, fate: Fate) -> RenderedImage:
        if not fate.pictures:
            raise EngineError(
                f"The engine {self._engine.name} ended the job without a picture.", permanent=True
            )
        for left in reversed(range(self._patience.fetches)):
            try:
                data = self.client.fetch(fate.pictures[0])
            except (Unreachable, Refused) as error:
                if not left and isinstance(error, Unreachable) and not error.sent:
                    raise
                data = b""
            except Nonsense as error:
                raise EngineError(
                    f"The engine {self._engine.name} {error}.",
                    permanent=True,
                    code="engine_nonsense",
                ) from error
            if data is None:
                raise EngineError(f"The engine {self._engine.name} has lost the picture it made.")
            if data and (image := _decoded(data)) is not None:
                return self._finished(picture, recipe, job_id, data, image)
            if left:
                # A file is not written in one go.
                self._context.wait(self._patience.unknown_wait_s)
        raise EngineError(
            f"The engine {self._engine.name} made a picture that cannot be read.",
            code="engine_nonsense",
        )

    def _finished(
        self, picture: Picture, recipe: Recipe, job_id: str, data: bytes, image: Image.Image
    ) -> RenderedImage:
        if _is_black(image):
            raise EngineError(
                f"The engine {self._engine.name} made a black picture: the model's numbers broke on"
                " the way, which a VAE in half precision often does.",
                permanent=True,
                code="black_picture",
            )
        drawing, request = self._engine.drawing, self._request
        width, height = image.size
        dropped = list(drawing.dropped(recipe, request.parameters))
        dropped += [f"images.{name}" for name in request.images if name not in drawing.images]
        taken = sorted(name for name in request.images if name in drawing.images)
        images = {"images": taken} if taken else {}
        for side, asked, made in (
            ("width", request.width, width),
            ("height", request.height, height),
        ):
            if "sizes" not in drawing.features and asked != made:
                dropped.append(side)
        self._job_id = ""
        self._over = True
        return RenderedImage(
            data,
            _MIME_TYPES[str(image.format)],
            width,
            height,
            {"engine": self._engine.name, "engine_job_id": job_id},
            position=picture.position,
            seed=picture.seed if "seed" in drawing.features else None,
            used={**drawing.used(recipe), **images, "width": width, "height": height},
            dropped=dropped,
        )


def _decoded(data: bytes) -> Image.Image | None:
    """The picture, decoded whole; None where it is none, is cut off, or is damaged."""
    try:
        image = Image.open(io.BytesIO(data), formats=tuple(_MIME_TYPES))
        if image.width * image.height > _MOST_PIXELS:
            return None
        # The check sums first, where the format has some; it leaves nothing to decode.
        image.verify()
        image = Image.open(io.BytesIO(data), formats=tuple(_MIME_TYPES))
        image.load()
    except Exception:
        # Pillow's decoders raise whatever a damaged file makes of them.
        return None
    return image


def _is_black(image: Image.Image) -> bool:
    """Whether every pixel is black: what NaN becomes."""
    return image.convert("L").getextrema() == (0, 0)
