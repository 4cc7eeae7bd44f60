"""Ports for the servers that tests, benchmarks and the soak start in processes of their own."""

from __future__ import annotations

import random
import socket

# Below those that the kernel gives to clients, of which one would take it before the server does.
_LEAST, _MOST = 15_000, 32_000
_RANDOM = random.SystemRandom()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    while True:
        port = _RANDOM.randint(_LEAST, _MOST)
        with socket.socket() as found:
            try:
                found.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
