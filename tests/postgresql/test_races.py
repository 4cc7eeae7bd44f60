"""What SQLite's one writer gives for nothing: no claim twice, no change lost, no event missed, the
last administrator kept, counters that agree. Each with real processes on PostgreSQL."""

from __future__ import annotations

import contextlib
import multiprocessing
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection as Pipe
from typing import Any

import pytest
from instances import pg, pg_settings, server

from seidra.auth import accounts
from seidra.config import Settings
from seidra.database import open_database
from seidra.database.base import INSTANCE, Database
from seidra.database.postgresql.connect import open_connection
from seidra.database.queries import queries
from seidra.errors import Conflict, Unavailable
from seidra.jobs import queue
from seidra.personas import search
from seidra.values import timestamp, timestamp_in

__all__ = ["pg", "pg_settings", "server"]
"""The fixtures."""

pytestmark = pytest.mark.slow

ENGINE = "mock"
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["instances", "seidra.database.postgresql.connect"])


def together(settings: Settings, act: Callable[..., Any], each: list[Any]) -> list[Any]:
    """`act(settings, database, one of each)` in a process of its own each, all begun at once; what
    they return."""
    pipes, processes = [], []
    for one in each:
        ours, theirs = _PROCESSES.Pipe()
        process = _PROCESSES.Process(target=_act, args=(act, settings, one, theirs))
        process.start()
        pipes.append(ours)
        processes.append(process)
    for pipe in pipes:
        assert pipe.recv() == "ready"
    for pipe in pipes:
        pipe.send("go")
    answers = [pipe.recv() for pipe in pipes]
    for process in processes:
        process.join(60)
    return answers


def _act(act: Callable[..., Any], settings: Settings, one: Any, pipe: Pipe) -> None:
    database = open_database(settings)
    queries.platform.ping(database.connection)
    pipe.send("ready")
    pipe.recv()
    try:
        pipe.send(act(settings, database, one))
    finally:
        database.close()


def make_user(database: Database, name: str, *, admin: bool = False) -> int:
    with database.transaction(INSTANCE) as tx:
        row = accounts.create_account(tx, name, f"{name}@example.com", "x", admin=admin)
    return int(row["id"])


def queue_jobs(database: Database, user_id: int, ids: list[str]) -> None:
    now = timestamp()
    with database.transaction(user_id) as tx:
        for id in ids:
            queries.jobs.create(
                tx,
                id=id,
                user_id=user_id,
                persona_id=None,
                persona_revision=None,
                job_type="generation",
                prompt="moon",
                negative_prompt="",
                model_name="m",
                loras="[]",
                parameters="{}",
                count=1,
                images="{}",
                warnings="[]",
                metadata="{}",
                is_nsfw=False,
                search_text="moon",
                engine=ENGINE,
                now=now,
            )


# ---------------------------------------------------------------------------------------- the queue


def claim_all(settings: Settings, database: Database, worker: int) -> list[str]:
    """Claim and complete jobs until none is left, as a worker does; the ids claimed."""
    claimed: list[str] = []
    misses = 0
    while misses < 20:
        claim = f"{worker}-{len(claimed)}"
        try:
            with database.transaction(f"engine {ENGINE}") as tx:
                job = queue.claim_job(tx, ENGINE, 1000, claim, settings)
        except Unavailable:
            continue
        if job is None:
            misses += 1
            time.sleep(0.01)
            continue
        claimed.append(job["id"])
        with database.transaction() as tx:
            done = queries.jobs.finish(
                tx,
                id=job["id"],
                claim=claim,
                seconds=0.01,
                metadata="{}",
                warnings="[]",
                now=timestamp(),
            )
        assert done is not None, "somebody else has taken it"
    return claimed


def follow_events(settings: Settings, database: Database, expected: int) -> list[int]:
    """Read events by position while they are written; the ids seen, in order."""
    seen: list[int] = []
    position, deadline = 0, time.monotonic() + 120
    while len(seen) < expected and time.monotonic() < deadline:
        rows = database.connection.execute(
            "SELECT id FROM job_events WHERE id > %(position)s ORDER BY id", {"position": position}
        ).fetchall()
        seen += [row["id"] for row in rows]
        position = seen[-1] if seen else 0
        time.sleep(0.002)
    return seen


