"""Turns: whose job an engine makes next, measured through the statement that claims, by a clock
that the test moves."""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from conftest import Person
from flask import Flask

from seidra.config import Settings
from seidra.database.base import Row
from seidra.database.queries import queries
from seidra.database.sqlite.connect import SqliteDatabase
from seidra.engines.mock import MockEngine
from seidra.jobs import chores, queue
from seidra.jobs.worker import Worker
from seidra.operations.workers import make_worker
from seidra.values import timestamp

ENGINE, TURN, LOAD, PICTURE = "studio", 60.0, 20.0, 5.0


class Studio:
    """One engine that makes a picture in five seconds and loads a model in twenty, by its own
    clock."""

    def __init__(self, database: SqliteDatabase, settings: Settings) -> None:
        self.database, self.settings = database, settings
        self.at, self.estimate, self.loading = 0.0, PICTURE, 0.0
        with database.transaction() as tx:
            queries.engines.register(tx, name=ENGINE, kind="comfyui", now=self.stamp())

    def stamp(self, seconds: float = 0.0) -> str:
        return timestamp(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.at + seconds))

    def add(self, user_id: int, model: str, count: int = 1, **changes: Any) -> None:
        row = {
            "user_id": user_id,
            "persona_id": None,
            "persona_revision": None,
            "job_type": "generation",
            "prompt": "sea",
            "negative_prompt": "",
            "model_name": model,
            "loras": "[]",
            "parameters": "{}",
            "count": 1,
            "images": "{}",
            "warnings": "[]",
            "metadata": "{}",
            "is_nsfw": False,
            "search_text": "sea",
            "engine": ENGINE,
            "now": self.stamp(),
        }
        with self.database.transaction() as tx:
            for _ in range(count):
                queries.jobs.create(tx, id=str(uuid.uuid4()), **(row | changes))

    def claim(self, turn_s: float = TURN) -> tuple[Row, bool, float]:
        """Take the next job as a worker does; whether it loads a model, and what it was estimated
        at."""
        began, estimated = self.stamp(), self.estimate
        with self.database.transaction() as tx:
            turn = max(turn_s - estimated, 0.0)
            job = queue.claim_job(tx, ENGINE, 1, f"claim {began}", self.settings, turn)
            assert job is not None
            queue.add_turn(tx, job, estimated, began)
            return job, queue.note_load(tx, job), estimated

    def make(self, turn_s: float = TURN, fails: bool = False) -> tuple[int, str, bool]:
        """Make the next job; whose it was, its model, and whether that was loaded for it."""
        began = self.stamp()
        job, loads, estimated = self.claim(turn_s)
        took = PICTURE + (LOAD if loads else 0.0)
        self.loading += LOAD if loads else 0.0
        self.at += took
        self.estimate = took
        with self.database.transaction() as tx:
            if loads and not fails:
                queue.begin_turn(tx, job)
            queue.add_turn(tx, job, took - estimated, began)
            tx.execute(
                "UPDATE generation_jobs SET status = 'completed', claim = NULL, completed_at = ?"
                " WHERE id = ?",
                (self.stamp(), job["id"]),
            )
        return job["user_id"], job["model_name"], loads


