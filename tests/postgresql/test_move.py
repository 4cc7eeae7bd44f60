"""A whole database copied to the other engine and back, row for row."""

from __future__ import annotations

import dataclasses
import re
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner
from instances import new_database, server, settings_of

from seidra.cli import database as cli
from seidra.config import Settings, ensure_runtime_directories
from seidra.database import migrate, move, open_database
from seidra.database.sqlite import migrate as sqlite_migrations
from seidra.database.sqlite.connect import open_connection
from seidra.errors import StartError
from seidra.operations import backup, restore

sys.path.insert(0, str(Path(__file__).parents[1]))
from test_migrations import ROWS, content, tables

__all__ = ["server"]
"""The fixture."""

pytestmark = pytest.mark.slow

MEDIA = "6f6f6f6f-6f6f-4f6f-8f6f-6f6f6f6f6f6f"


def last(settings: Settings) -> str:
    return max(step.id for step in migrate.list_migrations(settings))[:4]


@pytest.fixture
def there(server: str, tmp_path: Path) -> Iterator[Settings]:
    """A migrated PostgreSQL without a row."""
    with new_database(server) as url:
        settings = settings_of(url, tmp_path / "there")
        migrate.apply_migrations(settings)
        yield settings


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
    assert moved > 20
    assert "compared personas: 1 rows" in told
    assert "copied personas: 1 rows" in told
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
    with pytest.raises(StartError, match=r"has rows in .* already"):
        move.copy_rows(here, there)
    with pytest.raises(StartError, match=r"has rows in .* already"):
        move.check_empty(there)
    assert count(there, "users") == 2


def test_an_older_target_is_refused(here: Settings, there: Settings) -> None:
    with psycopg.connect(there.database_url) as connection:
        connection.execute("UPDATE _yoyo_migration SET migration_id = '0001.other'")
    with pytest.raises(StartError, match="up to 0001"):
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

    def wrong(self: Any, table: str, columns: Any, *others: Any) -> None:
        load(self, table, columns, *others)
        if table == "personas":
            self._run("UPDATE personas SET name = 'Lune'")

    monkeypatch.setattr(postgresql._Target, "load", wrong)
    with pytest.raises(StartError, match=r"table personas .* differ"):
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


@pytest.fixture
def one_version(there: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's migrations are those that PostgreSQL has a twin of."""
    folder = tmp_path / "migrations"
    folder.mkdir()
    for path in sqlite_migrations.folder().glob("*.sql"):
        if path.name[:4] <= last(there):
            shutil.copy(path, folder)
    monkeypatch.setattr(sqlite_migrations, "folder", lambda: folder)


def quiet(count: int) -> None:
    """Progress that nobody watches."""


def put_back(archive: Path, settings: Settings) -> restore.Restored:
    """What `flask restore` does."""
    restore.check_place(settings)
    with restore.opened(archive) as reader:
        restore.check_archive(settings, reader, quiet)
        return restore.restore(settings, reader, quiet)


def saved(settings: Settings, archive: Path) -> backup.Report:
    """What `flask backup` does."""
    with closing(open_database(settings)) as database:
        assert backup.expected_bytes(settings, database) > 0
        return backup.backup(settings, database, archive, quiet)


@pytest.mark.usefixtures("one_version")
def test_a_backup_of_one_engine_restores_into_the_other(
    here: Settings, there: Settings, tmp_path: Path
) -> None:
    picture = b"the picture of m1"
    here = dataclasses.replace(
        here, media_dir=tmp_path / "pictures", thumbnail_dir=tmp_path / "thumbnails"
    )
    with closing(sqlite3.connect(here.database_path)) as connection:
        # Ids as they are made, so that they are keys of files.
        connection.execute("UPDATE media_items SET id = ?", (MEDIA,))
        connection.execute("DELETE FROM trash")
        connection.execute("DELETE FROM media_tags")
        connection.execute("DELETE FROM media_loras")
        connection.execute(
            "UPDATE share_links SET media_id = ? WHERE media_id IS NOT NULL", (MEDIA,)
        )
        connection.commit()
    ensure_runtime_directories(here)
    (here.media_dir / MEDIA[:2]).mkdir()
    (here.media_dir / MEDIA[:2] / f"{MEDIA}.png").write_bytes(picture)
    assert saved(here, tmp_path / "one.tar").media == 1
    assert put_back(tmp_path / "one.tar", there) == restore.Restored(1, 0, 0)
    assert (there.media_dir / MEDIA[:2] / f"{MEDIA}.png").read_bytes() == picture
    assert [count(there, table) for table in ("personas", "sessions")] == [1, 0]
    with pytest.raises(StartError, match=r"rows in .* already"):
        put_back(tmp_path / "one.tar", there)
    assert saved(there, tmp_path / "two.tar").media == 1
    back = dataclasses.replace(
        here.with_database(tmp_path / "again" / "seidra.db"),
        media_dir=tmp_path / "again" / "media",
        thumbnail_dir=tmp_path / "again" / "thumbnails",
    )
    ensure_runtime_directories(back)
    assert put_back(tmp_path / "two.tar", back) == restore.Restored(1, 0, 0)
    assert (back.media_dir / MEDIA[:2] / f"{MEDIA}.png").read_bytes() == picture
    ended = (
        "sessions",
        "refresh_tokens",
        "api_keys",
        "password_links",
        "share_links",
        "invitations",
    )
    dropped = ("job_frames", "idempotency_keys", "exports", "job_events", "workers")
    with closing(open_connection(back.database_path)) as connection:
        for table in ended:
            assert connection.execute(f"SELECT 1 FROM {table}").fetchone() is None, table
    before, after = rows(here), rows(back)
    for table in (*ended, *dropped, "numbers", "file_deletions", "persona_texts"):
        before.pop(table), after.pop(table)
    assert after == before


@pytest.mark.usefixtures("one_version")
def test_the_command(
    here: Settings, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with new_database(server) as url:
        monkeypatch.setattr(cli, "get_settings", lambda: here)
        # Into a database without a schema, which it makes.
        told = CliRunner().invoke(cli.db, ["copy", url])
        assert told.exit_code == 0, told.output
        assert re.search(r"Copied \d+ rows to .*, and read the same back.", told.output)
        assert "copied personas: 1 rows" in told.output
        again = CliRunner().invoke(cli.db, ["copy", url])
        assert again.exit_code != 0
        assert "already" in again.output
