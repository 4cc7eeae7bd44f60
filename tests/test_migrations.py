"""The schema: every step can be undone and done again with rows in every table, and its constraints
bite."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from conftest import copy_instance, environment

from seidra.config import Settings, packaged_dir
from seidra.database import init_database, migrate
from seidra.database.sqlite import migrate as sqlite_migrate
from seidra.database.sqlite.connect import open_connection
from seidra.database.sqlite.writer import Connection
from seidra.errors import StartError
from seidra.operations.rollback import rollback

pytestmark = pytest.mark.sqlite_only(
    "these are SQLite's migrations; test_schemas.py compares the two schemas"
)

NOW = "2026-01-31T12:00:00.000000Z"
GONE = "gone0000-0000-0000-0000-000000000000"
STEPS = sorted(
    path.stem for path in packaged_dir("migrations").glob("*.sql") if ".rollback" not in path.name
)

# A row for every table: the columns that must be given, and what the tests below change in them.
ROWS: dict[str, dict[str, Any]] = {
    "account_groups": {
        "id": 4, "name": "Kids", "name_key": "kids", "created_at": NOW, "updated_at": NOW,
    },
    "users": {
        "id": 7, "username": "Alice", "username_key": "alice", "email": "Alice@example.com",
        "email_key": "alice@example.com", "settings": "{}", "created_at": NOW, "updated_at": NOW,
    },
    "platform_state": {"name": "first_person", "value": "alice", "created_at": NOW},
    "sessions": {"id": "s1", "user_id": 7, "handle": "h1", "created_at": NOW, "expires_at": NOW},
    "refresh_tokens": {"digest": "d1", "session_id": "s1"},
    "api_keys": {
        "id": 14, "user_id": 7, "name": "script", "scope": "read", "digest": "k1",
        "last_four": "abcd", "created_at": NOW,
    },
    "password_links": {"user_id": 7, "digest": "p1", "expires_at": NOW},
    "invitations": {
        "id": 3, "digest": "v1", "group_id": 4, "created_at": NOW, "expires_at": NOW,
    },
    "hand_overs": {
        "id": 4, "from_id": 7, "from_name": "Alice", "to_id": 8, "to_name": "Bob", "made_by": 7,
        "what": "all", "created_at": NOW, "expires_at": NOW,
    },
    "idempotency_keys": {
        "user_id": 7, "key": "i1", "request": "POST /api/personas", "digest": "d", "status": 201,
        "location": "/api/personas/11", "made": "11", "created_at": NOW,
    },
    "nsfw_settings": {
        "user_id": 7, "enabled": 1, "age_verified": 1, "intensity": "low", "categories": "{}",
        "overrides": "{}", "updated_at": NOW,
    },
    "personas": {
        "id": 11, "uid": "u11", "user_id": 7, "name": "Luna", "style_prompt": "moon",
        "visibility": "shared", "name_key": "luna", "created_at": NOW, "updated_at": NOW,
    },
    "persona_revisions": {
        "id": 3, "user_id": 7, "persona_id": 11, "number": 1, "made_at": NOW, "made_by": "edit",
        "note": "", "is_nsfw": 0, "content_hash": "c1", "document": b"zlib",
    },
    "persona_sources": {
        "persona_id": 11, "user_id": 7, "format": "a1111", "tool": "A1111", "file": "styles",
        "entry": "Luna", "facts": "{}", "base": b"zlib", "revision": 1, "imported_at": NOW,
    },
    "imports": {
        "id": "im1", "user_id": 7, "status": "planned", "options": "{}", "files": "[]",
        "entries": 1, "created_at": NOW, "updated_at": NOW, "expires_at": NOW,
    },
    "import_entries": {
        "import_id": "im1", "n": 0, "locator": "styles.csv row 2", "format": "a1111",
        "tool": "A1111", "file": "styles", "entry": "Luna", "action": "create", "is_nsfw": 0,
        "document": b"zlib", "media_id": "m8", "file_key": "m8/m8.0a.png",
    },
    "import_pictures": {
        "import_id": "im1", "n": 0, "entry": 0, "media_id": "m9", "file_key": "m9/m9.0a.png",
        "size": 1000, "is_nsfw": 0, "document": b"zlib",
    },
    "exports": {
        "id": "ex1", "user_id": 7, "target": "seidra", "chosen": "{}", "status": "completed",
        "file_key": "ex/ex1.0a.zip", "created_at": NOW, "expires_at": NOW,
    },
    "persona_tags": {"user_id": 7, "tag_key": "sea", "persona_id": 11},
    "persona_texts": {
        "doc_id": (7 << 32) | 11, "safety": "sfw", "favor": "oth", "search_text": "luna moon",
    },
    "generation_jobs": {
        "id": "j1", "user_id": 7, "persona_id": 11, "job_type": "persona_preview",
        "status": "completed", "prompt": "moon", "model_name": "sdxl-base", "run_after": NOW,
        "search_text": "moon", "seconds": 1.5, "created_at": NOW, "updated_at": NOW,
        "completed_at": NOW,
    },
    "job_frames": {"job_id": "j1", "n": 1, "webp": b"frame"},
    "job_events": {
        "id": 5, "user_id": 7, "job_id": "j1", "version": 1, "was_nsfw": 0, "created_at": NOW,
    },
    "media_items": {
        "id": "m1", "user_id": 7, "job_id": "j1", "persona_id": 11, "file_type": "image",
        "mime_type": "image/png", "width": 768, "height": 768, "file_size": 1000, "metadata": "{}",
        "visibility": "shared", "search_text": "moon", "created_at": NOW, "updated_at": NOW,
    },
    "media_tags": {"user_id": 7, "tag_key": "sea", "media_id": "m1"},
    "media_loras": {"user_id": 7, "name": "grain", "media_id": "m1"},
    "trash": {
        "id": "t1", "user_id": 7, "kind": "media", "item_id": "m0", "name": "moon", "is_nsfw": 0,
        "bytes": 1000, "document": "{}", "file_key": "m0/m0.0a.png", "persona_id": 11,
        "job_id": "j1", "position": 7, "deleted_at": NOW,
    },
    "collections": {
        "id": "c1", "user_id": 7, "name": "Tides", "description": "", "visibility": "private",
        "with_details": 0, "created_at": NOW, "updated_at": NOW,
    },
    "collection_media": {"collection_id": "c1", "media_id": "m1", "position": 1},
    "share_links": {
        "id": "l1", "user_id": 7, "token_hash": "h1", "media_id": "m1", "with_details": 0,
        "created_at": NOW, "expires_at": NOW,
    },
    "file_deletions": {"key": f"go/{GONE}.png", "due_at": NOW},
    "engines": {"name": "studio", "kind": "comfyui", "probe_due_at": NOW},
    "engine_turns": {
        "engine": "studio", "user_id": 7, "minute": NOW[:16], "seconds": 1.5, "last_at": NOW,
    },
    "engine_orphans": {"job_id": "j9", "engine": "studio", "state": "{}", "since": NOW},
    "usage_days": {
        "user_id": 7, "day": NOW[:10], "engine_seconds": 1.5, "pictures": 1, "bytes": 1000,
    },
    "workers": {
        "id": "w1", "host": "h", "pid": 3, "engine": "mock", "started_at": NOW, "seen_at": NOW,
    },
}  # fmt: skip

COUNTERS = {
    "persona_counts",
    "shared_persona_counts",
    "job_counts",
    "media_counts",
    "shared_media_counts",
    "collection_counts",
}


def insert(connection: Connection, table: str, **changes: Any) -> None:
    """Insert the table's row with changes; a value of `...` leaves the column out."""
    row = {k: v for k, v in (ROWS[table] | changes).items() if v is not ...}
    columns, marks = ", ".join(row), ", ".join("?" * len(row))
    connection.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", list(row.values()))


