"""A whole database copied to the other engine and back, row for row."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from instances import server

from seidra.config import Settings
from seidra.database import migrate, move
from seidra.database.sqlite.connect import open_connection
from seidra.errors import StartError

sys.path.insert(0, str(Path(__file__).parents[1]))
from test_migrations import ROWS, content, tables

__all__ = ["server"]
"""The fixture."""


def last(settings: Settings) -> str:
    return max(step.id for step in migrate.list_migrations(settings))[:4]


@pytest.fixture
def there(server: str, tmp_path: Path) -> Iterator[Settings]:
    """A migrated PostgreSQL without a row."""
    name = f"seidra_{os.urandom(6).hex()}"
    with psycopg.connect(server, autocommit=True) as owner:
        owner.execute(f"CREATE DATABASE {name}")
        settings = Settings.load(
            {
                "SEIDRA_DATABASE_URL": f"{server.rpartition('/')[0]}/{name}",
                "SEIDRA_DATA_DIR": str(tmp_path / "there"),
                "SEIDRA_JWT_SECRET": "0123456789abcdef0123456789abcdef",
            }
        )
        migrate.apply_migrations(settings)
        yield settings
        owner.execute(f"DROP DATABASE {name} WITH (FORCE)")


def migrated(there: Settings, path: Path) -> Settings:
    """A migrated SQLite without a row, of the same version."""
    settings = there.with_database(path)
    steps = [step.id for step in migrate.list_migrations(settings)]
    migrate.apply_migrations(settings, [id for id in steps if id[:4] <= last(there)])
    return settings


@pytest.fixture
def here(there: Settings, tmp_path: Path) -> Settings:
    """An SQLite with a row in every table, in two owners' names, and odd texts."""
    settings = migrated(there, tmp_path / "here.db")
    with closing(open_connection(settings.database_path)) as connection:
        names = tables(connection)
        for table, row in ROWS.items():
            if table not in names:
                continue
            if table == "personas":
                row = row | {"is_nsfw": 1, "description": "a\tb\\n\n\r\x1f é 🎈 \\N ' \""}
            if table == "generation_jobs":
                row = row | {"progress": 0.1, "seconds": 1 / 3}
            if table == "job_frames":
                row = row | {"webp": bytes(range(256))}
            found = connection.execute(f"PRAGMA table_info({table})").fetchall()
            row = {n: v for n, v in row.items() if n in {c["name"] for c in found}}
            marks = ", ".join("?" * len(row))
            connection.execute(
                f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", list(row.values())
            )
            if table == "users":
                connection.execute(
                    f"INSERT INTO users ({', '.join(row)}) VALUES ({marks})",
                    list(
                        (row | {"id": 8, "username_key": "bob", "email_key": "bob@x.org"}).values()
                    ),
                )
        connection.execute("UPDATE sqlite_sequence SET seq = 90 WHERE name = 'personas'")
        connection.execute("UPDATE persona_texts SET safety = 'nsf', favor = 'fav'")
        empty = [n for n in names if not connection.execute(f"SELECT 1 FROM {n}").fetchone()]
        assert empty in ([], ["file_deletions"], ["persona_revisions"])
    return settings


def rows(settings: Settings) -> dict[str, Any]:
    with closing(open_connection(settings.database_path)) as connection:
        found = content(connection)
        numbers = {
            row[0]: row[1]
            for row in connection.execute("SELECT name, seq FROM sqlite_sequence").fetchall()
        }
        found["numbers"] = sorted(numbers.items())
        connection.execute(
            "INSERT INTO persona_search (persona_search, rank) VALUES ('integrity-check', 1)"
        )
        found["triggers"] = connection.execute(
            "SELECT COUNT(*) FROM sqlite_master WHERE type = 'trigger'"
        ).fetchone()[0]
    return found


def count(settings: Settings, table: str) -> int:
    with psycopg.connect(settings.database_url) as connection:
        return int(connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0])


def parts(settings: Settings) -> list[Any]:
    """Indexes, constraints and triggers, and whether these are on."""
    with psycopg.connect(settings.database_url) as connection:
        return [
            sorted(connection.execute(sql).fetchall())
            for sql in (
                "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'",
                "SELECT conrelid::REGCLASS::TEXT, conname, PG_GET_CONSTRAINTDEF(oid), convalidated"
                " FROM pg_constraint WHERE connamespace = 'public'::REGNAMESPACE",
                "SELECT tgname, tgenabled::TEXT FROM pg_trigger WHERE NOT tgisinternal",
            )
        ]


