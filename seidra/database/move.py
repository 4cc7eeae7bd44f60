"""A whole database copied into an empty one, of whichever engine: all or nothing, and compared.

A row has two forms that both engines make alike: a tuple in the order of the columns' names
(booleans 0 or 1, texts as texts, documents as bytes), and a line of CSV, of which both sides are
compared. What differs is each engine's to convert (`move.py` in its folder): the search texts, and
counters, which are added up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
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

_TOLD = 100_000
"""After so many rows of a table progress is told."""

Tables = Mapping[str, tuple[str, ...]]
"""The columns of each table, in the order of their names."""

Progress = Callable[[str], object]


@dataclass
class Digest:
    """How many rows, and a hash of them that does not ask for their order: the sum of the lines'
    hashes, of 64 bits each (SipHash, whose key is this process's)."""

    rows: int = 0
    hash: int = 0
    tell: Callable[[int], object] = field(default=lambda rows: None, compare=False)
    """Is told how many rows there were so far, each hundred thousand."""

    def add(self, lines: list[bytes]) -> None:
        """Count these lines in."""
        before, self.rows = self.rows, self.rows + len(lines)
        self.hash += sum(map(hash, lines))
        if self.rows // _TOLD > before // _TOLD:
            self.tell(self.rows)


class Side(Protocol):
    """One database that is read from or written to, in one transaction."""

    def tables(self) -> dict[str, tuple[str, ...]]:
        """Every table of SEIDRA's."""
        ...

    def rows(self, table: str, columns: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
        """A table's rows. Raises UnicodeError for a text that is none."""
        ...

    def lines(self, table: str, columns: tuple[str, ...]) -> Iterator[list[bytes]]:
        """A table's rows as lines of CSV in UTF-8, some at a time: texts in quotes, bytes too
        (`\\x` and their digits), numbers in the fewest digits that tell them, booleans as 0 or 1,
        NULL as nothing. Raises UnicodeError for a text that is none, or has a NUL character."""
        ...

    def numbers(self) -> dict[str, int]:
        """The last number that was given away, of each table that gives its rows one."""
        ...

    def undecodable(self, table: str, columns: tuple[str, ...]) -> str | None:
        """The key of the first row with a text that is not UTF-8."""
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

    def load(self, table: str, columns: tuple[str, ...], source: Side, digest: Digest) -> None:
        """Write the rows that another one has, and count in what was read there. Raises
        UnicodeError as that does."""
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
    with (
        _engine_of(source).reading(source) as old,
        _engine_of(target).writing(target) as new,
    ):
        tables = {name: found for name, found in sorted(old.tables().items()) if name not in LEFT}
        digests = {}
        _check_empty(target, new, tables)
        with new.loading():
            new.clear(MARKS)
            for table, columns in tables.items():
                digests[table] = Digest(tell=_telling(progress, f"copying {table}"))
                _load(new, table, columns, old, digests[table])
                progress(f"copied {table}: {digests[table].rows} rows")
            new.number_on(old.numbers())
            progress("indexes and foreign keys")
        for table, columns in tables.items():
            found = Digest(tell=_telling(progress, f"comparing {table}"))
            count_in(new, table, columns, found)
            if found != digests[table]:
                raise StartError(
                    f"The table {table} has {digests[table].rows} rows, and was read back as"
                    f" {found.rows} that differ: nothing was copied."
                )
            progress(f"compared {table}: {found.rows} rows")
    progress("counting for the plans")
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


def count_in(side: Side, table: str, columns: tuple[str, ...], digest: Digest) -> None:
    """Count in what a table has. Raises UnicodeError as its lines do."""
    for lines in side.lines(table, columns):
        digest.add(lines)


def _telling(progress: Progress, text: str) -> Callable[[int], object]:
    return lambda rows: progress(f"{text}: {rows} rows so far")


def _load(new: Target, table: str, columns: tuple[str, ...], old: Side, digest: Digest) -> None:
    try:
        new.load(table, columns, old, digest)
    except UnicodeError:
        _check_nul(old, table, columns)
        raise StartError(
            f"A text of the table {table} is not UTF-8, in the row {columns[0]} ="
            f" {old.undecodable(table, columns)}: mend or delete the row first."
        ) from None


def _check_nul(side: Side, table: str, columns: tuple[str, ...]) -> None:
    """Raise StartError that names the first NUL, unless another text is what is wrong."""
    try:
        for row in side.rows(table, columns):
            for column, value in zip(columns, row, strict=True):
                if isinstance(value, str) and "\0" in value:
                    key = "id" if "id" in columns else columns[0]
                    raise StartError(
                        f"The column {column} of the table {table} has a NUL character, which"
                        f" PostgreSQL does not keep, in the row {key} ="
                        f" {row[columns.index(key)]!r}: mend or delete the row first."
                    )
    except UnicodeError:
        return


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
