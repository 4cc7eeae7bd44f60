"""Measure and report: a table on standard output, all figures in benchmarks/latest.json.

`BENCH_QUICK=1` takes a tenth of the data and shorter runs. `BENCH_SOUL=1` measures soul-cli too,
which npm installs; `BENCH_POSTGRESQL=1` PostgreSQL beside SQLite (`postgresql.py`). `--only
list,create` measures some groups and writes no file. Every ratio is of requests a second, and the
median over rounds in which the two took turns.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson

from benchmarks import (
    data,
    exchange,
    inprocess,
    jobs,
    load,
    page,
    postgresql,
    report,
    servers,
    texts,
)
from benchmarks.data import LARGE, ROOT, SMALL, WORK, WRITER
from benchmarks.load import Case, Rounds
from benchmarks.peers.fastapi_app.copy import copy
from seidra import create_app
from seidra.config import Settings
from seidra.values import timestamp

GROUPS = (
    "steps",
    "list",
    "search",
    "jobs",
    "media",
    "create",
    "preview",
    "claims",
    "queue",
    "page",
    "exchange",
)
_LIST = "/api/personas?limit=20"
_SOUL_LIST = "/api/tables/personas/rows?_limit=20&_ordering=-created_at&_filters=is_nsfw:0,user_id:"
_CREATE_BODY = "create.json"


class Bench:
    """One run: its sizes, the tokens of the three users, and the figures found so far."""

    def __init__(self, sizes: data.Sizes, groups: set[str], *, quick: bool, soul: bool) -> None:
        self.sizes, self.groups, self.soul = sizes, groups, soul
        self.quick = quick
        self.rounds, self.seconds = (2, 1.0) if quick else (5, 3.0)
        self.figures: dict[str, Any] = {}
        self.per_second: dict[str, float] = {}
        self.app = create_app(Settings.load(data.environment(sizes)))
        self.small, self.large, self.writer = (
            inprocess.mint(self.app, user) for user in (SMALL, LARGE, WRITER)
        )

    def in_process(self) -> None:
        """The steps of a list, and searches, without HTTP."""
        if "steps" in self.groups:
            steps = inprocess.steps(self.app, self.small, self.sizes.deep_offset)
            self.figures["steps_us"] = steps
            self.figures["deep_offset_ms"] = round(steps["wsgi_offset"] / 1000, 2)
        if "search" in self.groups:
            self.figures |= inprocess.searches(self.app, self.large, self.small)

    def over_http(self) -> None:
        """Everything that is measured with wrk."""
        if not self.groups & {"list", "search", "jobs", "media", "create"}:
            return
        with servers.seidra(self.sizes):
            pass
        with ExitStack() as stack:
            seidra = stack.enter_context(servers.seidra(self.sizes))
            self.figures["start_s"] = round(seidra.seconds, 2)
            listed, created, body = self._payloads(seidra)
            bare = stack.enter_context(servers.bare_flask(self.sizes, listed, created))
            fastapi = stack.enter_context(servers.fastapi(self.sizes))
            soul = stack.enter_context(servers.soul(self.sizes)) if self.soul else None
            self._check_peers(seidra, fastapi, soul)
            self._reads(seidra, bare, fastapi, soul)
            if "create" in self.groups:
                self._creates(seidra, bare, body)
            self.figures["rss_mb_per_worker"] = round(max(seidra.workers_mb()), 1)

    def _payloads(self, seidra: servers.Server) -> tuple[Path, Path, Path]:
        """The files with SEIDRA's list, with its answer to a create, and with the body of that
        create."""
        body = orjson.dumps(texts.persona(random.Random(1)) | {"is_nsfw": False})
        found = {
            "list.json": seidra.get(_LIST, self.small),
            "created.json": seidra.post("/api/personas", self.writer, body, 201),
            _CREATE_BODY: body,
        }
        for name, content in found.items():
            (WORK / name).write_bytes(content)
        return WORK / "list.json", WORK / "created.json", WORK / _CREATE_BODY

    def _check_peers(
        self, seidra: servers.Server, fastapi: servers.Server, soul: servers.Server | None
    ) -> None:
        """Raise unless all give the same personas: what is compared must do the same work."""
        deep = self.sizes.deep_offset
        for query, soul_query in (
            ("", ""),
            (f"&search={texts.COMMON}", f"&_search={texts.COMMON}"),
            (f"&offset={deep}", f"&_page={deep // 20 + 1}"),
        ):
            rows = [orjson.loads(each.get(_LIST + query, self.large)) for each in (seidra, fastapi)]
            if soul is not None:
                rows.append(orjson.loads(soul.get(f"{_SOUL_LIST}{LARGE}{soul_query}", ""))["data"])
            ids = [[row["id"] for row in each] for each in rows]
            if any(each != ids[0] for each in ids) or len(ids[0]) != 20:
                raise RuntimeError(f"SEIDRA and its peers answer {query!r} differently: {ids}")

    def _reads(
        self,
        seidra: servers.Server,
        bare: servers.Server,
        fastapi: servers.Server,
        soul: servers.Server | None,
    ) -> None:
        cases = []
        large = f"{_LIST}&offset={self.sizes.deep_offset}"
        if "list" in self.groups:
            cases += [
                Case("list_1k", seidra, _LIST, self.small),
                Case("bare_list", bare, _LIST, self.small),
                Case("fastapi_list_1k", fastapi, _LIST, self.small),
                Case("list_100k", seidra, _LIST, self.large),
                Case("fastapi_list_100k", fastapi, _LIST, self.large, slow=True),
                Case("deep_offset", seidra, large, self.large),
            ]
            if soul is not None:
                cases += [
                    Case("soul_list_1k", soul, f"{_SOUL_LIST}{SMALL}", ""),
                    Case("soul_list_100k", soul, f"{_SOUL_LIST}{LARGE}", "", slow=True),
                ]
        if "search" in self.groups:
            words = {"rare": texts.RARE, "common": texts.COMMON, "2char": texts.SHORT}
            cases += (
                [Case("list_100k", seidra, _LIST, self.large)] if "list" not in self.groups else []
            )
            cases += [
                Case(
                    f"search_{name}",
                    seidra,
                    f"{_LIST}&search={word}",
                    self.large,
                    slow=name != "rare",
                )
                for name, word in words.items()
            ]
            cases += [
                Case(
                    "fastapi_search",
                    fastapi,
                    f"{_LIST}&search={texts.COMMON}",
                    self.large,
                    slow=True,
                )
            ]
            if soul is not None:
                cases += [
                    Case(
                        "soul_search",
                        soul,
                        f"{_SOUL_LIST}{LARGE}&_search={texts.COMMON}",
                        "",
                        slow=True,
                    )
                ]
        for group in self.groups & {"jobs", "media"}:
            path = f"/api/{group}?limit=20"
            cases += [
                Case(f"{group}_1k", seidra, path, self.small),
                Case(f"{group}_100k", seidra, path, self.large),
            ]
        if not cases:
            return
        runs = Rounds(cases, self.rounds, self.seconds)
        self._keep(
            runs,
            {
                "list_share_of_bare_flask": ("list_1k", "bare_list"),
                "list_vs_fastapi_1k": ("list_1k", "fastapi_list_1k"),
                "list_vs_fastapi_100k": ("list_100k", "fastapi_list_100k"),
                "list_vs_soul_1k": ("list_1k", "soul_list_1k"),
                "list_vs_soul_100k": ("list_100k", "soul_list_100k"),
                "list_100k_vs_1k": ("list_100k", "list_1k"),
                "deep_offset_vs_first_page": ("deep_offset", "list_100k"),
                "search_vs_fastapi_100k": ("search_common", "fastapi_search"),
                "search_vs_soul_100k": ("search_common", "soul_search"),
                "search_rare_vs_list": ("search_rare", "list_100k"),
                "search_common_vs_list": ("search_common", "list_100k"),
                "search_2char_vs_list": ("search_2char", "list_100k"),
                "jobs_list_100k_vs_1k": ("jobs_100k", "jobs_1k"),
                "media_list_100k_vs_1k": ("media_100k", "media_1k"),
            },
        )

    def _creates(self, seidra: servers.Server, bare: servers.Server, body: Path) -> None:
        """Creates by 16 connections for the share; by 8, which meet 2 processes of 4 threads, for
        the latency."""
        runs = Rounds(
            [
                Case("create", seidra, "/api/personas", self.writer, body),
                Case("bare_create", bare, "/api/personas", self.writer, body),
                Case("create_8_writers", seidra, "/api/personas", self.writer, body, connections=8),
            ],
            self.rounds,
            self.seconds,
        )
        self._keep(runs, {"create_share_of_bare_flask": ("create", "bare_create")})
        self.figures["create_p99_ms_8_writers"] = round(runs.p99_ms("create_8_writers"), 1)

    def _keep(self, runs: Rounds, ratios: dict[str, tuple[str, str]]) -> None:
        names = runs.names()
        self.per_second |= {name: round(runs.per_second(name), 1) for name in names}
        for key, (one, other) in ratios.items():
            if one in names and other in names:
                self.figures[key] = float(f"{runs.ratio(one, other):.3g}")

    def of_jobs(self) -> None:
        """Previews, claims and the queue."""
        if "preview" in self.groups:
            self.figures["preview_p50_ms"] = round(jobs.preview_p50_ms(self.sizes, self.writer), 1)
        if "claims" in self.groups:
            self.figures["claims_double"] = jobs.claims_double(self.sizes, self.writer)
        if "queue" in self.groups:
            self.figures |= jobs.queue_figures(self.sizes, self.writer, self.small)

    def of_page(self) -> None:
        """The studio in Chromium, on an instance of its own."""
        if "page" in self.groups:
            self.figures |= page.figures()

    def of_postgresql(self) -> None:
        """The same requests on both engines."""
        if postgresql.wanted():
            self.figures |= postgresql.figures(self.sizes)

    def of_exchange(self) -> None:
        """Imports and exports, on an instance of its own."""
        if "exchange" in self.groups:
            self.figures |= exchange.figures(quick=self.quick)


@contextmanager
def _progress(text: str) -> Iterator[None]:
    began = time.monotonic()
    print(f"{text} ...", end=" ", flush=True)
    yield
    print(f"{time.monotonic() - began:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", default=",".join(GROUPS), help=f"some of {','.join(GROUPS)}")
    groups = set(parser.parse_args().only.split(","))
    if unknown := groups - set(GROUPS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
    load.check()
    quick, soul = (
        os.environ.get(name, "") not in ("", "0") for name in ("BENCH_QUICK", "BENCH_SOUL")
    )
    if soul and shutil.which("npm") is None:
        parser.error(
            "BENCH_SOUL needs npm and a C++ compiler (Debian: apt-get install npm build-essential)"
        )
    sizes = data.QUICK if quick else data.FULL
    known = data.ensure(sizes, copy)
    bench = Bench(sizes, groups, quick=quick, soul=soul)
    phases: dict[str, Callable[[], None]] = {
        "In process": bench.in_process,
        "Over HTTP": bench.over_http,
        "Jobs": bench.of_jobs,
        "Page": bench.of_page,
        "In and out": bench.of_exchange,
        "PostgreSQL": bench.of_postgresql,
    }
    for text, phase in phases.items():
        with _progress(text):
            phase()
    found = {
        **bench.figures,
        "per_second": bench.per_second,
        "rows": known["rows"],
        "rows_large_user": sizes.large,
        "data_seconds": known["seconds"],
        "quick": quick,
        "date": timestamp(),
        "machine": {
            "cpus": os.cpu_count(),
            "system": platform.platform(),
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
            "flask": version("flask"),
            "gunicorn": version("gunicorn"),
        },
    }
    report.show(found)
    if postgresql.wanted():
        postgresql.show(found)
    if groups == set(GROUPS):
        (ROOT / "benchmarks" / "latest.json").write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
