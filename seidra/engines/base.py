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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar


class EngineError(Exception):
    """A render failed. `permanent` says that trying again cannot help; the message is shown to the
    job's owner."""

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent


class RenderCancelled(Exception):
    """Nobody wants the result any more: raised by the context to leave a render early. What runs
    elsewhere for it is to be stopped."""


class RenderDetached(Exception):
    """The caller leaves a render that is still wanted, likewise raised by the context: what runs
    elsewhere for it is left alone, and another attempt goes on with it."""


@dataclass(frozen=True, slots=True)
class RenderRequest:
    """What to render. Sizes in pixels; `guidance_scale` 0-30; `steps` 1-150; `seed` 0 to
    2**53-1."""

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


@dataclass(frozen=True, slots=True)
class RenderedImage:
    """One encoded picture and what is worth keeping about it (JSON values)."""

    data: bytes
    mime_type: str
    width: int
    height: int
    metadata: Mapping[str, Any] = field(default_factory=dict)


class RenderContext:
    """One render's line back to its caller. Every method may be called from any thread."""

    def __init__(
        self,
        on_progress: Callable[[float], None] = lambda fraction: None,
        on_remember: Callable[[dict[str, Any]], None] = lambda state: None,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        self._on_progress = on_progress
        self._on_remember = on_remember
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._reason: type[Exception] = RenderCancelled
        self._hooks: list[Callable[[], None]] = []
        self.state: dict[str, Any] = dict(state or {})
        """What an earlier attempt at this job remembered; empty at the first."""

    def report(self, fraction: float) -> None:
        """Tell how far the render is, 0 to 1. Raises what `raise_if_over` does."""
        self.raise_if_over()
        self._on_progress(min(max(fraction, 0.0), 1.0))

    def remember(self, **state: Any) -> None:
        """Save JSON values (an outside server's job id, say) that the next attempt finds in
        `state`. Raises when the job is not this attempt's any more: what comes next must not be
        begun."""
        self.state.update(state)
        self._on_remember(dict(self.state))

    def wait(self, seconds: float) -> None:
        """Sleep between two polls of an outside server. Raises what `raise_if_over` does, as soon
        as it would."""
        self._over.wait(seconds)
        self.raise_if_over()

    def on_cancel(self, hook: Callable[[], None]) -> None:
        """Run `hook` once when the render is cancelled (at once if it already is): close a socket,
        tell a server. It does not run for a render that is only left."""
        with self._lock:
            if not self._over.is_set():
                self._hooks.append(hook)
                return
            cancelled = self._reason is RenderCancelled
        if cancelled:
            hook()

    def cancel(self) -> None:
        """Ask the render to stop, as nobody wants it; the caller's side. Later calls do nothing."""
        if self._end(RenderCancelled):
            for hook in self._hooks:
                hook()

    def detach(self) -> None:
        """Ask the render to stop, as its caller leaves and another goes on; the caller's side.
        Later calls do nothing."""
        self._end(RenderDetached)

    def _end(self, reason: type[Exception]) -> bool:
        """Whether this is what ends the render."""
        with self._lock:
            if self._over.is_set():
                return False
            self._reason = reason
            self._over.set()
            return True

    @property
    def over(self) -> bool:
        """Whether the render is cancelled or left."""
        return self._over.is_set()

    def raise_if_over(self) -> None:
        """Raise RenderCancelled or RenderDetached once the render is cancelled or left."""
        if self._over.is_set():
            raise self._reason


@dataclass(kw_only=True, eq=False)
class Engine(ABC):
    """Renders requests. One instance serves one worker thread.

    A kind is a subclass; what it needs to know, it declares as fields made by `config.setting`,
    each with its parser and its sentence, and is a dataclass then. Field `x_y` of the kind `mock`
    is the variable `SEIDRA_MOCK_X_Y`.
    """

    kind: ClassVar[str]
    """What SEIDRA_ENGINE selects."""

    name: str
    """What jobs and people call this one."""

    @abstractmethod
    def render(self, request: RenderRequest, context: RenderContext) -> list[RenderedImage]:
        """Render at least one picture. Raises EngineError, or what the context raises."""
