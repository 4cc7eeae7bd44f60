"""How the threads of a process write: in turns on one connection; those that ask for it share a
commit."""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import ClassVar

DatabaseError = sqlite3.DatabaseError

BUSY_SECONDS = 5.0
"""How long a write waits for its turn before the client gets a 503."""

_TOGETHER = 8
_TOGETHER_SECONDS = 0.005
"""A transaction is handed on until it holds so many blocks, or has been open for so long."""


class Connection(sqlite3.Connection):
    """A connection that says which engine it is."""

    engine: ClassVar[str] = "sqlite"


class Writer:
    """The connection that a process writes through.

    A shared block that ends while other shared ones wait leaves its transaction open to the next
    one, and the last commits for them all: a commit, and taking the write lock from another
    process, cost as much as a small write itself (40 % more creates). Each block but the first runs
    in a savepoint, so that its failure is its own, and none that ends well returns before the
    commit. A block sees what those before it have written, and may fail because of it, although
    that may still be lost; one that would do more about it is not to be shared. A commit empties
    the page cache of every other connection to the file, another reason to have but one writer.
    """

    def __init__(
        self, connect: Callable[[], Connection], translate: Callable[[Exception], Exception]
    ) -> None:
        self.translate = translate
        self._connect = connect
        self._mutex = threading.Lock()
        # Under the mutex: whether a block has the turn, and which ones wait for it.
        self._taken = False
        self._waiting: deque[Transaction] = deque()
        # The property of the block that has the turn: the open transaction, and the ended blocks
        # that it holds.
        self._connection: Connection | None = None
        self._held: list[Transaction] = []
        self._began = 0.0

    def begin(self, block: Transaction) -> Connection:
        """Wait for the turn and for the write lock. Raises sqlite3.OperationalError when either
        takes too long."""
        deadline = time.monotonic() + BUSY_SECONDS
        self._take_turn(block, BUSY_SECONDS)
        try:
            if self._connection is None:
                self._connection = self._connect()
            if self._held:
                self._connection.execute("SAVEPOINT block").close()
                block.joins = True
            else:
                _begin_immediate(self._connection, deadline)
                self._began = time.monotonic()
        except BaseException as error:
            self._end_block(error)
            raise
        return self._connection

    def keep(self, block: Transaction) -> None:
        """End a block, and return when it is committed. Raises what the commit raised."""
        self._held.append(block)
        self._end_block(None, block)
        if block.error is not None:
            raise block.error

    def undo(self, block: Transaction, error: BaseException) -> None:
        """End a block that failed: nothing of it stays, and the others that share its transaction
        are committed."""
        if not block.joins:
            self._abandon_open()
        elif self._is_open:
            try:
                self._run_statement("ROLLBACK TO block")
            except BaseException:
                self._abandon_open()
        self._end_block(error)

    def close(self) -> None:
        """Close the connection; another block would open another."""
        self._take_turn(Transaction(self), -1)
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._give_turn()

    # ------------------------------------------------------------------------------------- the turn

    def _take_turn(self, block: Transaction, patience: float) -> None:
        """Wait for so many seconds, or below 0 for as long as it takes."""
        with self._mutex:
            if not self._taken:
                self._taken = True
                return
            self._waiting.append(block)
        try:
            came = block.wait(patience)
        except BaseException:
            # A signal in the main thread: nobody may hand the turn to a block that is not there any
            # more.
            if not self._stop_waiting(block):
                block.wait()
                self._end_block(None)
            raise
        if not came:
            if self._stop_waiting(block):
                raise _turn_timeout()
            block.wait()

    def _stop_waiting(self, block: Transaction) -> bool:
        """Wait no more; returns False for a block that has been given the turn."""
        with self._mutex:
            if block in self._waiting:
                self._waiting.remove(block)
                return True
            return False

    def _next_shared(self) -> Transaction | None:
        """The block that is to go on with the open transaction."""
        with self._mutex:
            return self._waiting.popleft() if self._waiting and self._waiting[0].shared else None

    def _give_turn(self) -> None:
        with self._mutex:
            self._taken = bool(self._waiting)
            if self._waiting:
                self._waiting.popleft().go_on()

    def _end_block(self, lost: BaseException | None, block: Transaction | None = None) -> None:
        """Give the turn away: with the open transaction, or after its end. `block` then waits for
        the commit.

        `lost` is the reason, if one is known, where there is no open transaction any more.
        """
        if self._is_open and (block is None or block.shared) and self._may_grow():
            after = self._next_shared()
            if after is not None:
                after.go_on()
                if block is not None:
                    block.wait()
                return
        if self._is_open:
            lost = self._commit_open()
        elif lost is None:
            lost = sqlite3.OperationalError("the transaction was lost before its end")
        held, self._held = self._held, []
        for each in held:
            # A block of its own is told what happened, and others that it was not their fault.
            each.error = lost if lost is None or held == [block] else _lost_with(lost)
            if each is not block:
                each.go_on()
        self._give_turn()

    # ------------------------------------------------------------------------------ the transaction

    def _may_grow(self) -> bool:
        return len(self._held) < _TOGETHER and time.monotonic() < self._began + _TOGETHER_SECONDS

    @property
    def _is_open(self) -> bool:
        return self._connection is not None and self._connection.in_transaction

    def _run_statement(self, statement: str) -> None:
        if self._connection is not None:
            self._connection.execute(statement).close()

    def _commit_open(self) -> BaseException | None:
        try:
            self._run_statement("COMMIT")
        except BaseException as error:
            self._abandon_open()
            return error
        return None

    def _abandon_open(self) -> None:
        """Undo the open transaction, whatever it takes: to close the connection does it always."""
        try:
            if self._is_open:
                self._run_statement("ROLLBACK")
        except BaseException:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()


