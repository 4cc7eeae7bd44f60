"""4 server processes x 8 threads that write all the time, and 2 workers: who waits how long for the
write lock."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from seidra.database.sqlite.connect import SqliteDatabase
from soak import check
from soak.instance import ROOT, TINY, Client, Instance, LostAnswer

_PROCESSES, _THREADS, _WORKERS = 4, 8, 2


def client(port: int, name: str, seconds: float) -> dict[str, Any]:
    """Write without a pause; returns the milliseconds of each write, and what was not answered as
    it should."""
    api = Client(port)
    api.register(name)
    times: list[float] = []
    failed: Counter[str] = Counter()
    persona: int | None = None
    end = time.monotonic() + seconds
    for turn in itertools.count():
        began = time.monotonic()
        if began > end:
            break
        method, path, sent = _write(turn, persona)
        try:
            status, answer = api.ask(method, path, sent)
        except LostAnswer as error:
            status, answer = 0, str(error)
        times.append((time.monotonic() - began) * 1000)
        if status not in (200, 201, 202, 204):
            failed[f"{method} {path.rstrip('0123456789')}: {status} {answer}"] += 1
        elif status == 201:
            persona = answer["id"]
        elif status == 204:
            persona = None
    api.close()
    return {"times": times, "failed": failed}


def _write(turn: int, persona: int | None) -> tuple[str, str, Any]:
    """The next request: mostly creates and edits, with deletes, settings and now and then a
    preview."""
    whole = {
        "name": f"Luna {turn}",
        "style_prompt": f"sea {turn}",
        "tags": ["a", f"t{turn}"],
        "generation_params": TINY,
    }
    if persona is None or turn % 5 == 0:
        return "POST", "/api/personas", whole
    if turn % 50 == 7:
        return "POST", f"/api/personas/{persona}/preview", None
    if turn % 5 == 3:
        return "DELETE", f"/api/personas/{persona}", None
    if turn % 5 == 4:
        return "PUT", "/api/settings", {"extra": {"turn": turn}}
    return "PATCH", f"/api/personas/{persona}", whole


_CLIENTS = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from soak.contention import client
port, number, threads, seconds = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
with ThreadPoolExecutor(threads) as pool:
    done = [pool.submit(client, port, f"user{number}-{n}", seconds) for n in range(threads)]
    json.dump([one.result() for one in done], sys.stdout)
"""


def run(folder: Path, seconds: float) -> dict[str, Any]:
    """Figures in ms, and breaches. The clients are processes of their own, so that they do not wait
    for each other."""
    instance = Instance(
        folder,
        SEIDRA_WEB_WORKERS=str(_PROCESSES),
        SEIDRA_WEB_THREADS=str(_THREADS),
        SEIDRA_EMBEDDED_WORKER="off",
    )
    database = SqliteDatabase(instance.settings)
    try:
        instance.start_server()
        for _ in range(_WORKERS):
            instance.start_worker()
        started = [
            subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    _CLIENTS,
                    str(instance.port),
                    str(number),
                    str(_THREADS),
                    str(seconds),
                ],
                cwd=ROOT,
                env=instance.environment,
                stdout=subprocess.PIPE,
            )
            for number in range(_PROCESSES)
        ]
        results = [
            one
            for process in started
            for one in json.loads(process.communicate(timeout=seconds + 120)[0])
        ]
        failed = sum((Counter(result["failed"]) for result in results), Counter())
        breaches = [f"{count} x {what}" for what, count in failed.most_common(10)]
        breaches += [
            f"log: {line[:300]}" for line in instance.log.read_text().splitlines() if "busy" in line
        ][:5]
        check.wait_until_idle(database, 180)
        breaches += check.at_rest(database, instance.settings)
        return _figures([result["times"] for result in results], seconds) | {"breaches": breaches}
    finally:
        database.close()
        instance.close()


def _figures(clients: list[list[float]], seconds: float) -> dict[str, Any]:
    times = sorted(itertools.chain.from_iterable(clients))
    counts = sorted(map(len, clients))
    found = {"writes": len(times), "writes_per_second": round(len(times) / seconds)}
    found |= {f"p{part}_ms": round(times[len(times) * part // 100]) for part in (50, 99)}
    return found | {
        "max_ms": round(times[-1]),
        "writes_of_least_and_most_served_client": [counts[0], counts[-1]],
    }
