"""A whole SQLite database read or written: what `seidra/database/move.py` asks of an engine. Its
statements are made from the catalogue."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from decimal import Decimal
from typing import Any

from seidra.config import Settings
from seidra.database.move import COUNTERS, TEXTS, Digest, Side, count_in
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
        connection.create_function("FRACTION", 1, _fraction, deterministic=True)
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

    def lines(self, table: str, columns: tuple[str, ...]) -> Iterator[list[bytes]]:
        """A table's rows as CSV."""
        cursor = self._connection.execute(self._line(table, columns))
        while found := cursor.fetchmany(1000):
            lines = [line for (line,) in found]
            if None in lines:
                raise UnicodeError
            # Whether they are UTF-8.
            b"".join(lines).decode()
            yield lines

    def _line(self, table: str, columns: tuple[str, ...]) -> str:
        """The statement that makes lines, and NULL for one with a NUL character: PRINTF would cut
        the text there."""
        kinds = {
            name: (kind, required or key)
            for name, kind, required, key in self._connection.execute(
                'SELECT name, type, "notnull", pk FROM pragma_table_info(?)', (table,)
            )
        }
        forms, values, nul = [], [], ["FALSE"]
        for name in columns:
            kind, required = kinds.get(name, ("INTEGER", 1))
            form, value = "%s", f'"{name}"'
            if kind == "REAL":
                value = f"FRACTION({value})"
            elif kind == "BLOB":
                value = f"""'"\\x' || LOWER(HEX({value})) || '"'"""
                value = f'IIF("{name}" IS NULL, NULL, {value})'
            elif kind == "TEXT":
                nul.append(f"INSTR({value}, CHAR(0))")
                if required:
                    # Quotation marks doubled.
                    form = '"%w"'
                else:
                    value = f"""'"' || REPLACE({value}, '"', '""') || '"'"""
            forms.append(form)
            values.append(value)
        return (
            f"SELECT IIF({' OR '.join(nul)}, NULL,"
            f" CAST(PRINTF('{','.join(forms)}\n', {', '.join(values)}) AS BLOB))"
            f" FROM ({_select(table, columns)})"
        )

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
        """Triggers and indexes are away; they and the full-text index are made at the end of the
        block."""
        parts = self._connection.execute(
            "SELECT type, name, sql FROM sqlite_master"
            " WHERE type IN ('index', 'trigger') AND sql IS NOT NULL ORDER BY type"
        ).fetchall()
        for kind, name, _ in parts:
            self._connection.execute(f'DROP {kind} "{name}"')
        yield
        self._connection.execute("INSERT INTO persona_search (persona_search) VALUES ('rebuild')")
        for _, _, text in parts:
            self._connection.execute(text)
        broken = self._connection.execute("PRAGMA foreign_key_check").fetchone()
        if broken is not None:
            raise StartError(
                f"A row of the table {broken[0]} refers to one of {broken[2]} that does not exist."
            )

    def clear(self, table: str) -> None:
        """Delete a table's rows."""
        self._connection.execute(f'DELETE FROM "{table}"')

    def load(self, table: str, columns: tuple[str, ...], source: Side, digest: Digest) -> None:
        """Write the rows of another one."""
        names = ", ".join(f'"{name}"' for name in columns)
        marks = ", ".join("?" * len(columns))
        put = _PUT_TEXTS if table == TEXTS else f'INSERT INTO "{table}" ({names}) VALUES ({marks})'
        self._connection.executemany(put, source.rows(table, columns))
        count_in(source, table, columns, digest)

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


def _fraction(value: float | None) -> str | None:
    """A number in the fewest digits that tell it, as PostgreSQL writes it."""
    if value is None:
        return None
    if not 1e15 <= abs(value) < 1e16:
        return repr(value).removesuffix(".0")
    sign, digits, _ = Decimal(repr(value)).normalize().as_tuple()
    first, *others = map(str, digits)
    point = "." if others else ""
    return f"{'-' if sign else ''}{first}{point}{''.join(others)}e+15"


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _shown(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
