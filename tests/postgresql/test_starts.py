"""Migrations and starts on PostgreSQL: down and up again with rows, several starts at once, a start
that is killed within a migration, and nodes of two versions."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from conftest import Person
from instances import new_database, server, settings_of
from test_move import here, parts, there
from test_races import _PROCESSES, together

from seidra import create_app
from seidra.config import Settings
from seidra.database import migrate, move
from seidra.database.base import Database
from seidra.database.postgresql import migrate as postgresql
from seidra.errors import StartError
from seidra.start.service import init_database
from seidra.web.services import services_of

__all__ = ["here", "server", "there"]
"""The fixtures."""

pytestmark = pytest.mark.slow

STEPS = sorted(
    path.stem for path in postgresql.folder().glob("*.sql") if ".rollback" not in path.name
)


@pytest.fixture
def empty(server: str, tmp_path: Path) -> Iterator[Settings]:
    """A database without a schema."""
    with new_database(server) as url:
        yield settings_of(url, tmp_path / "empty")


def schema(settings: Settings) -> list[Any]:
    """Columns, views and functions too."""
    with psycopg.connect(settings.database_url) as connection:
        return parts(settings) + [
            sorted(map(str, connection.execute(sql).fetchall()))
            for sql in (
                "SELECT table_name, column_name, data_type, is_nullable, column_default,"
                " collation_name FROM information_schema.columns"
                " WHERE table_schema = 'public' AND table_name NOT LIKE '%yoyo%'",
                "SELECT viewname, definition FROM pg_views WHERE schemaname = 'public'",
                "SELECT proname, prosrc, proisstrict FROM pg_proc AS p"
                " WHERE pronamespace = 'public'::REGNAMESPACE AND NOT EXISTS (SELECT 1 FROM"
                " pg_depend AS d WHERE d.objid = p.oid AND d.deptype = 'e')",
            )
        ]


def content(settings: Settings) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table by its columns' names, without what says how texts are derived."""
    with psycopg.connect(settings.database_url, row_factory=psycopg.rows.dict_row) as connection:
        names = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            " AND tablename NOT LIKE '%yoyo%' AND tablename <> 'platform_state'"
        ).fetchall()
        return {
            name["tablename"]: connection.execute(f"SELECT * FROM {name['tablename']}").fetchall()
            for name in names
        }


def common(rows: list[dict[str, Any]], others: list[dict[str, Any]]) -> list[list[tuple[str, Any]]]:
    """The rows, with the columns that the others have."""
    names = set(others[0]) if others else set()
    return sorted((sorted((n, r[n]) for n in r if n in names) for r in rows), key=repr)


@pytest.mark.parametrize("depth", range(1, len(STEPS)))
def test_each_depth_down_and_up_again_with_rows(
    here: Settings, there: Settings, depth: int
) -> None:
    move.copy_rows(here, there)
    before, rows = schema(there), content(there)
    assert sum(map(len, rows.values())) > 20
    with migrate.start_lock(there):
        assert migrate.undo_migrations(there, depth) == STEPS[::-1][:depth]
        kept = content(there)
        assert migrate.apply_migrations(there) == STEPS[-depth:]
    assert schema(there) == before
    after = content(there)
    assert after.keys() == rows.keys()
    for table, found in kept.items():
        # A table of counters may have them brought together, or not.
        if table not in move.COUNTERS:
            assert common(found, rows[table]) == common(rows[table], found), table
            assert common(after[table], found) == common(found, after[table]), table
    for table in after.keys() - kept.keys() - move.COUNTERS.keys():
        assert after[table] == []


def test_all_down_leaves_nothing(there: Settings) -> None:
    before = schema(there)
    with migrate.start_lock(there):
        assert migrate.undo_migrations(there, None) == STEPS[::-1]
        assert content(there) == {}
        left = [row for found in schema(there) for row in found]
        assert [row for row in left if "yoyo" not in str(row)] == []
        assert migrate.apply_migrations(there) == STEPS
    assert schema(there) == before


def test_six_starts_at_once_migrate_once_and_all_serve(empty: Settings) -> None:
    answers = together(empty, _start_and_serve, list(range(6)))
    assert sorted(len(applied) for applied, _ in answers) == [0, 0, 0, 0, 0, len(STEPS)]
    assert [status for _, status in answers] == [200] * 6
    assert len(content(empty)["users"]) == 1


def _start_and_serve(settings: Settings, database: Database, number: int) -> tuple[list[str], int]:
    applied = init_database(settings)
    app = create_app(settings)
    status = app.test_client().get("/api/health/ready").status_code
    services_of(app).database.close()
    return applied, status


@pytest.mark.parametrize("step", [STEPS[0], STEPS[2], STEPS[-1]])
def test_a_start_that_is_killed_within_a_migration_is_completed_by_the_next(
    empty: Settings, there: Settings, step: str
) -> None:
    ours, theirs = _PROCESSES.Pipe()
    process = _PROCESSES.Process(target=_stop_within, args=(empty, step, theirs))
    process.start()
    assert ours.poll(120)
    assert ours.recv() == step
    done = STEPS[: STEPS.index(step)]
    assert [each.id for each in migrate.list_migrations(empty) if each.applied] == done
    process.kill()
    process.join(60)
    assert init_database(empty) == STEPS[len(done) :]
    assert schema(empty) == schema(there)
    app = create_app(empty)
    Person(app, "first").persona()
    services_of(app).database.close()


def _stop_within(settings: Settings, step: str, pipe: Any) -> None:
    """Start, and stop between a migration's statements and its mark."""
    mark = postgresql._Backend.mark_one

    def stop(self: Any, migration: Any, *others: Any) -> None:
        if migration.id == step:
            pipe.send(step)
            time.sleep(600)
        mark(self, migration, *others)

    postgresql._Backend.mark_one = stop
    init_database(settings)


def test_an_older_node_serves_what_a_newer_one_has_migrated(
    empty: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    init_database(empty)
    app = create_app(empty)
    alice = Person(app, "alice")
    before = alice.persona(name="before")["id"]
    # A newer node: one migration more, that adds.
    with monkeypatch.context() as newer:
        folder = tmp_path / "migrations"
        shutil.copytree(postgresql.folder(), folder)
        (folder / "9999.later.sql").write_text(
            "ALTER TABLE personas ADD COLUMN later TEXT NOT NULL DEFAULT '';\n"
            "CREATE TABLE later_things (id BIGINT PRIMARY KEY);\n"
        )
        (folder / "9999.later.rollback.sql").write_text(
            "DROP TABLE later_things;\nALTER TABLE personas DROP COLUMN later;\n"
        )
        newer.setattr(postgresql, "folder", lambda: folder)
        assert init_database(empty) == ["9999.later"]
    # The old one serves on, is ready, and can be started anew.
    for node in (app, create_app(empty)):
        assert node.test_client().get("/api/health/ready").status_code == 200
        alice.client = node.test_client()
        made = alice.persona(name="after")["id"]
        listed = [row["id"] for row in alice.get("/api/personas?search=ter").get_json()]
        assert made in listed
        assert alice.patch(f"/api/personas/{before}", json={"name": "now"}).status_code == 200
        assert alice.preview(made)
        assert alice.delete(f"/api/personas/{made}").status_code == 204
        services_of(node).database.close()
    # What it does not know it cannot undo.
    with migrate.start_lock(empty), pytest.raises(StartError, match=r"9999\.later"):
        migrate.undo_migrations(empty, 1)