@pytest.fixture
def studio(
    app: Flask, database: SqliteDatabase, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Studio:
    made = Studio(database, settings)
    monkeypatch.setattr(queue, "timestamp", made.stamp)
    monkeypatch.setattr(queue, "timestamp_in", made.stamp)
    return made


@pytest.fixture
def accounts(admin: Person, database: SqliteDatabase) -> Callable[[int], list[int]]:
    """Make so many accounts; returns their ids."""

    def make(count: int) -> list[int]:
        with database.transaction() as tx:
            [like] = tx.execute("SELECT * FROM users WHERE username_key = 'admin'").fetchall()
            names = [name for name in dict(like) if name != "id"]
            ids = []
            for number in range(count):
                own = {"username", "username_key", "email", "email_key"}
                row = [f"owner{number}@x.example" if n in own else like[n] for n in names]
                marks = ", ".join("?" * len(names))
                made = tx.execute(
                    f"INSERT INTO users ({', '.join(names)}) VALUES ({marks}) RETURNING id", row
                )
                ids.append(made.fetchone()[0])
        return ids

    return make


def test_who_asks_for_one_behind_a_hundred_of_the_same_model_is_next(
    studio: Studio, accounts: Callable[[int], list[int]]
) -> None:
    first, second = accounts(2)
    studio.add(first, "a", 100)
    for _ in range(3):
        assert studio.make()[0] == first
    studio.add(second, "a")
    assert studio.make() == (second, "a", False)
    assert studio.make() == (first, "a", False)


def test_four_accounts_with_four_models_share_an_engine(
    studio: Studio, accounts: Callable[[int], list[int]]
) -> None:
    owners = accounts(4)
    for owner, model in zip(owners, "abcd", strict=True):
        studio.add(owner, model, 400)
    had: Counter[int] = Counter()
    ended, waits = dict.fromkeys(owners, 0.0), []
    while studio.at < 4 * 80 * 8:
        began = studio.at
        owner, _, _ = studio.make()
        waits.append(began - ended[owner])
        had[owner], ended[owner] = had[owner] + studio.at - began, studio.at
    share = studio.at / 4
    figures = (dict(had), studio.loading / studio.at, max(waits))
    assert all(abs(had[owner] - share) <= share / 10 for owner in owners), figures
    assert studio.loading <= studio.at / 4, figures
    assert max(waits) <= (TURN + LOAD) * 3 + PICTURE, figures


def test_without_turns_the_account_with_the_least_is_next_whatever_it_loads(
    studio: Studio, accounts: Callable[[int], list[int]]
) -> None:
    for owner, model in zip(accounts(2), "ab", strict=True):
        studio.add(owner, model, 10)
    assert [studio.make(turn_s=0)[2] for _ in range(6)] == [True] * 6


def test_a_model_whose_pictures_all_fail_holds_its_engine_no_longer_than_a_turn(
    studio: Studio, accounts: Callable[[int], list[int]]
) -> None:
    first, second = accounts(2)
    studio.add(first, "broken", 400)
    studio.make(fails=True)
    studio.add(second, "b", 1)
    while (made := studio.make(fails=True))[0] == first:
        assert studio.at <= TURN
    assert made[1] == "b"


def test_an_own_preview_of_the_loaded_model_comes_before_generations_of_it(
    studio: Studio, accounts: Callable[[int], list[int]]
) -> None:
    [owner] = accounts(1)
    studio.add(owner, "a", 3)
    studio.make()
    studio.add(owner, "b", job_type="persona_preview")
    studio.add(owner, "a", job_type="persona_preview", prompt="mine")
    assert studio.claim()[0]["prompt"] == "mine"


@pytest.mark.slow
def test_a_claim_among_twenty_thousand_jobs_of_two_hundred_accounts_reads_one_of_each(
    studio: Studio, accounts: Callable[[int], list[int]]
) -> None:
    owners = accounts(200)
    for number, owner in enumerate(owners):
        studio.add(owner, f"model {number % 3}", 100)
    studio.make()
    connection = studio.database.connection
    assert connection.execute("SELECT COUNT(*) FROM generation_jobs").fetchone()[0] == 20_000
    took = []
    for _ in range(20):
        began = time.perf_counter()
        studio.make()
        took.append(time.perf_counter() - began)
    # Reading and sorting all 20,000 takes far longer.
    assert sorted(took)[10] < 0.05


# ----------------------------------------------------------------------------- what never is made


def test_a_queued_job_fails_where_nsfw_was_switched_off_meanwhile(
    alice: Person, worker: Worker, database: SqliteDatabase
) -> None:
    alice.allow_nsfw()
    persona = alice.persona(generation_params={"width": 64, "height": 64}, is_nsfw=True)["id"]
    first, plain = alice.preview(persona), alice.preview(alice.persona()["id"])
    assert alice.patch("/api/settings/nsfw", json={"enabled": False}).status_code == 200
    while worker.work_one():
        pass
    read = "SELECT status, error_code, attempts, submissions FROM generation_jobs WHERE id = ?"
    assert tuple(database.connection.execute(read, (first,)).fetchone()) == (
        "failed",
        "nsfw_off",
        0,
        0,
    )
    assert alice.get(f"/api/jobs/{plain}").get_json()["status"] == "completed"
    # It takes nobody's turn.
    assert len(database.connection.execute("SELECT user_id FROM engine_turns").fetchall()) == 1


def test_jobs_of_an_engine_that_nobody_serves_fail_after_ten_minutes(
    alice: Person, database: SqliteDatabase, settings: Settings
) -> None:
    persona = alice.persona()["id"]
    lost, served = alice.preview(persona), alice.preview(persona)
    with database.transaction() as tx:
        tx.execute("UPDATE generation_jobs SET engine = 'far' WHERE id = ?", (lost,))
    here = make_worker(settings, database, [MockEngine()], threading.Event())
    here._presence.show()
    gone = chores.GoneEngines()

    def status(job_id: str) -> tuple[str, str | None]:
        shown = alice.get(f"/api/jobs/{job_id}").get_json()
        return shown["status"], shown["error_code"]

    # Ten minutes of this process, however long nobody had served it before.
    for now in (5000.0, 5300.0, 5599.0):
        gone.fail_jobs(database, now)
        assert status(lost) == ("queued", None)
    # A worker that comes back begins the time anew.
    with database.transaction() as tx:
        row = {"id": "w", "host": "h", "pid": 1, "engine": "mock, far", "now": timestamp()}
        queries.workers.seen(tx, **row)
    gone.fail_jobs(database, 5601.0)
    with database.transaction() as tx:
        queries.workers.gone(tx, id="w")
    gone.fail_jobs(database, 5700.0)
    gone.fail_jobs(database, 6299.0)
    assert status(lost) == ("queued", None)
    gone.fail_jobs(database, 6300.0)
    assert status(lost) == ("failed", "engine_gone")
    assert status(served) == ("queued", None)
