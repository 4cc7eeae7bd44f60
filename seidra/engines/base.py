"""The border between SEIDRA and what makes pictures.

An engine is a small class behind a name. It knows neither Flask nor SQL: it gets a `RenderRequest`,
talks back through a `RenderContext`, and returns a list of `RenderedImage`. A call may take minutes
and may be silent for minutes (the caller keeps the job's lease alive by itself); a job that an
outside server runs is picked up again after a crash from the state that the engine saved with
`RenderContext.remember`.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar


class EngineError(Exception):
    """A render failed. `permanent` says that trying again cannot help; the message is shown to the
    job's owner, and so holds no secret, no address of the operator's and no prompt. `code` is a
    stable word for programs, such as `out_of_memory`."""

    def __init__(
        self, message: str, *, permanent: bool = False, code: str = "engine_failed"
    ) -> None:
        super().__init__(message)
        self.permanent = permanent
        self.code = code


class EngineUnavailable(EngineError):
    """The engine cannot be reached, and was sent nothing: not this job's fault, and no attempt."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="engine_unreachable")


class RenderCancelled(Exception):
    """Nobody wants the result any more: the render ends, and what runs on a server is stopped."""


class RenderDetached(Exception):
    """The caller leaves while the job is still wanted: the render ends here, and what runs on a
    server goes on, for the next attempt to take up from the state remembered."""


@dataclass(frozen=True, slots=True)
class Lora:
    """A LoRA to apply, by SEIDRA's name for it. Weights from -10 to 10; `clip_weight` where the
    text encoder's differs."""

    name: str
    weight: float = 1.0
    clip_weight: float | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture to make: its position in the job, from 0, and its seed, 0 to 2**63-1."""

    position: int
    seed: int


@dataclass(frozen=True, slots=True)
class RenderRequest:
    """What to render. Sizes in pixels; `guidance_scale` 0-30; `steps` 1-150; `seed` 0 to 2**63-1.

    `pictures` are those that are still to be made, each as if it were made alone; where they are
    not given there is one, with `seed`. Prompts are composed: they hold no LoRA tags.
    """

    prompt: str
    seed: int
    width: int = 768
    height: int = 768
    negative_prompt: str = ""
    title: str = ""
    tags: Sequence[str] = ()
    steps: int = 25
    guidance_scale: float = 7.5
    scheduler: str = "ddim"
    quality: str = "standard"
    model_name: str = "sdxl-base"
    lora_models: Sequence[str] = ()
    is_nsfw: bool = False
    content_policy: Mapping[str, Any] = field(default_factory=dict)
    """Hints: {intensity: low|medium|high, categories: {name: bool}}."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Every generation parameter as the persona keeps it, unknown ones included."""
    loras: Sequence[Lora] = ()
    """By name, without doubles and without those of weight 0."""
    images: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """Pictures to start from, encoded, by the names that the engine has for its inputs."""
    job_id: str = ""
    pictures: Sequence[Picture] = ()

    def wanted(self) -> Sequence[Picture]:
        """The pictures to make, one at least."""
        return self.pictures or (Picture(0, self.seed),)


@dataclass(frozen=True, slots=True)
class RenderedImage:
    """One encoded picture and what is worth keeping about it (JSON values)."""

    data: bytes
    mime_type: str
    width: int
    height: int
    metadata: Mapping[str, Any] = field(default_factory=dict)
    position: int = 0
    seed: int | None = None
    """The seed that was used; None where the engine cannot tell."""
    used: Mapping[str, Any] = field(default_factory=dict)
    """What was really used, as the engine names it: model, loras, sampler, schedule, width, ..."""
    dropped: Sequence[str] = ()
    """The fields of the request that the engine could not do, such as negative_prompt."""


# --------------------------------------------------------------------------- what an engine can do


