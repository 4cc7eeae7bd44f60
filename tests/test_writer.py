"""The writes of a process: in turns, those that wait in one commit, each all or nothing and none
told too early."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from conftest import Person, wait_for
from flask import Flask

from seidra.database.queries import queries
from seidra.database.sqlite import writer
from seidra.database.sqlite.connect import SqliteDatabase, open_connection
from seidra.database.sqlite.writer import Connection
from seidra.errors import Conflict, NotFound, Unavailable
from seidra.jobs.feed import Feed
from seidra.values import from_json, timestamp
from seidra.web.services import services_of

pytestmark = pytest.mark.sqlite_only("the one writer is SQLite's")

Block = Callable[[Connection], object]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is, blocks that wait come together."""
    monkeypatch.setattr(writer, "_TOGETHER_SECONDS", 60.0)


@pytest.fixture
def statements(database: SqliteDatabase) -> Iterator[list[str]]:
    """What the writer's connection is told."""
    told: list[str] = []
    with database.transaction() as tx:
        tx.set_trace_callback(told.append)
    told.clear()
    yield told
    with database.transaction() as tx:
        tx.set_trace_callback(None)


def remember(name: str) -> Block:
    return lambda tx: queries.platform.remember(tx, name=name, value="1", now=timestamp())


def remembered(database: SqliteDatabase) -> set[str]:
    """What a connection that has just been opened sees."""
    connection = open_connection(database.path)
    try:
        rows = connection.execute(
            "SELECT name FROM platform_state WHERE name LIKE 'block %'"
        ).fetchall()
    finally:
        connection.close()
    return {row["name"] for row in rows}


@contextmanager
def waiting(
    database: SqliteDatabase, blocks: list[Block], alone: int = -1
) -> Iterator[list[Future[set[str]]]]:
    """Inside: blocks of threads of their own, which wait, in this order, for a first block to end.
    Each gives what is committed as soon as it returns. `alone` is the place of one that is."""

    def write(block: Block, alone: bool = False) -> set[str]:
        with database.transaction(shared=not alone) as tx:
            block(tx)
        return remembered(database)

    def first(tx: Connection) -> None:
        remember("block first")(tx)
        inside.set()
        assert end.wait(30)

    inside, end = threading.Event(), threading.Event()
    with ThreadPoolExecutor(len(blocks) + 1) as pool:
        futures = [pool.submit(write, first)]
        try:
            assert inside.wait(30)
            for number, block in enumerate(blocks, 1):
                futures.append(pool.submit(write, block, number - 1 == alone))
                wait_for(lambda number=number: len(database._writer._waiting) == number)
            yield futures
        finally:
            end.set()


def test_blocks_that_wait_share_a_commit_and_return_after_it(
    database: SqliteDatabase, statements: list[str]
) -> None:
    names = {"block first", *(f"block {number}" for number in range(4))}
    with waiting(database, [remember(f"block {number}") for number in range(4)]) as futures:
        assert remembered(database) == set()
    assert [future.result() for future in futures] == [names] * 5
    assert [text for text in statements if text.startswith(("BEGIN", "COMMIT"))] == [
        "BEGIN IMMEDIATE",
        "COMMIT",
    ]


def test_a_commit_holds_so_many_blocks_and_no_more(
    database: SqliteDatabase, statements: list[str]
) -> None:
    with waiting(
        database, [remember(f"block {number}") for number in range(2 * writer._TOGETHER)]
    ) as futures:
        pass
    assert len(futures[-1].result()) == 2 * writer._TOGETHER + 1
    assert statements.count("COMMIT") == 3