def _follow_or_claim(settings: Settings, database: Database, one: tuple[str, int]) -> list[Any]:
    kind, number = one
    if kind == "follow":
        return list(follow_events(settings, database, number))
    return list(claim_all(settings, database, number))


def test_no_job_is_claimed_twice_and_no_event_missed(pg: Database, pg_settings: Settings) -> None:
    users = [make_user(pg, f"user{n}") for n in range(10)]
    jobs = [f"job-{n:04d}" for n in range(1000)]
    for at, user_id in enumerate(users):
        queue_jobs(pg, user_id, jobs[at::10])
    # Queued, claimed, completed: three changes a job.
    follower, *workers = together(
        pg_settings, _follow_or_claim, [("follow", 3000), *(("claim", n) for n in range(4))]
    )
    claimed = Counter(id for worker in workers for id in worker)
    assert [id for id, times in claimed.items() if times > 1] == []
    assert sorted(claimed) == jobs
    written = [
        row["id"] for row in pg.connection.execute("SELECT id FROM job_events ORDER BY id", {})
    ]
    assert follower == written
    assert len(written) == 3000
    counts = {row["status"]: row["n"] for row in queries.platform.jobs_by_status(pg.connection)}
    assert {status: n for status, n in counts.items() if n} == {"completed": 1000}


def test_an_engine_has_no_more_jobs_in_hand_than_it_may(
    pg: Database, pg_settings: Settings
) -> None:
    queue_jobs(pg, make_user(pg, "user"), [f"job-{n}" for n in range(40)])
    together(pg_settings, _claim_two, list(range(8)))
    held = pg.connection.execute(
        "SELECT COUNT(*) FROM generation_jobs WHERE status = 'processing'", {}
    ).fetchone()[0]
    assert held == 2


def _claim_two(settings: Settings, database: Database, worker: int) -> None:
    for n in range(5):
        with database.transaction(f"engine {ENGINE}") as tx:
            queue.claim_job(tx, ENGINE, 2, f"{worker}-{n}", settings)
            # As much as what else is written with a claim.
            time.sleep(0.01)


def test_a_cancelled_job_is_passed_over_by_a_claim(pg: Database, pg_settings: Settings) -> None:
    user_id = make_user(pg, "user")
    queue_jobs(pg, user_id, ["first", "second"])
    queue_jobs(pg, make_user(pg, "other"), ["third"])
    cancelled, claimed = threading.Event(), threading.Event()

    def cancel() -> None:
        with pg.transaction(user_id) as tx:
            queue.cancel_job(tx, user_id, "first")
            cancelled.set()
            assert claimed.wait(20)
        pg.leave()

    thread = threading.Thread(target=cancel)
    thread.start()
    assert cancelled.wait(20)
    with pg.transaction(f"engine {ENGINE}") as tx:
        job = queue.claim_job(tx, ENGINE, 9, "w", pg_settings)
    claimed.set()
    thread.join()
    # Their owner is passed over too, until it is known which of their jobs is the next.
    assert job is not None
    assert job["id"] == "third"
    with pg.transaction(f"engine {ENGINE}") as tx:
        job = queue.claim_job(tx, ENGINE, 9, "w", pg_settings)
    assert job is not None
    assert job["id"] == "second"


# --------------------------------------------------------------------------------- turns of writers


def test_a_users_limit_of_queued_jobs_holds(pg: Database, pg_settings: Settings) -> None:
    user_id = make_user(pg, "user")
    together(pg_settings, _queue_ten, [(user_id, n) for n in range(8)])
    assert queries.jobs.queued(pg.connection, user_id=user_id) == 10


def _queue_ten(settings: Settings, database: Database, one: tuple[int, int]) -> None:
    user_id, worker = one
    for n in range(10):
        with database.transaction(user_id) as tx:
            if queries.jobs.queued(tx, user_id=user_id) < 10:
                time.sleep(0.002)
                tx.execute(
                    "INSERT INTO generation_jobs (id, user_id, job_type, prompt, model_name,"
                    " run_after, search_text, created_at, updated_at)"
                    " VALUES (%(id)s, %(user_id)s, 'generation', '', '', '', '', '', '')",
                    {"id": f"{worker}-{n}", "user_id": user_id},
                )


