"""The open streams of a process: how many there may be, and when one has to end.

Under gunicorn a stream keeps a thread for as long as it is open. So there are threads for them
beside those of the requests, some for each user, a minute each; and one whose client is gone, or
whose process stops, ends within the next look.
"""

from __future__ import annotations

import math
import select
import socket
import threading
import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager

from seidra.config import Settings
from seidra.errors import Problem

POLL_SECONDS = 0.25
"""How often a stream looks into the database, and after its client."""

_LOOKS = 4
"""How many streams of a process look at the same time: on a busy machine all would, and each holds
a connection meanwhile."""

_SEND_SECONDS = 10.0
"""How long a client may leave what it was sent in the pipe before it is given up."""


class Slot:
    """One open stream's place among them."""

    def __init__(
        self, streams: Streams, user_id: int, seconds: float, client: socket.socket | None
    ) -> None:
        self._streams = streams
        self._client = client
        self.user_id = user_id
        self.ends = time.monotonic() + seconds
        if client is not None:
            # Or a client that reads nothing would hold its thread for ever.
            client.settimeout(_SEND_SECONDS)

    def wait(self) -> bool:
        """Wait for the next look; False once the stream has to end."""
        if self._streams.stopping() or time.monotonic() >= self.ends:
            return False
        time.sleep(POLL_SECONDS)
        return not (self._streams.stopping() or self._client_is_gone())

    def turn(self) -> AbstractContextManager[object]:
        """A turn to look into the database."""
        return self._streams.turns

    def release(self) -> None:
        """Give the place back. Once is enough; more does no harm."""
        self._streams.close(self)

    def _client_is_gone(self) -> bool:
        """Whether the connection was closed. Without this it takes two heartbeats: the first write
        still succeeds."""
        if self._client is None:
            return False
        watched = select.poll()
        try:
            watched.register(self._client, select.POLLIN)
            # Looked at, not taken: it may be the next request.
            return bool(watched.poll(0)) and self._client.recv(1, socket.MSG_PEEK) == b""
        except ValueError:
            # TLS in this process cannot look ahead; or the socket is closed, and the next write
            # says so.
            return False
        except OSError:
            return True


class Streams:
    """The streams of this process."""

    def __init__(self, settings: Settings) -> None:
        self.stopping: Callable[[], bool] = lambda: False
        """Asked at every look; the server sets it, so that a stop need not wait for a minute."""
        self.turns = threading.BoundedSemaphore(_LOOKS)
        self._limit = settings.streams
        self._per_user = settings.streams_per_user
        self._seconds = settings.stream_seconds
        self._lock = threading.Lock()
        self._open: set[Slot] = set()

    def open(self, user_id: int, client: socket.socket | None = None) -> Slot:
        """A place for one more stream of a user, to be released. Raises a 429 Problem when there is
        none."""
        with self._lock:
            mine = [slot for slot in self._open if slot.user_id == user_id]
            if len(mine) >= self._per_user:
                raise _full(
                    f"You have {self._per_user} streams open here already; close one of them.", mine
                )
            # The last place is for those who have none: one account must not shut out the others.
            if len(self._open) >= (self._limit - 1 if mine and self._limit > 1 else self._limit):
                raise _full(
                    "This server has no room for another stream right now; ask by request instead.",
                    self._open,
                )
            slot = Slot(self, user_id, self._seconds, client)
            self._open.add(slot)
            return slot

    def close(self, slot: Slot) -> None:
        """Take a stream from the open ones."""
        with self._lock:
            self._open.discard(slot)

    def __len__(self) -> int:
        return len(self._open)


def _full(detail: str, slots: Collection[Slot]) -> Problem:
    """429 until the first of these streams ends, if no client leaves earlier."""
    seconds = math.ceil(min(slot.ends for slot in slots) - time.monotonic())
    return Problem(detail, status=429, headers={"Retry-After": str(max(seconds, 1))})
