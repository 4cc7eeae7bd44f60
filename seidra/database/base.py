"""What the rest of SEIDRA knows of a database: connections, transactions, and what a driver's error
means.

Each engine has a folder beside this file with the one class that does it (`sqlite/`).
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from seidra.errors import Conflict, Problem

INSTANCE = 0
"""The owner whose turn those take who write what belongs to all: rights, registrations, the
instance's settings."""

Owner = int | str | tuple[int, ...] | None
"""Whose writers take turns: an account's or INSTANCE's, a queue's, several accounts' at once, or
nobody's."""

_log = logging.getLogger(__name__)


class Row(Protocol):
    """One row: columns by name or by position; `dict(row)` works."""

    def __getitem__(self, key: Any, /) -> Any: ...

    def keys(self) -> Iterable[str]:
        """The columns' names."""
        ...


class Connection(Protocol):
    """What statements run on; `seidra.database.queries` alone calls `execute`."""

    engine: ClassVar[str]
    """The engine whose texts it understands: the folder of sql/ that may replace a statement."""

    def execute(self, sql: str, parameters: Any = ..., /) -> Any: ...

    def executemany(self, sql: str, parameters: Any, /) -> Any: ...


def required_row(row: Row | None) -> Row:
    """A row that is there whatever happens, such as that of an aggregate. Raises LookupError for
    none."""
    if row is None:
        raise LookupError("a row that must exist does not")
    return row


@dataclass(frozen=True)
class Server:
    """A database's server: what it is, and what of that does not do or is a worry, in sentences."""

    seen: str
    faults: list[str]
    worries: list[str]


class Database(ABC):
    """One database. Each thread reads through a connection of its own, from its first use until the
    thread calls `release` or `leave`."""

    errors: ClassVar[type[Exception]]
    """What the driver raises: a class that all of its errors have in common."""

    product: ClassVar[str]
    """The database's name and version, for people."""

    checks_write: ClassVar[bool] = False
    """Whether a check of the search index is a write, for which others would have to wait."""

    place: str
    """Where it is, for people: the file, or the server."""

    @property
    @abstractmethod
    def connection(self) -> Connection:
        """This thread's connection: for reading; writes go through `transaction`."""

    @abstractmethod
    def transaction(
        self, owner: Owner = None, *, shared: bool = False
    ) -> AbstractContextManager[Connection]:
        """A short write transaction: committed at the end of the block, rolled back when it raises.

        All of the block goes through the connection that it gets. Writers of one `owner` (a user's
        id, INSTANCE, or the name of a queue; or of several accounts, in the order of their ids)
        take turns, so that what a block has read stays true until it has written; without an owner
        a block must not rest on that: it inserts, or updates rows that a claim fences. `shared`
        lets the commit be one with that of other blocks that wait: for the writes that many people
        make at once. Raises Conflict for a broken constraint and Unavailable when the database
        stays busy or is full.
        """

    @abstractmethod
    def snapshot(self) -> AbstractContextManager[Connection]:
        """A read transaction: its statements see one state of the database, such as a page and its
        total."""

    def chores(self) -> AbstractContextManager[bool]:
        """Whether housekeeping is this thread's for the length of the block: one at a time does it,
        wherever there is a reason for that."""
        return nullcontext(True)

    @abstractmethod
    def size_bytes(self) -> int:
        """What it takes on its disk, with the log that stands beside it."""

    def server(self) -> Server | None:
        """What serves the database; nothing where a library reads it."""
        return None

    def fold_counters(self) -> None:  # noqa: B027 (most have nothing to do)
        """Bring together what triggers have counted, where they count apart."""

    def listen(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Have `wake` called, in a thread of its own, whenever another process has queued a job,
        where the database says so; what comes back ends that. Whoever waits also looks by
        itself now and then."""
        return lambda: None

    def clock_offset(self) -> float:
        """By how many seconds the clock that all of SEIDRA goes by, the database's, is ahead of
        this host's."""
        return 0.0

    @abstractmethod
    def translate(self, error: Exception) -> Exception:
        """A driver's error as the Problem that it means to a client; what means none comes back as
        it is."""

    @abstractmethod
    def release(self) -> None:
        """This thread has nothing to read for now, as after a request: no transaction of its own
        stays open, and another thread may have its connection."""

    @abstractmethod
    def leave(self) -> None:
        """Give this thread's connection up, at the thread's end."""

    @abstractmethod
    def close(self) -> None:
        """The same, and close what all threads share."""


_TAKEN = {
    "users_username_taken": ("username", "This username is taken.", "name_taken"),
    "users_email_taken": ("email", "This email is taken.", "email_taken"),
    "account_groups_name_taken": ("name", "Another group has this name.", "name_taken"),
}
"""What a broken unique constraint means to people, by its name in migrations/: the field, a
sentence, and its code."""


def conflict_of(constraint: str) -> Conflict | None:
    """The Conflict that the breach of a unique constraint means, or None for one that no request
    should break."""
    if constraint not in _TAKEN:
        return None
    field, sentence, code = _TAKEN[constraint]
    return Conflict(sentence, field, code=code)


def dangling_conflict() -> Problem:
    """What a broken foreign key means to a client."""
    return Conflict("It refers to something that does not exist any more.")
