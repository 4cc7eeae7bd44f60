"""`flask doctor` and /api/health/ready: what is well, and each thing that is not."""

from __future__ import annotations

import dataclasses
import os
import re
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from conftest import ENGINE, Person, environment
from flask.testing import FlaskClient
from stored import open_rows
from test_rates import redis
from test_start import ROOT, run, variables

from seidra import config
from seidra.config import Settings
from seidra.database import migrate
from seidra.database.queries import queries
from seidra.database.sqlite.connect import SqliteDatabase
from seidra.jobs.worker import Worker
from seidra.operations import checks
from seidra.values import timestamp, timestamp_in

__all__ = ["redis"]
Redis = tuple[str, subprocess.Popen[bytes]]

NAMES = [
    "version",
    ENGINE,
    "settings",
    "secrets",
    "folders",
    "disk",
    "schema",
    *(["server"] if ENGINE == "postgresql" else []),
    "integrity",
    "references",
    "counters",
    "search",
    "media",
    "jobs",
    "workers",
    "engines",
]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor looks at the .env of the working folder, for this checkout's is none."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(config, "in_checkout", lambda: False)
    monkeypatch.delenv("FLASK_SKIP_DOTENV", raising=False)


@pytest.fixture
def filled(alice: Person, worker: Worker, settings: Settings, database: SqliteDatabase) -> Settings:
    alice.preview(
        alice.persona(generation_params={"width": 64, "height": 64, "quality": "draft"})["id"]
    )
    worker.work_one()
    with database.transaction() as tx:
        queries.workers.seen(tx, id="w-1", host="h", pid=1, engine="mock", now=timestamp())
    return settings


def seen(settings: Settings, state: str = "ok") -> list[checks.Check]:
    return [check for check in checks.examine(settings) if check.state != state]


def test_a_sound_instance(filled: Settings) -> None:
    found = list(checks.examine(filled))
    assert [check.name for check in found] == NAMES
    assert [check for check in found if check.state != "ok" and check.name != "disk"] == []
    assert [check.advice for check in found if check.state == "ok"] == [""] * sum(
        c.state == "ok" for c in found
    )
    assert found[-4].seen == "1 items and 2 files agree."


def execute(settings: Settings, *statements: str) -> None:
    with open_rows(settings) as connection:
        for statement in statements:
            connection.execute(statement)


def open_secret(settings: Settings) -> Settings:
    (settings.data_dir / "jwt.secret").chmod(0o644)
    return settings


def open_dotenv(settings: Settings) -> Settings:
    Path(".env").write_text("")
    Path(".env").chmod(0o640)
    return settings


def missing_folder(settings: Settings) -> Settings:
    settings.models_dir.rmdir()
    return settings


def unknown_engine(settings: Settings) -> Settings:
    return dataclasses.replace(settings, engine="abacus")


def open_to_the_world(settings: Settings) -> Settings:
    return dataclasses.replace(settings, public_url="https://studio.example")


def no_proxy(settings: Settings) -> Settings:
    return dataclasses.replace(settings, public_url="https://studio.example", registration="closed")


def older_schema(settings: Settings) -> Settings:
    migrate.undo_migrations(settings, 1)
    return settings


