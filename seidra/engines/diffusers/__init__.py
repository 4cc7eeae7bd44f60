"""The engine kind `diffusers`: models from SEIDRA_MODELS_DIR, rendered on this machine by a process
of the worker's own.

This side knows no torch: it reads the folder, sends orders to the process (`child`) and watches it.
The process keeps its model from picture to picture; when it hangs, runs out of memory or is killed,
it goes, and the next picture begins another.

Facts: engines.md, B, D.5 and D.7.
"""

from __future__ import annotations

import io
import itertools
import multiprocessing
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib import metadata, util
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

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
    RenderContext,
    RenderedImage,
    RenderRequest,
    Sizes,
)
from seidra.engines.diffusers import child, shelf
from seidra.engines.diffusers.orders import (
    Device,
    Failed,
    Made,
    Order,
    Step,
    Stopped,
    Told,
    Weighted,
)
from seidra.engines.findings import fit_size, only_one, resolve
from seidra.errors import StartError

__all__ = ["FEATURES", "DiffusersEngine"]

FEATURES = frozenset({
    "negative_prompt", "seed", "steps", "guidance", "loras", "lora_weights", "sizes", "progress",
    "cancel_running",
})  # fmt: skip
_SIZES = Sizes(multiple=8)
_STEP_FACTORS = {"draft": 0.5, "standard": 1.0, "high": 1.5}
_MOST_STEPS = 150
_LOOK_S = 0.1
"""How soon an end of the render is noticed."""
_STOPPING_S = 5.0
"""How long a cancelled picture may go on to the end of its step; then the process is killed."""
_DTYPES = ("float16", "bfloat16", "float32")
_NEEDS = {"lms": "scipy", "dpmpp_sde": "torchsde"}
"""The packages without which diffusers cannot do a sampler; every beta schedule needs scipy."""
_EXTRA = ("device", "dtype", "threads", "offload", "title")


class DiffusersEngine(Engine):
    """Renders models that lie in a folder of this machine.

    `extra` may say `device` ("cuda", "cuda:1", "mps", "cpu"; the best there is), `dtype`, `threads`
    of the processor, and `offload` (true: parts of the model wait in main memory).
    """

    kind = "diffusers"

    def __init__(self, name: str = "", options: Options | None = None) -> None:
        super().__init__(name, options)
        self._device = _read_device(self.name, self.options.extra)
        self._process: _Process | None = None
        self._numbers = itertools.count(1)

    @property
    def _folder(self) -> Path:
        return Path(self.options.models_dir)

    # ------------------------------------------------------------------------------ what it can

    def probe(self) -> Capabilities:
        """What lies in the folder. Raises EngineUnavailable where the libraries are not installed,
        or the folder cannot be read."""
        return Capabilities(
            version=_installed_version(),
            models=self._models(),
            loras=self._loras(),
            schedulers=_schedulers(),
            features=FEATURES,
            sizes=_SIZES,
            cuts_prompts=True,
        )

    def _models(self) -> dict[str, Model]:
        try:
            return _named(shelf.find_models(self._folder), self.options.models)
        except OSError as error:
            raise EngineUnavailable("The folder of models cannot be read.") from error

    def _loras(self) -> dict[str, Model]:
        try:
            return _named(shelf.find_loras(self._folder), self.options.loras)
        except OSError as error:
            raise EngineUnavailable("The folder of LoRAs cannot be read.") from error

    # ------------------------------------------------------------------------------ rendering

    def render(self, request: RenderRequest, context: RenderContext) -> Iterator[RenderedImage]:
        """Render the pictures one after another. Raises EngineError, EngineUnavailable and what
        `context` raises."""
        _installed_version()
        order, used = self._order(request)
        context.submitting()
        wanted = request.wanted()
        for done, picture in enumerate(wanted):

            def report(step: int, done: int = done) -> None:
                # The last step is followed by the decoding.
                fraction = 0.95 * step / order.steps
                context.report((done + fraction) / len(wanted), step, order.steps)

            numbered = replace(order, number=next(self._numbers), seed=picture.seed)
            yield self._picture(numbered, used, request, picture, context, report)
            context.report((done + 1) / len(wanted))

    def _picture(
        self,
        order: Order,
        used: Mapping[str, Any],
        request: RenderRequest,
        picture: Picture,
        context: RenderContext,
        report: Any,
    ) -> RenderedImage:
        made = self._made(order, context, report)
        dropped = [*(["images"] if request.images else []), *made.dropped]
        image = Image.frombytes("RGB", (made.width, made.height), made.pixels)
        if image.convert("L").getextrema() == (0, 0):
            raise EngineError(
                "The picture is black all over: the model's VAE overflowed (try another dtype), or"
                " its safety filter blanked it.",
                permanent=True,
                code="black_picture",
            )
        return RenderedImage(
            _encoded(image),
            "image/png",
            made.width,
            made.height,
            {"engine": self.name},
            position=picture.position,
            seed=picture.seed,
            used={**used, "width": made.width, "height": made.height, "device": made.device},
            dropped=dropped,
        )

    def _made(self, order: Order, context: RenderContext, report: Any) -> Made:
        """Send the order and watch until the picture is there. Whoever leaves in between leaves no
        process behind that renders for nobody."""
        process = self._process
        if process is None or not process.alive:
            process = self._process = _Process(self._device)
        try:
            process.send(order)
            seen_at = time.monotonic()
            while True:
                told = process.read(_LOOK_S)
                context.raise_if_ended()
                if isinstance(told, Step):
                    report(told.done)
                if told is not None:
                    seen_at = time.monotonic()
                if isinstance(told, Made):
                    return told
                if isinstance(told, Failed):
                    raise EngineError(told.message, permanent=told.permanent, code=told.code)
                if time.monotonic() - seen_at > self.options.timeout_s:
                    raise EngineError(
                        "The process that renders gave no sign of progress for too long.",
                        code="engine_silent",
                    )
        except EngineError as error:
            # A model that does not go leaves the process as good as new.
            if not error.permanent:
                self._end_process()
            raise
        except BaseException:
            if not (context.cancelled and process.cancel(order.number)):
                self._end_process()
            raise

    def _end_process(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()

    # ------------------------------------------------------------------------------ the order

    def _order(self, request: RenderRequest) -> tuple[Order, dict[str, Any]]:
        """The request in files and numbers, and what will be used for it. Raises EngineError where
        something is missing."""
        models, loras = self._models(), self._loras()
        name = request.model_name or self.options.default_model
        model = only_one("model", name, resolve(name, models)) if name else next(iter(models), None)
        if model is None:
            raise EngineError(
                "There is no model in SEIDRA_MODELS_DIR.", permanent=True, code="unknown_model"
            )
        taken = [
            (only_one("LoRA", lora.name, resolve(lora.name, loras)), lora) for lora in request.loras
        ]
        if samplers.diffusers_class(request.scheduler) is None or (
            request.scheduler not in _schedulers()
        ):
            raise EngineError(
                f"The engine has no sampler for {request.scheduler!r}.",
                permanent=True,
                code="unknown_scheduler",
            )
        steps = round(request.steps * _STEP_FACTORS.get(request.quality, 1.0))
        steps = min(max(steps, 1), _MOST_STEPS)
        width, height = fit_size(request.width, request.height, _SIZES)
        order = Order(
            number=0,
            model=str(self._folder / models[model].file),
            config=self._config_of(models[model]),
            loras=tuple(
                Weighted(
                    str(self._folder / shelf.LORAS / loras[key].file),
                    lora.weight,
                    lora.weight if lora.clip_weight is None else lora.clip_weight,
                )
                for key, lora in taken
            ),
            prompt=request.prompt,
            negative_prompt=request.negative_prompt,
            seed=0,
            width=width,
            height=height,
            steps=steps,
            guidance=request.guidance_scale,
            scheduler=request.scheduler,
        )
        used = {
            "model": model,
            "scheduler": request.scheduler,
            "steps": steps,
            "guidance_scale": request.guidance_scale,
            "loras": [{"name": key, "weight": lora.weight} for key, lora in taken],
        }
        return order, used

    def _config_of(self, model: Model) -> str:
        """The folder that says how a model in a single file is built; "" for a folder."""
        if (self._folder / model.file).is_dir():
            return ""
        config = self._folder / shelf.CONFIGS / (model.family or "unknown")
        if not (config / shelf.INDEX).is_file():
            raise EngineError(
                f"The model {model.file!r} is a single file, and {shelf.CONFIGS}/{config.name} in"
                " SEIDRA_MODELS_DIR does not say how it is built.",
                permanent=True,
                code="model_config_missing",
            )
        return str(config)


class _Process:
    """The worker's line to the process that renders for it."""

    def __init__(self, device: Device) -> None:
        # Spawned: what uses a GPU cannot be forked, and a worker has threads.
        context = multiprocessing.get_context("spawn")
        self._pipe: Connection
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=child.run, args=(theirs, device), name="seidra-diffusers", daemon=True
        )
        self._process.start()
        theirs.close()

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    def send(self, said: Order | int) -> None:
        """Say something. Raises EngineError when nobody is there any more."""
        try:
            self._pipe.send(said)
        except OSError as error:
            raise self._lost() from error

    def read(self, seconds: float) -> Told | None:
        """What the process tells within so many seconds. Raises EngineError when it is gone."""
        try:
            if self._pipe in wait([self._pipe, self._process.sentinel], seconds):
                told: Told = self._pipe.recv()
                return told
        except (EOFError, OSError) as error:
            raise self._lost() from error
        if not self.alive:
            raise self._lost()
        return None

    def cancel(self, number: int) -> bool:
        """Stop an order; whether the process is free again."""
        until = time.monotonic() + _STOPPING_S
        try:
            self.send(number)
            while time.monotonic() < until:
                if isinstance(self.read(_LOOK_S), Stopped | Made | Failed):
                    return True
        except EngineError:
            pass
        return False

    def kill(self) -> None:
        """End the process, wherever it is."""
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def _lost(self) -> EngineError:
        self._process.join(1.0)
        code = self._process.exitcode
        why = (
            "it was killed; where nobody did so, the machine ran out of memory"
            if code == -9
            else f"it ended with code {code}"
        )
        return EngineError(f"The process that renders is gone: {why}.", code="engine_lost")


