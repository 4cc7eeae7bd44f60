"""PostgreSQL: the only place that opens a connection to it, or says what its driver's error
means."""

from __future__ import annotations

import logging
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any, ClassVar

import psycopg
from psycopg import errors
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus
from psycopg.types.numeric import Int8Dumper

from seidra import values
from seidra.config import Settings
from seidra.database.base import (
    Database,
    Owner,
    Server,
    conflict_of,
    dangling_conflict,
    required_row,
)
from seidra.database.postgresql.migrate import server_faults
from seidra.database.queries import queries
from seidra.errors import Unavailable

WAIT_SECONDS = 5
"""How long a statement waits for another's lock before the client gets a 503."""

CONNECT_SECONDS = 5
"""How long to wait for a server that does not answer."""

_QUEUE = "seidra_queue"
"""What the trigger of a queued job notifies (migrations/postgresql/)."""

_QUEUES = 1
_CHORES = 2
"""The first number of the advisory locks of two: turns at a queue by its name, and housekeeping.
Those of one number are the turns of users, and INSTANCE."""

_CLOCK_SECONDS = 60.0
"""How often this host's clock is compared with the server's."""

_SESSION = {
    "application_name": "seidra",
    "timezone": "UTC",
    "lock_timeout": f"{WAIT_SECONDS}s",
    # A node that is cut off in the middle of a transaction keeps what it has locked for so long:
    # less than whoever waits behind it does.
    "idle_in_transaction_session_timeout": f"{WAIT_SECONDS - 1}s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    # Most statements take less than it costs to compile one.
    "jit": "off",
    # Every statement is written to be read along an index, as SQLite reads it. Where few accounts
    # are, a generic plan takes a page for a good part of all that there is, and reads all of it.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    # Requests run side by side anyway; and of a page that several processes read a generic plan
    # expects fewer rows, so that it is preferred to the index that has them in order.
    "max_parallel_workers_per_gather": "0",
    # LIMIT :limit is unknown to a generic plan, and so planned anew at each run otherwise.
    "plan_cache_mode": "force_generic_plan",
}
"""What a connection is set to."""

