"""What tests ask an instance's database by themselves, in the words of neither engine: a `?` for
each value, booleans as TRUE and FALSE."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

from seidra.config import Settings
from seidra.database import open_database

# Of the search index on SQLite, whose content is compared with its table by its own check; and the
# counts of AUTOINCREMENT.
_OWN = ("persona_search", "sqlite_")


@contextmanager
def open_rows(settings: Settings) -> Iterator[Any]:
    """A connection of its own to the instance's database; each statement is kept at once."""
    with closing(open_database(settings)) as database:
        yield database.connection


def rows(settings: Settings, statement: str) -> list[tuple[Any, ...]]:
    """The rows that a statement finds."""
    with open_rows(settings) as connection:
        return [tuple(row) for row in connection.execute(statement)]


def records(settings: Settings, statement: str) -> list[dict[str, Any]]:
    """The rows that a statement finds, by the names of their columns."""
    with open_rows(settings) as connection:
        return [dict(row) for row in connection.execute(statement)]


def tables(connection: Any) -> list[str]:
    """The names of all tables but those that the engine has for itself."""
    names = {
        "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table'",
        "postgresql": "SELECT tablename FROM pg_tables WHERE schemaname = 'public'",
    }[connection.engine]
    found = [str(row[0]) for row in connection.execute(names)]
    return sorted(name for name in found if not name.startswith(_OWN))


def columns(connection: Any, table: str) -> list[str]:
    """The names of a table's columns."""
    none = connection.execute(f'SELECT * FROM "{table}" WHERE 1 = 0')
    return [str(column[0]) for column in none.description]


def all_rows(connection: Any) -> dict[str, list[str]]:
    """Every row of every table, in one order."""
    return {
        name: sorted(repr(tuple(row)) for row in connection.execute(f'SELECT * FROM "{name}"'))
        for name in tables(connection)
    }


@contextmanager
def told(connection: Any) -> Iterator[list[str]]:
    """The statements that a connection is told during the block."""
    statements: list[str] = []
    if connection.engine == "sqlite":
        connection.set_trace_callback(statements.append)
        try:
            yield statements
        finally:
            connection.set_trace_callback(None)
        return

    def telling(run: Callable[..., Any]) -> Callable[..., Any]:
        def tell(query: Any, *given: Any, **options: Any) -> Any:
            statements.append(query.decode() if isinstance(query, bytes) else str(query))
            return run(query, *given, **options)

        return tell

    connection.execute = telling(connection.execute)
    connection.executemany = telling(connection.executemany)
    try:
        yield statements
    finally:
        del connection.execute, connection.executemany


def refuse_updates(connection: Any, table: str, column: str) -> None:
    """Have the database refuse every change of a column from now on."""
    trigger = f"CREATE TRIGGER refuse BEFORE UPDATE OF {column} ON {table}"
    if connection.engine == "sqlite":
        connection.execute(f"{trigger} BEGIN SELECT RAISE(ABORT, 'refused'); END")
        return
    connection.execute(
        "CREATE FUNCTION refuse() RETURNS TRIGGER LANGUAGE plpgsql"
        " AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$"
    )
    connection.execute(f"{trigger} FOR EACH ROW EXECUTE FUNCTION refuse()")


def dangling(connection: Any) -> list[Any]:
    """The rows that refer to none, where that can be."""
    if connection.engine == "postgresql":
        return []
    return list(connection.execute("PRAGMA foreign_key_check"))


def dump(connection: Any) -> str:
    """All that the database holds, as text."""
    if connection.engine == "sqlite":
        return "\n".join(connection.iterdump())
    return "\n".join(row for found in all_rows(connection).values() for row in found)
