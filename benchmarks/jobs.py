"""Previews: how long one takes from POST to picture, and whether two worker processes ever do a job
twice. The queue before an engine that answers at once, and before one that takes its time."""

from __future__ import annotations

import json
import sqlite3
import statistics
import time

import orjson

from benchmarks import servers, texts
from benchmarks.data import WRITER, Sizes, environment
from benchmarks.instant import MODEL, InstantEngine
from seidra.config import Settings
from seidra.database.sqlite.connect import open_connection

_PREVIEWS = 12
_JOBS = 200
_BEFORE, _PAUSE = 100, 0.1
_DEADLINE = 120.0


def preview_ms(sizes: Sizes, token: str) -> list[float]:
    """Milliseconds from a POST to the completed job, its 768x768 picture on disk, one after the
    other when idle.

    The job is watched in the database, every 2 ms, so that asking does not slow down the one
    process that works.
    """
    taken = []
    database = open_connection(Settings.load(environment(sizes)).database_path)
    with servers.seidra(sizes, web_workers="1", embedded_worker="true") as server:
        persona = _make_persona(server, token, {})
        for seed in range(_PREVIEWS + 2):
            time.sleep(0.3)
            began = time.perf_counter()
            body = json.dumps({"seed": seed}).encode()
            answer = orjson.loads(server.post(f"/api/personas/{persona}/preview", token, body, 202))
            _wait(database, "id = ?", answer["job_id"], 1)
            taken.append((time.perf_counter() - began) * 1000)
    database.close()
    # The first two pay for imports.
    return taken[2:]


def preview_p50_ms(sizes: Sizes, token: str) -> float:
    """The median of `preview_ms`."""
    return statistics.median(preview_ms(sizes, token))


def claims_double(sizes: Sizes, token: str) -> int:
    """How many of 200 small jobs were begun more than once by two processes that both take from the
    queue."""
    small = {"width": 64, "height": 64, "quality": "draft"}
    with servers.seidra(sizes) as server:
        persona = _make_persona(server, token, small)
        for _ in range(_JOBS):
            server.post(f"/api/personas/{persona}/preview", token, b"{}", 202)
    database = open_connection(Settings.load(environment(sizes)).database_path)
    with servers.seidra(sizes, embedded_worker="true"):
        _wait(database, "persona_id = ?", persona, _JOBS)
    twice = database.execute(
        "SELECT COUNT(*) FROM generation_jobs WHERE persona_id = ? AND attempts > 1", (persona,)
    )
    pictures = database.execute("SELECT COUNT(*) FROM media_items WHERE persona_id = ?", (persona,))
    double: int = twice.fetchone()[0] + abs(pictures.fetchone()[0] - _JOBS)
    database.close()
    return double


def queue_figures(sizes: Sizes, token: str, other: str) -> dict[str, float]:
    """Jobs a second through an engine that answers at once; the median of the milliseconds that it
    idles between two queued jobs; the seconds that another user waits for one behind a hundred,
    where each takes 0.1 s."""
    database = open_connection(Settings.load(environment(sizes)).database_path)
    with InstantEngine() as engine:
        served = {"engine": "openai", "engine_url": engine.url}
        with servers.seidra(sizes, **served) as server:
            first, *_ = [_queue(server, token) for _ in range(_JOBS)]
        with servers.seidra(sizes, **served, embedded_worker="true") as server:
            _wait(
                database,
                "created_at >= (SELECT created_at FROM generation_jobs WHERE id = ?)",
                first,
                _JOBS,
            )
            per_second, idle = engine.per_second(), statistics.median(engine.idle_ms())
            engine.pause = _PAUSE
            for _ in range(_BEFORE):
                _queue(server, token)
            began = time.perf_counter()
            _await(server, other, _queue(server, other))
            waited = time.perf_counter() - began
    database.close()
    return {
        "queue_jobs_per_second": round(per_second, 1),
        "queue_idle_p50_ms": round(idle, 1),
        "queue_second_user_s": round(waited, 2),
    }


def _queue(server: servers.Server, token: str) -> str:
    body = {"prompt": "sea", "parameters": {"width": 512, "height": 512, "model_name": MODEL}}
    answer = orjson.loads(server.post("/api/jobs", token, orjson.dumps(body), 202))
    return str(answer["job_id"])


def _await(server: servers.Server, token: str, job_id: str) -> None:
    deadline = time.monotonic() + _DEADLINE
    status = "queued"
    while status != "completed":
        if status not in ("queued", "processing") or time.monotonic() > deadline:
            raise RuntimeError(f"A job is {status}.")
        time.sleep(0.01)
        status = orjson.loads(server.get(f"/api/jobs/{job_id}", token))["status"]


def _make_persona(server: servers.Server, token: str, parameters: dict[str, object]) -> int:
    body = {
        "name": "Previewed",
        "style_prompt": f"{texts.COMMON}, moonlit ocean",
        "generation_params": parameters,
    }
    return int(orjson.loads(server.post("/api/personas", token, orjson.dumps(body), 201))["id"])


def _wait(database: sqlite3.Connection, condition: str, value: object, count: int) -> None:
    """Wait until that many of the writer's jobs are completed. Raises when one fails, or after two
    minutes."""
    deadline = time.monotonic() + _DEADLINE
    statement = f"""
        SELECT COALESCE(SUM(status = 'completed'), 0), COALESCE(SUM(status = 'failed'), 0)
        FROM generation_jobs WHERE {condition} AND user_id = ?
    """
    while True:
        completed, failed = database.execute(statement, (value, WRITER)).fetchone()
        if completed == count:
            return
        if failed or time.monotonic() > deadline:
            raise RuntimeError(f"Of {count} jobs {completed} were completed and {failed} failed.")
        time.sleep(0.002)