_LINK: dict[str, Any] = {
    # What was sent and is not taken.
    "tcp_user_timeout": 15_000,
    # What was sent and taken, and is never answered: else a thread would wait for two hours.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}
"""When a server that has gone without a word is given up, where the URL does not say so itself:
after 15 and 25 seconds."""

_log = logging.getLogger(__name__)


class Row(tuple[Any, ...]):
    """One row: columns by name or by position; `dict(row)` works. A class of its own for each set
    of columns, see `_row_class`."""

    __slots__ = ()

    names: ClassVar[dict[str, int]] = {}
    """The columns' positions by their names."""

    def __getitem__(self, key: Any, /) -> Any:
        return tuple.__getitem__(self, self.names[key] if isinstance(key, str) else key)

    def keys(self) -> Iterable[str]:
        """The columns' names."""
        return self.names


@lru_cache(maxsize=1024)
def _row_class(names: tuple[str, ...]) -> type[Row]:
    positions = {name: position for position, name in enumerate(names)}
    return type("Row", (Row,), {"__slots__": (), "names": positions})


def _make_rows(cursor: psycopg.Cursor[Any]) -> Callable[[Sequence[Any]], Row]:
    columns = cursor.description
    return _row_class(tuple(column.name for column in columns)) if columns else Row


class _WholeNumberLoader(Loader):
    """A sum of whole numbers is `numeric` to PostgreSQL and an int to us."""

    def load(self, data: Buffer) -> int | float:
        text = bytes(data)
        return float(text) if b"." in text or b"N" in text else int(text)


class Connection(psycopg.Connection[Row]):
    """A connection that says which engine it is."""

    engine: ClassVar[str] = "postgresql"

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> psycopg.Cursor[Row]:
        """Run a statement for each of these sets of parameters, sent together."""
        cursor = self.cursor()
        cursor.executemany(
            sql.encode(), parameters if isinstance(parameters, list) else [*parameters]
        )
        return cursor


def open_connection(url: str) -> Connection:
    """Open the database of a URL as every part of SEIDRA uses it: autocommit, rows by name, whole
    numbers as BIGINT."""
    # What the URL sets itself stands behind ours, and counts.
    given = conninfo_to_dict(url)
    options = " ".join(f"-c {name}={value}" for name, value in _SESSION.items())
    connection = Connection.connect(
        url,
        autocommit=True,
        row_factory=_make_rows,
        options=f"{options} {given.get('options') or ''}",
        connect_timeout=int(given.get("connect_timeout") or CONNECT_SECONDS),
        **{name: value for name, value in _LINK.items() if name not in given},
        client_encoding="utf8",
    )
    # By its size a number would be sent as one of three types, each of which is a prepared
    # statement of its own; and an index over BIGINT is not used for some of them.
    connection.adapters.register_dumper(int, Int8Dumper)
    connection.adapters.register_loader("numeric", _WholeNumberLoader)
    # The second use of a statement prepares it; there are some hundreds.
    connection.prepare_threshold = 1
    connection.prepared_max = 1000
    return connection


class PostgresqlDatabase(Database):
    """One database of a PostgreSQL server. Each thread reads and writes through a connection of its
    own."""

    errors = psycopg.Error
    product = f"PostgreSQL, by psycopg {psycopg.__version__}"

    def __init__(self, settings: Settings) -> None:
        self.url = settings.database_url
        self.place = settings.database_place
        self._local = threading.local()
        self._lock = threading.Lock()
        self._offset = 0.0
        self._measured = -_CLOCK_SECONDS

    @property
    def connection(self) -> Connection:
        connection: Connection | None = getattr(self._local, "connection", None)
        # psycopg learns that a server has ended a connection by the statement that fails.
        if connection is None or connection.closed:
            connection = self._local.connection = open_connection(self.url)
        if time.monotonic() - self._measured >= _CLOCK_SECONDS:
            self._compare_clocks(connection)
        return connection

    @contextmanager
    def transaction(self, owner: Owner = None, *, shared: bool = False) -> Iterator[Connection]:
        try:
            connection = self.connection
            _check_idle(connection)
            # In one message with what takes the turn; it ends with the transaction.
            _run(connection, f"BEGIN{_turn(owner)}")
        except psycopg.Error as error:
            self._abandon()
            raise self.translate(error) from error
        try:
            yield connection
            if connection.info.transaction_status is TransactionStatus.INERROR:
                # COMMIT would roll it back, and say nothing.
                raise errors.InFailedSqlTransaction("a statement of the transaction has failed")
            _run(connection, "COMMIT")
        except psycopg.Error as error:
            self._abandon()
            raise self.translate(error) from error
        except BaseException:
            self._abandon()
            raise

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        connection = self.connection
        _check_idle(connection)
        _run(connection, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            yield connection
        finally:
            self._abandon()

    @contextmanager
    def chores(self) -> Iterator[bool]:
        connection = self.connection
        mine = bool(queries.upkeep.take_chores(connection, number=_CHORES))
        try:
            yield mine
        finally:
            # With a connection that is lost the lock is gone too.
            if mine and not connection.closed:
                queries.upkeep.leave_chores(connection, number=_CHORES)

    def size_bytes(self) -> int:
        size: int = queries.upkeep.size(self.connection)
        return size

    def server(self) -> Server:
        found = required_row(queries.upkeep.server(self.connection))
        worries = (
            []
            if found["sees_letters"]
            else [
                f"The database's locale ({found['letters']}) knows no letters beyond ASCII:"
                " searches for words of other scripts are right, but read the search index of all"
                " accounts."
            ]
        )
        return Server(
            f"PostgreSQL {found['version']}, {found['encoding']}, letters by {found['letters']}.",
            server_faults(found["number"], found["encoding"], self.place),
            worries,
        )

    def fold_counters(self) -> None:
        for fold in (
            queries.upkeep.fold_persona_counts,
            queries.upkeep.fold_job_counts,
            queries.upkeep.fold_media_counts,
            queries.upkeep.fold_shared_persona_counts,
            queries.upkeep.fold_shared_media_counts,
            queries.upkeep.fold_collection_counts,
        ):
            with self.transaction() as tx:
                fold(tx)

    def listen(self, wake: Callable[[], None]) -> Callable[[], None]:
        return _Listener(self.url, wake).end

    def clock_offset(self) -> float:
        self._compare_clocks(self.connection)
        return self._offset

    def _compare_clocks(self, connection: Connection) -> None:
        """Measure how far the server's clock is ahead, and go by it; unless a request does so just
        now, or a transaction is open, in which nothing may fail."""
        if connection.info.transaction_status is not TransactionStatus.IDLE:
            return
        if not self._lock.acquire(blocking=False):
            return
        try:
            self._measured = time.monotonic()
            offset, doubt = min(
                (_measure_clock(connection) for _ in range(3)), key=lambda found: found[1]
            )
            # Within the doubt nothing is known to have changed, and time shall not go back.
            if abs(offset - self._offset) > doubt:
                self._offset = offset
            values.set_clock(self._offset)
        finally:
            self._lock.release()

    def translate(self, error: Exception) -> Exception:
        if isinstance(error, errors.UniqueViolation):
            return conflict_of(error.diag.constraint_name or "") or error
        if isinstance(error, errors.ForeignKeyViolation):
            return dangling_conflict()
        if isinstance(error, _BUSY):
            _log.warning("database busy: %s", error)
            return Unavailable("The database is busy; try again.")
        if isinstance(error, _UNUSABLE):
            _log.error("database cannot be written or read: %s", error)
            return Unavailable("The database cannot be used right now; try again.")
        return error

    def release(self) -> None:
        self._abandon()

    def leave(self) -> None:
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            del self._local.connection

    def close(self) -> None:
        self.leave()

    def _abandon(self) -> None:
        """Undo what this thread has open, if anything: to close the connection does it always."""
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None or connection.closed:
            return
        if connection.info.transaction_status is TransactionStatus.IDLE:
            return
        try:
            _run(connection, "ROLLBACK")
        except psycopg.Error:
            connection.close()


_BUSY = (
    errors.LockNotAvailable,
    errors.DeadlockDetected,
    errors.SerializationFailure,
    errors.TooManyConnections,
)
"""Others kept what was needed, for longer than anybody waits."""

_UNUSABLE = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    # A server that only follows another one, or that its operator has closed to writers.
    errors.ReadOnlySqlTransaction,
    # This node was cut off in a transaction, and finds it ended when it is back.
    errors.IdleInTransactionSessionTimeout,
)
"""The server is away, or does not do what it is asked for reasons of its own."""


class _Listener:
    """A thread that waits for notifications of the queue, on a connection of its own."""

    def __init__(self, url: str, wake: Callable[[], None]) -> None:
        self._url = url
        self._wake = wake
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="seidra-listener", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Listen no more."""
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                with self._opened() as connection:
                    self._wait(connection)
            except psycopg.Error as error:
                # The worker looks by itself until the server is back.
                _log.warning("not told of queued jobs right now: %s", error)
                self._ended.wait(1.0)

    @contextmanager
    def _opened(self) -> Iterator[Connection]:
        connection = open_connection(self._url)
        try:
            yield connection
        finally:
            with suppress(psycopg.Error):
                connection.close()

    def _wait(self, connection: Connection) -> None:
        connection.execute(f"LISTEN {_QUEUE}")
        # What was queued before this worked.
        self._wake()
        while not self._ended.is_set():
            # One is as good as many: whoever is woken looks for all that there is.
            for _ in connection.notifies(timeout=1.0, stop_after=1):
                self._wake()


def _turn(owner: Owner) -> str:
    """The statements that wait for the turn of an owner, or of several, behind another one."""
    if owner is None:
        return ""
    if isinstance(owner, tuple):
        # In one order, so that no two wait for each other.
        return "".join(_turn(each) for each in sorted(owner))
    if isinstance(owner, int):
        return f"; SELECT PG_ADVISORY_XACT_LOCK({owner:d})"
    return f"; SELECT PG_ADVISORY_XACT_LOCK({_QUEUES}, {_name_number(owner)})"


def _name_number(name: str) -> int:
    """A number for a name, the same on every machine. Two names of one number take turns with each
    other, which does no harm."""
    return zlib.crc32(name.encode()) >> 1


def _check_idle(connection: Connection) -> None:
    """A thread has one connection, and so one transaction at a time."""
    if connection.info.transaction_status is not TransactionStatus.IDLE:
        raise RuntimeError("this thread has a transaction open already")


def _run(connection: Connection, sql: str) -> None:
    """Run statements without parameters as one message."""
    connection.execute(sql.encode(), prepare=False)


def _measure_clock(connection: Connection) -> tuple[float, float]:
    """How many seconds the server's clock is ahead of this host's, and by how many that may be
    wrong."""
    before = time.time()
    theirs = queries.upkeep.server_clock(connection)
    after = time.time()
    return float(theirs) - (before + after) / 2, (after - before) / 2
