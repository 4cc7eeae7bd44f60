"""A whole PostgreSQL database read or written: what `seidra/database/move.py` asks of an engine.
Its statements are made from the catalogue."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import islice
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from seidra.config import Settings
from seidra.database.move import COUNTERS, Digest, Side
from seidra.database.postgresql.connect import Connection, open_connection
from seidra.errors import StartError

_COLUMNS = """SELECT c.relname, a.attname, FORMAT_TYPE(a.atttypid, a.atttypmod)
FROM pg_class AS c INNER JOIN pg_attribute AS a ON a.attrelid = c.oid
WHERE c.relnamespace = CURRENT_SCHEMA()::REGNAMESPACE AND c.relkind = 'r' AND a.attnum > 0
    AND NOT a.attisdropped AND a.attgenerated = '' AND STRPOS(c.relname, 'yoyo') = 0
ORDER BY c.relname, a.attname COLLATE "C" """

_KEYS = """SELECT conrelid::REGCLASS::TEXT, QUOTE_IDENT(conname), PG_GET_CONSTRAINTDEF(oid)
FROM pg_constraint
WHERE contype IN ('f', 'p', 'u') AND connamespace = CURRENT_SCHEMA()::REGNAMESPACE
    AND STRPOS(conrelid::REGCLASS::TEXT, 'yoyo') = 0