def test_there_and_back_again(here: Settings, there: Settings, tmp_path: Path) -> None:
    before, told = parts(there), []
    moved = move.copy_rows(here, there, told.append)
    assert moved > 20 and "compared" in told and any("personas: 1 rows" in line for line in told)
    assert parts(there) == before
    with psycopg.connect(there.database_url) as connection:
        text = connection.execute(
            "SELECT user_id, persona_id, is_nsfw, is_favorite, search_text FROM persona_texts"
        ).fetchall()
        assert text == [(7, 11, True, True, "luna moon")]
        # Triggers were off: each row is counted once; and what follows has a number behind.
        assert connection.execute("SELECT SUM(n) FROM persona_counts").fetchone() == (1,)
        number = "SELECT NEXTVAL(PG_GET_SERIAL_SEQUENCE('personas', 'id'))"
        assert connection.execute(number).fetchone() == (91,)
        connection.execute("SELECT SETVAL(PG_GET_SERIAL_SEQUENCE('personas', 'id'), 90)")
    back = migrated(there, tmp_path / "back.db")
    assert move.copy_rows(there, back) == moved
    expected = rows(here) | {"job_events": [], "workers": []}
    assert rows(back) == expected


def test_what_is_not_empty_is_refused_and_stays(here: Settings, there: Settings) -> None:
    move.copy_rows(here, there)
    with pytest.raises(StartError, match="has rows in .* already"):
        move.copy_rows(here, there)
    with pytest.raises(StartError, match="has rows in .* already"):
        move.check_empty(there)
    assert count(there, "users") == 2


def test_an_older_target_is_refused(here: Settings, there: Settings) -> None:
    with psycopg.connect(there.database_url) as connection:
        connection.execute("UPDATE _yoyo_migration SET migration_id = '0001.other'")
    with pytest.raises(StartError):
        move.copy_rows(here, there)


@pytest.mark.parametrize(
    ("text", "said"),
    [("'a' || CHAR(0)", "NUL character.*id = 11"), ("CAST(x'61EDA080' AS TEXT)", "not UTF-8.*11")],
)
def test_a_text_that_cannot_be_kept_is_named(
    here: Settings, there: Settings, text: str, said: str
) -> None:
    with closing(sqlite3.connect(here.database_path)) as connection:
        connection.execute(f"UPDATE personas SET description = {text}")
        connection.commit()
    with pytest.raises(StartError, match=f"personas.*{said}"):
        move.copy_rows(here, there)
    assert count(there, "users") == 0


@pytest.mark.parametrize("direction", ["there", "back"])
def test_what_breaks_off_leaves_the_target_empty(
    here: Settings, there: Settings, tmp_path: Path, direction: str
) -> None:
    source, target = here, there
    if direction == "back":
        move.copy_rows(here, there)
        source, target = there, migrated(there, tmp_path / "back.db")

    def stop(line: str) -> None:
        if line.startswith("indexes"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        move.copy_rows(source, target, stop)
    move.check_empty(target)
    assert move.copy_rows(source, target) > 20


def test_what_is_read_back_otherwise_is_not_kept(
    here: Settings, there: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from seidra.database.postgresql import move as postgresql

    load = postgresql._Target.load

    def wrong(self: Any, table: str, columns: Any, found: Any) -> None:
        if table == "personas":
            at = columns.index("name")
            found = [(*row[:at], "Lune", *row[at + 1 :]) for row in found]
        load(self, table, columns, found)

    monkeypatch.setattr(postgresql._Target, "load", wrong)
    with pytest.raises(StartError, match="table personas .* differ"):
        move.copy_rows(here, there)
    assert count(there, "users") == 0


def test_a_row_of_nobody_is_refused(here: Settings, there: Settings) -> None:
    with closing(sqlite3.connect(here.database_path)) as connection:
        connection.execute("UPDATE sessions SET user_id = 99")
        connection.commit()
    with pytest.raises(StartError, match="sessions"):
        move.copy_rows(here, there)
    assert count(there, "users") == 0


def test_a_url_that_is_none_is_refused(there: Settings) -> None:
    with pytest.raises(StartError, match="The URL must be"):
        there.with_url("mysql://x")
