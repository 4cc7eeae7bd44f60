"""What runs on a machine: started, killed, stopped, and started again when it ends by itself, as
systemd does it."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from soak.cluster.network import Network

RESTART_SECONDS = 2.0
"""RestartSec of deploy/*.service."""


class Machine:
    """One machine and the one program on it, in a process group of its own."""

    def __init__(
        self,
        network: Network,
        name: str,
        command: Sequence[str],
        folder: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.network = network
        self.name = name
        self.folder = folder
        self.log = folder / f"{name}.log"
        self.restarts = 0
        """How often it has ended by itself."""
        self._command = command
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._wanted = False
        self._ended_at = 0.0
        self._lock = threading.RLock()

    def start(self) -> None:
        """Start the program."""
        with self._lock:
            self._wanted = True
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    self.network.inside(self.name, *self._command),
                    cwd=self.folder,
                    env=None if self._environment is None else dict(self._environment),
                    start_new_session=True,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )

    def end(self, number: int, seconds: float = 60) -> None:
        """End the program by a signal: SIGKILL to all of its processes at once, any other one to
        the first, which tells them."""
        with self._lock:
            self._wanted = False
            process, self._process = self._process, None
            if process is None:
                return
            if number == signal.SIGKILL:
                os.killpg(process.pid, number)
            elif process.poll() is None:
                process.send_signal(number)
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                raise RuntimeError(f"{self.name} has not ended after {seconds:.0f} s") from None

    def keep_up(self) -> None:
        """Start the program again where it has ended by itself a while ago."""
        with self._lock:
            if not self._wanted or self._process is None or self._process.poll() is None:
                self._ended_at = time.monotonic()
            elif time.monotonic() - self._ended_at >= RESTART_SECONDS:
                self.restarts += 1
                self.start()

    @property
    def pid(self) -> int:
        """The number of its first process, 0 where there is none."""
        process = self._process
        return process.pid if process is not None else 0

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else ""


class Keeper:
    """A thread that keeps machines up until it is told to stop."""

    def __init__(self, machines: Sequence[Machine]) -> None:
        self._machines = machines
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.5):
            for machine in self._machines:
                machine.keep_up()

    def stop(self) -> None:
        """Start nothing any more."""
        self._stop.set()
        self._thread.join()