# ------------------------------------------------------------------------------------------- parts


def _installed_version() -> str:
    """The version of diffusers. Raises EngineUnavailable where it, or torch, is not installed;
    neither is imported."""
    for package in ("torch", "diffusers", "transformers", "peft"):
        if util.find_spec(package) is None:
            raise EngineUnavailable(
                f"The package {package} is not installed: pip install 'seidra[diffusers]'."
            )
    return metadata.version("diffusers")


def _schedulers() -> tuple[str, ...]:
    """The schedulers of ours that diffusers has here."""
    found = []
    for name in samplers.diffusers_names():
        sampler, suffix = samplers.split(name) or (name, "")
        needed = "scipy" if suffix == "beta" else _NEEDS.get(sampler)
        if needed is None or util.find_spec(needed) is not None:
            found.append(name)
    return tuple(found)


def _read_device(name: str, extra: Mapping[str, Any]) -> Device:
    """What an operator says of the machine. Raises StartError."""
    where = f"The engine {name!r}: extra"
    for key in extra:
        if key not in _EXTRA:
            raise StartError(f"{where} has no setting {key!r}; there is {', '.join(_EXTRA)}.")
    device, dtype = extra.get("device", ""), extra.get("dtype", "")
    threads, offload = extra.get("threads", 0), extra.get("offload", False)
    if not isinstance(device, str) or device.split(":")[0] not in ("", "cuda", "mps", "cpu"):
        raise StartError(f"{where}.device must be cuda, cuda:<number>, mps or cpu.")
    if dtype not in ("", *_DTYPES):
        raise StartError(f"{where}.dtype must be one of {', '.join(_DTYPES)}.")
    if isinstance(threads, bool) or not isinstance(threads, int) or not 0 <= threads <= 256:
        raise StartError(f"{where}.threads must be a whole number from 0 to 256.")
    if not isinstance(offload, bool):
        raise StartError(f"{where}.offload must be true or false.")
    return Device(device, dtype, threads, offload)


def _named(found: Mapping[str, Model], mapped: Mapping[str, Mapping[str, Any]]) -> dict[str, Model]:
    """What lies in the folder, by its own names and by the operator's."""
    named = dict(found)
    for name, entry in mapped.items():
        keys = resolve(str(entry.get("file") or name), found)
        if len(keys) == 1:
            model = found[keys[0]]
            named[name] = Model(model.file, entry.get("family") or model.family)
    return named


def _encoded(image: Image.Image) -> bytes:
    """The picture as PNG."""
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=3, compress_type=zlib.Z_FILTERED)
    return file.getvalue()