def test_a_block_does_not_join_a_transaction_that_has_been_open_for_long(
    database: SqliteDatabase, statements: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_TOGETHER_SECONDS", 0.0)
    with waiting(database, [remember(f"block {number}") for number in range(3)]) as futures:
        pass
    assert len(futures[-1].result()) == 4
    assert statements.count("COMMIT") == 4


def test_a_block_that_fails_takes_nothing_but_its_own_with_it(
    database: SqliteDatabase, statements: list[str]
) -> None:
    def fail(tx: Connection) -> None:
        remember("block bad")(tx)
        raise LookupError("mine")

    def clash(tx: Connection) -> None:
        remember("block worse")(tx)
        tx.execute("INSERT INTO persona_tags (user_id, tag_key, persona_id) VALUES (1, 'a', 999)")

    with waiting(database, [remember("block 1"), fail, remember("block 2"), clash]) as futures:
        pass
    one, _, two, _ = futures[1:]
    assert one.result() == two.result() == {"block first", "block 1", "block 2"}
    with pytest.raises(LookupError, match="mine"):
        futures[2].result()
    with pytest.raises(Conflict):
        futures[4].result()
    assert statements.count("COMMIT") == 1


def test_a_block_that_fails_after_it_wrote_the_search_index_leaves_it_as_it_was(
    database: SqliteDatabase,
) -> None:
    def indexed(tx: Connection) -> list[int]:
        ids: list[int] = from_json(queries.search.indexed(tx, user_id=1, expression='"luna"'))
        return ids

    def put(number: int) -> Block:
        return lambda tx: queries.search.put(
            tx, user_id=1, id=number, is_nsfw=False, is_favorite=False, search_text=f"luna {number}"
        )

    def fail(tx: Connection) -> None:
        put(99)(tx)
        assert 99 in indexed(tx)
        raise LookupError

    with waiting(database, [*map(put, range(15)), fail, put(15), fail]) as futures:
        pass
    for future in futures:
        assert future.exception() is None or isinstance(future.exception(), LookupError)
    with database.transaction() as tx:
        assert indexed(tx) == list(range(16))
        queries.search.check(tx)


def test_a_first_block_that_fails_leaves_nothing_and_the_next_begins_anew(
    database: SqliteDatabase,
) -> None:
    def fail() -> None:
        with database.transaction() as tx:
            remember("block 1")(tx)
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    with database.transaction() as tx:
        remember("block 2")(tx)
    assert remembered(database) == {"block 2"}


def defer(tx: Connection) -> None:
    """Break a rule so that the commit, and not the statement, finds it."""
    tx.execute("PRAGMA defer_foreign_keys = ON")
    tx.execute("INSERT INTO persona_tags (user_id, tag_key, persona_id) VALUES (1, 'a', 999)")


def test_everybody_is_told_when_the_commit_fails(database: SqliteDatabase) -> None:
    with waiting(database, [remember("block 1"), defer, remember("block 2")]) as futures:
        pass
    for future in futures:
        with pytest.raises(Unavailable):
            future.result()
    with pytest.raises(Conflict), database.transaction() as tx:
        defer(tx)
    with database.transaction() as tx:
        remember("block 3")(tx)
    assert remembered(database) == {"block 3"}


def test_everybody_is_told_when_the_transaction_is_lost_before(database: SqliteDatabase) -> None:
    def lose(tx: Connection) -> None:
        # SQLite does so itself after some errors.
        tx.execute("ROLLBACK")
        raise NotFound("persona")

    with waiting(database, [lose]) as futures:
        pass
    assert [type(future.exception()) for future in futures] == [Unavailable, NotFound]
    with waiting(database, [remember("block 1"), lose, remember("block 2")]) as futures:
        pass
    assert [type(future.exception()) for future in futures] == [
        Unavailable,
        Unavailable,
        NotFound,
        type(None),
    ]
    assert futures[3].result() == {"block 2"}


def test_nobody_is_told_that_a_lost_transaction_is_committed(database: SqliteDatabase) -> None:
    def swallow(tx: Connection) -> None:
        tx.execute("ROLLBACK")

    with waiting(database, [remember("block 1"), swallow]) as futures:
        pass
    assert [type(future.exception()) for future in futures] == [Unavailable] * 3
    with pytest.raises(sqlite3.OperationalError, match="lost"), database.transaction() as tx:
        swallow(tx)
    assert remembered(database) == set()


class Failing(Connection):
    """A connection of which some statements fail once, as when memory is short."""

    fails: set[str]

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        if sql in self.fails:
            self.fails.remove(sql)
            raise MemoryError(sql)
        return super().execute(sql, *parameters)


def make_failing(database: SqliteDatabase, fails: set[str]) -> Failing:
    """Let the writer go on with a connection of which these statements fail."""
    database.close()
    connection = sqlite3.connect(
        database.path, isolation_level=None, check_same_thread=False, factory=Failing
    )
    connection.fails = fails
    database._writer._connection = connection
    return connection


@pytest.mark.parametrize(
    "fails",
    [{"COMMIT"}, {"COMMIT", "ROLLBACK"}, {"ROLLBACK TO block"}, {"ROLLBACK TO block", "ROLLBACK"}],
)
def test_nothing_half_written_stays_and_writing_goes_on_whatever_fails(
    database: SqliteDatabase, fails: set[str]
) -> None:
    def fail(tx: Connection) -> None:
        remember("block bad")(tx)
        raise LookupError

    failing = make_failing(database, fails)
    own = set() if "COMMIT" in fails else {LookupError}
    with waiting(
        database, [remember("block 1"), remember("block 2"), *([fail] if own else [])]
    ) as futures:
        pass
    assert {type(future.exception()) for future in futures} == {Unavailable} | own
    assert (remembered(database), failing.fails) == (set(), set())
    with database.transaction() as tx:
        remember("block 3")(tx)
    assert remembered(database) == {"block 3"}


def test_a_first_block_that_cannot_be_rolled_back_leaves_nothing(database: SqliteDatabase) -> None:
    def fail() -> None:
        with database.transaction() as tx:
            failing.fails = {"ROLLBACK"}
            remember("block 1")(tx)
            raise LookupError

    failing = make_failing(database, set())
    with pytest.raises(LookupError):
        fail()
    with database.transaction() as tx:
        remember("block 2")(tx)
    assert remembered(database) == {"block 2"}


def test_a_block_that_is_alone_shares_no_commit(
    database: SqliteDatabase, statements: list[str]
) -> None:
    with waiting(
        database, [remember(f"block {number}") for number in range(5)], alone=2
    ) as futures:
        pass
    assert [text for text in statements if text in ("BEGIN IMMEDIATE", "COMMIT")] == [
        "BEGIN IMMEDIATE",
        "COMMIT",
    ] * 3
    first = {"block first", "block 0", "block 1"}
    assert futures[2].result() >= first
    assert futures[3].result() >= first | {"block 2"}
    assert futures[5].result() == first | {"block 2", "block 3", "block 4"}


def test_who_waits_too_long_is_told_so_and_the_others_go_on(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    with waiting(database, [remember("block 1")]) as futures:
        monkeypatch.setattr(writer, "BUSY_SECONDS", 0.05)
        with pytest.raises(Unavailable), database.transaction():
            raise AssertionError("It was not its turn.")
    assert futures[1].result() == {"block first", "block 1"}


def test_a_signal_while_it_waits_gives_its_turn_to_nobody(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(block: writer.Transaction, seconds: float = -1) -> bool:
        raise KeyboardInterrupt

    with waiting(database, [remember("block 1")]) as futures:
        with monkeypatch.context() as patched:
            patched.setattr(writer.Transaction, "wait", interrupt)
            with pytest.raises(KeyboardInterrupt), database.transaction():
                raise AssertionError("It was not its turn.")
        assert len(database._writer._waiting) == 1
    assert futures[1].result() == {"block first", "block 1"}


def test_closing_waits_for_what_is_written(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ThreadPoolExecutor(1) as pool:
        with waiting(database, [remember("block 1")]) as futures:
            monkeypatch.setattr(writer, "BUSY_SECONDS", 0.01)
            closed = pool.submit(database.close)
            wait_for(lambda: len(database._writer._waiting) == 2)
            # However long it takes.
            with pytest.raises(TimeoutError):
                closed.result(0.1)
        closed.result()
    assert futures[1].result() == {"block first", "block 1"}
    with database.transaction() as tx:
        remember("block 2")(tx)
    assert "block 2" in remembered(database)


# ------------------------------------------------------------------------------------- who reads


def test_threads_that_read_in_turn_share_a_connection(database: SqliteDatabase) -> None:
    """Each keeps the whole schema in memory."""
    database.release()
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        first = one.submit(lambda: database.connection).result()
        beside = other.submit(lambda: database.connection).result()
        assert beside is not first
        one.submit(database.release).result()
        assert other.submit(lambda: database.connection).result() is beside
        assert database.connection is first
        other.submit(database.release).result()
        assert one.submit(lambda: database.connection).result() is beside
        one.submit(database.release).result()


def test_who_gets_a_connection_sees_what_is_there_now(database: SqliteDatabase) -> None:
    """No transaction goes with it, whoever forgot to end one."""
    database.connection.execute("BEGIN")
    read = "SELECT COUNT(*) FROM platform_state WHERE name = 'block 1'"
    assert database.connection.execute(read).fetchone()[0] == 0
    with database.transaction() as tx:
        remember("block 1")(tx)
    assert database.connection.execute(read).fetchone()[0] == 0
    database.release()
    assert not database.connection.in_transaction
    assert database.connection.execute(read).fetchone()[0] == 1


def test_a_stream_that_waits_holds_no_connection(alice: Person, app: Flask) -> None:
    database, links = services_of(app).database, services_of(app).links
    user = {"id": alice.id, "session_id": "none", "key_id": None}
    feed = Feed(database, services_of(app).setup, links, user)
    database.release()
    feed.next_messages()
    mine = database.connection
    database.release()
    with ThreadPoolExecutor(1) as other:
        feed.next_messages()
        assert other.submit(lambda: database.connection).result() is mine
