"""A whole SQLite database read or written: what `seidra/database/move.py` asks of an engine. Its
statements are made from the catalogue."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

from seidra.config import Settings
from seidra.database.move import COUNTERS, TEXTS
from seidra.database.sqlite.connect import open_connection
from seidra.errors import StartError

_TEXTS = {
    "is_favorite": "favor = 'fav'",
    "is_nsfw": "safety = 'nsf'",
    "persona_id": "doc_id & 4294967295",
    "search_text": "search_text",
    "user_id": "doc_id >> 32",
}
"""The search texts as PostgreSQL has them."""

_PUT_TEXTS = """INSERT INTO persona_texts (favor, safety, doc_id, search_text)
VALUES (CASE ?1 WHEN 1 THEN 'fav' ELSE 'oth' END, CASE ?2 WHEN 1 THEN 'nsf' ELSE 'sfw' END,
    (?5 << 32) | ?3, ?4)"""

_TABLES = """SELECT name FROM sqlite_master WHERE type = 'table'
AND name NOT LIKE 'sqlite!_%' ESCAPE '!'
AND name NOT LIKE '%yoyo!_%' ESCAPE '!' AND name NOT LIKE 'persona!_search%' ESCAPE '!'"""


class _Side:
    def __init__(self, connection: sqlite3.Connection) -> None:
        connection.row_factory = None
        self._connection = connection

    def tables(self) -> dict[str, tuple[str, ...]]:
        """Every table of SEIDRA's."""
        names = [row[0] for row in self._connection.execute(_TABLES).fetchall()]
        return {name: self._columns(name) for name in names}

    def _columns(self, table: str) -> tuple[str, ...]:
        if table == TEXTS:
            return tuple(_TEXTS)
        found = self._connection.execute("SELECT name FROM pragma_table_info(?)", (table,))
        return tuple(sorted(row[0] for row in found))

    def rows(self, table: str, columns: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
        """A table's rows."""
        cursor = self._connection.execute(_select(table, columns))
        try:
            while found := cursor.fetchmany(1000):
                yield from found
        except sqlite3.OperationalError as error:
            if "decode" not in str(error):
                raise
            raise UnicodeError from error

    def undecodable(self, table: str, columns: tuple[str, ...]) -> str | None:
        """The key of the first row with a text that is not UTF-8."""
        key = columns.index("id") if "id" in columns else 0
        self._connection.text_factory = bytes
        kinds = ", ".join(f'TYPEOF("{name}")' for name in columns) if table != TEXTS else ""
        try:
            texts = self._connection.execute(
                f"SELECT {kinds or 'NULL'}, * FROM ({_select(table, columns)})"
            )
            for found in texts:
                row = found[-len(columns) :]
                kind = found[: -len(columns)] if kinds else (b"text",) * len(columns)
                for value, of in zip(row, kind, strict=True):
                    if of == b"text" and isinstance(value, bytes) and not _is_utf8(value):
                        return repr(_shown(row[key]))
        finally:
            self._connection.text_factory = str
        return None

    def numbers(self) -> dict[str, int]:
        """The last number given away."""
        given = dict(self._connection.execute("SELECT name, seq FROM sqlite_sequence").fetchall())
        for table, columns in self.tables().items():
            if "id" in columns:
                last = self._connection.execute(f'SELECT MAX(id) FROM "{table}"').fetchone()[0]
                if isinstance(last, int):
                    given[table] = max(last, given.get(table, 0))
        return given


class _Target(_Side):
    @contextmanager
    def loading(self) -> Iterator[None]:
        """Triggers are away; they and the full-text index are made at the end of the block."""
        triggers = self._connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall()
        for name, _ in triggers:
            self._connection.execute(f'DROP TRIGGER "{name}"')
        yield
        self._connection.execute("INSERT INTO persona_search (persona_search) VALUES ('rebuild')")
        for _, text in triggers:
            self._connection.execute(text)
        broken = self._connection.execute("PRAGMA foreign_key_check").fetchone()
        if broken is not None:
            raise StartError(
                f"A row of the table {broken[0]} refers to one of {broken[2]} that does not exist."
            )

    def clear(self, table: str) -> None:
        """Delete a table's rows."""
        self._connection.execute(f'DELETE FROM "{table}"')

    def load(self, table: str, columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> None:
        """Write rows."""
        names = ", ".join(f'"{name}"' for name in columns)
        marks = ", ".join("?" * len(columns))
        put = _PUT_TEXTS if table == TEXTS else f'INSERT INTO "{table}" ({names}) VALUES ({marks})'
        self._connection.executemany(put, rows)

    def number_on(self, numbers: Mapping[str, int]) -> None:
        """Give away only numbers behind these, where numbers are never given twice."""
        counted = self._connection.execute(
            "SELECT name FROM sqlite_master WHERE sql LIKE '%AUTOINCREMENT%'"
        ).fetchall()
        for (table,) in counted:
            if table in numbers:
                self._connection.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
                self._connection.execute(
                    "INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, numbers[table])
                )


@contextmanager
def reading(settings: Settings) -> Iterator[_Side]:
    """The database as it is at one moment."""
    with _failing(settings), closing(open_connection(settings.database_path)) as connection:
        connection.execute("BEGIN")
        yield _Side(connection)


@contextmanager
def writing(settings: Settings) -> Iterator[_Target]:
    """One transaction, whose foreign keys are checked at its end."""
    with _failing(settings), closing(open_connection(settings.database_path)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("BEGIN IMMEDIATE")
        yield _Target(connection)
        connection.execute("COMMIT")


def tidy(settings: Settings) -> None:
    """Nothing: what was loaded is whole, indexes and all."""


@contextmanager
def _failing(settings: Settings) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StartError(
            f"The database {settings.database_place} cannot be copied: {error}."
        ) from error


def _select(table: str, columns: tuple[str, ...]) -> str:
    if table == TEXTS:
        return "SELECT {} FROM persona_texts".format(
            ", ".join(f"{text} AS {name}" for name, text in _TEXTS.items())
        )
    if table not in COUNTERS:
        return 'SELECT {} FROM "{}"'.format(", ".join(f'"{name}"' for name in columns), table)
    return summed(table, columns)


def summed(table: str, columns: tuple[str, ...]) -> str:
    """Counters added up, without those that are nothing."""
    sums = COUNTERS[table]
    names = ", ".join(f'SUM("{n}") AS "{n}"' if n in sums else f'"{n}"' for n in columns)
    keys = ", ".join(f'"{n}"' for n in columns if n not in sums)
    return f'SELECT {names} FROM "{table}" GROUP BY {keys} HAVING SUM(n) <> 0'


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _shown(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
