"""PostgreSQL beside SQLite: the same database copied there, and the same requests in turns on both
engines, in this process and without HTTP.

    BENCH_POSTGRESQL=1 make bench                 (with all else; a server of its own is started)
    BENCH_POSTGRESQL=postgresql://user@host make bench      (a server that runs; its copy is kept)
    BENCH_POSTGRESQL=... .venv/bin/python -m benchmarks.postgresql      (this alone)
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from benchmarks import data, inprocess
from benchmarks.data import LARGE, ROOT, SMALL, Sizes
from benchmarks.texts import ABSENT, COMMON, RARE, SHORT
from seidra import create_app
from seidra.config import Settings
from seidra.database import move

VARIABLE = "BENCH_POSTGRESQL"

_ROUNDS = 7
_SECONDS = 0.1
"""How long one request's calls last in a round."""

_LASTING = ("fsync=on", "synchronous_commit=on", "full_page_writes=on", "shared_buffers=1GB")
"""What a server needs that shall not lose anything, and some memory."""

LISTS = {
    "list_1k": (SMALL, "/api/personas?limit=20"),
    "list_100k": (LARGE, "/api/personas?limit=20"),
    "list_offset": (LARGE, "/api/personas?limit=20&offset={deep}"),
    "list_offset_by_name": (LARGE, "/api/personas?limit=20&sort=name&offset={deep}"),
    "list_favorites": (LARGE, "/api/personas?limit=20&is_favorite=true"),
    "list_shared": (LARGE, "/api/personas?limit=20&scope=shared"),
    "list_all": (LARGE, "/api/personas?limit=20&scope=all"),
    "jobs_100k": (LARGE, "/api/jobs?limit=20"),
    "jobs_offset": (LARGE, "/api/jobs?limit=20&offset={deep}"),
    "media_100k": (LARGE, "/api/media?limit=20"),
    "media_offset": (LARGE, "/api/media?limit=20&offset={deep}"),
}
SEARCHES = {
    "search_rare": (LARGE, f"/api/personas?limit=20&search={RARE}"),
    "search_common": (LARGE, f"/api/personas?limit=20&search={COMMON}"),
    "search_common_by_name": (LARGE, f"/api/personas?limit=20&search={COMMON}&sort=name"),
    "search_two_words": (LARGE, f"/api/personas?limit=20&search={COMMON}+light"),
    "search_2char": (LARGE, f"/api/personas?limit=20&search={SHORT}"),
    "search_1char": (LARGE, "/api/personas?limit=20&search=e"),
    "search_absent": (LARGE, f"/api/personas?limit=20&search={ABSENT}"),
    "search_absent_1k": (SMALL, f"/api/personas?limit=20&search={ABSENT}"),
    "search_common_1k": (SMALL, f"/api/personas?limit=20&search={COMMON}"),
    "search_tag": (LARGE, "/api/personas?limit=20&tag=light"),
    "search_shared": (LARGE, f"/api/personas?limit=20&scope=shared&search={COMMON}"),
    "search_media": (LARGE, f"/api/media?limit=20&search={COMMON}"),
    "search_jobs": (LARGE, f"/api/jobs?limit=20&search={COMMON}"),
}


def wanted() -> bool:
    """Whether PostgreSQL is to be measured."""
    return os.environ.get(VARIABLE, "") not in ("", "0")


def figures(sizes: Sizes) -> dict[str, Any]:
    """Copy, unless the server has it, and compare. `postgresql_ms` are milliseconds of each request
    on both, `..._times` the medians over rounds of PostgreSQL's time over SQLite's; the worst of
    the lists and of the searches stand alone."""
    here = Settings.load(data.environment(sizes))
    with _server() as url, _copied(here, url, sizes) as (there, seconds):
        found = _compare(here, there, sizes)
    if seconds is not None:
        found["postgresql_copy_s"] = round(seconds, 1)
    return found


