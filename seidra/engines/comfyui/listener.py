"""What a ComfyUI server tells on its socket while a job runs: steps, unfinished pictures, the end.

All of it is a hint: messages are lost, and sockets die in silence. Who follows a job asks by HTTP
what became of it. Without the package `websockets` nothing is heard.
"""

from __future__ import annotations

import contextlib
import logging
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import orjson

from seidra.engines.wire import Wire

try:
    from websockets.exceptions import WebSocketException
    from websockets.sync.client import ClientConnection, connect

    HAS_SOCKETS = True
except ImportError:  # an extra
    HAS_SOCKETS = False

_CONNECT_S = 5.0
_LARGEST_MESSAGE = 16 * 1024 * 1024
_FLAGS = orjson.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}})
_PREVIEW, _PREVIEW_WITH_METADATA = 1, 4
_ENDS = frozenset({"execution_success", "execution_error", "execution_interrupted"})

_quiet = logging.Logger("websockets", logging.CRITICAL + 1)
"""Of its own, for the package's log would show the header that says who we are."""


@dataclass(frozen=True, slots=True)
class News:
    """What was heard of a job since it was last asked for: the last step and how many there are,
    the last unfinished picture (JPEG or PNG), and whether it was said to have ended."""

    step: tuple[int, int] | None = None
    frame: bytes | None = None
    ended: bool = False


class Listener:
    """Hears the messages of one `client_id` in a thread of its own, and calls `wake` for each that
    matters. To be closed; from any thread."""

    def __init__(self, wire: Wire, client_id: str, wake: Callable[[], None]) -> None:
        self._wire = wire
        self._client_id = client_id
        self._wake = wake
        self._lock = threading.Lock()
        self._ready = threading.Event()
        self._closed = False
        self._connection: ClientConnection | None = None
        self._job_id = ""
        self._step: tuple[int, int] | None = None
        self._frame: bytes | None = None
        self._ended = False
        self.alive = HAS_SOCKETS
        """Whether something may still be heard."""
        if HAS_SOCKETS:
            threading.Thread(target=self._listen, name="comfyui-listener", daemon=True).start()

    def wait_ready(self, seconds: float) -> None:
        """Wait until the socket is open or it is sure that it will not be."""
        if HAS_SOCKETS:
            self._ready.wait(seconds)

    def follow(self, job_id: str) -> None:
        """Take in what is said of this job, and no more of any other."""
        with self._lock:
            if job_id != self._job_id:
                self._job_id = job_id
                self._step, self._frame, self._ended = None, None, False

    def news(self) -> News:
        """What was heard since the last call."""
        with self._lock:
            news = News(self._step, self._frame, self._ended)
            self._step, self._frame, self._ended = None, None, False
            return news

    def close(self) -> None:
        """Stop listening, at once."""
        with self._lock:
            self._closed = True
            connection = self._connection
        self._ready.set()
        if connection is not None:
            connection.close()

    def _listen(self) -> None:
        address = self._wire.url.rstrip("/").replace("http", "ws", 1)
        try:
            with connect(
                f"{address}/ws?{urlencode({'clientId': self._client_id})}",
                additional_headers=self._wire.authorization(),
                open_timeout=_CONNECT_S,
                close_timeout=0.5,
                max_size=_LARGEST_MESSAGE,
                compression=None,
                proxy=None,
                logger=_quiet,
            ) as connection:
                with self._lock:
                    self._connection = connection
                    if self._closed:
                        return
                connection.send(_FLAGS.decode())
                self._ready.set()
                for message in connection:
                    if self._take(message):
                        self._wake()
        except (OSError, WebSocketException):
            # It never opened, or broke: whoever follows asks by HTTP alone.
            pass
        finally:
            self.alive = False
            self._ready.set()
            self._wake()

    def _take(self, message: str | bytes) -> bool:
        """Keep what a message tells; True where that is anything."""
        with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError, struct.error):
            if isinstance(message, bytes):
                return self._take_frame(message)
            document = orjson.loads(message)
            return self._take_event(document["type"], document["data"])
        return False

    def _take_event(self, kind: str, data: dict[str, Any]) -> bool:
        with self._lock:
            if data.get("prompt_id", self._job_id) != self._job_id:
                return False
            if kind == "progress":
                self._step = (int(data["value"]), int(data["max"]))
            elif kind in _ENDS or (kind == "executing" and data["node"] is None):
                self._ended = True
            else:
                return False
            return True

    def _take_frame(self, message: bytes) -> bool:
        (kind,) = struct.unpack_from(">I", message)
        (second,) = struct.unpack_from(">I", message, 4)
        if kind == _PREVIEW:
            # `second` is the picture's format. No id: the socket is this client's alone.
            job_id, frame = None, message[8:]
        elif kind == _PREVIEW_WITH_METADATA:
            job_id, frame = (
                orjson.loads(message[8 : 8 + second])["prompt_id"],
                message[8 + second :],
            )
        else:
            return False
        with self._lock:
            if job_id not in (None, self._job_id):
                return False
            self._frame = frame
            return True
