"""OpenStack Swift (`soak/swift.py`) for the tests: in processes of its own, on free ports."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from buckets import KEYS, BucketServer
from conftest import wait_for

from soak import swift
from soak.ports import free_port
from soak.swift import MISSING, REASON

__all__ = ["MISSING", "PAGE", "REASON", "SwiftServer", "swift_server"]

PAGE = 20
"""How many objects a list tells at once here."""


class SwiftServer(BucketServer):
    """Where the proxy is."""

    def make_bucket(self) -> str:
        """A new bucket's name."""
        self._made += 1
        name = f"swift-{self._made}"
        swift.make_bucket(self.endpoint, KEYS, name)
        return name


@contextmanager
def _running(*command: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process until the block ends, which is stopped by its own id."""
    with open(log, "wb") as out:
        process = subprocess.Popen(
            command, cwd=log.parent, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(60)


@contextmanager
def swift_server(folder: Path) -> Iterator[SwiftServer]:
    """A running server, all of it in a folder."""
    cache_port, account, container, objects, proxy = (free_port() for _ in range(5))
    ports = (account, container, objects)
    swift.write_settings(folder, ports, cache_port, ("127.0.0.1", proxy), KEYS, PAGE)
    server = SwiftServer(proxy)
    with (
        _running(*swift.cache_command(cache_port), log=folder / "memcached.log") as one,
        _running(*swift.command(folder, ports), log=folder / "swift.log") as other,
    ):

        def answers() -> bool:
            said = "".join(path.read_text() for path in folder.glob("*.log"))
            assert one.poll() is None, said
            assert other.poll() is None, said
            try:
                return server.make_bucket() != ""
            except OSError:
                return False

        wait_for(answers)
        yield server