def tables(connection: Connection) -> set[str]:
    """SEIDRA's tables, without yoyo's, SQLite's and the parts of the full-text index."""
    names = {
        row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    }
    return {
        name
        for name in names
        if not name.startswith(("_yoyo", "yoyo", "sqlite_", "persona_search"))
    }


def dump(connection: Connection) -> list[tuple[Any, ...]]:
    """The schema, without yoyo's tables."""
    rows = connection.execute(
        "SELECT type, name, COALESCE(sql, '') FROM sqlite_master ORDER BY type, name"
    ).fetchall()
    return [tuple(row) for row in rows if "yoyo" not in row["name"]]


def content(connection: Connection) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, without generated columns, and without the notes of which folding
    the texts have: they go with them."""
    rows = {}
    for table in sorted(tables(connection)):
        columns = ", ".join(
            row["name"] for row in connection.execute(f"PRAGMA table_info({table})")
        )
        rows[table] = [tuple(row) for row in connection.execute(f"SELECT {columns} FROM {table}")]
    return {
        table: sorted((r for r in found if not str(r[0]).endswith("_folding")), key=repr)
        for table, found in rows.items()
    }


CONVERTED = {"file_deletions"}
"""Tables whose rows a step writes in another way; each has a test of its own."""


@pytest.fixture
def connection(settings: Settings) -> Iterator[Connection]:
    """A fresh, seeded database."""
    with closing(open_connection(settings.database_path)) as connection:
        yield connection


@pytest.fixture
def filled(connection: Connection) -> Connection:
    """The same with a row in every table."""
    for table in ROWS:
        insert(connection, table)
    return connection


@pytest.fixture(scope="module")
def filled_once(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """One for many tests."""
    settings = copy_instance(template, tmp_path_factory.mktemp("filled") / "instance")
    with closing(open_connection(settings.database_path)) as connection:
        for table in ROWS:
            insert(connection, table)
        yield connection


@pytest.fixture
def tried(filled_once: Connection) -> Iterator[Connection]:
    """A database with a row in every table, in a transaction that leaves nothing."""
    filled_once.execute("BEGIN")
    yield filled_once
    filled_once.rollback()


# -------------------------------------------------------------------------------------- up and down


def test_every_step_has_its_rollback() -> None:
    names = {path.name for path in packaged_dir("migrations").glob("*.sql")}
    assert names == {f"{id}.sql" for id in STEPS} | {f"{id}.rollback.sql" for id in STEPS}
    numbers = [id[:5] for id in STEPS]
    assert numbers == sorted(set(numbers))
    assert all(re.fullmatch(r"\d{4}\.", number) for number in numbers)


def test_the_rows_of_these_tests_reach_every_table(filled: Connection) -> None:
    assert tables(filled) == set(ROWS) | COUNTERS
    assert all(content(filled).values())


@pytest.mark.slow
def test_status_before_between_and_after(tmp_path: Path) -> None:
    settings = Settings.load(environment(tmp_path))
    assert migrate.list_migrations(settings) == [migrate.Status(id, False) for id in STEPS]
    assert list(tmp_path.iterdir()) == []
    assert init_database(settings) == STEPS
    assert migrate.list_migrations(settings) == [migrate.Status(id, True) for id in STEPS]
    with migrate.start_lock(settings):
        assert migrate.undo_migrations(settings, 2) == STEPS[:-3:-1]
    assert migrate.list_migrations(settings) == [
        migrate.Status(id, id in STEPS[:-2]) for id in STEPS
    ]
    assert init_database(settings) == STEPS[-2:]
    assert init_database(settings) == []


@pytest.mark.slow
def test_all_steps_down_and_up_again_with_rows(settings: Settings, filled: Connection) -> None:
    before = dump(filled)
    with migrate.start_lock(settings):
        assert migrate.undo_migrations(settings, None) == STEPS[::-1]
        assert tables(filled) == set()
        assert [row for row in dump(filled) if row[1] != "sqlite_sequence"] == []
        assert migrate.undo_migrations(settings, None) == []
        assert migrate.apply_migrations(settings) == STEPS
    assert dump(filled) == before
    for table in ROWS:
        insert(filled, table)


@pytest.mark.slow
@pytest.mark.parametrize("depth", range(1, len(STEPS) + 1))
def test_each_depth_down_and_up_again_with_rows(
    settings: Settings, filled: Connection, depth: int
) -> None:
    before, rows = dump(filled), content(filled)
    with migrate.start_lock(settings):
        assert migrate.undo_migrations(settings, depth) == STEPS[::-1][:depth]
        for table in CONVERTED & tables(filled):
            filled.execute(f"DELETE FROM {table}")
        kept = content(filled)
        columns = {table: columns_of(filled, table) for table in kept}
        assert migrate.apply_migrations(settings) == STEPS[len(STEPS) - depth :]
    assert dump(filled) == before
    after = content(filled)
    assert set(after) == set(rows)
    for table, found_rows in after.items():
        if table not in kept or table in CONVERTED:
            # What was dropped is empty; a counter counts what was kept.
            assert found_rows == [] or table in CONVERTED or found_rows == rows[table]
            assert found_rows == [] or table in CONVERTED | COUNTERS
            continue
        # What was kept is still there. Of columns, both sides have what they have in common.
        now = columns_of(filled, table)
        common = [name for name in now if name in columns[table]]
        wanted = chosen(rows[table], now, common)
        assert chosen(kept[table], columns[table], common) == wanted
        assert chosen(found_rows, now, common) == wanted
    for table in ROWS:
        if table not in kept:
            insert(filled, table)
    assert filled.execute("PRAGMA foreign_key_check").fetchall() == []


def columns_of(connection: Connection, table: str) -> list[str]:
    """A table's columns, without generated ones."""
    return [row["name"] for row in connection.execute(f"PRAGMA table_info({table})")]


def chosen(rows: list[tuple[Any, ...]], columns: list[str], names: list[str]) -> list[Any]:
    """The values of some of the columns of rows."""
    return sorted(([row[columns.index(name)] for name in names] for row in rows), key=repr)


