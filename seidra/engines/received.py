"""What an engine's server hands over, looked at before anything else in SEIDRA sees it: pictures,
and requests that take minutes.

Facts: a model whose numbers overflow answers with a picture that is black all over, without an
error; a picture may break off in the middle; an answer may be of any size (engines.md, B.2 and E).
"""

from __future__ import annotations

import binascii
import io
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

# WebP by name: asked for a form that it has not met, Pillow loads all forty of its formats (5 MB).
from PIL import Image, WebPImagePlugin  # noqa: F401

from seidra.engines.base import EngineError, EngineUnavailable, RenderContext
from seidra.engines.sieve import Sieve
from seidra.engines.wire import Answer, Nonsense, Unreachable, WireError

LARGEST_PICTURE = 48 * 1024 * 1024
"""Bytes of an encoded picture that are taken at most; 4096x4096 pixels of noise as PNG are 50 MB
at the worst, and no engine is asked for more than 2048x2048."""
LARGEST_AREA = 64_000_000
"""Pixels of a picture that are decoded at most."""

_MIME_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}


@dataclass(frozen=True, slots=True)
class ReceivedPicture:
    """A picture that was decoded from its first to its last pixel. `text` is what its file says of
    how it was made, under `parameters`; empty where it says nothing."""

    data: bytes = field(repr=False)
    mime_type: str
    width: int
    height: int
    text: str = field(default="", repr=False)


def read_picture(data: bytes) -> ReceivedPicture:
    """The picture in these bytes: PNG, JPEG or WebP, whole, and not black all over.

    Raises EngineError otherwise; black is permanent, since the same seed gives it again.
    """
    if len(data) > LARGEST_PICTURE:
        raise EngineError("The engine answered with a picture that is too large.", code="nonsense")
    try:
        with Image.open(io.BytesIO(data), formats=tuple(_MIME_TYPES)) as image:
            if image.width * image.height > LARGEST_AREA:
                raise EngineError(
                    "The engine answered with a picture of too many pixels.", code="nonsense"
                )
            # Decodes it whole, which `verify` does not do for JPEG and WebP.
            if image.convert("L").getextrema() == (0, 0):
                raise EngineError(
                    "The engine answered with a picture that is black all over: its model"
                    " overflowed, or its safety filter blanked it.",
                    permanent=True,
                    code="black_picture",
                )
            text = image.info.get("parameters")
            return ReceivedPicture(
                data,
                _MIME_TYPES[str(image.format)],
                image.width,
                image.height,
                text if isinstance(text, str) else "",
            )
    except EngineError:
        raise
    except Exception as error:
        # Pillow raises OSError, SyntaxError, ValueError, struct.error and its own for broken files.
        raise EngineError(
            "The engine answered with a picture that is broken.", code="nonsense"
        ) from error


def sent_picture(text: object, sieve: Sieve) -> bytes:
    """The picture that a text of an answer is, or stands for where `sieve` took it out. Raises
    EngineError as `from_base64` does."""
    found = sieve.find(text)
    return from_base64(text) if found is None else found


def from_base64(text: object) -> bytes:
    """The bytes of base64 text, with or without a `data:` prefix. Raises EngineError where it is
    none, or more than a picture may have."""
    if not isinstance(text, str) or not text:
        raise EngineError("The engine answered without a picture.", code="nonsense")
    start = text.find(",") + 1 if text.startswith("data:") else 0
    if (len(text) - start) // 4 * 3 > LARGEST_PICTURE:
        raise EngineError("The engine answered with a picture that is too large.", code="nonsense")
    try:
        return binascii.a2b_base64(text[start:] if start else text, strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise EngineError(
            "The engine answered with a picture that is broken.", code="nonsense"
        ) from error


def trouble(error: WireError) -> EngineError:
    """The job's failure for a request that failed on the way: EngineUnavailable where the server
    cannot have got it."""
    if isinstance(error, Unreachable) and not error.sent:
        return EngineUnavailable(f"The engine {error}.")
    code = "nonsense" if isinstance(error, Nonsense) else "engine_lost"
    return EngineError(f"The engine {error}.", code=code)


class Call:
    """A request that may take minutes, made by a thread of its own, so that the thread that renders
    can look around meanwhile. `ask` makes the request and returns its answer; `stop` ends it."""

    def __init__(
        self, ask: Callable[[], Answer], stop: Callable[[], None], context: RenderContext
    ) -> None:
        self._ask = ask
        self._stop = stop
        self._answer: Answer | None = None
        self._error: Exception | None = None
        self._over = threading.Event()
        self._stirred = threading.Event()
        """Set when the answer is there and when the render is to end, whichever is first."""
        context.on_end(self._stirred.set)
        threading.Thread(target=self._run, name="engine call", daemon=True).start()

    def _run(self) -> None:
        try:
            self._answer = self._ask()
        except Exception as error:
            # Whatever it is belongs to the thread that asks for the answer.
            self._error = error
        self._over.set()
        self._stirred.set()

    @property
    def over(self) -> bool:
        """Whether the answer, or the failure, is there."""
        return self._over.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait until the call is over, the render is to end, or the time has passed. Whether the
        call is over."""
        self._stirred.wait(seconds)
        return self.over

    def wait_out(self, seconds: float) -> bool:
        """Wait until the call is over, also when the render is to end. Whether it is."""
        return self._over.wait(seconds)

    def answer(self) -> Answer:
        """What the call brought, given away: only once it is over, and once. Raises the WireError
        that it failed with."""
        if self._error is not None:
            raise self._error
        answer, self._answer = self._answer, None
        assert answer is not None
        return answer

    def end(self) -> None:
        """Let go of the connection; what the server makes of that is its own affair."""
        self._stop()
