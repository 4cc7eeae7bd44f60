"""Machines as network namespaces: each has an address of its own at a switch, and can be cut off.

The switch is a bridge in a namespace of its own, the hub, so that nothing of it is to be seen on
the host. All names begin with the process that made them: two runs do not collide, and what a
killed run has left is found by the next one.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

HUB = "hub"
HUB_ADDRESS = "10.77.0.1"
ADDRESSES = {
    "db": "10.77.0.10",
    "s3": "10.77.0.11",
    "redis": "10.77.0.12",
    "front": "10.77.0.20",
    "web1": "10.77.0.31",
    "web2": "10.77.0.32",
    "work1": "10.77.0.41",
    "work2": "10.77.0.42",
    "work3": "10.77.0.43",
    "work4": "10.77.0.44",
}
"""The machines, and where they are reached."""

CABLE, SILENCE = "cable", "silence"
"""How a machine is cut off: its link goes down, which it sees; or nothing gets through any more,
which nobody sees."""

_NAMES = re.compile(r"seidra-(\d+)-\w+")


class Network:
    """The namespaces of one run, by the id of the process that made them."""

    def __init__(self, maker: int) -> None:
        self.maker = maker

    def namespace(self, machine: str) -> str:
        """What a machine's namespace is called."""
        return f"seidra-{self.maker}-{machine}"

    def inside(self, machine: str, *command: str) -> list[str]:
        """A command that runs on a machine, which knows itself by its name. The process keeps its
        id: each of these becomes the next one."""
        named = ("unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', machine)
        return ["ip", "netns", "exec", self.namespace(machine), *named, *command]

    def cut(self, machine: str, how: str) -> None:
        """Let nothing through to a machine or from it. Run in the hub."""
        if how == CABLE:
            _ip("link", "set", machine, "down")
        else:
            _ip("link", "set", machine, "nomaster")

    def mend(self, machine: str) -> None:
        """Connect it again. Run in the hub."""
        _ip("link", "set", machine, "master", "switch")
        _ip("link", "set", machine, "up")

    def make(self) -> None:
        """Make all of it."""
        hub = self.namespace(HUB)
        _ip("netns", "add", hub)
        _ip("-n", hub, "link", "set", "lo", "up")
        _ip("-n", hub, "link", "add", "switch", "type", "bridge")
        _ip("-n", hub, "addr", "add", f"{HUB_ADDRESS}/24", "dev", "switch")
        _ip("-n", hub, "link", "set", "switch", "up")
        for machine, address in ADDRESSES.items():
            own = self.namespace(machine)
            _ip("netns", "add", own)
            peer = ("peer", "name", "eth0", "netns", own)
            _ip("-n", hub, "link", "add", machine, "type", "veth", *peer)
            _ip("-n", hub, "link", "set", machine, "master", "switch")
            _ip("-n", hub, "link", "set", machine, "up")
            _ip("-n", own, "addr", "add", f"{address}/24", "dev", "eth0")
            _ip("-n", own, "link", "set", "eth0", "up")
            _ip("-n", own, "link", "set", "lo", "up")

    def remove(self) -> None:
        """Kill whatever still runs in these namespaces, and take them down."""
        mine = [name for name, maker in _namespaces() if maker == self.maker]
        deadline = time.monotonic() + 10
        while (left := [pid for name in mine for pid in _pids(name)]) and (
            time.monotonic() < deadline
        ):
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)
        for name in mine:
            # The bridge and its links go with the hub.
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


@contextmanager
def made_network() -> Iterator[Network]:
    """A network until the block ends, however it does."""
    remove_left_over()
    network = Network(os.getpid())
    try:
        network.make()
        yield network
    finally:
        network.remove()


def remove_left_over() -> None:
    """Take down what runs that were killed have left."""
    for maker in {maker for _, maker in _namespaces()}:
        if not os.path.exists(f"/proc/{maker}"):
            Network(maker).remove()


def _namespaces() -> list[tuple[str, int]]:
    listed = _ip("netns", "list").split()
    return [(name, int(found[1])) for name in listed if (found := _NAMES.fullmatch(name))]


def _pids(namespace: str) -> list[int]:
    done = subprocess.run(
        ["ip", "netns", "pids", namespace], check=False, capture_output=True, text=True
    )
    return [int(pid) for pid in done.stdout.split()]


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout
