"""The process that renders: the only place that imports torch and diffusers.

It is spawned by a worker and reads orders from a pipe, one picture at a time. A thread of its own
reads them, so that a cancel is heard while a step runs, and so that it ends at once with the worker
that it belongs to. It never asks the network, and opens no pickled file.

Facts: engines.md, B.1 to B.4.
"""

from __future__ import annotations

import gc
import inspect
import os
import queue
import signal
import threading
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from seidra.engines.diffusers.orders import Begun, Device, Failed, Made, Order, Step, Stopped, Told
from seidra.engines.samplers import diffusers_class

_OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "DIFFUSERS_VERBOSITY": "error",
}
_NO_MEMORY = ("out of memory", "not enough memory", "can't allocate memory")


class _Stop(Exception):
    """The order in hand is cancelled."""


class _Refused(Exception):
    """The order cannot be done; trying again cannot help."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


def run(pipe: Connection, device: Device) -> None:
    """Render what comes through the pipe until its other end is closed."""
    # Ctrl-C reaches every process of a terminal; when this one ends is its worker's affair.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.update(_OFFLINE)
    if device.threads:
        os.environ["OMP_NUM_THREADS"] = str(device.threads)
    orders: queue.SimpleQueue[Order] = queue.SimpleQueue()
    cancelled: set[int] = set()
    threading.Thread(target=_listen, args=(pipe, orders, cancelled), daemon=True).start()
    studio = _Studio(device, pipe, cancelled)
    pipe.send(Begun())
    while True:
        pipe.send(studio.answer(orders.get()))


def _listen(pipe: Connection, orders: queue.SimpleQueue[Order], cancelled: set[int]) -> None:
    """Take orders, and the numbers of those that nobody wants any more."""
    try:
        while True:
            said = pipe.recv()
            if isinstance(said, Order):
                orders.put(said)
            else:
                cancelled.add(said)
    except (EOFError, OSError):
        # The worker is gone. Whatever is rendered is for nobody.
        os._exit(0)


class _Studio:
    """One pipeline at a time, with the LoRAs that it has."""

    def __init__(self, device: Device, pipe: Connection, cancelled: set[int]) -> None:
        import diffusers
        import torch
        import transformers

        for library in (diffusers, transformers):
            library.utils.logging.disable_progress_bar()
        if device.threads:
            torch.set_num_threads(device.threads)
        self._torch, self._library = torch, diffusers
        self._pipe, self._cancelled = pipe, cancelled
        self._offload = device.offload
        self.device = device.name or _best_device(torch)
        half = self.device.startswith(("cuda", "mps"))
        self._dtype = getattr(torch, device.dtype or ("float16" if half else "float32"))
        self._loaded: tuple[str, float] | None = None
        self._pipeline: Any = None
        self._schedule: Any = None
        self._loras: tuple[tuple[str, float], ...] = ()

    def answer(self, order: Order) -> Told:
        """The picture, or why there is none."""
        try:
            return self._draw(order)
        except _Stop:
            return Stopped()
        except _Refused as error:
            return Failed(str(error), error.code, True)
        except Exception as error:
            self._unload()
            return in_words(error)

    def _draw(self, order: Order) -> Made:
        self._load(order)
        self._set_loras(order)
        pipeline, torch = self._pipeline, self._torch
        dropped = self._set_scheduler(order)

        def step(pipeline: Any, index: int, at: Any, values: dict[str, Any]) -> dict[str, Any]:
            if order.number in self._cancelled:
                raise _Stop
            # Some schedulers call the model more often than there are steps.
            calls = max(int(pipeline.num_timesteps), 1)
            self._pipe.send(Step(round((index + 1) / calls * order.steps), order.steps))
            if index + 1 == calls and not bool(torch.isfinite(values["latents"]).all()):
                raise _Refused(
                    "The model's numbers overflowed (NaN), so that there is no picture: its file"
                    " is damaged, or it needs another dtype than this one.",
                    "black_picture",
                )
            return {}

        wanted: dict[str, Any] = {"prompt": order.prompt, "guidance_scale": order.guidance}
        if order.negative_prompt:
            wanted["negative_prompt"] = order.negative_prompt
        takes = _parameters_of(pipeline)
        dropped += [name for name in wanted if name not in takes]
        made = pipeline(
            **{name: value for name, value in wanted.items() if name in takes},
            width=order.width,
            height=order.height,
            num_inference_steps=order.steps,
            # On the processor, whatever renders: the same noise on every device.
            generator=torch.Generator("cpu").manual_seed(order.seed),
            callback_on_step_end=step,
            callback_on_step_end_tensor_inputs=["latents"],
        ).images[0]
        image = made.convert("RGB")
        return Made(image.width, image.height, image.tobytes(), self.device, tuple(dropped))

    # ----------------------------------------------------------------------------------- the model

    def _load(self, order: Order) -> None:
        path = Path(order.model)
        try:
            key = (order.model, path.stat().st_mtime)
        except OSError:
            raise _Refused("The model's file is not there any more.", "unknown_model") from None
        if key == self._loaded:
            return
        self._unload()
        try:
            pipeline = self._read_model(path, order.config)
        except Exception as error:
            if is_memory(error):
                raise
            raise _Refused(
                f"The model {path.name!r} cannot be loaded: it is damaged, or lacks a part, or is"
                " of a kind that diffusers does not know.",
                "model_broken",
            ) from error
        pipeline.set_progress_bar_config(disable=True)
        if self._offload:
            pipeline.enable_model_cpu_offload(device=self.device)
        else:
            pipeline.to(self.device)
        self._schedule = pipeline.scheduler.config
        self._pipeline, self._loaded = pipeline, key

    def _read_model(self, path: Path, config: str) -> Any:
        options = {"local_files_only": True, "dtype": self._dtype}
        if not config:
            return self._library.DiffusionPipeline.from_pretrained(
                str(path), use_safetensors=True, **options
            )
        index = self._library.DiffusionPipeline.load_config(config, local_files_only=True)
        family = getattr(self._library, str(index["_class_name"]))
        return family.from_single_file(str(path), config=config, **options)

    def _unload(self) -> None:
        self._pipeline = self._schedule = self._loaded = None
        self._loras = ()
        gc.collect()
        if self.device.startswith("cuda"):
            self._torch.cuda.empty_cache()

    def _set_scheduler(self, order: Order) -> list[str]:
        """Take the scheduler of the order; the fields that are dropped. Models of flow matching
        (Flux, SD3, Qwen-Image) go with their own alone."""
        theirs = str(self._schedule.get("_class_name") or type(self._pipeline.scheduler).__name__)
        if theirs.startswith("FlowMatch"):
            return ["scheduler"]
        wanted = diffusers_class(order.scheduler)
        assert wanted is not None
        kind = getattr(self._library, wanted.name)
        try:
            self._pipeline.scheduler = kind.from_config(self._schedule, **wanted.settings)
        except (ImportError, ValueError) as error:
            raise _Refused(
                f"The scheduler {order.scheduler!r} does not go with this model.",
                "unknown_scheduler",
            ) from error
        return []

    def _set_loras(self, order: Order) -> None:
        """Have the LoRAs of the order, and no other. All go before others come: layers of LoRAs
        that are only switched off stay in memory."""
        wanted = tuple((str(lora), Path(lora.path).stat().st_mtime) for lora in order.loras)
        if wanted == self._loras:
            return
        pipeline = self._pipeline
        if self._loras:
            pipeline.unload_lora_weights()
            self._loras = ()
        if not order.loras:
            return
        if not hasattr(pipeline, "load_lora_weights"):
            raise _Refused("This model takes no LoRAs.", "lora_unfit")
        names, weights = [], []
        for number, lora in enumerate(order.loras):
            path = Path(lora.path)
            try:
                pipeline.load_lora_weights(
                    str(path.parent),
                    weight_name=path.name,
                    adapter_name=f"lora_{number}",
                    local_files_only=True,
                    use_safetensors=True,
                )
            except Exception as error:
                if is_memory(error):
                    raise
                # What was taken of it stays in the layers: begin anew with the next order.
                self._unload()
                raise _Refused(_why_no_lora(path.stem, error), "lora_unfit") from error
            names.append(f"lora_{number}")
            weights.append(_weights(pipeline, lora.weight, lora.clip_weight))
        pipeline.set_adapters(names, weights)
        self._loras = wanted


def _best_device(torch: Any) -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _parameters_of(pipeline: Any) -> set[str]:
    """What a pipeline can be told; a decorator may hide that, and then it is its class's call."""
    return set(inspect.signature(type(pipeline).__call__).parameters)