def test_no_toggle_of_a_favourite_is_lost(pg: Database, pg_settings: Settings) -> None:
    user_id = make_user(pg, "user")
    now = timestamp()
    pg.connection.execute(
        "INSERT INTO personas (uid, user_id, name, name_key, style_prompt, created_at, updated_at)"
        " VALUES ('u', %(user_id)s, 'Luna', 'luna', 'moon', %(now)s, %(now)s)",
        {"user_id": user_id, "now": now},
    )
    together(pg_settings, _toggle, [user_id] * 7)
    row = pg.connection.execute("SELECT is_favorite, version FROM personas", {}).fetchone()
    # 7 x 15 changes, each of which turned round what the one before had left.
    assert (row["is_favorite"], row["version"]) == (True, 106)
    total = queries.personas.count(pg.connection, user_id=user_id, nsfw=True, favorite=True)
    assert total == 1


def _toggle(settings: Settings, database: Database, user_id: int) -> None:
    for _ in range(15):
        with database.transaction(user_id) as tx:
            row = tx.execute("SELECT is_favorite, version FROM personas", {}).fetchone()
            time.sleep(0.002)
            tx.execute(
                "UPDATE personas SET is_favorite = %(value)s, version = %(version)s",
                {"value": not row["is_favorite"], "version": row["version"] + 1},
            )


def test_the_last_administrator_is_kept(pg: Database, pg_settings: Settings) -> None:
    make_user(pg, "first", admin=True)
    for round in range(6):
        make_user(pg, f"admin{round}", admin=True)
        admins = [
            row["id"]
            for row in queries.users.list_all(pg.connection)
            if row["is_admin"] and row["is_active"]
        ]
        assert len(admins) == 2
        assert sorted(together(pg_settings, _delete_account, admins)) == ["deleted", "last_admin"]


def _delete_account(settings: Settings, database: Database, user_id: int) -> str:
    try:
        with database.transaction(INSTANCE) as tx:
            row = queries.users.get_for_update(tx, id=user_id)
            assert row is not None
            accounts.delete_account(tx, row)
    except Conflict as conflict:
        return str(conflict.code)
    return "deleted"


def test_counters_agree_while_they_are_folded(pg: Database, pg_settings: Settings) -> None:
    user_id = make_user(pg, "user")
    together(pg_settings, _make_or_fold, [(user_id, n) for n in range(5)])
    pg.fold_counters()
    rows = pg.connection.execute("SELECT n FROM job_counts", {}).fetchall()
    assert [row["n"] for row in rows] == [200]
    wrong = queries.operations.wrong_counts(pg.connection)
    assert wrong is not None
    assert dict(wrong) == dict.fromkeys(
        ("personas", "shared_personas", "jobs", "media", "shared_media", "collections"), 0
    )


def _make_or_fold(settings: Settings, database: Database, one: tuple[int, int]) -> None:
    user_id, worker = one
    for n in range(50):
        if worker == 4:
            database.fold_counters()
        else:
            queue_jobs(database, user_id, [f"{worker}-{n}"])


def test_one_keeps_house_at_a_time(pg: Database, pg_settings: Settings) -> None:
    other = open_database(pg_settings)
    with pg.chores() as mine, other.chores() as theirs:
        assert (mine, theirs) == (True, False)
    with other.chores() as theirs:
        assert theirs
    other.close()


# -------------------------------------------------------------------------------- what else is new


def test_a_queued_job_wakes_who_listens(pg: Database) -> None:
    user_id = make_user(pg, "user")
    woken = threading.Event()
    stop = pg.listen(woken.set)
    try:
        assert woken.wait(10)
        delays = []
        for n in range(20):
            woken.clear()
            queue_jobs(pg, user_id, [f"job-{n}"])
            began = time.monotonic()
            assert woken.wait(5)
            delays.append(time.monotonic() - began)
        assert sorted(delays)[10] < 0.05
    finally:
        stop()


def test_a_connection_that_the_server_ends_is_503_once(pg: Database) -> None:
    queries.platform.ping(pg.connection)
    pg.connection.execute("SELECT 1", {})
    with pytest.raises(Unavailable), pg.transaction() as tx:
        tx.execute("SELECT PG_TERMINATE_BACKEND(PG_BACKEND_PID())", {})
    assert queries.platform.ping(pg.connection) == 1
    with pytest.raises(pg.errors) as failure:
        pg.connection.execute("SELECT PG_TERMINATE_BACKEND(PG_BACKEND_PID())", {})
    assert isinstance(pg.translate(failure.value), Unavailable)
    pg.release()
    assert queries.platform.ping(pg.connection) == 1


