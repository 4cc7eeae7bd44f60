"""Load from wrk: keep-alive clients on loopback, the cases of a comparison taking turns, medians
over the rounds."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.servers import Server

_SCRIPT = Path(__file__).with_name("wrk.lua")


@dataclass(frozen=True)
class Case:
    """One thing to measure: a GET of `path`, or a POST of the file `body`.

    `slow`: a request takes so long that few connections busy the server, and a run must last longer
    to count some.
    """

    name: str
    server: Server
    path: str
    token: str
    body: Path | None = None
    connections: int = 16
    slow: bool = False


@dataclass(frozen=True)
class Run:
    """What came of one run: requests a second, and milliseconds in which half and 99 % of them were
    answered."""

    per_second: float
    p50_ms: float
    p99_ms: float


def check() -> None:
    """End with a sentence when wrk is not there."""
    if shutil.which("wrk") is None:
        print(
            "The benchmark needs wrk: apt-get install wrk (or brew install wrk).", file=sys.stderr
        )
        sys.exit(2)


def run(case: Case, seconds: float) -> Run:
    """Put load on a case for that long. Raises RuntimeError when a single request fails."""
    connections, seconds = (4, max(seconds * 2, 3)) if case.slow else (case.connections, seconds)
    command = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{round(seconds)}s",
        "--timeout",
        "60s",
        "-s",
        str(_SCRIPT),
        "-H",
        f"Authorization: Bearer {case.token}",
        f"http://127.0.0.1:{case.server.port}{case.path}",
    ]
    if case.body is not None:
        command += ["--", str(case.body)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout.splitlines()[-1])
    if figures["failed"] or not figures["requests"]:
        raise RuntimeError(
            f"{case.name}: {figures['failed']} of {figures['requests']} requests "
            f"failed.\n{done.stdout}"
        )
    return Run(figures["requests"] / figures["seconds"], figures["p50_ms"], figures["p99_ms"])


class Rounds:
    """The runs of some cases that took turns, A B C A B C ..."""

    def __init__(self, cases: Sequence[Case], rounds: int, seconds: float) -> None:
        for case in cases:
            for _ in range(0 if case.body else 16):  # caches, connections, memos
                case.server.get(case.path, case.token)
        self._runs = [{case.name: run(case, seconds) for case in cases} for _ in range(rounds)]

    def per_second(self, name: str) -> float:
        """The median of a case's requests a second."""
        return statistics.median(each[name].per_second for each in self._runs)

    def p99_ms(self, name: str) -> float:
        """The median of a case's 99th percentile, in milliseconds."""
        return statistics.median(each[name].p99_ms for each in self._runs)

    def ratio(self, name: str, other: str) -> float:
        """A case's requests a second over those of another: the median of what it was within each
        round."""
        return statistics.median(
            each[name].per_second / each[other].per_second for each in self._runs
        )

    def names(self) -> list[str]:
        """The cases, in their order."""
        return list(self._runs[0])