def _weights(pipeline: Any, weight: float, clip_weight: float) -> Any:
    """A LoRA's strength as `set_adapters` takes it: a number, or one for each part."""
    if weight == clip_weight:
        return weight
    parts = {name for name, part in pipeline.components.items() if hasattr(part, "set_adapter")}
    return {
        part: clip_weight if part.startswith("text_encoder") else weight for part in sorted(parts)
    }


def _why_no_lora(name: str, error: Exception) -> str:
    if "size mismatch" in str(error):
        return f"The LoRA {name!r} is made for another kind of model."
    return f"The LoRA {name!r} cannot be loaded: it is damaged, or no LoRA for this kind of model."


def is_memory(error: Exception) -> bool:
    """Whether a failure is a lack of memory, of the card's or of the machine's."""
    text = str(error).casefold()
    return isinstance(error, MemoryError) or any(words in text for words in _NO_MEMORY)


def in_words(error: Exception) -> Failed:
    """What the owner of a job is told of a failure that is the library's."""
    if is_memory(error):
        return Failed(
            "The machine has not enough memory for this picture; a smaller one may do.",
            "out_of_memory",
            False,
        )
    # The message may hold a prompt or a path: only its class is told.
    return Failed(f"diffusers failed ({type(error).__name__}).", "engine_failed", False)