class Transaction:
    """One block of writes, as `Database.transaction` promises it. A `shared` one may share its
    commit with others."""

    def __init__(self, writer: Writer, *, shared: bool = False) -> None:
        self.shared = shared
        self.joins = False
        self.error: BaseException | None = None
        self._writer = writer
        self._signal = threading.Lock()
        self._signal.acquire()

    def __enter__(self) -> Connection:
        try:
            return self._writer.begin(self)
        except DatabaseError as error:
            raise self._writer.translate(error) from error

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._writer.keep(self)
            else:
                self._writer.undo(self, error)
        except DatabaseError as failure:
            raise self._writer.translate(failure) from failure
        if isinstance(error, DatabaseError):
            raise self._writer.translate(error) from error

    def wait(self, seconds: float = -1) -> bool:
        """Wait until another block calls `go_on`; returns whether it did, within so many
        seconds."""
        return self._signal.acquire(timeout=seconds)

    def go_on(self) -> None:
        """Let this block's thread go on: with its turn, or after the commit of what it wrote."""
        self._signal.release()


def _begin_immediate(connection: Connection, deadline: float) -> None:
    """Take the write lock from the other processes, asking every tenth of a millisecond or so.

    SQLite's own busy handler backs off to 100 ms, so that under steady writers an unlucky one
    starves for seconds; short jittered polling keeps the wait near the length of the queue. One
    thread of a process polls at a time.
    """
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE").close()
            return
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > deadline:
                raise
        time.sleep(random.uniform(0.00003, 0.00015))  # noqa: S311 (jitter, not a secret)


def is_busy(error: sqlite3.Error) -> bool:
    """Whether an error says that somebody else keeps the database."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _lost_with(cause: BaseException) -> sqlite3.OperationalError:
    """For a block that had ended well, when the transaction that held it was lost."""
    error = sqlite3.OperationalError("the transaction of several writes was lost")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR
    error.__cause__ = cause
    return error


def _turn_timeout() -> sqlite3.OperationalError:
    """As SQLite says it to another process."""
    error = sqlite3.OperationalError("a write of this process kept the database locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return error