@dataclass(frozen=True, slots=True)
class Model:
    """A model of an engine: its name there, and its family (sd1, sdxl, sd3, flux, qwen, zimage)."""

    file: str
    family: str | None = None


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes of pictures that an engine makes, in pixels. `fixed` lists the only ones, where
    there are only some."""

    low: int = 64
    high: int = 2048
    multiple: int = 8
    fixed: Sequence[tuple[int, int]] = ()


FEATURES = frozenset({
    "negative_prompt", "seed", "steps", "guidance", "loras", "lora_weights", "sizes", "progress",
    "frames", "cancel_queued", "cancel_running", "own_id", "ask",
})  # fmt: skip
"""What `Capabilities.features` may name. `own_id`: a job is sent under an id of ours. `ask`: the
engine can be asked after a crash what became of a job."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine has and can do, as `probe` found it; plain enough to be stored as JSON.

    `models` and `loras` go by the names that SEIDRA uses: the operator's from the map, and the
    engine's own. An empty `models` means that the engine does not tell. `schedulers` are SEIDRA's
    names (`seidra.engines.samplers`), `foreign` the engine's own names for samplers and schedules.
    """

    version: str = ""
    models: Mapping[str, Model] = field(default_factory=dict)
    loras: Mapping[str, Model] = field(default_factory=dict)
    schedulers: Sequence[str] = ()
    foreign: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """{"samplers": [...], "schedules": [...]}"""
    features: frozenset[str] = frozenset()
    sizes: Sizes = Sizes()
    max_count: int = 8
    """How many pictures a job may ask for; the engine may make them one by one."""
    seed_max: int = 2**63 - 1
    images: Sequence[str] = ()
    """The names of the pictures that it can start from."""
    cuts_prompts: bool = False
    """Whether it drops what a prompt has beyond the window of a model's CLIP; most go on in the
    next one."""


@dataclass(frozen=True, slots=True)
class Options:
    """How the operator set an engine up. `key` is the secret itself, read from its file; it is
    never shown. `models` and `loras` map SEIDRA's names to the engine's."""

    url: str = ""
    key: str = field(default="", repr=False)
    at_once: int = 1
    turn_s: int = 60
    timeout_s: int = 1800
    """Seconds without a sign of progress after which a render is given up."""
    dialect: str = ""
    default_model: str = ""
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    loras: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    workflow: Mapping[str, Any] | None = None
    """The operator's own ComfyUI graph, in API format."""
    models_dir: str = ""
    """The folder of the models of an engine that runs here."""
    inputs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Where the workflow takes what: {"prompt": ["6.text"], "seed": ["3.seed"], ...}"""
    extra: Mapping[str, Any] = field(default_factory=dict)


class RenderContext:
    """One render's line back to its caller. Every method may be called from any thread."""

    def __init__(
        self,
        on_progress: Callable[[float], None] = lambda fraction: None,
        on_remember: Callable[[dict[str, Any]], None] = lambda state: None,
        state: Mapping[str, Any] | None = None,
        on_submit: Callable[[], None] = lambda: None,
        on_frame: Callable[[bytes], None] = lambda data: None,
    ) -> None:
        self._on_progress = on_progress
        self._on_remember = on_remember
        self._on_submit = on_submit
        self._on_frame = on_frame
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._hooks: list[Callable[[], None]] = []
        self._leave_hooks: list[Callable[[], None]] = []
        self._reason: type[Exception] = RenderCancelled
        self.state: dict[str, Any] = dict(state or {})
        """What an earlier attempt at this job remembered; empty at the first."""
        self.step: tuple[int, int] | None = None
        """The sampling step and how many there are, as last told."""

    def report(self, fraction: float, step: int | None = None, steps: int | None = None) -> None:
        """Tell how far the render is, 0 to 1, and at which of how many steps.

        Raises RenderCancelled or RenderDetached once the render is to end.
        """
        self.raise_if_ended()
        if step is not None and steps is not None:
            self.step = (step, steps)
        self._on_progress(min(max(fraction, 0.0), 1.0))

    def preview(self, data: bytes) -> None:
        """Show an unfinished picture (encoded, any size); the caller encodes it anew, small, and
        drops what comes too fast."""
        self._on_frame(data)

    def remember(self, **state: Any) -> None:
        """Save JSON values (an outside server's job id, say) that the next attempt finds in
        `state`. Raises RenderDetached when the job is not this attempt's any more: then nothing
        may be sent for it."""
        self.state.update(state)
        self._on_remember(dict(self.state))

    def submitting(self) -> None:
        """Say that a job is about to be sent to a server: that is what counts as an attempt.
        Raises as `report` does."""
        self.raise_if_ended()
        self._on_submit()

    def wait(self, seconds: float) -> None:
        """Sleep between two polls of an outside server. Raises at once when the render is to
        end."""
        self._ended.wait(seconds)
        self.raise_if_ended()

    def on_cancel(self, hook: Callable[[], None]) -> None:
        """Run `hook` once when the render is cancelled (at once if it already is): tell a server
        to stop. It does not run when the caller only leaves."""
        with self._lock:
            if not self._ended.is_set():
                self._hooks.append(hook)
                return
            run = self._reason is RenderCancelled
        if run:
            hook()

    def on_end(self, hook: Callable[[], None]) -> None:
        """Run `hook` once when the render is to end for whatever reason (at once if it already
        is): close a socket that something waits on."""
        with self._lock:
            if not self._ended.is_set():
                self._leave_hooks.append(hook)
                return
        hook()

    def cancel(self) -> None:
        """Ask the render to stop for good; the caller's side. Later calls do nothing."""
        self._end(RenderCancelled)

    def detach(self) -> None:
        """Ask the render to end while its job goes on elsewhere; the caller's side."""
        self._end(RenderDetached)

    def _end(self, reason: type[Exception]) -> None:
        with self._lock:
            if self._ended.is_set():
                return
            self._reason = reason
            self._ended.set()
            hooks = [*(self._hooks if reason is RenderCancelled else ()), *self._leave_hooks]
        for hook in hooks:
            hook()

    @property
    def cancelled(self) -> bool:
        """Whether the render is to stop for good."""
        return self._ended.is_set() and self._reason is RenderCancelled

    def raise_if_ended(self) -> None:
        """Raise RenderCancelled or RenderDetached once the render is to end."""
        if self._ended.is_set():
            raise self._reason


class Engine(ABC):
    """Renders requests. One instance serves one worker thread.

    `kind` is the module's word for what it talks to, `name` what the operator calls this one.
    """

    kind: ClassVar[str]

    def __init__(self, name: str = "", options: Options | None = None) -> None:
        self.name = name or self.kind
        self.options = options or Options()

    def probe(self) -> Capabilities:
        """What the engine has and can do, within five seconds. Raises EngineUnavailable."""
        return Capabilities()

    @abstractmethod
    def render(self, request: RenderRequest, context: RenderContext) -> Iterable[RenderedImage]:
        """Render `request.wanted()`, each picture handed out as soon as it is made.

        Raises EngineError, EngineUnavailable, or what `context` raises.
        """

    def abandon(self, state: Mapping[str, Any]) -> bool:
        """Stop what runs on a server for a job that nobody holds any more, by the state that its
        attempt remembered; True when it is sure that nothing runs. Raises EngineUnavailable."""
        return True