ORDER BY contype"""
"""Foreign keys, and after them what these refer to."""

_IS_JSON = """SELECT PG_GET_FUNCTIONDEF(oid) FROM pg_proc
WHERE proname = 'json_valid' AND pronamespace = CURRENT_SCHEMA()::REGNAMESPACE"""

_MUST_BE_JSON = """CREATE OR REPLACE FUNCTION json_valid(document TEXT) RETURNS BOOLEAN
IMMUTABLE LANGUAGE sql AS 'SELECT document IS NULL OR document::PG_CATALOG.JSON IS NOT NULL'"""
"""What checks call, failing for what is no JSON. To answer FALSE takes a transaction within the
transaction for each document, and half of the time of a load."""

_INDEXES = """SELECT i.indexrelid::REGCLASS::TEXT, PG_GET_INDEXDEF(i.indexrelid)
FROM pg_index AS i INNER JOIN pg_class AS c ON c.oid = i.indrelid
WHERE c.relnamespace = CURRENT_SCHEMA()::REGNAMESPACE AND STRPOS(c.relname, 'yoyo') = 0
    AND NOT EXISTS (SELECT 1 FROM pg_constraint AS o WHERE o.conindid = i.indexrelid)"""

_NUMBERED = """SELECT c.relname, a.attname, PG_GET_SERIAL_SEQUENCE(c.oid::REGCLASS::TEXT, a.attname)
FROM pg_class AS c INNER JOIN pg_attribute AS a ON a.attrelid = c.oid
WHERE c.relnamespace = CURRENT_SCHEMA()::REGNAMESPACE AND c.relkind = 'r' AND a.attidentity <> ''"""

_SETTINGS = (
    # One side waits for the other, for as long as it takes.
    "SET idle_in_transaction_session_timeout = 0",
    "SET maintenance_work_mem = '256MB'",
    "SET max_parallel_workers_per_gather = 0",
    "SET plan_cache_mode = auto",
    # Foreign keys are checked by one join over all rows, not by a look into an index for each.
    "SET enable_seqscan = on",
    "SET enable_hashjoin = on",
    "SET enable_mergejoin = on",
)


class _Side:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._types: dict[str, dict[str, str]] = {}
        for table, column, kind in self._all(_COLUMNS):
            self._types.setdefault(table, {})[column] = kind

    def _all(self, sql: str) -> list[tuple[Any, ...]]:
        return list(self._connection.cursor(row_factory=tuple_row).execute(sql.encode()).fetchall())

    def _run(self, sql: str) -> None:
        self._connection.execute(sql.encode(), prepare=False)

    def tables(self) -> dict[str, tuple[str, ...]]:
        """Every table of SEIDRA's."""
        return {table: tuple(columns) for table, columns in self._types.items()}

    def rows(self, table: str, columns: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
        """A table's rows."""
        with self._connection.cursor("rows", row_factory=tuple_row) as cursor:
            cursor.itersize = 2000
            cursor.execute(self._select(table, columns).encode())
            yield from cursor

    def lines(self, table: str, columns: tuple[str, ...]) -> Iterator[list[bytes]]:
        """A table's rows as CSV."""
        types = self._types[table]
        quoted = [f'"{name}"' for name in columns if types[name] in ("text", "bytea")]
        options = ["FORMAT csv"] + ([f"FORCE_QUOTE ({', '.join(quoted)})"] if quoted else [])
        copy = f"COPY ({self._select(table, columns)}) TO STDOUT WITH ({', '.join(options)})"
        with self._connection.cursor() as cursor, cursor.copy(copy.encode()) as stream:
            while lines := [bytes(line) for line in islice(stream, 1000)]:
                yield lines

    def _select(self, table: str, columns: tuple[str, ...]) -> str:
        types, sums = self._types[table], COUNTERS.get(table, ())
        names = ", ".join(
            f'SUM("{n}") AS "{n}"'
            if n in sums
            else f'"{n}"::INT AS "{n}"'
            if types[n] == "boolean"
            else f'"{n}"'
            for n in columns
        )
        keys = ", ".join(f'"{n}"' for n in columns if n not in sums)
        end = f" GROUP BY {keys} HAVING SUM(n) <> 0" if sums else ""
        return f'SELECT {names} FROM "{table}"{end}'

    def undecodable(self, table: str, columns: tuple[str, ...]) -> str | None:
        """None: the server takes no text that is not UTF-8."""
        return None

    def numbers(self) -> dict[str, int]:
        """The last number given away."""
        found = {}
        for table, _, sequence in self._all(_NUMBERED):
            ((last, called),) = self._all(f"SELECT last_value, is_called FROM {sequence}")
            if called:
                found[table] = last
        return found


class _Target(_Side):
    @contextmanager
    def loading(self) -> Iterator[None]:
        """Triggers are off, and keys and indexes away until the end of the block."""
        keys, indexes = self._all(_KEYS), self._all(_INDEXES)
        ((is_json,),) = self._all(_IS_JSON)
        tables = [f'"{table}"' for table in self._types]
        for table, name, _ in keys:
            self._run(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        for name, _ in indexes:
            self._run(f"DROP INDEX {name}")
        for table in tables:
            self._run(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        self._run(_MUST_BE_JSON)
        yield
        self._run(is_json)
        for _, text in indexes:
            self._run(text)
        for table, name, text in reversed(keys):
            self._run(f"ALTER TABLE {table} ADD CONSTRAINT {name} {text}")
        for table in tables:
            self._run(f"ALTER TABLE {table} ENABLE TRIGGER USER")

    def clear(self, table: str) -> None:
        """Delete a table's rows."""
        self._run(f'DELETE FROM "{table}"')

    def load(self, table: str, columns: tuple[str, ...], source: Side, digest: Digest) -> None:
        """Write the rows of another one. A table that is emptied in the same transaction takes them
        as rows that everybody sees, so that nothing writes to them again to note that."""
        names = ", ".join(f'"{name}"' for name in columns)
        self._run(f'TRUNCATE "{table}"')
        copy = f'COPY "{table}" ({names}) FROM STDIN WITH (FORMAT csv, FREEZE)'
        with self._connection.cursor() as cursor, cursor.copy(copy.encode()) as stream:
            for lines in source.lines(table, columns):
                digest.add(lines)
                stream.write(b"".join(lines))

    def number_on(self, numbers: Mapping[str, int]) -> None:
        """Give away only numbers behind these."""
        for table, _, sequence in self._all(_NUMBERED):
            if numbers.get(table):
                self._run(f"SELECT SETVAL('{sequence}', {numbers[table]:d})")


@contextmanager
def reading(settings: Settings) -> Iterator[_Side]:
    """The database as it is at one moment."""
    with _opened(settings, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY") as connection:
        yield _Side(connection)


@contextmanager
def writing(settings: Settings) -> Iterator[_Target]:
    """One transaction."""
    with _opened(settings, "BEGIN") as connection:
        yield _Target(connection)
        connection.execute("COMMIT")


def tidy(settings: Settings) -> None:
    """Let the server count what there is now, for its plans."""
    with _opened(settings, "VACUUM ANALYZE"):
        pass


@contextmanager
def _opened(settings: Settings, begin: str) -> Iterator[Connection]:
    try:
        with closing(open_connection(settings.database_url)) as connection:
            for setting in (*_SETTINGS, begin):
                connection.execute(setting.encode(), prepare=False)
            yield connection
    except psycopg.Error as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise StartError(
            f"The database {settings.database_place} cannot be copied: {reason}."
        ) from error
