"""What happens to the machines while clients ask: nodes are killed, stopped and cut off at random;
PostgreSQL is stopped, crashes and is cut off, and so are Redis and the server of S3."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext

from soak.cluster.machines import Machine
from soak.cluster.network import CABLE, SILENCE, Network
from soak.cluster.nodes import LEASE_SECONDS
from soak.cluster.services import Postgresql

KILL, STOP, CUT, LONG, POWER = "killed", "stopped", "cut off", "cut off longer", "without power"
"""SIGKILL; SIGTERM; the link down or silent for some seconds; for longer than a lease; all at once
and nobody is told, as when the power fails."""

WORK_FAULTS = (KILL, CUT, LONG, POWER, KILL, STOP)
WEB_FAULTS = (KILL, CUT, POWER, LONG, STOP)


class Outage:
    """A service that was away: what it was, from when to when."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.began = time.monotonic()
        self.ended = 0.0


class Chaos:
    """Threads that do this until `end`. `progress` says which part of the jobs is queued,
    `serves` whether a node is at work."""

    def __init__(
        self,
        network: Network,
        web: Sequence[Machine],
        work: Sequence[Machine],
        services: dict[str, Machine],
        progress: Callable[[], float],
        serves: Callable[[Machine], bool],
        seed: int,
    ) -> None:
        self.done: Counter[str] = Counter()
        self.outages: list[Outage] = []
        self.failed: list[str] = []
        self._network = network
        self._services = services
        self._progress = progress
        self._random = random.Random(seed)
        self._over = threading.Event()
        self._serves = serves
        self._calm = threading.Lock()
        """Held while a web node is away, or a service."""
        self._threads = [
            threading.Thread(target=self._guarded, args=work, daemon=True)
            for work in (
                (self._disturb, work, WORK_FAULTS, None),
                (self._disturb, web, WEB_FAULTS, self._calm),
                (self._disturb_services, *()),
            )
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Do no more; everything runs and is connected again when this returns."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _guarded(self, what: Callable[..., None], *arguments: object) -> None:
        try:
            what(*arguments)
        except Exception as error:
            self.failed.append(f"the soak itself fails: {error!r}")

    def _disturb(
        self,
        machines: Sequence[Machine],
        faults: Sequence[str],
        calm: threading.Lock | None,
    ) -> None:
        """One fault after another, each kind as often as the others."""
        while True:
            for fault in self._random.sample(faults, len(faults)):
                if self._over.wait(self._random.uniform(1, 6)):
                    return
                machine = self._random.choice(list(machines))
                with calm or nullcontext():
                    self._strike(machine, fault)
                    # The others go on meanwhile; that there are others is what this is about.
                    self._wait_for(machine)

    def _strike(self, machine: Machine, fault: str) -> None:
        kind = machine.name.rstrip("0123456789")
        self.done[f"{kind} {fault}"] += 1
        if fault in (CUT, LONG):
            beyond = LEASE_SECONDS + self._random.uniform(2, 10)
            self._away(machine.name, beyond if fault == LONG else self._random.uniform(1, 4))
        elif fault == POWER:
            self._network.cut(machine.name, SILENCE)
            machine.end(signal.SIGKILL)
            time.sleep(self._random.uniform(1, 8))
            self._network.mend(machine.name)
            machine.start()
        else:
            machine.end(signal.SIGKILL if fault == KILL else signal.SIGTERM)
            time.sleep(self._random.uniform(0, 3))
            machine.start()

    def _wait_for(self, machine: Machine) -> None:
        deadline = time.monotonic() + 120
        while not self._serves(machine):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{machine.name} does not come back:\n{machine.tail()}")
            if self._over.wait(0.5):
                return

    def _away(self, name: str, seconds: float) -> None:
        self._network.cut(name, self._random.choice((CABLE, SILENCE)))
        time.sleep(seconds)
        self._network.mend(name)

    def _disturb_services(self) -> None:
        """Each once, when so much is queued; PostgreSQL is stopped in the middle."""
        for part, name, act in (
            (0.15, "Redis cut off", lambda: self._away("redis", 5)),
            (0.3, "S3 cut off", lambda: self._away("s3", 5)),
            (0.5, "PostgreSQL stopped", self._stop_database),
            (0.65, "PostgreSQL cut off", lambda: self._away("db", 8)),
            (0.8, "PostgreSQL crashed", self._crash_database),
        ):
            while self._progress() < part:
                if self._over.wait(0.2):
                    return
            with self._calm:
                outage = Outage(name)
                self.outages.append(outage)
                self.done[name] += 1
                act()
                outage.ended = time.monotonic()
                # What it leaves is looked at before anything else happens to a web node.
                self._over.wait(5)

    def _stop_database(self) -> None:
        database = self._database
        database.stop_fast()
        time.sleep(5)
        self._start_database()

    def _crash_database(self) -> None:
        self._database.crash()
        time.sleep(2)
        self._start_database()

    @property
    def _database(self) -> Postgresql:
        database = self._services["db"]
        assert isinstance(database, Postgresql)
        return database

    def _start_database(self) -> None:
        self._database.start()
        deadline = time.monotonic() + 60
        while not self._database.ready():
            if time.monotonic() > deadline:
                raise RuntimeError("PostgreSQL does not come back")
            time.sleep(0.05)
