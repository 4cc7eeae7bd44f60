"""The two schemas, SQLite's and PostgreSQL's, are the same: read from an empty database of each."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from postgresql_server import postgresql_server

from seidra.config import Settings
from seidra.database import migrate

SECRET = "a secret of at least 32 letters, for tests"

OWN_TABLES = {"persona_texts", "persona_search"}
"""What search looks into: each engine's own."""

COUNTERS = {
    "persona_counts",
    "job_counts",
    "media_counts",
    "shared_persona_counts",
    "shared_media_counts",
    "collection_counts",
}
"""One row a kind on SQLite, whose key is its primary key; rows that are added up on PostgreSQL."""

KINDS = {
    "BIGINT": "INTEGER",
    "DOUBLE PRECISION": "REAL",
    "BYTEA": "BLOB",
    "TEXT": "TEXT",
    "BOOLEAN": "INTEGER",
}
"""SQLite's kinds by those of PostgreSQL."""


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    """An empty database of SQLite at the newest schema."""
    settings = Settings.load({"SEIDRA_DATABASE_URL": f"sqlite:///{tmp_path_factory.mktemp('s')}/s"})
    with migrate.start_lock(settings):
        migrate.apply_migrations(settings)
    with closing(sqlite3.connect(settings.database_path)) as connection:
        yield connection


@pytest.fixture(scope="module")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[psycopg.Connection[Any]]:
    """An empty database of PostgreSQL at the newest schema."""
    with ExitStack() as stack:
        try:
            url = stack.enter_context(postgresql_server())
        except (RuntimeError, OSError) as error:
            pytest.skip(f"there is no server of PostgreSQL: {error}")
        name = "seidra_schemas"
        server = stack.enter_context(psycopg.connect(f"{url}/postgres", autocommit=True))
        server.execute(f"DROP DATABASE IF EXISTS {name}")
        server.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        settings = Settings.load(
            {
                "SEIDRA_DATABASE_URL": f"{url}/{name}",
                "SEIDRA_DATA_DIR": str(tmp_path_factory.mktemp("p")),
                "SEIDRA_JWT_SECRET": SECRET,
            }
        )
        with migrate.start_lock(settings):
            migrate.apply_migrations(settings)
        with psycopg.connect(settings.database_url, autocommit=True) as connection:
            yield connection
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def plain(text: str | None) -> str:
    """An expression without what either engine puts around it when it shows it."""
    text = (
        (text or "")
        .replace('"', "")
        .replace("::text[]", "")
        .replace("::text", "")
        .replace("::bigint", "")
    )
    text = re.sub(r"= ANY \(ARRAY\[(.*?)\]\)", r"IN (\1)", text)
    text = re.sub(r"\b(is_\w+) = true\b", r"\1", text, flags=re.IGNORECASE)
    return re.sub(r"[\s()]+", "", text).upper()


# ------------------------------------------------------------------------------------------- SQLite


def sqlite_tables(connection: sqlite3.Connection) -> dict[str, str]:
    """The text of each table by its name."""
    return {
        name: sql
        for name, sql in connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'table'"
        )
        if not name.startswith(("sqlite_", "_yoyo", "yoyo", "persona_search"))
        and name not in OWN_TABLES
    }


def sqlite_columns(connection: sqlite3.Connection) -> dict[tuple[str, str], tuple[Any, ...]]:
    """Kind, whether it may be NULL, and whether there is a default, of each column."""
    return {
        (table, name): (kind, not (required or key), default is not None)
        for table in sqlite_tables(connection)
        for _, name, kind, required, default, key in connection.execute(
            f"PRAGMA table_info({table})"
        )
    }


def sqlite_flags(connection: sqlite3.Connection) -> set[tuple[str, str]]:
    """The columns that are 0 or 1: by their checks, and those of the counters."""
    return {
        (table, column)
        for table, sql in sqlite_tables(connection).items()
        for column in re.findall(r"CHECK \((\w+) IN \(0, 1\)\)", sql)
    } | {
        (table, column)
        for table, column in sqlite_columns(connection)
        if table in COUNTERS and column.startswith("is_")
    }