def damaged(settings: Settings) -> Settings:
    with closing(sqlite3.connect(settings.database_path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
        page = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'media_tags'"
        ).fetchone()[0]
        size = connection.execute("PRAGMA page_size").fetchone()[0]
    with open(settings.database_path, "r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * 100)
    return settings


def dangling(settings: Settings) -> Settings:
    execute(
        settings,
        "PRAGMA foreign_keys = OFF",
        "INSERT INTO persona_tags (user_id, tag_key, persona_id) VALUES (1, 'a', 77)",
    )
    return settings


def miscounted(settings: Settings) -> Settings:
    execute(settings, "UPDATE media_counts SET bytes = bytes + 1")
    return settings


def misindexed(settings: Settings) -> Settings:
    execute(
        settings,
        "INSERT INTO persona_search (persona_search, rowid, marked_text)"
        " SELECT 'delete', doc_id, marked_text FROM persona_search_texts",
    )
    return settings


def lost_picture(settings: Settings) -> Settings:
    next(settings.media_dir.rglob("*.png")).unlink()
    return settings


def stranger(settings: Settings) -> Settings:
    (settings.media_dir / "notes.txt").touch()
    return settings


def stuck_job(settings: Settings) -> Settings:
    execute(
        settings,
        "UPDATE generation_jobs SET status = 'queued', completed_at = NULL, "
        f"run_after = '{timestamp_in(-700)}'",
    )
    return settings


def job_of_no_worker(settings: Settings) -> Settings:
    execute(settings, "UPDATE generation_jobs SET engine = 'sold'")
    return stuck_job(settings)


def silent_worker(settings: Settings) -> Settings:
    execute(settings, f"UPDATE workers SET seen_at = '{timestamp_in(-70)}'")
    return settings


FILE = pytest.mark.sqlite_only("a file, SQLite's own index, or what a server does not let happen")

WRONG: list[Any] = [
    pytest.param(open_secret, "secrets", "fail", "chmod 600", marks=FILE),
    (open_dotenv, "secrets", "fail", "chmod 600"),
    (missing_folder, "folders", "fail", "flask init"),
    (unknown_engine, "settings", "fail", "SEIDRA_ENGINE"),
    (open_to_the_world, "settings", "warn", "SEIDRA_REGISTRATION"),
    (no_proxy, "settings", "warn", "SEIDRA_TRUSTED_PROXIES"),
    (older_schema, "schema", "fail", "flask init"),
    pytest.param(damaged, "integrity", "fail", "backup", marks=FILE),
    pytest.param(dangling, "references", "fail", "backup", marks=FILE),
    (miscounted, "counters", "fail", "backup"),
    pytest.param(misindexed, "search", "fail", "flask search rebuild", marks=FILE),
    (lost_picture, "media", "fail", "flask media check"),
    (stranger, "media", "warn", "flask media check"),
    (stuck_job, "jobs", "fail", "flask worker"),
    (job_of_no_worker, "jobs", "fail", "flask worker"),
    (silent_worker, "workers", "warn", "flask worker"),
]


def named(value: Any) -> str:
    return getattr(value, "__name__", "")


@pytest.mark.parametrize(("break_it", "name", "state", "advice"), WRONG, ids=named)
def test_what_is_wrong_is_named_with_what_to_do(
    filled: Settings,
    database: SqliteDatabase,
    break_it: Callable[[Settings], Settings],
    name: str,
    state: str,
    advice: str,
) -> None:
    database.close()
    wrong = {check.name: check for check in checks.examine(break_it(filled)) if check.state != "ok"}
    wrong.pop("disk", None)
    # A damaged page may show in more than one check; every other fault in its own alone.
    assert set(wrong) == {name} or (break_it is damaged and name in wrong)
    assert wrong[name].state == state
    assert advice in wrong[name].advice


@pytest.mark.parametrize(
    ("free", "state"), [(50 << 20, "fail"), (500 << 20, "warn"), (5 << 30, "ok")]
)
def test_free_disk_space(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, free: int, state: str
) -> None:
    monkeypatch.setattr(checks, "free_bytes", lambda folder: free)
    assert [check.state for check in checks.examine(settings) if check.name == "disk"] == [state]


def secrets_check(settings: Settings) -> checks.Check:
    return next(check for check in checks.examine(settings) if check.name == "secrets")


@pytest.mark.sqlite_only("the database is a file")
def test_a_file_of_another_account_is_handed_over_and_not_shut_away(filled: Settings) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    for path in filled.data_dir.glob("seidra.db*"):
        os.chown(path, 12345, 12345)
    secret = filled.data_dir / "jwt.secret"
    secret.chmod(0o640)
    # A mode alone would close it to the server.
    assert secrets_check(filled).advice == f"Run `chown 12345 {secret} && chmod 600 {secret}`."
    os.chown(secret, 12345, 12345)
    assert secrets_check(filled).advice == f"Run `chmod 600 {secret}`."
    secret.chmod(0o600)
    assert secrets_check(filled).state == "ok"


def test_the_settings_file_of_the_guide_is_well(filled: Settings, tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "deployment.md").read_text()
    (command,) = re.findall(r"^install (.* /etc/seidra/\.env)$", guide, re.MULTILINE)
    command = command.replace("/opt/seidra/current", str(ROOT)).replace("/etc/seidra", ".")
    # The account of the guide need not be here.
    command = re.sub(r"-[og] seidra ", "", command)
    subprocess.run(["install", *command.split()], cwd=tmp_path, check=True, timeout=60)
    assert config.settings_file() == tmp_path / ".env"
    assert secrets_check(filled).state == "ok"
    (tmp_path / ".env").chmod(0o640)
    assert secrets_check(filled).state == "fail"


MOUNTS = """\
/dev/vda1 / ext4 rw 0 0
nas:/export /srv nfs4 rw 0 0
/dev/vdb1 /srv/local\\040disk xfs rw 0 0
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/var/lib/seidra", "ext4"),
        ("/srv", "nfs4"),
        ("/srv/x", "nfs4"),
        ("/srv/local disk/a", "xfs"),
    ],
)
def test_the_file_system_of_a_folder(tmp_path: Path, folder: str, kind: str) -> None:
    (tmp_path / "mounts").write_text(MOUNTS)
    assert checks.file_system(Path(folder), tmp_path / "mounts") == kind
    assert checks.file_system(Path(folder), tmp_path / "none") == ""


@pytest.mark.sqlite_only("the database is a file")
def test_a_database_on_a_network_file_system(
    filled: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "file_system", lambda folder: "nfs4")
    (disk,) = (check for check in checks.examine(filled) if check.name == "disk")
    assert (disk.state, disk.advice) == ("fail", "Move it to a disk of this machine.")


def test_redis_is_asked_where_it_is_set(filled: Settings, redis: Redis) -> None:
    url, process = redis
    settings = dataclasses.replace(filled, rate_limits=True, rate_storage=url)

    def state() -> str:
        return next(check.state for check in checks.examine(settings) if check.name == "redis")

    assert state() == "ok"
    process.kill()
    process.wait()
    assert state() == "fail"


@pytest.mark.sqlite_only("only there a check is a write")
def test_nobody_waits_for_a_check(
    filled: Settings, database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the index is compared, another connection writes."""
    written = []
    check = queries.search.check

    def check_and_write(connection: Any) -> Any:
        result = check(connection)
        with closing(sqlite3.connect(filled.database_path, timeout=0)) as other:
            other.execute("UPDATE platform_state SET value = value")
            other.commit()
        written.append(True)
        return result

    monkeypatch.setattr(queries.search, "check", check_and_write)
    assert [check.state for check in checks.examine(filled) if check.name == "search"] == ["ok"]
    assert written
    assert list(filled.tmp_dir.iterdir()) == []


def test_it_makes_nothing_where_there_is_nothing(tmp_path: Path) -> None:
    settings = Settings.load(environment(tmp_path / "nothing"))
    assert [
        check.state for check in checks.examine(settings) if check.name in ("folders", "schema")
    ] == ["fail"] * 2
    assert not (tmp_path / "nothing").exists()


@pytest.mark.slow
def test_the_command(filled: Settings, tmp_path: Path) -> None:
    def doctor() -> tuple[int, list[str], str]:
        done = run("-m", "flask", "doctor", cwd=tmp_path, env=variables(filled.data_dir))
        return done.returncode, done.stdout.splitlines(), done.stderr

    code, lines, sentence = doctor()
    assert [line.split()[1] for line in lines] == NAMES
    assert version("seidra") in lines[0]
    if not lines[5].startswith("fail"):
        assert (code, sentence) == (0, "")
    lost_picture(filled)
    code, lines, sentence = doctor()
    assert code == 1
    assert "fail  media       Of 1 items and 1 files: 1 lost. Run `flask media check`." in lines
    assert sentence.endswith(f" of {len(NAMES)} checks failed.\n")


# ---------------------------------------------------------------------------------------- readiness


def flags(client: FlaskClient) -> tuple[int, Any]:
    answer = client.get("/api/health/ready")
    return answer.status_code, answer.get_json()["checks"]


def test_ready_says_what_is_wrong(
    client: FlaskClient, settings: Settings, database: SqliteDatabase
) -> None:
    assert flags(client) == (200, {"database": True, "schema": True, "storage": True})
    settings.thumbnail_dir.rename(settings.data_dir / "moved")
    assert flags(client) == (503, {"database": True, "schema": True, "storage": False})
    (settings.data_dir / "moved").rename(settings.thumbnail_dir)
    execute(
        settings,
        "INSERT INTO _yoyo_migration (migration_hash, migration_id) VALUES ('x', '9999.future')",
    )
    # On PostgreSQL a node serves on what a newer one has migrated.
    if ENGINE == "sqlite":
        assert flags(client) == (503, {"database": True, "schema": False, "storage": True})
    else:
        assert flags(client)[0] == 200
    execute(settings, "DELETE FROM _yoyo_migration WHERE migration_id = '9999.future'")
    assert flags(client)[0] == 200