def test_a_lock_that_others_keep_is_503(pg: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with pg.transaction(7):
            held.set()
            assert done.wait(20)
        pg.leave()

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(20)
    pg.connection.execute("SET lock_timeout = '50ms'", {})
    with pytest.raises(Unavailable), pg.transaction(7):
        raise AssertionError("It was not its turn.")
    with pg.transaction(8):
        pass
    done.set()
    thread.join()
    with pg.transaction(7):
        pass


def be_silent(pg: Database, turn: int | str, wait: Callable[[], None]) -> None:
    """Take a turn, and say nothing in it until the server has ended it."""
    pg.connection.execute("SET idle_in_transaction_session_timeout = '200ms'", {})
    with pg.transaction(turn) as tx:
        wait()
        queries.platform.ping(tx)


def test_a_node_that_was_cut_off_in_a_transaction_is_503_when_it_is_back(pg: Database) -> None:
    with pytest.raises(Unavailable):
        be_silent(pg, 7, lambda: time.sleep(0.5))
    with pg.transaction(7) as tx:
        assert queries.platform.ping(tx) == 1


def test_who_waits_behind_a_node_that_is_cut_off_outlasts_it(pg: Database) -> None:
    asked = "SELECT SETTING FROM pg_settings WHERE name = %(name)s"
    waits, keeps = (
        int(pg.connection.execute(asked, {"name": name}).fetchone()[0])
        for name in ("lock_timeout", "idle_in_transaction_session_timeout")
    )
    assert 0 < keeps < waits
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        assert done.wait(20)

    def hold_turn() -> None:
        with pytest.raises(Unavailable):
            be_silent(pg, "engine mock", hold)
        pg.leave()

    thread = threading.Thread(target=hold_turn)
    thread.start()
    assert held.wait(20)
    with pg.transaction("engine mock") as tx:
        assert queries.platform.ping(tx) == 1
    done.set()
    thread.join()


def test_a_server_that_goes_without_a_word_is_given_up(pg_settings: Settings) -> None:
    """What is never answered too, which no limit on what was sent sees."""
    names = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
    for more, right in (("", [10, 5, 3, 15_000]), ("?keepalives_idle=77", [77, 5, 3, 15_000])):
        connection = open_connection(pg_settings.database_url + more)
        with contextlib.closing(connection), socket.socket(fileno=connection.fileno()) as link:
            found = [link.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in names]
            assert link.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            link.detach()
        assert found == right


def test_a_swallowed_error_is_no_commit(pg: Database) -> None:
    def swallow() -> None:
        with pg.transaction() as tx:
            queries.platform.remember(tx, name="a", value="1", now="")
            with contextlib.suppress(pg.errors):
                tx.execute("SELECT 1 / 0", {})

    with pytest.raises(pg.errors):
        swallow()
    assert queries.platform.state(pg.connection, name="a") is None


def test_leases_go_by_the_servers_clock(pg: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    ahead = time.time() + 60
    monkeypatch.setattr("seidra.database.postgresql.connect.time.time", lambda: ahead)
    assert -61 < pg.clock_offset() < -59
    monkeypatch.undo()
    assert abs(pg.clock_offset()) < 1
    assert timestamp() < timestamp_in(1)


def test_no_word_is_looked_for_in_everybodys_texts(pg: Database) -> None:
    """The four traps of trigrams: each plan has the owner in what it looks up."""
    connection = pg.connection
    user_id = make_user(pg, "user")
    assert search.text_index(connection).found_ids(connection, user_id, ["ve"], True, None) == [
        "[]"
    ]
    for by in ("index", "scan"):
        sql = queries.search.containing._ready["postgresql"][(by,)]  # type: ignore[attr-defined]
        values = {f"word_{n}": "%" for n in range(1, 5)} | {
            "word_1": "%moon%",
            "user_id": user_id,
            "others": ["%ve%"],
            "nsfw": True,
            "favorite": None,
        }
        connection.execute("SET enable_seqscan = off", {})
        lines = [row[0] for row in connection.execute(f"EXPLAIN {sql}", values)]
        conditions = [line for line in lines if "Index Cond" in line]
        assert conditions
        assert all("user_id =" in line for line in conditions), lines
