"""A whole database copied into an empty one, of whichever engine: all or nothing, and compared.

A row has one form for both engines: a tuple in the order of the columns' names, booleans 0 or 1,
texts as texts, documents as bytes. What differs is each engine's to convert (`move.py` in its
folder): the search texts, and counters, which are added up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Protocol

from seidra.config import Settings
from seidra.database import migrate
from seidra.errors import StartError

LEFT = ("job_events", "workers")
"""What stays behind: it says what happens at the moment. Streams of events begin anew."""

COUNTERS = {
    "persona_counts": ("n",),
    "job_counts": ("n", "seconds"),
    "media_counts": ("n", "bytes"),
    "shared_persona_counts": ("n",),
    "shared_media_counts": ("n", "bytes"),
    "collection_counts": ("n",),
}
"""Tables of counters, and what is added up in them."""

MARKS = "platform_state"
"""What an empty database has rows in, too: how it derives texts."""

TEXTS = "persona_texts"
"""What PostgreSQL has in columns and SQLite packs."""

Tables = Mapping[str, tuple[str, ...]]
"""The columns of each table, in the order of their names."""

Progress = Callable[[str], object]


@dataclass(frozen=True)
class Digest:
    """How many rows, and a hash of them that does not ask for their order."""

    rows: int
    hash: int


class Side(Protocol):
    """One database that is read from or written to, in one transaction."""

    def tables(self) -> dict[str, tuple[str, ...]]:
        """Every table of SEIDRA's."""
        ...

    def rows(self, table: str, columns: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
        """A table's rows, in the form that both engines have. Raises UnicodeError for a text that
        is none."""
        ...

    def numbers(self) -> dict[str, int]:
        """The last number that was given away, of each table that gives its rows one."""
        ...

    def undecodable(self, table: str, columns: tuple[str, ...]) -> str | None:
        """The first value of the first row with a text that is not UTF-8."""
        ...


class Target(Side, Protocol):
    """The one that is written to."""

    def loading(self) -> AbstractContextManager[None]:
        """Triggers are off, and indexes and foreign keys are made and checked at the end of the
        block."""
        ...

    def clear(self, table: str) -> None:
        """Delete a table's rows."""
        ...

    def load(self, table: str, columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> None:
        """Write rows."""
        ...

    def number_on(self, numbers: Mapping[str, int]) -> None:
        """Give away only numbers behind these."""
        ...


def copy(source: Settings, target: Settings, progress: Progress = lambda line: None) -> int:
    """Copy all rows from `source`, as it is at one moment, to `target`, which is migrated first and
    must be empty; returns how many rows.

    Raises StartError when they are not of the same version, when the target is not empty, for a
    text that cannot be kept, and when what was read back differs; the target is as empty as before
    then. The caller holds the target's `start_lock`.
    """
    migrate.check_current(source)
    migrate.apply_migrations(target)
    return copy_rows(source, target, progress)


def copy_rows(source: Settings, target: Settings, progress: Progress = lambda line: None) -> int:
    """What `copy` does, between two databases that have their schema."""
    _check_versions(source, target)
    with _engine_of(source).reading(source) as old:
        tables = {name: found for name, found in sorted(old.tables().items()) if name not in LEFT}
        digests = {}
        for table, columns in tables.items():
            digests[table] = _digest(old, table, columns)
            progress(f"read {table}: {digests[table].rows} rows")
        with _engine_of(target).writing(target) as new:
            _check_empty(target, new, tables)
            with new.loading():
                new.clear(MARKS)
                for table, columns in tables.items():
                    if digests[table].rows:
                        new.load(table, columns, old.rows(table, columns))
                        progress(f"copied {table}: {digests[table].rows} rows")
                new.number_on(old.numbers())
                progress("indexes and foreign keys")
            for table, columns in tables.items():
                if (found := _digest(new, table, columns)) != digests[table]:
                    raise StartError(
                        f"The table {table} has {digests[table].rows} rows, and was read back as"
                        f" {found.rows} that differ: nothing was copied."
                    )
            progress("compared")
    _engine_of(target).tidy(target)
    return sum(digest.rows for digest in digests.values())


def check_empty(target: Settings) -> None:
    """Raise StartError for a database with rows in it; one without a schema is empty."""
    if any(step.applied for step in migrate.list_migrations(target)):
        with _engine_of(target).writing(target) as side:
            _check_empty(target, side, side.tables())


def _check_empty(settings: Settings, side: Side, tables: Tables) -> None:
    found = side.tables()
    for table, columns in tables.items():
        if found.get(table) != columns:
            raise StartError(
                f"The table {table} of {settings.database_place} has other columns: the databases"
                " are of different versions."
            )
        if table != MARKS and next(side.rows(table, columns), None) is not None:
            raise StartError(
                f"The database {settings.database_place} has rows in {table} already; copy into an"
                " empty one."
            )


def _check_versions(source: Settings, target: Settings) -> None:
    """The last migrations have one number, even where a baseline stands for those before."""
    last = []
    for settings in (source, target):
        applied = [step.id for step in migrate.list_migrations(settings) if step.applied]
        last.append(applied[-1].partition(".")[0] if applied else "none")
    if last[0] != last[1]:
        raise StartError(
            f"The database {source.database_place} has the migrations up to {last[0]}, and"
            f" {target.database_place} up to {last[1]}: run `flask db upgrade` on both."
        )


def _digest(side: Side, table: str, columns: tuple[str, ...]) -> Digest:
    count = total = 0
    try:
        for row in side.rows(table, columns):
            text = repr(row)
            if "\\x00" in text:
                _check_nul(table, columns, row)
            count += 1
            total += int.from_bytes(blake2b(text.encode(), digest_size=16).digest(), "big")
    except UnicodeError:
        raise StartError(
            f"A text of the table {table} is not UTF-8, in the row {columns[0]} ="
            f" {side.undecodable(table, columns)}: mend or delete the row first."
        ) from None
    return Digest(count, total)


def _check_nul(table: str, columns: tuple[str, ...], row: tuple[Any, ...]) -> None:
    for column, value in zip(columns, row, strict=True):
        if isinstance(value, str) and "\0" in value:
            key = "id" if "id" in columns else columns[0]
            raise StartError(
                f"The column {column} of the table {table} has a NUL character, which PostgreSQL"
                f" does not keep, in the row {key} = {row[columns.index(key)]!r}: mend or delete"
                " the row first."
            )


class Engine(Protocol):
    """What an engine's `move.py` gives."""

    def reading(self, settings: Settings) -> AbstractContextManager[Side]:
        """The database as it is at one moment."""
        ...

    def writing(self, settings: Settings) -> AbstractContextManager[Target]:
        """One transaction, for the length of a `with` block."""
        ...

    def tidy(self, settings: Settings) -> None:
        """What is done once all has been written."""
        ...


def _engine_of(settings: Settings) -> Engine:
    if settings.database_engine == "sqlite":
        from seidra.database.sqlite import move as sqlite

        return sqlite
    from seidra.database.postgresql import move as postgresql

    return postgresql