def test_a_migration_prints_nothing(
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Not even one for whose CHECK SQLite looks through the rows: a command says what it did."""
    folder = tmp_path / "more"
    shutil.copytree(packaged_dir("migrations"), folder)
    (folder / "9999.checked.sql").write_text(
        "ALTER TABLE users ADD COLUMN added TEXT NOT NULL DEFAULT '' CHECK (LENGTH(added) < 9);"
    )
    monkeypatch.setattr(sqlite_migrate, "packaged_dir", lambda name: folder)
    with migrate.start_lock(settings):
        assert migrate.apply_migrations(settings) == ["9999.checked"]
    assert capsys.readouterr().out == ""


def test_a_column_added_at_the_end_stands_in_nobodys_way(filled: Connection) -> None:
    """What a migration for a new field of a persona does, and its way back."""
    before = dump(filled)
    filled.execute("ALTER TABLE personas ADD COLUMN added TEXT NOT NULL DEFAULT ''")
    insert(filled, "personas", id=12, uid="u12", added="low")
    assert filled.execute("SELECT added FROM personas ORDER BY id").fetchall()[1][0] == "low"
    filled.execute("ALTER TABLE personas DROP COLUMN added")
    assert dump(filled) == before


@pytest.mark.slow
def test_the_way_back_to_cards_keeps_what_ids_have_reached(
    settings: Settings, filled: Connection
) -> None:
    """And what refers to personas, and makes again what was derived from them."""
    for id in range(12, 16):
        insert(filled, "personas", id=id, uid=f"u{id}", is_nsfw=id % 2)
    filled.execute("DELETE FROM personas WHERE id > 12")
    depth = len(STEPS) - STEPS.index("0016.plain_personas")
    with migrate.start_lock(settings):
        migrate.undo_migrations(settings, depth)
    cards = filled.execute("SELECT card FROM persona_cards ORDER BY id").fetchall()
    assert [json.loads(row[0])["name"] for row in cards] == ["Luna", "Luna"]
    assert counted(filled, "persona_spans") == [(NOW[:9], 0, 2)]
    assert counted(filled, "persona_counts") == [(0, 0, 2)]
    assert filled.execute("SELECT COUNT(*) FROM persona_search_queue").fetchone()[0] == 0
    assert found(filled, "moo") == [(7 << 32) | 11]
    users = filled.execute("SELECT COUNT(*) FROM users").fetchone()[0]
    versions = filled.execute("SELECT COUNT(*) FROM persona_search_versions").fetchone()[0]
    assert versions == users
    # A text waits, and comes into the index on the way up.
    insert(filled, "persona_texts", doc_id=(7 << 32) | 12, search_text="starry")
    assert found(filled, "sta") == []
    with migrate.start_lock(settings):
        migrate.apply_migrations(settings)
    assert (found(filled, "moo"), found(filled, "sta")) == ([(7 << 32) | 11], [(7 << 32) | 12])
    filled.execute(
        "INSERT INTO persona_search (persona_search, rank) VALUES ('integrity-check', 1)"
    )
    insert(filled, "personas", id=..., uid="u16")
    assert filled.execute("SELECT MAX(id) FROM personas").fetchone()[0] == 16
    for table in ("generation_jobs", "media_items"):
        assert filled.execute(f"SELECT persona_id FROM {table}").fetchone()[0] == 11
    assert filled.execute("PRAGMA foreign_key_check").fetchall() == []


@pytest.mark.slow
def test_the_way_back_to_cards_refuses_what_refers_to_no_persona(
    settings: Settings, filled: Connection
) -> None:
    filled.execute("PRAGMA foreign_keys = OFF")
    filled.execute("DELETE FROM personas")
    depth = len(STEPS) - STEPS.index("0016.plain_personas")
    with pytest.raises(StartError, match="personas_none_dangling"), migrate.start_lock(settings):
        migrate.undo_migrations(settings, depth)
    assert migrate.Status("0016.plain_personas", True) in migrate.list_migrations(settings)
    assert "card" not in columns_of(filled, "personas")


def depth_of(number: str) -> int:
    """How many steps back it is to before a migration."""
    return len(STEPS) - next(n for n, id in enumerate(STEPS) if id.startswith(number))


@pytest.mark.slow
def test_names_of_loras_become_loras_and_the_other_way_round(
    settings: Settings, filled: Connection
) -> None:
    with migrate.start_lock(settings):
        migrate.undo_migrations(settings, depth_of("0019."))
    names = ["grain", 'a "b", c', "grain"]
    filled.execute("UPDATE personas SET lora_models = ?", [json.dumps(names)])
    filled.execute("UPDATE generation_jobs SET lora_models = ?", ['["grain"]'])
    with migrate.start_lock(settings):
        migrate.apply_migrations(settings)
    loras = json.loads(filled.execute("SELECT loras FROM personas").fetchone()[0])
    assert loras == [{"name": name, "weight": 1, "enabled": True} for name in names]
    job = filled.execute("SELECT loras, count, warnings FROM generation_jobs").fetchone()
    assert tuple(job) == ('[{"name":"grain","weight":1}]', 1, "[]")
    loras[1] |= {"enabled": False}
    loras[2] |= {"weight": 0.5}
    filled.execute("UPDATE personas SET loras = ?", [json.dumps(loras)])
    with migrate.start_lock(settings):
        migrate.undo_migrations(settings, depth_of("0019."))
    assert filled.execute("SELECT lora_models FROM personas").fetchone()[0] == '["grain","grain"]'
    assert filled.execute("SELECT lora_models FROM generation_jobs").fetchone()[0] == '["grain"]'


@pytest.mark.slow
def test_personas_get_uids_of_the_moment_they_were_made(
    settings: Settings, filled: Connection
) -> None:
    for id in range(12, 16):
        insert(filled, "personas", id=id, uid=f"u{id}", created_at="2026-01-31T12:00:00.123456Z")
    filled.execute("UPDATE personas SET created_at = 'no time' WHERE id = 14")
    filled.execute("DELETE FROM personas WHERE id = 15")
    with migrate.start_lock(settings):
        migrate.undo_migrations(settings, depth_of("0019."))
        migrate.apply_migrations(settings)
    rows = filled.execute("SELECT uid, revision FROM personas ORDER BY id").fetchall()
    uids = [uuid.UUID(row[0]) for row in rows]
    assert len(set(uids)) == 4
    assert {uid.version for uid in uids} == {7}
    assert {uid.variant for uid in uids} == {uuid.RFC_4122}
    made = [1769860800000, 1769860800123, 1769860800123, 0]
    assert [uid.int >> 80 for uid in uids] == made
    assert [row[1] for row in rows] == [1, 1, 1, 1]
    assert all(str(uid) == row[0] for uid, row in zip(uids, rows, strict=True))
    # An id that was given away does not come again.
    insert(filled, "personas", id=..., uid="u16")
    assert filled.execute("SELECT MAX(id) FROM personas").fetchone()[0] == 16


@pytest.mark.slow
@pytest.mark.parametrize(
    ("column", "text"),
    [("description", "x" * 501), ("style_prompt", "x" * 1001), ("style_prompt", ""),
     ("negative_prompt", "x" * 1001)],
)  # fmt: skip
def test_the_way_back_refuses_texts_that_are_too_long(
    settings: Settings, filled: Connection, column: str, text: str
) -> None:
    with migrate.start_lock(settings):
        migrate.undo_migrations(settings, depth_of("0020."))
    filled.execute("UPDATE personas SET negative_prompt = 'x'")
    filled.execute(f"UPDATE personas SET {column} = ?", [text])
    before = dump(filled), content(filled)
    with pytest.raises(StartError, match="personas_fit"), migrate.start_lock(settings):
        migrate.undo_migrations(settings, depth_of("0019."))
    with pytest.raises(StartError) as refused:
        rollback(settings, depth_of("0018."))
    assert refused.value.message == (
        "1 of the personas do not fit into the version before: it has descriptions of at most 500"
        " characters, and prompts of at most 1,000 with a style in each. Shorten these first;"
        " nothing has been changed."
    )
    assert (dump(filled), content(filled)) == before


@pytest.mark.slow
def test_the_keys_of_files_that_go_become_ids_and_the_other_way_round(
    settings: Settings, filled: Connection
) -> None:
    ids = [f"{n}f071518-488e-5006-b1a4-5b2a0ac0c96c" for n in (1, 2)]
    # `flask db rollback` drops these before.
    for table in ("trash", "imports", "exports", "file_deletions"):
        filled.execute(f"DELETE FROM {table}")
    for key in (f"1f/{ids[0]}.png", f"1f/{ids[0]}.mp4", f"2f/{ids[1]}.0123456789abcdef.webp"):
        insert(filled, "file_deletions", key=key)
    depth = len(STEPS) - next(n for n, id in enumerate(STEPS) if id.startswith("0018."))
    with migrate.start_lock(settings):
        migrate.undo_migrations(settings, depth)
        assert content(filled)["file_deletions"] == [(ids[0],), (ids[1],)]
        filled.execute("DELETE FROM media_items")
        assert content(filled)["file_deletions"] == [(ids[0],), (ids[1],), ("m1",)]
        migrate.apply_migrations(settings)
    keys = [f"{id[:2]}/{id}.{end}" for id in (*ids, "m1") for end in ("jpg", "mp4", "png", "webp")]
    assert content(filled)["file_deletions"] == [(key, None) for key in keys]


def found(connection: Connection, words: str) -> list[int]:
    """The documents that the full-text index has for some words."""
    return [
        row[0]
        for row in connection.execute(
            "SELECT rowid FROM persona_search WHERE persona_search MATCH ?", [words]
        )
    ]


def test_the_full_text_index_follows_its_table(filled: Connection) -> None:
    document = (7 << 32) | 11
    other = document + 1
    insert(filled, "persona_texts", doc_id=other, search_text="starry")
    assert (found(filled, "moo"), found(filled, "sta")) == ([document], [other])
    filled.execute("UPDATE personas SET is_nsfw = 1, is_favorite = 1")
    assert (found(filled, "NSF"), found(filled, "FAV")) == ([document],) * 2
    filled.execute("UPDATE persona_texts SET search_text = 'sunny' WHERE doc_id = ?", [document])
    filled.execute("UPDATE persona_texts SET search_text = 'windy' WHERE doc_id = ?", [other])
    assert (found(filled, "moo"), found(filled, "sta")) == ([], [])
    assert (found(filled, "sun"), found(filled, "NSF"), found(filled, "FAV")) == ([document],) * 3
    assert found(filled, "win") == [other]
    filled.execute("UPDATE persona_texts SET doc_id = doc_id + 5 WHERE doc_id = ?", [other])
    assert found(filled, "win") == [other + 5]
    filled.execute("DELETE FROM personas")
    assert (found(filled, "sun"), found(filled, "NSF")) == ([], [])
    # Raises when the index and its table differ.
    filled.execute(
        "INSERT INTO persona_search (persona_search, rank) VALUES ('integrity-check', 1)"
    )


def test_the_database_is_sound(filled: Connection) -> None:
    assert filled.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    assert filled.execute("PRAGMA foreign_key_check").fetchall() == []
    assert filled.execute("PRAGMA foreign_keys").fetchone()[0] == 1
    loose = filled.execute(
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND strict = 0 AND type = 'table'"
    )
    assert {row[0] for row in loose if not row[0].startswith(("_yoyo", "yoyo", "sqlite_"))} == set()


# -------------------------------------------------------------------------------------- constraints

NOT_NULL = [
    (table, column)
    for table, columns in {
        "users": "username username_key email email_key settings created_at updated_at is_active"
        " is_admin",
        "platform_state": "name value created_at",
        "sessions": "id user_id user_agent created_at expires_at",
        "refresh_tokens": "digest session_id issued_at",
        "api_keys": "user_id name scope digest last_four created_at",
        "password_links": "digest expires_at",
        "invitations": "digest note created_at expires_at",
        "hand_overs": "from_id from_name to_id to_name made_by what status personas media bytes"
        " personas_left media_left created_at expires_at",
        "idempotency_keys": "user_id key request digest status location made created_at",
        "nsfw_settings": "enabled age_verified intensity categories overrides updated_at",
        "personas": "uid user_id name description style_prompt negative_prompt loras"
        " generation_params tags is_favorite is_nsfw visibility name_key extensions revision"
        " revised_by revision_note version created_at updated_at",
        "persona_revisions": "user_id persona_id number made_at made_by note is_nsfw content_hash"
        " document",
        "persona_sources": "persona_id user_id format tool file entry facts base revision"
        " imported_at",
        "imports": "id user_id status options files summary choices entries done version"
        " created_at updated_at expires_at",
        "import_entries": "import_id n locator format tool file entry action is_nsfw document"
        " state",
        "import_pictures": "import_id n media_id file_key size is_nsfw document state",
        "exports": "id user_id target chosen status done total lost attempts created_at expires_at",
        "persona_tags": "user_id tag_key persona_id",
        "persona_texts": "safety favor search_text",
        "generation_jobs": "id user_id job_type status progress prompt negative_prompt model_name"
        " loras parameters count images warnings submissions metadata is_nsfw attempts version"
        " run_after engine engine_state search_text created_at updated_at",
        "media_items": "id user_id position file_type mime_type width height file_size metadata"
        " tags is_favorite is_nsfw nsfw_tags visibility with_details search_text version created_at"
        " updated_at",
        "collections": "id user_id name description visibility with_details version created_at"
        " updated_at",
        "collection_media": "collection_id media_id position",
        "share_links": "id user_id token_hash with_details created_at expires_at",
        "job_events": "user_id job_id version was_nsfw created_at of_frame",
        "job_frames": "job_id n webp",
        "media_tags": "user_id tag_key media_id",
        "media_loras": "user_id name media_id",
        "trash": "id user_id kind item_id name is_nsfw bytes document deleted_at",
        "file_deletions": "key",
        "engines": "name kind capabilities probe_due_at",
        "engine_turns": "engine user_id minute seconds last_at",
        "engine_orphans": "job_id engine state since",
        "account_groups": "name name_key nsfw_allowed created_at updated_at",
        "usage_days": "user_id day engine_seconds pictures bytes",
        "workers": "id host pid engine started_at seen_at",
    }.items()
    for column in columns.split()
]

CHECKS: list[tuple[str, str, str, list[Any]]] = [
    ("users", "username", "users_username_length", ["", "x" * 51]),
    ("users", "is_active", "users_is_active", [2, -1]),
    ("users", "is_admin", "users_is_admin", [2]),
    ("users", "nsfw_allowed", "users_nsfw_allowed", [2, -1]),
    ("users", "settings", "users_settings_json", ["", "{", "nonsense"]),
    ("users", "deleted_at", "users_deleted_is_inactive", [NOW]),
    ("users", "id", "id BETWEEN 1 AND 2147483647", [0, -1, 2**31]),
    ("invitations", "used_at", "invitations_used", [NOW]),
    ("hand_overs", "what", "hand_overs_what", ["some", ""]),
    ("hand_overs", "status", "hand_overs_status", ["done", ""]),
    ("hand_overs", "personas", "hand_overs_personas", [-1]),
    ("hand_overs", "media", "hand_overs_media", [-1]),
    ("hand_overs", "bytes", "hand_overs_bytes", [-1]),
    ("hand_overs", "personas_left", "hand_overs_personas_left", [-1]),
    ("hand_overs", "media_left", "hand_overs_media_left", [-1]),
    ("hand_overs", "to_id", "hand_overs_two", [9]),
    ("idempotency_keys", "key", "idempotency_keys_key_length", ["", "x" * 65]),
    ("idempotency_keys", "status", "idempotency_keys_status", [199, 300]),
    ("api_keys", "name", "api_keys_name_length", ["", "x" * 101]),
    ("api_keys", "scope", "api_keys_scope", ["admin", "", "ALL"]),
    ("nsfw_settings", "enabled", "nsfw_enabled", [2]),
    ("nsfw_settings", "age_verified", "nsfw_age_verified", [2]),
    ("nsfw_settings", "intensity", "nsfw_intensity", ["extreme", "", "LOW"]),
    ("nsfw_settings", "categories", "nsfw_categories_json", ["", "{"]),
    ("nsfw_settings", "overrides", "nsfw_overrides_json", ["["]),
    ("personas", "id", "id BETWEEN 1 AND 4294967295", [0, 2**32]),
    ("personas", "name", "personas_name_length", ["", "x" * 101]),
    ("personas", "description", "personas_description_length", ["x" * 8001]),
    ("personas", "style_prompt", "personas_style_prompt_length", ["x" * 8001]),
    ("personas", "negative_prompt", "personas_negative_prompt_length", ["x" * 16001]),
    ("personas", "style_prompt", "personas_a_prompt", [""]),
    ("personas", "loras", "personas_loras_json", ["[", "a, b"]),
    ("personas", "generation_params", "personas_generation_params_json", ["{"]),
    ("personas", "tags", "personas_tags_json", ["sea"]),
    ("personas", "is_favorite", "personas_is_favorite", [2]),
    ("personas", "is_nsfw", "personas_is_nsfw", [-1]),
    ("personas", "visibility", "personas_visibility", ["", "public"]),
    ("personas", "extensions", "personas_extensions_json", ["{", ""]),
    ("personas", "revised_by", "personas_revised_by", ["", "hand"]),
    ("persona_revisions", "number", "persona_revisions_number", [0, -1]),
    ("persona_revisions", "made_by", "persona_revisions_made_by", ["", "hand"]),
    ("persona_revisions", "is_nsfw", "persona_revisions_is_nsfw", [2]),
    ("persona_sources", "facts", "persona_sources_facts_json", ["{"]),
    ("persona_sources", "original", "persona_sources_original_size", [b"x" * (2**20 + 1)]),
    ("imports", "status", "imports_status", ["done", ""]),
    ("imports", "options", "imports_options_json", ["{"]),
    ("imports", "files", "imports_files_json", ["["]),
    ("imports", "summary", "imports_summary_json", ["{"]),
    ("imports", "choices", "imports_choices_json", ["{"]),
    ("imports", "entries", "imports_entries", [-1]),
    ("imports", "done", "imports_done", [-1, 2]),
    ("import_entries", "n", "import_entries_n", [-1]),
    ("import_entries", "action", "import_entries_action", ["delete", ""]),
    ("import_entries", "match", "import_entries_match", ["guess"]),
    ("import_entries", "is_nsfw", "import_entries_is_nsfw", [2]),
    ("import_entries", "original", "import_entries_original_size", [b"x" * (2**20 + 1)]),
    ("import_entries", "state", "import_entries_state", ["open"]),
    ("import_pictures", "is_nsfw", "import_pictures_is_nsfw", [2]),
    ("import_pictures", "state", "import_pictures_state", ["open"]),
    ("exports", "chosen", "exports_chosen_json", ["{"]),
    ("exports", "status", "exports_status", ["done", ""]),
    ("persona_texts", "safety", "persona_texts_safety", ["", "safe"]),
    ("persona_texts", "favor", "persona_texts_favor", ["yes"]),
    ("generation_jobs", "status", "jobs_status", ["done", "", "QUEUED"]),
    ("generation_jobs", "progress", "jobs_progress", [-0.1, 1.1]),
    ("generation_jobs", "loras", "jobs_loras_json", ["["]),
    ("generation_jobs", "count", "jobs_count", [0, 9]),
    ("generation_jobs", "warnings", "jobs_warnings_json", ["["]),
    ("generation_jobs", "submissions", "jobs_submissions", [-1]),
    ("generation_jobs", "parameters", "jobs_parameters_json", ["{"]),
    ("generation_jobs", "metadata", "jobs_metadata_json", ["{"]),
    ("generation_jobs", "engine_state", "jobs_engine_state_json", ["{"]),
    ("engines", "capabilities", "engines_capabilities_json", ["{"]),
    ("engine_orphans", "state", "engine_orphans_state_json", ["{"]),
    ("generation_jobs", "is_nsfw", "jobs_is_nsfw", [2]),
    ("generation_jobs", "attempts", "jobs_attempts", [-1]),
    ("generation_jobs", "claim", "jobs_claim_while_processing", ["worker-1"]),
    ("generation_jobs", "completed_at", "jobs_final_has_end", [None]),
    ("job_events", "of_frame", "job_events_of_frame", [2, -1]),
    ("job_frames", "n", "job_frames_n", [0]),
    ("job_frames", "webp", "job_frames_size", [b"", b"x" * 65537]),
    ("generation_jobs", "images", "jobs_images_json", ["{"]),
    ("job_events", "was_nsfw", "job_events_was_nsfw", [2, -1]),
    ("media_items", "source", "media_source", ["elsewhere", ""]),
    ("personas", "avatar_crop", "personas_avatar_crop", ["", "1"]),
    ("media_items", "file_type", "media_file_type", ["audio", ""]),
    ("media_items", "visibility", "media_visibility", ["public", ""]),
    ("media_items", "with_details", "media_with_details", [2]),
    ("collections", "name", "collections_name", [""]),
    ("collections", "visibility", "collections_visibility", ["public", ""]),
    ("collections", "with_details", "collections_with_details", [2]),
    ("share_links", "with_details", "share_links_with_details", [2]),
    ("share_links", "media_id", "share_links_one", [None]),
    ("media_items", "width", "media_width", [0, -1]),
    ("media_items", "height", "media_height", [0]),
    ("media_items", "file_size", "media_file_size", [-1]),
    ("media_items", "metadata", "media_metadata_json", ["{"]),
    ("media_items", "tags", "media_tags_json", ["sea"]),
    ("media_items", "is_favorite", "media_is_favorite", [2]),
    ("media_items", "is_nsfw", "media_is_nsfw", [2]),
    ("media_items", "nsfw_tags", "media_nsfw_tags_json", ["["]),
    ("media_items", "color", "media_color", ["#fff", "aabbccd", ""]),
    ("trash", "kind", "trash_kind", ["job", ""]),
    ("trash", "is_nsfw", "trash_is_nsfw", [2]),
    ("trash", "bytes", "trash_bytes", [-1]),
    ("trash", "document", "trash_document_json", ["{"]),
    ("users", "engines", "users_engines_json", ["", "["]),
    ("users", "models", "users_models_json", ["["]),
    ("users", "engine_minutes_a_day", "users_engine_minutes", [-1]),
    ("users", "max_pictures", "users_max_pictures", [0]),
    ("users", "max_bytes", "users_max_bytes", [0]),
    ("users", "may_share", "users_may_share", [2]),
    ("account_groups", "name", "account_groups_name_length", ["", "x" * 101]),
    ("account_groups", "nsfw_allowed", "account_groups_nsfw_allowed", [2, -1]),
    ("account_groups", "engines", "account_groups_engines_json", ["", "["]),
    ("account_groups", "models", "account_groups_models_json", ["["]),
    ("account_groups", "engine_minutes_a_day", "account_groups_engine_minutes", [-1]),
    ("account_groups", "max_pictures", "account_groups_max_pictures", [0]),
    ("account_groups", "max_bytes", "account_groups_max_bytes", [0]),
    ("account_groups", "may_share", "account_groups_may_share", [2]),
]


# What makes a row the second of its kind: the same table, other keys.
ANOTHER: dict[str, dict[str, Any]] = {
    "users": {"id": 8, "username_key": "bob", "email_key": "bob@example.com"},
    "platform_state": {"name": "other"},
    "sessions": {"id": "s2", "handle": "h2"},
    "refresh_tokens": {"digest": "d2"},
    "api_keys": {"id": 15, "digest": "k2"},
    "password_links": {"user_id": 8, "digest": "p2"},
    "invitations": {"id": 5, "digest": "v2"},
    "hand_overs": {"id": 6, "from_id": 9},
    "idempotency_keys": {"key": "i2"},
    "nsfw_settings": {"user_id": 8},
    "personas": {"id": 12, "uid": "u12"},
    "persona_revisions": {"id": 4, "number": 2},
    "persona_sources": {"persona_id": 12},
    "imports": {"id": "im2"},
    "import_entries": {"n": 1},
    "import_pictures": {"n": 1},
    "exports": {"id": "ex2"},
    "persona_tags": {"tag_key": "sun"},
    "persona_texts": {"doc_id": (7 << 32) | 12},
    "generation_jobs": {"id": "j2"},
    "job_frames": {"job_id": "j2"},
    "job_events": {"id": 60},
    "media_items": {"id": "m2", "position": 1},
    "media_tags": {"tag_key": "sun"},
    "media_loras": {"name": "glow"},
    "trash": {"id": "t2", "item_id": "m9"},
    "collections": {"id": "c2"},
    "collection_media": {"media_id": "m9"},
    "share_links": {"id": "l2", "token_hash": "h2"},
    "file_deletions": {"key": "an/other.png"},
    "engines": {"name": "other"},
    "engine_turns": {"minute": "2026-01-31T12:01"},
    "engine_orphans": {"job_id": "j10"},
    "account_groups": {"id": 5, "name_key": "team"},
    "usage_days": {"day": "2026-02-01"},
    "workers": {"id": "w2"},
}


def test_the_rows_that_the_constraints_are_tried_with_are_good(filled: Connection) -> None:
    for table, changes in ANOTHER.items():
        insert(filled, table, **changes)


@pytest.mark.parametrize(("table", "column"), NOT_NULL)
def test_not_null(tried: Connection, table: str, column: str) -> None:
    if table == "nsfw_settings":
        insert(tried, "users", **ANOTHER["users"])
    with pytest.raises(
        sqlite3.IntegrityError, match=rf"NOT NULL constraint failed: {table}\.{column}$"
    ):
        insert(tried, table, **ANOTHER[table] | {column: None})


@pytest.mark.parametrize(
    ("table", "column", "name", "value"),
    [(*check, value) for *check, values in CHECKS for value in values],
)
def test_check(tried: Connection, table: str, column: str, name: str, value: Any) -> None:
    if table == "nsfw_settings":
        insert(tried, "users", **ANOTHER["users"])
    with pytest.raises(sqlite3.IntegrityError, match=f"CHECK constraint failed: {name}$"):
        insert(tried, table, **ANOTHER[table] | {column: value})


def test_every_named_check_is_tried(connection: Connection) -> None:
    sql = " ".join(row[2] for row in dump(connection)).split()
    named = {
        sql[i + 1]
        for i, word in enumerate(sql[:-2])
        if word == "CONSTRAINT" and sql[i + 2] == "CHECK"
    }
    assert named - {"personas_one_avatar"} == {check[2] for check in CHECKS if " " not in check[2]}


def test_an_avatar_is_a_url_or_media_and_not_both(filled: Connection) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="personas_one_avatar"):
        insert(
            filled, "personas", id=12, avatar_url="https://example.com/a.png", avatar_media_id="m1"
        )


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("users", "is_active", "yes"),
        ("personas", "version", "one"),
        ("personas", "name", b"Luna"),
        ("media_items", "width", 1.5),
        ("generation_jobs", "progress", "half"),
    ],
)
def test_types_are_strict(filled: Connection, table: str, column: str, value: Any) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="cannot store"):
        insert(filled, table, **ANOTHER[table] | {column: value})


@pytest.mark.parametrize(
    ("table", "changes", "columns"),
    [
        ("users", {"id": 8, "username": "ALICE", "email_key": "x"}, "users.username_key"),
        ("users", {"id": 8, "email": "ALICE@example.com", "username_key": "x"}, "users.email_key"),
        ("platform_state", {}, "platform_state.name"),
        ("sessions", {"handle": "h2"}, "sessions.id"),
        ("sessions", {"id": "s2", "handle": "h1"}, "sessions.handle"),
        ("refresh_tokens", {}, "refresh_tokens.digest"),
        ("api_keys", {"id": 15}, "api_keys.digest"),
        ("password_links", {"digest": "p2"}, "password_links.user_id"),
        ("password_links", {"user_id": 8}, "password_links.digest"),
        ("invitations", {"id": 5}, "invitations.digest"),
        ("hand_overs", {"id": 6}, "hand_overs.from_id"),
        ("idempotency_keys", {}, "idempotency_keys.user_id, idempotency_keys.key"),
        ("nsfw_settings", {}, "index 'nsfw_settings_owner'"),
        ("nsfw_settings", {"user_id": None}, "index 'nsfw_settings_owner'"),
        ("personas", {"id": 12}, "personas.uid"),
        (
            "persona_revisions",
            {"id": 4},
            "persona_revisions.user_id, persona_revisions.persona_id, persona_revisions.number",
        ),
        ("persona_sources", {}, "persona_sources.persona_id"),
        ("imports", {}, "imports.id"),
        ("import_entries", {}, "import_entries.import_id, import_entries.n"),
        ("import_pictures", {}, "import_pictures.import_id, import_pictures.n"),
        ("exports", {}, "exports.id"),
        ("persona_tags", {}, "persona_tags.user_id, persona_tags.tag_key, persona_tags.persona_id"),
        ("generation_jobs", {}, "generation_jobs.id"),
        ("media_items", {"id": "m2"}, "media_items.job_id, media_items.position"),
        ("media_tags", {}, "media_tags.user_id, media_tags.tag_key, media_tags.media_id"),
        ("media_loras", {}, "media_loras.user_id, media_loras.name, media_loras.media_id"),
        ("trash", {"item_id": "m9"}, "trash.id"),
        ("trash", {"id": "t2"}, "trash.kind, trash.item_id"),
        ("collections", {}, "collections.id"),
        ("collection_media", {}, "collection_media.collection_id, collection_media.media_id"),
        ("share_links", {"token_hash": "h2"}, "share_links.id"),
        ("share_links", {"id": "l2"}, "share_links.token_hash"),
        ("file_deletions", {}, "file_deletions.key"),
        ("account_groups", {"id": 5}, "account_groups.name_key"),
        ("usage_days", {}, "usage_days.user_id, usage_days.day"),
    ],
)
def test_unique(filled: Connection, table: str, changes: dict[str, Any], columns: str) -> None:
    with pytest.raises(sqlite3.IntegrityError, match=f"UNIQUE constraint failed: {columns}$"):
        insert(filled, table, **changes)


@pytest.mark.parametrize(
    ("table", "changes"),
    [
        ("sessions", {"id": "s2", "handle": "h2", "user_id": 99}),
        ("refresh_tokens", {"digest": "d2", "session_id": "none"}),
        ("api_keys", {"id": 15, "digest": "k2", "user_id": 99}),
        ("password_links", {"digest": "p2", "user_id": 99}),
        ("idempotency_keys", {"key": "i2", "user_id": 99}),
        ("nsfw_settings", {"user_id": 99}),
        ("personas", {"id": 12, "uid": "u12", "user_id": 99}),
        ("persona_revisions", {"id": 4, "number": 2, "user_id": 99}),
        ("persona_sources", {"persona_id": 99}),
        ("imports", {"id": "im2", "user_id": 99}),
        ("import_entries", {"n": 1, "import_id": "none"}),
        ("import_pictures", {"n": 1, "import_id": "none"}),
        ("exports", {"id": "ex2", "user_id": 99}),
        ("persona_tags", {"tag_key": "sun", "persona_id": 99}),
        ("generation_jobs", {"id": "j2", "user_id": 99}),
        ("job_frames", {"job_id": "none"}),
        ("media_items", {"id": "m2", "position": 1, "user_id": 99}),
        ("media_tags", {"tag_key": "sun", "media_id": "none"}),
        ("media_loras", {"name": "glow", "media_id": "none"}),
        ("trash", {"id": "t2", "item_id": "m9", "user_id": 99}),
        ("users", ANOTHER["users"] | {"group_id": 99}),
        ("usage_days", {"day": "2026-02-01", "user_id": 99}),
        ("collections", {"id": "c2", "user_id": 99}),
        ("invitations", {"id": 5, "digest": "v2", "group_id": 99}),
        ("collection_media", {"collection_id": "none", "media_id": "m9"}),
        ("share_links", {"id": "l2", "token_hash": "h2", "user_id": 99}),
        ("share_links", {"id": "l2", "token_hash": "h2", "media_id": "none"}),
    ],
)
def test_foreign_key(filled: Connection, table: str, changes: dict[str, Any]) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY constraint failed"):
        insert(filled, table, **changes)


# ----------------------------------------------------------------------------------------- deleting


def left(connection: Connection) -> set[str]:
    """The tables that still hold something of the rows above (counters: something other than
    nothing)."""
    rows = content(connection)
    rows["users"] = [row for row in rows["users"] if row[0] != 1]
    rows["nsfw_settings"] = [row for row in rows["nsfw_settings"] if row[1] is not None]
    for table in COUNTERS:
        rows[table] = [tuple(r) for r in connection.execute(f"SELECT n FROM {table} WHERE n <> 0")]
    return {table for table, found in rows.items() if found}


def test_deleting_a_user_takes_everything_and_queues_the_files(filled: Connection) -> None:
    filled.execute("DELETE FROM users WHERE id = 7")
    assert left(filled) == {
        # Records of what administrators did.
        "invitations",
        "hand_overs",
        "platform_state",
        "file_deletions",
        "workers",
        "engines",
        "engine_orphans",
        "account_groups",
    }
    assert content(filled)["file_deletions"] == [
        ("ex/ex1.0a.zip", None),
        (f"go/{GONE}.png", NOW),
        ("m0/m0.0a.png", None),
        ("m1/m1.png", None),
        ("m8/m8.0a.png", None),
        ("m9/m9.0a.png", None),
    ]
    assert all(content(filled)[table] == [] for table in COUNTERS)


def test_deleting_a_persona_leaves_its_jobs_and_media(filled: Connection) -> None:
    filled.execute("DELETE FROM personas WHERE id = 11")
    assert left(filled) == (set(ROWS) | COUNTERS) - {
        "personas",
        "persona_tags",
        "persona_revisions",
        "persona_sources",
        "persona_texts",
        "persona_counts",
        "shared_persona_counts",
    }
    # They refer to what is not there, and would again to one that comes back.
    for table in ("generation_jobs", "media_items"):
        assert filled.execute(f"SELECT persona_id FROM {table}").fetchone()[0] == 11
    assert found(filled, "moo") == []


def test_revisions_are_kept_while_their_persona_or_the_trash_has_it(filled: Connection) -> None:
    def numbers() -> list[tuple[int, int]]:
        rows = filled.execute("SELECT persona_id, number FROM persona_revisions ORDER BY 1, 2")
        return [tuple(row) for row in rows]

    insert(filled, "personas", id=12, uid="u12")
    insert(filled, "persona_revisions", id=4, persona_id=12)
    # An item of that id is no persona.
    insert(filled, "trash", id="t2", item_id="11", file_key=None)
    insert(filled, "trash", id="t3", kind="persona", item_id="11", file_key=None)
    filled.execute("DELETE FROM personas WHERE id = 11")
    filled.execute("DELETE FROM trash WHERE id = 't2'")
    assert numbers() == [(11, 1), (12, 1)]
    # Back again.
    insert(filled, "personas")
    filled.execute("DELETE FROM trash WHERE id = 't3'")
    assert numbers() == [(11, 1), (12, 1)]
    # For ever.
    insert(filled, "trash", id="t3", kind="persona", item_id="11", file_key=None)
    filled.execute("DELETE FROM personas WHERE id = 11")
    filled.execute("DELETE FROM trash WHERE id = 't3'")
    assert numbers() == [(12, 1)]


def test_deleting_a_job_leaves_its_media(filled: Connection) -> None:
    filled.execute("DELETE FROM generation_jobs WHERE id = 'j1'")
    assert left(filled) == (set(ROWS) | COUNTERS) - {
        "generation_jobs",
        "job_counts",
        "job_frames",
    }
    assert filled.execute("SELECT job_id FROM media_items").fetchone()[0] == "j1"


def test_deleting_media_queues_its_file_once(filled: Connection) -> None:
    for key, named in (("m1/m1.png", None), ("m1/m1.0a.png", "m1/m1.0a.png")):
        insert(filled, "file_deletions", key=key)
        filled.execute("UPDATE media_items SET file_key = ? WHERE id = 'm1'", [named])
        filled.execute("SAVEPOINT before")
        filled.execute("DELETE FROM media_items WHERE id = 'm1'")
        queued = dict(content(filled)["file_deletions"])
        assert queued == {f"go/{GONE}.png": NOW, "m1/m1.png": queued["m1/m1.png"], key: None}
        if named is None:
            filled.execute("ROLLBACK TO before")
    assert left(filled) == (set(ROWS) | COUNTERS) - {
        "media_items",
        "media_tags",
        "media_loras",
        "media_counts",
        "shared_media_counts",
        "collection_media",
        "collection_counts",
        "share_links",
    }
    # A counter stays, at nothing.
    assert [row["n"] for row in filled.execute("SELECT n FROM collection_counts")] == [0]


def test_a_file_is_kept_while_its_item_or_the_trash_has_it(filled: Connection) -> None:
    def condemned() -> list[str]:
        keys = [key for key, due_at in content(filled)["file_deletions"] if due_at is None]
        return sorted(keys)

    # Into the trash and back again.
    insert(filled, "trash", id="t2", item_id="m1", file_key="m1/m1.png", position=0)
    filled.execute("DELETE FROM media_items WHERE id = 'm1'")
    assert condemned() == []
    insert(filled, "media_items")
    filled.execute("DELETE FROM trash WHERE id = 't2'")
    assert condemned() == []
    # For ever.
    insert(filled, "trash", id="t2", item_id="m1", file_key="m1/m1.png", position=0)
    filled.execute("DELETE FROM media_items WHERE id = 'm1'")
    filled.execute("DELETE FROM trash WHERE id = 't2'")
    assert condemned() == ["m1/m1.png"]


def test_the_way_back_from_the_trash_leaves_nothing_dangling(
    settings: Settings, filled: Connection
) -> None:
    """What refers to what is gone refers to nothing again; ids that were given away are not given
    again."""
    insert(filled, "personas", id=30, uid="u30")
    insert(filled, "generation_jobs", id="j2", persona_id=30)
    insert(filled, "media_items", id="m2", job_id="j2", persona_id=30)
    insert(filled, "generation_jobs", id="j3")
    insert(filled, "media_items", id="m3", job_id="j3")
    filled.execute("DELETE FROM personas WHERE id = 30")
    filled.execute("DELETE FROM generation_jobs WHERE id = 'j3'")
    with migrate.start_lock(settings):
        migrate.undo_migrations(settings, depth_of("0024."))
    assert filled.execute("PRAGMA foreign_key_check").fetchall() == []
    assert "trash" not in tables(filled)
    assert ("m0/m0.0a.png", None) in content(filled)["file_deletions"]
    read = "SELECT id, job_id, persona_id FROM media_items ORDER BY id"
    kept = [("m1", "j1", 11), ("m2", "j2", None), ("m3", None, 11)]
    assert [tuple(row) for row in filled.execute(read)] == kept
    jobs = filled.execute("SELECT id, persona_id FROM generation_jobs ORDER BY id").fetchall()
    assert [tuple(row) for row in jobs] == [("j1", 11), ("j2", None)]
    with migrate.start_lock(settings):
        migrate.apply_migrations(settings)
    assert [tuple(row) for row in filled.execute(read)] == kept
    assert filled.execute("PRAGMA foreign_key_check").fetchall() == []
    insert(filled, "personas", id=..., uid="u31")
    assert filled.execute("SELECT MAX(id) FROM personas").fetchone()[0] == 31


def test_pictures_know_what_their_jobs_were_made_with(
    settings: Settings, filled: Connection
) -> None:
    loras = [{"name": "grain", "weight": 1}, {"name": "grain", "weight": 2}, {"name": "ice"}]
    filled.execute("UPDATE generation_jobs SET loras = ?", [json.dumps(loras)])
    with migrate.start_lock(settings):
        migrate.undo_migrations(settings, depth_of("0024."))
        migrate.apply_migrations(settings)
    row = filled.execute("SELECT model, color FROM media_items").fetchone()
    assert tuple(row) == ("sdxl-base", None)
    assert [tuple(row) for row in filled.execute("SELECT * FROM media_loras ORDER BY name")] == [
        (7, "grain", "m1"),
        (7, "ice", "m1"),
    ]


def test_deleting_a_session_takes_its_tokens(filled: Connection) -> None:
    filled.execute("DELETE FROM sessions WHERE id = 's1'")
    assert left(filled) == (set(ROWS) | COUNTERS) - {"sessions", "refresh_tokens"}


@pytest.mark.parametrize("table", ["users", "personas", "api_keys"])
def test_ids_are_never_used_again(filled: Connection, table: str) -> None:
    # A column may be left out of the first insert, so that the database chooses.
    again = {
        "users": {"username_key": "bob", "email_key": "bob@example.com"},
        "personas": {"uid": "u12"},
        "api_keys": {"digest": "k2"},
    }[table]
    insert(filled, table, **again, id=...)
    (used,) = filled.execute(f"SELECT MAX(id) FROM {table}").fetchone()
    filled.execute(f"DELETE FROM {table} WHERE id > 6")
    if table == "personas":
        assert filled.execute("SELECT COUNT(*) FROM personas").fetchone()[0] == 0
    insert(filled, table, **again, id=...)
    assert filled.execute(f"SELECT MAX(id) FROM {table}").fetchone()[0] == used + 1


# ----------------------------------------------------------------------------------------- counters


def counted(connection: Connection, table: str) -> list[tuple[Any, ...]]:
    """The counters' rows that say something."""
    return sorted(
        tuple(row)[1:] for row in connection.execute(f"SELECT * FROM {table} WHERE n <> 0")
    )


def test_personas_are_counted(filled: Connection) -> None:
    insert(filled, "personas", id=12, uid="u12", is_favorite=1)
    assert counted(filled, "persona_counts") == [(0, 0, 1), (0, 1, 1)]
    filled.execute("UPDATE personas SET is_nsfw = 1")
    assert counted(filled, "persona_counts") == [(1, 0, 1), (1, 1, 1)]
    filled.execute("UPDATE personas SET is_favorite = 1, is_nsfw = 0 WHERE id = 11")
    filled.execute("UPDATE personas SET name = 'Other', is_favorite = is_favorite")
    assert counted(filled, "persona_counts") == [(0, 1, 1), (1, 1, 1)]
    filled.execute("DELETE FROM personas")
    assert counted(filled, "persona_counts") == []


def test_jobs_are_counted_with_their_seconds(filled: Connection) -> None:
    queued = {"status": "queued", "completed_at": None, "seconds": None}
    insert(filled, "generation_jobs", id="j2", **queued)
    insert(filled, "generation_jobs", id="j3", **queued)
    kind = "persona_preview"
    assert counted(filled, "job_counts") == [
        (0, "completed", kind, 1, 1.5),
        (0, "queued", kind, 2, 0.0),
    ]
    filled.execute(
        "UPDATE generation_jobs SET status = 'completed', completed_at = ?, seconds = 2"
        " WHERE id = 'j2'",
        [NOW],
    )
    filled.execute("UPDATE generation_jobs SET status = 'processing', claim = 'w' WHERE id = 'j3'")
    assert counted(filled, "job_counts") == [
        (0, "completed", kind, 2, 3.5),
        (0, "processing", kind, 1, 0.0),
    ]
    filled.execute("UPDATE generation_jobs SET is_nsfw = 1 WHERE id = 'j2'")
    assert (1, "completed", kind, 1, 2.0) in counted(filled, "job_counts")
    filled.execute("DELETE FROM generation_jobs WHERE id <> 'j1'")
    assert counted(filled, "job_counts") == [(0, "completed", kind, 1, 1.5)]


def test_media_are_counted_with_their_bytes(filled: Connection) -> None:
    insert(
        filled,
        "media_items",
        id="m2",
        position=1,
        file_size=50,
        file_type="video",
        mime_type="video/mp4",
    )
    insert(filled, "media_items", id="m3", position=2, file_size=24)
    assert counted(filled, "media_counts") == [(0, 0, "image", 2, 1024), (0, 0, "video", 1, 50)]
    filled.execute("UPDATE media_items SET is_nsfw = 1, is_favorite = 1 WHERE id = 'm3'")
    assert counted(filled, "media_counts") == [
        (0, 0, "image", 1, 1000),
        (0, 0, "video", 1, 50),
        (1, 1, "image", 1, 24),
    ]
    filled.execute("DELETE FROM media_items")
    assert counted(filled, "media_counts") == []
    assert filled.execute("SELECT SUM(bytes) FROM media_counts").fetchone()[0] == 0