def sqlite_names(connection: sqlite3.Connection) -> set[tuple[str, str, str]]:
    """The named checks and unique constraints."""
    found = set()
    for table, sql in sqlite_tables(connection).items():
        for name, rule in re.findall(r"CONSTRAINT (\w+)\s+(CHECK|UNIQUE)", sql):
            if not re.search(rf"CONSTRAINT {name}\s+CHECK \(\w+ IN \(0, 1\)\)", sql):
                found.add((table, name, rule))
    return found


def sqlite_foreign_keys(connection: sqlite3.Connection) -> set[tuple[str, ...]]:
    """Table, column, what it refers to, and what a deletion does."""
    return {
        (table, row[3], row[2], row[4], row[6])
        for table in sqlite_tables(connection)
        for row in connection.execute(f"PRAGMA foreign_key_list({table})")
    }


def sqlite_primary_keys(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """The columns of each table's key."""
    return {
        table: [
            row[1]
            for row in sorted(
                connection.execute(f"PRAGMA table_info({table})"), key=lambda row: row[5]
            )
            if row[5]
        ]
        for table in sqlite_tables(connection)
        if table not in COUNTERS
    }


def sqlite_indexes(connection: sqlite3.Connection) -> dict[str, tuple[str, bool, str, str]]:
    """Table, whether it is unique, columns with their order, and the predicate, by the name."""
    found = {}
    for name, table, sql in connection.execute(
        "SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
    ):
        match = re.fullmatch(
            r"CREATE (UNIQUE )?INDEX \w+ ON \w+ \((.*?)\)(?:\s+WHERE (.*))?", sql, re.DOTALL
        )
        if match is not None and not name.startswith(("_yoyo", "yoyo")):
            found[name] = (table, bool(match[1]), plain(match[2]), plain(match[3]))
    return found


# --------------------------------------------------------------------------------------- PostgreSQL


def ask(connection: psycopg.Connection[Any], statement: str) -> list[tuple[Any, ...]]:
    """The rows of a statement about the schema."""
    return connection.execute(statement).fetchall()  # type: ignore[arg-type]


COLUMNS = """
SELECT c.relname, a.attname, UPPER(FORMAT_TYPE(a.atttypid, a.atttypmod)), NOT a.attnotnull,
    a.atthasdef, a.attidentity <> '', CAST(a.attcollation AS REGCOLLATION)::TEXT
FROM pg_attribute AS a
INNER JOIN pg_class AS c ON c.oid = a.attrelid
WHERE c.relnamespace = 'public'::REGNAMESPACE AND c.relkind = 'r' AND a.attnum > 0
    AND NOT a.attisdropped AND c.relname NOT LIKE '%yoyo%'
"""

CONSTRAINTS = """
SELECT c.relname, k.conname, k.contype, PG_GET_CONSTRAINTDEF(k.oid)
FROM pg_constraint AS k
INNER JOIN pg_class AS c ON c.oid = k.conrelid
WHERE c.relnamespace = 'public'::REGNAMESPACE AND c.relname NOT LIKE '%yoyo%'
"""

INDEXES = """
SELECT i.relname, t.relname, x.indisunique, PG_GET_INDEXDEF(x.indexrelid)
FROM pg_index AS x
INNER JOIN pg_class AS i ON i.oid = x.indexrelid
INNER JOIN pg_class AS t ON t.oid = x.indrelid
WHERE t.relnamespace = 'public'::REGNAMESPACE AND t.relname NOT LIKE '%yoyo%'
    AND NOT EXISTS (SELECT 1 FROM pg_constraint AS k WHERE k.conindid = x.indexrelid)
"""


def postgresql_columns(
    connection: psycopg.Connection[Any],
) -> dict[tuple[str, str], tuple[Any, ...]]:
    """The same as of SQLite, with PostgreSQL's kinds."""
    return {
        (table, name): (kind, null, default)
        for table, name, kind, null, default, _, _ in ask(connection, COLUMNS)
        if table not in OWN_TABLES
    }


# ----------------------------------------------------------------------------------- they are equal


def test_tables_and_columns_are_the_same(
    sqlite: sqlite3.Connection, postgresql: psycopg.Connection[Any]
) -> None:
    theirs = {
        column: (KINDS[kind], null, default)
        for column, (kind, null, default) in postgresql_columns(postgresql).items()
    }
    ours = sqlite_columns(sqlite)
    assert len(ours) > 200
    assert theirs == ours


def test_flags_are_booleans(
    sqlite: sqlite3.Connection, postgresql: psycopg.Connection[Any]
) -> None:
    booleans = {
        column for column, (kind, *_) in postgresql_columns(postgresql).items() if kind == "BOOLEAN"
    }
    assert booleans == sqlite_flags(sqlite)


def test_every_text_compares_by_its_bytes(postgresql: psycopg.Connection[Any]) -> None:
    """By a language's rules '~', the end of a range, comes before the digits."""
    others = {
        (table, name): collation
        for table, name, kind, *_, collation in ask(postgresql, COLUMNS)
        if kind == "TEXT" and collation != '"C"'
    }
    assert others == {}


def test_what_counts_up_on_one_does_on_the_other(
    sqlite: sqlite3.Connection, postgresql: psycopg.Connection[Any]
) -> None:
    ours = {
        table
        for table, sql in sqlite_tables(sqlite).items()
        if re.search(r"\bid INTEGER PRIMARY KEY", sql)
    }
    assert {row[0] for row in ask(postgresql, COLUMNS) if row[5]} == ours


def test_checks_and_unique_constraints_have_the_same_names(
    sqlite: sqlite3.Connection, postgresql: psycopg.Connection[Any]
) -> None:
    rules = {"c": "CHECK", "u": "UNIQUE"}
    theirs = {
        (table, name, rules[kind])
        for table, name, kind, _ in ask(postgresql, CONSTRAINTS)
        if kind in rules and table not in OWN_TABLES
    }
    # What SQLite leaves without a name, PostgreSQL names by itself.
    theirs -= {("users", "users_id_check", "CHECK"), ("personas", "personas_id_check", "CHECK")}
    assert theirs == sqlite_names(sqlite)


def test_keys_are_the_same(sqlite: sqlite3.Connection, postgresql: psycopg.Connection[Any]) -> None:
    primary, foreign = {}, set()
    for table, _, kind, text in ask(postgresql, CONSTRAINTS):
        if table in OWN_TABLES:
            continue
        if kind == "p":
            primary[table] = re.findall(r"\w+", text.removeprefix("PRIMARY KEY"))
        elif kind == "f":
            match = re.fullmatch(
                r"FOREIGN KEY \((\w+)\) REFERENCES (\w+)\((\w+)\) ON DELETE (\w+(?: \w+)?)", text
            )
            assert match is not None, text
            foreign.add((table, match[1], match[2], match[3], match[4]))
    keys = sqlite_primary_keys(sqlite)
    # A table of SQLite has a hidden key where it has none of its own.
    assert primary == {table: columns for table, columns in keys.items() if columns}
    assert foreign == sqlite_foreign_keys(sqlite)


def test_indexes_are_the_same(
    sqlite: sqlite3.Connection, postgresql: psycopg.Connection[Any]
) -> None:
    ours, theirs = sqlite_indexes(sqlite), {}
    for name, table, unique, text in ask(postgresql, INDEXES):
        if table in OWN_TABLES or (table in COUNTERS and name not in ours):
            continue
        match = re.fullmatch(r"CREATE .*? USING btree \((.*?)\)(?: WHERE (.*))?", text)
        assert match is not None, text
        theirs[name] = (table, unique, plain(match[1]), plain(match[2]))
    assert theirs == ours


def test_each_later_migration_is_there_for_both() -> None:
    folder = Path(__file__).parent.parent / "migrations"
    stems = {path.name for path in folder.glob("*.sql") if path.name >= "0033"}
    assert stems == {
        path.name for path in (folder / "postgresql").glob("*.sql") if path.name >= "0033"
    }
