"""Every statement runs on a real migrated PostgreSQL: with NULLs, so that each parameter has a type
wherever it stands."""

from __future__ import annotations

import psycopg
import pytest
from instances import pg, pg_settings, server

from seidra.database.base import Database
from seidra.database.queries import Statement, parameters_of, queries

__all__ = ["pg", "pg_settings", "server"]
"""The fixtures."""

pytestmark = pytest.mark.slow

STATEMENTS: list[Statement] = [
    statement
    for statements in vars(queries).values()
    for statement in vars(statements).values()
    if "postgresql" in statement.engines
]


def test_every_statement_runs(pg: Database) -> None:
    connection = pg.connection
    failed = {}
    for statement in STATEMENTS:
        for chosen, written in statement.variants("postgresql").items():
            connection.execute("BEGIN", {})
            try:
                ready = statement._ready["postgresql"][chosen]
                connection.execute(ready, dict.fromkeys(parameters_of(written)))
            except psycopg.IntegrityError:
                pass
            except psycopg.Error as error:
                failed[statement.name, chosen] = str(error)
            finally:
                connection.execute("ROLLBACK", {})
    assert failed == {}


@pytest.mark.parametrize("literal", ["'50%'", "':no'"])
def test_what_stands_in_quotes_is_no_parameter(literal: str) -> None:
    from seidra.database.queries import _for_psycopg

    assert parameters_of(f"SELECT {literal}, :yes") == ["yes"]
    expected = f"SELECT {literal}, %(yes)s".replace("50%'", "50%%'")
    assert _for_psycopg(f"SELECT {literal}, :yes") == expected
