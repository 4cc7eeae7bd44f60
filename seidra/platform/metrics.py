"""GET /metrics for Prometheus: what the server processes count together, and what the database and
disk say.

Each process counts into files of its own below SEIDRA_TMP_DIR (prometheus-client's multiprocess
mode); whichever is asked adds them up. What is global is read when it is asked for.
"""

from __future__ import annotations

import hmac
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, request

from seidra.auth.tokens import bearer_token
from seidra.auth.usage import today
from seidra.config import Settings, ensure_directory
from seidra.database.base import Database, Row
from seidra.database.queries import queries
from seidra.errors import Unauthorized
from seidra.files.temporary import METRICS
from seidra.jobs.schemas import STATUSES
from seidra.values import parse_timestamp, timestamp
from seidra.web import rates
from seidra.web.services import services_of

if TYPE_CHECKING:
    from prometheus_client.core import GaugeMetricFamily

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_ACCOUNTS = 1_000
"""Of how many accounts the use of today is told: those who used most."""

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Seconds; a list of 20 takes well under one of the first."""


def counts_folder(settings: Settings) -> Path:
    """Where the processes count."""
    return settings.tmp_dir / METRICS


def clear_counts(settings: Settings) -> None:
    """Begin at nothing: for the start of a server, before its processes count."""
    shutil.rmtree(counts_folder(settings), ignore_errors=True)


def serve_metrics(app: Flask, settings: Settings) -> None:
    """Count the requests of `app` and give it the route, unless SEIDRA_METRICS is off."""
    if settings.metrics == "off":
        return
    ensure_directory(counts_folder(settings))
    # Read when prometheus_client is first imported, which is why that happens below and nowhere
    # else.
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(counts_folder(settings))
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
    from prometheus_client.multiprocess import MultiProcessCollector

    _count_requests(app)
    collected = CollectorRegistry()
    MultiProcessCollector(collected, path=str(counts_folder(settings)))  # type: ignore[no-untyped-call]
    collected.register(_State(services_of(app).database, settings))

    @app.get("/metrics")
    def metrics() -> Response:
        if settings.metrics != "on":
            _check_token(settings.metrics)
        return Response(generate_latest(collected), content_type=CONTENT_TYPE_LATEST)


def _check_token(expected: str) -> None:
    """Raise Unauthorized, and count it for its address, for a request without the metrics' own
    token."""
    try:
        if not hmac.compare_digest(bearer_token().encode(), expected.encode()):
            raise Unauthorized("The token of the metrics is wrong.", code="token_invalid")
    except Unauthorized:
        rates.count_request("general", rates.client_address())
        raise


def _count_requests(app: Flask) -> None:
    from prometheus_client import CollectorRegistry, Counter, Histogram

    own = CollectorRegistry()
    labels = ("method", "route")
    requests = Counter(
        "seidra_http_requests", "Requests answered.", (*labels, "status"), registry=own
    )
    seconds = Histogram(
        "seidra_http_request_seconds",
        "Seconds until the answer began.",
        labels,
        buckets=_BUCKETS,
        registry=own,
    )
    known: dict[tuple[str, str, int], tuple[Any, Any]] = {}

    @app.after_request
    def count(response: Response) -> Response:
        # The rule and never the path, and no method that somebody made up: there must be few of
        # them.
        route = request.url_rule.rule if request.url_rule else "none"
        method = request.method if request.method in _METHODS else "other"
        key = (method, route, response.status_code)
        if key not in known:
            known[key] = (requests.labels(*map(str, key)), seconds.labels(method, route))
        counter, histogram = known[key]
        counter.inc()
        histogram.observe(time.perf_counter() - request.environ["seidra.began"])
        return response


class _State:
    """What the database and the disk say, as gauges."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges, read now."""
        from prometheus_client.core import GaugeMetricFamily

        with self._database.snapshot() as connection:
            found = {row["status"]: row["n"] for row in queries.platform.jobs_by_status(connection)}
            oldest = queries.platform.oldest_queued(connection)
            workers = queries.workers.list_all(connection)
            media_bytes = queries.platform.media_bytes(connection)
            engines = queries.engines.list_all(connection)
            load = {row["engine"]: row for row in queries.engines.load(connection)}
            used = queries.usage.by_account(
                connection, first=today(), last=today(), user_id=None, limit=_ACCOUNTS, offset=0
            )
            orphans = {row["engine"]: row["n"] for row in queries.engines.orphans_count(connection)}
        jobs = GaugeMetricFamily("seidra_jobs", "Jobs by status.", labels=["status"])
        for status in STATUSES:
            jobs.add_metric([status], found.get(status, 0))
        yield jobs
        age = _seconds_since(oldest) if oldest else 0.0
        yield GaugeMetricFamily(
            "seidra_queue_age_seconds", "How long the first queued job waits.", value=age
        )
        seen = GaugeMetricFamily(
            "seidra_worker_seen_seconds",
            "Seconds since a worker's last sign of life.",
            labels=["worker", "engine"],
        )
        for row in workers:
            seen.add_metric([row["id"], row["engine"]], _seconds_since(row["seen_at"]))
        yield seen
        yield from _engine_gauges(engines, load, orphans)
        yield from _usage_gauges(used)
        yield GaugeMetricFamily("seidra_media_bytes", "Bytes of all pictures.", value=media_bytes)
        yield from self._disk()

    def _disk(self) -> Iterator[GaugeMetricFamily]:
        from prometheus_client.core import GaugeMetricFamily

        yield GaugeMetricFamily(
            "seidra_database_bytes",
            "Bytes of the database and its log.",
            value=self._database.size_bytes(),
        )
        free = GaugeMetricFamily(
            "seidra_disk_free_bytes", "Bytes free for SEIDRA.", labels=["folder"]
        )
        total = GaugeMetricFamily(
            "seidra_disk_bytes", "Bytes of the file system.", labels=["folder"]
        )
        folders = {"media": self._settings.media_dir}
        if self._settings.database_engine == "sqlite":
            folders = {"database": self._settings.database_path.parent, **folders}
        for name, path in folders.items():
            space = os.statvfs(path)
            free.add_metric([name], space.f_bavail * space.f_frsize)
            total.add_metric([name], space.f_blocks * space.f_frsize)
        yield free
        yield total


