"""SIGKILL at random moments under mixed load: nothing that was answered may be lost, and nothing
half there."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from seidra.database.sqlite.connect import SqliteDatabase
from soak import check
from soak.instance import Instance, children
from soak.ledger import Ledger

_CLIENTS = 6
_FULL_CHECK_EACH = 10
"""Kills between two checks that wait until every job has ended."""

_EXPECTED = ("was sent SIGKILL", "job failed: its workers were lost")
"""Errors in the log that a kill explains."""


class Crash:
    """One instance: gunicorn with 2 processes of 4 threads and embedded workers, and one `flask
    worker`."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.instance = Instance(folder, SEIDRA_JOB_LEASE_SECONDS="2")
        self.server, self.worker = self.instance.start_server(), self.instance.start_worker()
        self.database = SqliteDatabase(self.instance.settings)
        self.clients = [Ledger(self.instance.port, f"user{n}", seed + n) for n in range(_CLIENTS)]
        self.kills: Counter[str] = Counter()
        self.breaches: list[str] = []
        self._random = random.Random(seed)

    def round(self) -> None:
        """Load, one kill at a random moment, restart, and a look at everything that was
        answered."""
        stop = threading.Event()
        threads = [threading.Thread(target=client.work, args=(stop,)) for client in self.clients]
        for thread in threads:
            thread.start()
        time.sleep(self._random.uniform(0.2, 1.5))
        self._kill(stop)
        for thread in threads:
            thread.join()
        self._restart()
        for client in self.clients:
            self.breaches += client.breaches(self.database)

    def _kill(self, stop: threading.Event) -> None:
        what = self._random.choices(
            ("whole server", "server process", "worker", "everything"), (4, 3, 2, 1)
        )[0]
        self.kills[what] += 1
        if died := [
            name
            for name, process in (("server", self.server), ("worker", self.worker))
            if process.poll()
        ]:
            self.breaches.append(f"died by itself: {died}")
        if what == "server process":
            os.kill(self._random.choice(children(self.server)), signal.SIGKILL)
        if what in ("worker", "everything"):
            self.instance.kill(self.worker)
        if what in ("whole server", "everything"):
            self.instance.kill(self.server)
        else:
            # The others serve on.
            time.sleep(self._random.uniform(0.1, 0.5))
        stop.set()

    def _restart(self) -> None:
        if self.server not in self.instance.processes:
            self.server = self.instance.start_server()
        if self.worker not in self.instance.processes:
            self.worker = self.instance.start_worker()

    def full_check(self) -> None:
        """Wait until every job has ended, then compare everything with everything."""
        try:
            check.wait_until_idle(self.database, 120)
            check.run_out(self.database)
            check.wait_until_idle(self.database, 60)
        except TimeoutError as error:
            self.breaches.append(str(error))
        deleted = set().union(*(client.deleted for client in self.clients))
        perhaps = set().union(*(client.perhaps_deleted for client in self.clients))
        self.breaches += check.at_rest(self.database, self.instance.settings, deleted, perhaps)

    def log_breaches(self) -> Iterator[str]:
        """A kill is no reason for an error in the log of those who live."""
        for line in self.instance.log.read_text(errors="replace").splitlines():
            error = "Traceback" in line or '"level":"error"' in line
            if error and not any(expected in line for expected in _EXPECTED):
                yield f"log: {line[:300]}"

    def close(self) -> None:
        """End the processes."""
        self.database.close()
        self.instance.close()


def run(folder: Path, kills: int, seed: int) -> dict[str, Any]:
    """Figures and breaches of that many kills."""
    crash = Crash(folder, seed)
    try:
        for number in range(1, kills + 1):
            crash.round()
            if number % _FULL_CHECK_EACH == 0 or number == kills:
                crash.full_check()
                print(f"  {number} of {kills} kills, {len(crash.breaches)} breaches", flush=True)
            if len(crash.breaches) > 20:
                break
        jobs = dict(
            check.rows(
                crash.database, "SELECT status, COUNT(*) FROM generation_jobs GROUP BY status"
            )
        )
        return {
            "kills": dict(crash.kills),
            "answered": dict(sum((client.answered for client in crash.clients), Counter())),
            "answers_lost": sum(sum(client.lost.values()) for client in crash.clients),
            "jobs": jobs,
            "breaches": crash.breaches + list(crash.log_breaches())[:20],
        }
    finally:
        crash.close()