@contextmanager
def _server() -> Iterator[str]:
    given = os.environ.get(VARIABLE, "")
    if given.startswith("postgres"):
        yield given.rstrip("/")
        return
    # The tests know where a machine has its programs.
    sys.path.insert(0, str(ROOT / "tests"))
    from postgresql_server import postgresql_server

    with postgresql_server(*_LASTING) as url:
        yield url


@contextmanager
def _copied(here: Settings, url: str, sizes: Sizes) -> Iterator[tuple[Settings, float | None]]:
    """The settings of the copy, and how many seconds it took, or None where it was there. What it
    was made of is noted in its comment."""
    name, wanted = f"seidra_bench_{sizes.name}", data.fingerprint(sizes)
    there = here.with_url(f"{url}/{name}")
    seconds = None
    with psycopg.connect(f"{url}/postgres", autocommit=True) as owner:
        known = owner.execute(
            "SELECT SHOBJ_DESCRIPTION(oid, 'pg_database') FROM pg_database WHERE datname = %s",
            (name,),
        ).fetchone()
        if known is None or known[0] != wanted:
            owner.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
            owner.execute(f"CREATE DATABASE {name}".encode())
            began = time.monotonic()
            move.copy(here, there, print)
            seconds = time.monotonic() - began
            owner.execute(f"COMMENT ON DATABASE {name} IS '{wanted}'".encode())
    yield there, seconds


def _compare(here: Settings, there: Settings, sizes: Sizes) -> dict[str, Any]:
    apps = [create_app(settings) for settings in (here, there)]
    tokens = [{user: inprocess.mint(app, user) for user in (SMALL, LARGE)} for app in apps]
    calls: dict[str, list[Callable[[], None]]] = {}
    for name, (user, path) in (LISTS | SEARCHES).items():
        asked = path.format(deep=sizes.deep_offset)
        totals = {
            app.test_client()
            .get(asked, headers={"Authorization": f"Bearer {token[user]}"})
            .headers["X-Total-Count"]
            for app, token in zip(apps, tokens, strict=True)
        }
        if len(totals) != 1:
            raise RuntimeError(f"The engines answer {asked} with different totals: {totals}.")
        calls[name] = [
            inprocess.request(app, asked, token[user])
            for app, token in zip(apps, tokens, strict=True)
        ]
    times: dict[str, list[list[float]]] = {name: [[], []] for name in calls}
    for number in range(_ROUNDS):
        for name, both in calls.items():
            for at in (0, 1) if number % 2 else (1, 0):
                times[name][at].append(_best_ms(both[at]))
    ratios = {
        name: statistics.median(b / a for a, b in zip(*found, strict=True))
        for name, found in times.items()
    }
    return {
        "postgresql_ms": {
            name: [round(statistics.median(one), 2) for one in found]
            for name, found in times.items()
        },
        "postgresql_times": {name: round(ratio, 2) for name, ratio in ratios.items()},
        "postgresql_lists_times": round(max(ratios[name] for name in LISTS), 2),
        "postgresql_searches_times": round(max(ratios[name] for name in SEARCHES), 2),
    }


def _best_ms(call: Callable[[], None]) -> float:
    """The least of some calls: what others do on the machine only adds to it."""
    call()
    best, end = float("inf"), time.perf_counter() + _SECONDS
    while True:
        began = time.perf_counter()
        call()
        ended = time.perf_counter()
        best = min(best, ended - began)
        if ended > end:
            return best * 1000


def show(found: dict[str, Any]) -> None:
    """Print the milliseconds and ratios of each request."""
    print(f"\n{'On SQLite and on PostgreSQL, ms, and the ratio':44}")
    for name, (one, other) in found["postgresql_ms"].items():
        print(f"  {name:34}{one:>10.2f}{other:>10.2f}{found['postgresql_times'][name]:>8.2f}")


def main() -> None:
    """This alone."""
    quick = os.environ.get("BENCH_QUICK", "") not in ("", "0")
    sizes = data.QUICK if quick else data.FULL
    data.ensure(sizes, lambda connection, path: None)
    found = figures(sizes)
    show(found)
    for name, value in found.items():
        if not isinstance(value, dict):
            print(f"{name:36}{value:>10}")


if __name__ == "__main__":
    main()