def _engine_gauges(
    engines: Iterable[Row], load: Mapping[str, Row], orphans: Mapping[str, int]
) -> Iterator[GaugeMetricFamily]:
    """What is known of the engines that workers have served."""
    from prometheus_client.core import GaugeMetricFamily

    up = GaugeMetricFamily(
        "seidra_engine_up", "Whether the engine answered.", labels=["engine", "kind"]
    )
    age = GaugeMetricFamily(
        "seidra_engine_checked_seconds", "Seconds since it was looked at.", labels=["engine"]
    )
    waiting = GaugeMetricFamily(
        "seidra_engine_waiting_jobs", "Jobs that wait for it.", labels=["engine"]
    )
    running = GaugeMetricFamily(
        "seidra_engine_running_jobs", "Jobs of it that workers hold.", labels=["engine"]
    )
    orphaned = GaugeMetricFamily(
        "seidra_engine_orphaned_jobs",
        "Cancelled jobs that it may still work on.",
        labels=["engine"],
    )
    for row in engines:
        name = row["name"]
        if row["probed_at"]:
            up.add_metric([name, row["kind"]], row["unreachable_since"] is None)
            age.add_metric([name], _seconds_since(row["probed_at"]))
        waiting.add_metric([name], load[name]["waiting"] if name in load else 0)
        running.add_metric([name], load[name]["running"] if name in load else 0)
        orphaned.add_metric([name], orphans.get(name, 0))
    yield from (up, age, waiting, running, orphaned)


def _usage_gauges(used: Iterable[Row]) -> Iterator[GaugeMetricFamily]:
    """What accounts had of the engines today. By the id, which is no name, of those alone who had
    something; gauges that begin anew with each day in UTC, for no counter forgets as we do."""
    from prometheus_client.core import GaugeMetricFamily

    seconds = GaugeMetricFamily(
        "seidra_usage_today_engine_seconds", "Engine seconds of an account today.", labels=["user"]
    )
    pictures = GaugeMetricFamily(
        "seidra_usage_today_pictures", "Pictures that an account made today.", labels=["user"]
    )
    size = GaugeMetricFamily(
        "seidra_usage_today_bytes", "Bytes of the pictures of today.", labels=["user"]
    )
    for row in used:
        user = [str(row["user_id"])]
        seconds.add_metric(user, row["engine_seconds"])
        pictures.add_metric(user, row["pictures"])
        size.add_metric(user, row["bytes"])
    yield from (seconds, pictures, size)


def _seconds_since(then: str) -> float:
    return max((parse_timestamp(timestamp()) - parse_timestamp(then)).total_seconds(), 0.0)
