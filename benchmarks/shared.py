"""What 1,000 shared personas and media among many cost: the lists and facets of `mine` with and
without them, and the lists of what is shared. In CPU time and in turns, so that a busy machine
counts little.

    .venv/bin/python -m benchmarks.shared            (or: make bench-shared)
    BENCH_TOTAL=1000000 make bench-shared            (the default is 200,000)
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable
from contextlib import closing

from benchmarks import data, inprocess
from benchmarks.data import LARGE, SHARED_ROWS, WRITER
from benchmarks.texts import COMMON, RARE
from seidra import create_app
from seidra.config import Settings
from seidra.database.sqlite.connect import open_connection

_ROUNDS = 9
_SECONDS = 0.15
"""CPU seconds of one request's calls in a round."""

_QUERIES = {
    "first page": "?limit=20",
    "offset": "?limit=20&offset={deep}",
    "search, common": f"?limit=20&search={COMMON}",
    "search, rare": f"?limit=20&search={RARE}",
    "facets": "/facets",
}
_OTHERS = {
    "shared, first page": "?scope=shared&limit=20",
    "shared, offset": "?scope=shared&limit=20&offset=900",
    "shared, search": f"?scope=shared&limit=20&search={COMMON}",
    "all, first page": "?scope=all&limit=20",
    "all, offset": "?scope=all&limit=20&offset={deep}",
    "all, search": f"?scope=all&limit=20&search={COMMON}",
}


def main() -> None:
    """Make the database unless it is there, measure, print a table, and one line of JSON."""
    total = int(os.environ.get("BENCH_TOTAL", "200000"))
    sizes = data.Sizes(f"shared-{total}", 1_000, total // 2, total)
    if total == data.FULL.total:
        # That of `make bench`, which takes long to make.
        sizes = data.FULL
    data.ensure(sizes, lambda connection, path: None)
    settings = Settings.load(data.environment(sizes))
    app = create_app(settings)
    token = inprocess.mint(app, LARGE)

    with closing(open_connection(settings.database_path)) as connection:
        chosen = {
            table: [
                (id,)
                for (id,) in connection.execute(
                    f"SELECT id FROM {table} WHERE user_id > ? AND is_nsfw = FALSE"
                    " ORDER BY created_at, id LIMIT ?",
                    (WRITER, SHARED_ROWS),
                )
            ]
            for table in ("personas", "media_items")
        }

    def share(visibility: str) -> None:
        """Let so many of others be shared, or nothing of anybody."""
        with closing(open_connection(settings.database_path)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            for table, ids in chosen.items():
                connection.execute(
                    f"UPDATE {table} SET visibility = 'private' WHERE visibility = 'shared'"
                )
                if visibility == "shared":
                    connection.executemany(
                        f"UPDATE {table} SET visibility = 'shared' WHERE id = ?", ids
                    )
            connection.execute("COMMIT")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    figures: dict[str, float] = {}
    for path in ("/api/personas", "/api/media"):
        mine, others = (
            {
                name: inprocess.request(app, f"{path}{query.format(deep=sizes.deep_offset)}", token)
                for name, query in queries.items()
            }
            for queries in (_QUERIES, _OTHERS)
        )
        found: dict[str, dict[str, list[float]]] = {name: {} for name in (*mine, *others)}
        for number in range(_ROUNDS):
            order = ("private", "shared") if number % 2 else ("shared", "private")
            for visibility in order:
                share(visibility)
                asked = mine | others if visibility == "shared" else mine
                for name, call in asked.items():
                    found[name].setdefault(visibility, []).append(_cpu_ms(call))
        print(f"\n{path}, {total:,} in all, {SHARED_ROWS:,} shared: CPU ms (with / without: ratio)")
        for name, times in found.items():
            cost = statistics.median(times["shared"])
            figures[f"{path} {name}"] = round(cost, 3)
            line = f"  {name:<20} {cost:9.2f}"
            if "private" in times:
                # Of each round, for the machine is another one in each.
                ratio = statistics.median(
                    a / b for a, b in zip(times["shared"], times["private"], strict=True)
                )
                figures[f"{path} {name} ratio"] = round(ratio, 3)
                line += f" / {statistics.median(times['private']):9.2f}: {ratio:5.2f}"
            print(line, flush=True)
    print(json.dumps(figures))


def _cpu_ms(call: Callable[[], None]) -> float:
    """The CPU milliseconds of a call: the least of three lots, after one to warm up."""
    call()
    best = float("inf")
    for _ in range(3):
        began, calls, spent = time.process_time(), 0, 0.0
        while spent < _SECONDS / 3:
            call()
            calls += 1
            spent = time.process_time() - began
        best = min(best, spent / calls)
    return best * 1000


if __name__ == "__main__":
    main()
