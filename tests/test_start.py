"""Starts, with real processes: several at once, killed half-way, on what cannot work, and the
servers themselves."""

from __future__ import annotations

import atexit
import json
import os
import pwd
import re
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from conftest import ENGINE, PASSWORD, environment, wait_for

from seidra.config import Settings
from seidra.database import init_database
from soak.ports import free_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.sqlite_only("starts on a file; those on a server: tests/postgresql/test_starts.py"),
]

ROOT = Path(__file__).resolve().parent.parent
GUNICORN = ("-m", "gunicorn", "-c", str(ROOT / "gunicorn.conf.py"))


def variables(folder: Path, **more: str) -> dict[str, str]:
    """The environment of a process whose instance lives in `folder`: nothing of SEIDRA from
    outside."""
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith(("SEIDRA_", "FLASK_", "GUNICORN_"))
    }
    found = {"PYTHONPATH": str(ROOT), "FLASK_APP": str(ROOT / "wsgi.py")}
    return kept | found | environment(folder, **more)


def run(
    *command: str, cwd: Path, env: dict[str, str], timeout: float = 120, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run Python to its end."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        **options,
    )


def schema(database: Path) -> list[tuple[str, ...]]:
    """Everything that makes up the schema, and which migrations are applied."""
    with closing(sqlite3.connect(database)) as connection:
        parts = connection.execute(
            "SELECT type, name, tbl_name, COALESCE(sql, '') FROM sqlite_master"
        ).fetchall()
        marks = connection.execute("SELECT 'mark', migration_id FROM _yoyo_migration").fetchall()
        return sorted(parts) + sorted(marks)


def seeds(database: Path) -> list[tuple[Any, ...]]:
    """What seeding makes."""
    with closing(sqlite3.connect(database)) as connection:
        return [
            *connection.execute("SELECT id, username, is_active, is_admin FROM users"),
            *connection.execute(
                "SELECT user_id, enabled, age_verified, intensity FROM nsfw_settings"
            ),
        ]


SEEDED = [(1, "system", 0, 0), (None, 1, 1, "medium")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, ...]]:
    """The schema that an undisturbed start makes."""
    settings = Settings.load(environment(tmp_path_factory.mktemp("whole")))
    init_database(settings)
    return schema(settings.database_path)


# ---------------------------------------------------------------------------------- several at once

# Each process waits until all are ready, so that they race for the database and not for the
# imports.
TOGETHER = """
import os, sys, time
from pathlib import Path
import flask.cli, seidra.cli
ready = Path(sys.argv[1])
(ready / str(os.getpid())).touch()
deadline = time.monotonic() + 60
while len(list(ready.iterdir())) < 6 and time.monotonic() < deadline:
    time.sleep(0.001)
"""
FLASK_INIT = "sys.argv = ['flask', 'init']; flask.cli.main()"
CREATE_APP = "import seidra; seidra.create_app()"


@pytest.mark.parametrize("program", [FLASK_INIT, CREATE_APP], ids=["flask init", "create_app"])
def test_six_starts_at_once(tmp_path: Path, whole: list[tuple[str, ...]], program: str) -> None:
    instance = tmp_path / "instance"
    for turn in ("empty", "migrated") if program == FLASK_INIT else ("empty",):
        ready = tmp_path / turn
        ready.mkdir()
        command = [sys.executable, "-c", TOGETHER + program, str(ready)]
        started = [
            subprocess.Popen(
                command,
                cwd=tmp_path,
                env=variables(instance),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(6)
        ]
        said = [process.communicate(timeout=120) for process in started]
        assert [process.returncode for process in started] == [0] * 6, said
        assert {errors for _, errors in said} == {""}
        if program == FLASK_INIT:
            applied = sum("Applied" in output for output, _ in said)
            assert applied == (1 if turn == "empty" else 0)
        assert schema(instance / "seidra.db") == whole
        assert seeds(instance / "seidra.db") == SEEDED


# ------------------------------------------------------------------------------------------- killed

# Stops between a migration's statements and its mark, and says so by a file.
HALF_WAY = """
import sys, time
from pathlib import Path
from seidra.database import init_database
from seidra.database.sqlite import migrate

class Halting(migrate._Backend):
    def mark_one(self, migration, *args, **kwargs):
        if migration.id.startswith(sys.argv[1]):
            Path(sys.argv[2]).touch()
            time.sleep(600)
        return super().mark_one(migration, *args, **kwargs)

migrate._Backend = Halting
init_database()
"""


@pytest.mark.parametrize(
    ("number", "migration"),
    [
        (signal.SIGKILL, "0001"),
        (signal.SIGKILL, "0005"),
        (signal.SIGTERM, "0005"),
        (signal.SIGINT, "0007"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_start_killed_in_the_middle_of_a_migration_is_made_good_by_the_next(
    tmp_path: Path, whole: list[tuple[str, ...]], number: signal.Signals, migration: str
) -> None:
    instance, there = tmp_path / "instance", tmp_path / "there"
    env = variables(instance)
    with subprocess.Popen(
        [sys.executable, "-c", HALF_WAY, migration, str(there)],
        cwd=tmp_path,
        env=env,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            wait_for(there.exists)
            process.send_signal(number)
            assert process.wait(60) != 0
        finally:
            process.kill()
    with closing(sqlite3.connect(instance / "seidra.db")) as connection:
        marks = {
            row[0][:4] for row in connection.execute("SELECT migration_id FROM _yoyo_migration")
        }
    assert marks == {f"{n:04}" for n in range(1, int(migration))}
    done = run("-m", "flask", "init", cwd=tmp_path, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert schema(instance / "seidra.db") == whole
    assert seeds(instance / "seidra.db") == SEEDED


# A start is killed after every other of its statements, and the next one made in peace. What a
# start does before and in its first migration, within each other one, and after the last is killed
# apart, on the database as the part before left it, and made good as far as that part goes.
EVERYWHERE = """
import os, re, shutil, signal, sqlite3, sys
from contextlib import closing
from pathlib import Path
import yoyo
from seidra.config import Settings, packaged_dir
from seidra.database import init_database
from seidra.database import migrate as schema
from seidra.database.sqlite import migrate

# Parsing takes most of a start: done once, for the forks to inherit.
parsed = yoyo.read_migrations(str(packaged_dir("migrations")))
for migration in parsed:
    migration.load()
yoyo.read_migrations = lambda folder: parsed
ids = [migration.id for migration in parsed]

left = None  # statements until the kill; none while nothing is to be killed

def trace(statement):
    global left
    if left is not None:
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

def connect(*args, **kwargs):
    connection = plain_connect(*args, **kwargs)
    connection.execute("PRAGMA synchronous = OFF")  # nobody pulls the plug
    connection.set_trace_callback(trace)
    return connection

plain_connect, sqlite3.connect = sqlite3.connect, connect

def settings_of(folder):
    return Settings.load(dict(os.environ) | {"SEIDRA_DATABASE_URL": f"sqlite:///{folder}/seidra.db"})

def start_killed(folder, part, statement):
    # Its exit code is 0 if the part has fewer statements.
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    plain = migrate._Backend.apply_one
    def apply_one(backend, migration, *args, **kwargs):
        global left
        left = statement if left is None else left
        plain(backend, migration, *args, **kwargs)
        os._exit(0 if migration.id == part else 2)
    migrate._Backend.apply_one = apply_one
    global left
    if part in (ids[0], None):
        left = statement
    try:
        init_database(settings_of(folder))
    except BaseException as error:
        print(repr(error), file=sys.stderr)
        os._exit(1)
    os._exit(0)

def start_in_peace(folder, part):
    settings = settings_of(folder)
    if part is None:
        init_database(settings)
    else:
        with schema.start_lock(settings):
            assert schema.apply_migrations(settings, {part}) in ([], [part])

def contents(folder):
    with closing(sqlite3.connect(folder / "seidra.db")) as connection:
        marks = sorted(connection.execute("SELECT migration_id FROM _yoyo_migration"))
        yoyos = ('INSERT INTO "_yoyo', 'INSERT INTO "yoyo')
        rows = [
            re.sub(r"\\d{4}-\\d\\d-\\d\\dT[\\d:.]+Z", "TIME", line)
            for line in connection.iterdump()
            if not line.startswith(yoyos)
        ]
        return marks, rows, connection.execute("PRAGMA foreign_key_check").fetchall()

before, killed = (Path(sys.argv[1]) / name for name in ("before", "killed"))
before.mkdir()
for part in (*ids, None):
    statement, made_good = 1, []
    while True:
        shutil.copytree(before, killed)
        code = start_killed(killed, part, statement)
        if code == 0:
            break
        assert code == -signal.SIGKILL, (part, code)
        start_in_peace(killed, part)
        made_good.append(contents(killed))
        shutil.rmtree(killed)
        statement += 2
    shutil.rmtree(before)
    killed.rename(before)
    undisturbed = contents(before)
    for number, found in enumerate(made_good):
        assert found == undisturbed, (part, 1 + 2 * number)
    print(len(made_good))
"""


def test_a_start_killed_after_any_statement_is_made_good_by_the_next(
    tmp_path: Path, whole: list[tuple[str, ...]]
) -> None:
    env = variables(tmp_path / "none")
    done = run("-c", EVERYWHERE, str(tmp_path), cwd=tmp_path, env=env, timeout=900)
    assert (done.returncode, done.stderr) == (0, "")
    assert schema(tmp_path / "before" / "seidra.db") == whole
    assert seeds(tmp_path / "before" / "seidra.db") == SEEDED
    # A migration has a statement, its mark, and what begins and ends the transaction.
    kills = [int(line) for line in done.stdout.split()]
    assert len(kills) == sum(part[0] == "mark" for part in whole) + 1
    assert min(kills) >= 2, kills


def test_a_lock_row_left_behind_does_not_stop_a_start(
    tmp_path: Path, whole: list[tuple[str, ...]]
) -> None:
    database = tmp_path / "seidra.db"
    init_database(Settings.load(environment(tmp_path)))
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(
            "INSERT INTO yoyo_lock (locked, ctime, pid) VALUES (1, '2026-01-01 00:00:00', 1)"
        )
        connection.commit()
    done = run("-m", "flask", "init", cwd=tmp_path, env=variables(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert schema(database) == whole
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT COUNT(*) FROM yoyo_lock").fetchone() == (0,)


def test_a_start_of_a_current_database_reads_no_migration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings.load(environment(tmp_path))
    assert init_database(settings)
    monkeypatch.setattr("yoyo.read_migrations", None)
    shutil.rmtree(settings.media_dir)
    assert init_database(settings) == []
    assert settings.media_dir.is_dir()


# --------------------------------------------------------------------------------- what cannot work
# Each lays something wrong into a folder; returns the variables that go with it and the sentence to
# be said.

Wrong = Callable[[Path], tuple[dict[str, str], str]]


def no_database(folder: Path) -> tuple[dict[str, str], str]:
    (folder / "seidra.db").write_bytes(b"Dear diary, today I was no database.\n" * 100)
    return {}, f"The database {folder / 'seidra.db'} cannot be used: file is not a database."


def wrong_setting(folder: Path) -> tuple[dict[str, str], str]:
    return {
        "SEIDRA_WEB_WORKERS": "plenty"
    }, "SEIDRA_WEB_WORKERS must be a whole number from 1 to 64."


def common_password(folder: Path) -> tuple[dict[str, str], str]:
    sentence = (
        "SEIDRA_DEFAULT_USER_PASSWORD is too common a password; choose one that nobody would guess."
    )
    return {"SEIDRA_DEFAULT_USER_PASSWORD": "Password1234"}, sentence


def newer_version(folder: Path) -> tuple[dict[str, str], str]:
    init_database(Settings.load(environment(folder)))
    with closing(sqlite3.connect(folder / "seidra.db")) as connection:
        connection.execute(
            "INSERT INTO _yoyo_migration (migration_hash, migration_id, applied_at_utc)"
            " VALUES ('x', '9999.later', '')"
        )
        connection.commit()
    database = folder / "seidra.db"
    return (
        {},
        f"The database {database} is from a newer version of SEIDRA: it has the migration "
        "9999.later.",
    )


def a_folder_as_database(folder: Path) -> tuple[dict[str, str], str]:
    (folder / "seidra.db").mkdir()
    return {}, f"The database {folder / 'seidra.db'} cannot be used: unable to open database file."


def a_damaged_database(folder: Path) -> tuple[dict[str, str], str]:
    init_database(Settings.load(environment(folder)))
    data = bytearray((folder / "seidra.db").read_bytes())
    data[100:] = b"\xff" * (len(data) - 100)
    (folder / "seidra.db").write_bytes(data)
    return (
        {},
        f"The database {folder / 'seidra.db'} cannot be used: database disk image is malformed.",
    )


def a_file_as_folder(folder: Path) -> tuple[dict[str, str], str]:
    (folder / "file").write_text("in the way")
    url = f"sqlite:///{folder / 'file' / 'seidra.db'}"
    return {
        "SEIDRA_DATABASE_URL": url
    }, f"The folder {folder / 'file'} cannot be written: File exists."


def a_file_as_media_folder(folder: Path) -> tuple[dict[str, str], str]:
    (folder / "file").write_text("in the way")
    sentence = f"The folder {folder / 'file'} cannot be written: File exists."
    return {"SEIDRA_MEDIA_DIR": str(folder / "file")}, sentence


def an_unreadable_dotenv(folder: Path) -> tuple[dict[str, str], str]:
    (folder / ".env").write_bytes(b"SEIDRA_BIND=\xff\n")
    return (
        {"FLASK_SKIP_DOTENV": ""},
        f"The file {folder / '.env'} cannot be read: 'utf-8' codec can't decode byte 0xff"
        " in position 12: invalid start byte.",
    )


COMMANDS: dict[str, tuple[str, ...]] = {
    "flask init": ("-m", "flask", "init"),
    "flask db upgrade": ("-m", "flask", "db", "upgrade"),
    "flask db status": ("-m", "flask", "db", "status"),
    "flask worker": ("-m", "flask", "worker"),
    "flask routes": ("-m", "flask", "routes"),
    "flask run": ("-m", "flask", "run", "--port", "0"),
    "import wsgi": ("-c", "import wsgi"),
    "gunicorn": GUNICORN,
    "gunicorn --check-config": (*GUNICORN, "--check-config"),
}
MATRIX = [
    *((command, wrong) for command in COMMANDS for wrong in (no_database, wrong_setting)),
    *(
        (command, wrong)
        for command in ("flask init", "gunicorn")
        for wrong in (
            common_password,
            newer_version,
            a_folder_as_database,
            a_damaged_database,
            a_file_as_folder,
            a_file_as_media_folder,
        )
    ),
    ("gunicorn", an_unreadable_dotenv),
]


def contents(folder: Path) -> dict[str, Any]:
    """Every file's mode and bytes, but for the lock that starts take."""
    return {
        str(path.relative_to(folder)): (
            path.stat().st_mode,
            path.read_bytes() if path.is_file() else None,
        )
        for path in folder.rglob("*")
        if not path.name.endswith(".init.lock")
    }


@pytest.mark.parametrize(("command", "wrong"), MATRIX)
def test_a_start_that_cannot_work_says_why_in_one_sentence_and_changes_nothing(
    tmp_path: Path, command: str, wrong: Wrong
) -> None:
    more, sentence = wrong(tmp_path)
    before = contents(tmp_path)
    done = run(*COMMANDS[command], cwd=tmp_path, env=variables(tmp_path, **more))
    assert done.returncode == 1
    if command == "import wsgi":
        assert done.stderr.splitlines()[-1] == f"click.exceptions.ClickException: {sentence}"
    else:
        assert done.stderr == f"Error: {sentence}\n"
    assert done.stdout == ""
    after = contents(tmp_path)
    if wrong is a_file_as_media_folder:
        # The folders before the wrong one are made, but no database.
        assert "seidra.db" not in after
    else:
        assert after == before


# Root may write everywhere: without these capabilities, which the exec takes away, it is asked for
# its rights too. It stays the owner of a checkout that nobody else may read, such as one in its
# home.
AS_ANYBODY = """
import ctypes, os, sys
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2
if os.geteuid() == 0:
    for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
        if ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            sys.exit("The capabilities of root cannot be dropped here.")
os.execv(sys.executable, [sys.executable, "-m", "flask", *sys.argv[1:]])
"""


def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    # pytest's own folders are closed to other users.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o555)
        try:
            for command in (("init",), ("db", "upgrade")):
                done = run("-c", AS_ANYBODY, *command, cwd=folder, env=variables(folder))
                assert done.returncode == 1
                assert (
                    done.stderr
                    == f"Error: The folder {folder} cannot be written: Permission denied.\n"
                )
                assert list(folder.iterdir()) == []
        finally:
            folder.chmod(0o755)


def test_a_database_that_may_not_be_written() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        database = Settings.load(environment(folder)).database_path
        init_database(Settings.load(environment(folder)))
        database.chmod(0o444)
        done = run("-c", AS_ANYBODY, "init", cwd=folder, env=variables(folder))
        assert done.returncode == 1
        assert done.stderr.startswith(f"Error: The database {database} cannot be used: ")
        assert done.stderr.count("\n") == 1


def test_a_folder_that_may_not_be_entered(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "closed").mkdir()
        database = folder / "closed" / "seidra.db"
        (folder / "closed").chmod(0o000)
        folder.chmod(0o755)
        try:
            for command in (("db", "status"), ("summary",)):
                done = run("-c", AS_ANYBODY, *command, cwd=folder, env=variables(database.parent))
                assert done.returncode == 1
                assert done.stderr.startswith(f"Error: The database {database} cannot be used: ")
                assert done.stderr.count("\n") == 1
        finally:
            (folder / "closed").chmod(0o755)


def test_windows_is_told_where_seidra_runs(tmp_path: Path) -> None:
    lacking = "import sys; sys.modules['fcntl'] = None; import flask.cli; flask.cli.main()"
    done = run("-c", lacking, "init", cwd=tmp_path, env=variables(tmp_path))
    sentence = "Error: SEIDRA runs on Linux and macOS, and on Windows inside WSL only.\n"
    assert (done.returncode, done.stderr) == (1, sentence)


def test_an_account_without_a_name_migrates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container that is given some number."""

    def unknown(uid: int) -> Any:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        # Set first, so that the test's end takes away what the migration leaves.
        monkeypatch.setenv(name, "x")
        monkeypatch.delenv(name)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert init_database(Settings.load(environment(tmp_path)))


# Without a folder for temporary files, as on a read-only disk: SQLite looks in these places, as the
# last one in the working folder.
READ_ONLY = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, MS_RDONLY, MS_REMOUNT = 0x20000, 1, 32
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
def mount(source, target, flags):
    if libc.mount(source.encode(), target.encode(), None, flags, None) != 0:
        sys.exit(77)
if libc.unshare(CLONE_NEWNS) != 0:
    sys.exit(77)
mount("none", "/", MS_REC | MS_PRIVATE)
data = sys.argv[1]
mount(data, data, MS_BIND)
for folder in ("/tmp", "/var/tmp", "/usr/tmp"):
    if os.path.isdir(folder) and not data.startswith(folder + "/"):
        mount(folder, folder, MS_BIND)
        mount("none", folder, MS_REMOUNT | MS_BIND | MS_RDONLY)
parent = os.path.dirname(data)
while parent != "/" and not os.path.ismount(parent):
    parent = os.path.dirname(parent)
mount("none", parent, MS_REMOUNT | MS_BIND | MS_RDONLY)
os.chdir("/proc")
os.execv(sys.executable, [sys.executable, "-m", "flask", "init"])
"""


def test_a_read_only_root_without_a_writable_tmp(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    env = variables(data, PYTHONDONTWRITEBYTECODE="1")
    done = run("-c", READ_ONLY, str(data), cwd=tmp_path, env=env)
    if done.returncode == 77:
        pytest.skip("mounts cannot be changed here")
    assert (done.returncode, done.stderr) == (0, "")
    assert seeds(data / "seidra.db") == SEEDED


# -------------------------------------------------------------------------------------- the servers


def make_serve() -> str:
    """The program that `make serve` runs."""
    (program,) = re.findall(
        r"^SERVE := (.*?)\n\n", (ROOT / "Makefile").read_text(), re.MULTILINE | re.DOTALL
    )
    return program.replace("\\\n", "").replace("\t", "")


def test_ctrl_c_while_flask_is_imported_says_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "flask").mkdir()
    (tmp_path / "flask" / "__init__.py").touch()
    (tmp_path / "flask" / "cli.py").write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"
    )
    env = variables(tmp_path) | {"PYTHONPATH": str(tmp_path)}
    done = run("-c", make_serve(), cwd=tmp_path, env=env)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


@pytest.mark.parametrize("seconds", [0.6, 1.2, 1.8, 2.6])
def test_a_server_that_is_interrupted_while_it_starts_says_no_traceback(
    tmp_path: Path, seconds: float
) -> None:
    with FirstStart(tmp_path, "-c", make_serve()) as server:
        time.sleep(seconds)
        server.process.send_signal(signal.SIGINT)
        code = server.process.wait(120)
        assert code in (0, -signal.SIGINT, 1), server.log.read_text()
        assert "Traceback" not in server.log.read_text()


STOPPED_EARLY = """
import functools, os, signal, time
from seidra import gunicorn_settings as settings, server

def interrupted(hook):
    @functools.wraps(hook)
    def interrupt(*given):
        print("interrupted", flush=True)
        os.kill(STOPPED, signal.SIGINT)
        time.sleep(1)
        print("went on", flush=True)
        return hook(*given)
    return interrupt

settings.HOOK = interrupted(settings.HOOK)
server.Gunicorn(prog="flask serve").run()
"""


@pytest.mark.parametrize(
    ("hook", "stopped"),
    [
        # The master is told, and asks the new process to end before that has handlers.
        ("post_fork", "os.getppid()"),
        ("post_fork", "os.getpid()"),
        ("start_worker", "os.getpid()"),
    ],
)
def test_ctrl_c_is_heard_by_a_process_that_has_just_been_forked(
    tmp_path: Path, hook: str, stopped: str
) -> None:
    program = STOPPED_EARLY.replace("HOOK", hook).replace("STOPPED", stopped)
    with FirstStart(tmp_path, "-c", program, SEIDRA_WEB_WORKERS="1") as server:
        wait_for(lambda: "interrupted" in server.log.read_text(), 60)
        if stopped == "os.getpid()":
            # As Ctrl-C does it: the master gets one of its own.
            server.process.send_signal(signal.SIGINT)
        began = time.monotonic()
        code = server.process.wait(60)
        log = server.log.read_text()
        # Unheard, it would be killed after gunicorn's patience of 30 s.
        assert (code, time.monotonic() - began < 25) == (0, True), log
        assert "went on" in log
        assert "Traceback" not in log


def test_a_unix_socket_is_for_the_account_and_its_group(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as short:
        path = Path(short) / "s"
        with FirstStart(tmp_path, "-m", "flask", "serve", SEIDRA_BIND=f"unix:{path}") as server:
            said = wait_for(
                lambda: log if "administrator)\n" in (log := server.log.read_text()) else ""
            )
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
            (command,) = re.findall(r"Try it +(curl .*)", said)
            assert "/api\n" not in said
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
                client.sendall(b"GET /api/health HTTP/1.0\r\n\r\n")
                assert b'"status":"ok"' in b"".join(iter(lambda: client.recv(4096), b""))
            assert command == f"curl --unix-socket {path} http://localhost/api/health"
            server.stop()


@cache
def migrated() -> Path:
    """A folder with an instance that nobody has used; made once a process, for migrating takes a
    third of a server's start."""
    folder = Path(tempfile.mkdtemp(prefix="seidra-migrated-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    init_database(Settings.load(environment(folder)))
    return folder


class Server:
    """A server process. `calls` its API like a frontend does; `stop` ends it by its own id. Where
    its folder has no instance yet, it gets one that is migrated."""

    is_first_start = False
    """Whether it is to make its instance by itself."""

    def __init__(self, folder: Path, *command: str, **more: str) -> None:
        self.folder = folder
        instance = folder / "instance"
        elsewhere = {"SEIDRA_DATABASE_URL", "SEIDRA_DATA_DIR"} & more.keys()
        if not (self.is_first_start or ENGINE != "sqlite" or elsewhere or instance.exists()):
            shutil.copytree(migrated(), instance)
        self.port = free_port()
        self.log = folder / f"server-{self.port}.log"
        self.token = ""
        more = {"SEIDRA_BIND": f"127.0.0.1:{self.port}", "SEIDRA_LOG_LEVEL": "info", **more}
        arguments = [part.replace("PORT", str(self.port)) for part in command]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=folder,
                env=variables(folder / "instance", **more),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(60)

    def ready(self) -> Server:
        wait_for(self._answers, 180)
        return self

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.call("GET", "/api/health")[0] == 200
        except OSError:
            return False

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, bytes, dict[str, str]]:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if data else {}
        if self.token and "/api/" in path and "?" not in path:
            headers["Authorization"] = f"Bearer {self.token}"
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", data, headers, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status, answer.read(), dict(answer.headers)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read(), dict(error.headers)

    def json(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        code, text, _ = self.call(method, path, body)
        assert code == status, text
        return json.loads(text)

    def register(self) -> None:
        body = {"username": "alice", "email": "alice@example.com", "password": PASSWORD}
        setup_token = self.folder / "instance" / "setup.token"
        if setup_token.exists():
            body["setup_token"] = setup_token.read_text()
        self.token = self.json("POST", "/api/auth/register", body, 201)["access_token"]

    def login(self) -> None:
        body = {"username": "alice", "password": PASSWORD}
        self.token = self.json("POST", "/api/auth/login", body)["access_token"]

    def preview(self) -> str:
        """Make a persona and preview it; returns the job's address."""
        persona = self.json(
            "POST", "/api/personas", {"name": "Luna", "style_prompt": "moonlit ocean"}, 201
        )
        code, text, headers = self.call("POST", f"/api/personas/{persona['id']}/preview")
        assert code == 202, text
        return re.sub(r"^https?://[^/]+", "", headers["Location"])

    def picture(self, job: str) -> bytes:
        """Follow a job to its picture."""

        def finished() -> Any:
            found = self.json("GET", job)
            assert found["status"] in ("queued", "processing", "completed"), found
            return found if found["status"] == "completed" else None

        (link,) = wait_for(finished, 60)["result_images"]
        code, data, _ = self.call("GET", link)
        assert code == 200
        return data

    def stop(self, number: signal.Signals = signal.SIGTERM) -> str:
        """Ask it to end, which it must do cleanly; returns its log."""
        self.process.send_signal(number)
        code = self.process.wait(60)
        log = self.log.read_text()
        assert code == 0, log
        assert "Traceback" not in log
        return log


class FirstStart(Server):
    """A server process that begins with nothing."""

    is_first_start = True


PNG, WEBP = b"\x89PNG", b"RIFF"


def test_gunicorn_serves_a_preview_stops_cleanly_and_starts_again(tmp_path: Path) -> None:
    with FirstStart(tmp_path, *GUNICORN) as server:
        server.ready().register()
        job = server.preview()
        assert server.picture(job)[:4] in (PNG, WEBP)
        log = server.stop()
        assert "SEIDRA is ready." in log
        assert log.count('"worker started"') == log.count('"worker stopped"') == 2
    with Server(tmp_path, *GUNICORN) as server:
        server.ready().login()
        assert server.picture(job)[:4] in (PNG, WEBP)
        assert server.picture(server.preview())[:4] in (PNG, WEBP)
        server.stop()
    # Whether the write-ahead log is folded in at the exit is a matter of which thread's connection
    # closes last; the next to open the database reads it. What counts is that the database is whole
    # with it.
    with closing(sqlite3.connect(tmp_path / "instance" / "seidra.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute(
            "SELECT status, COUNT(*) FROM generation_jobs GROUP BY status"
        ).fetchall() == [("completed", 2)]


def test_without_embedded_workers_jobs_wait_for_a_worker_process(tmp_path: Path) -> None:
    with Server(
        tmp_path, *GUNICORN, SEIDRA_EMBEDDED_WORKER="false", SEIDRA_WEB_WORKERS="1"
    ) as server:
        server.ready().register()
        job = server.preview()
        assert server.json("GET", job)["status"] == "queued"
        with Server(tmp_path, "-m", "flask", "worker", SEIDRA_EMBEDDED_WORKER="false") as worker:
            assert server.picture(job)[:4] in (PNG, WEBP)
            assert server.json("GET", job)["attempts"] == 1
            said = worker.stop()
        assert said.count('"worker started"') == said.count('"worker stopped"') == 1
        # The server never had one: the queue was not just slow.
        assert "worker started" not in server.stop()


def test_flask_run_works_off_jobs_too(tmp_path: Path) -> None:
    with FirstStart(tmp_path, "-m", "flask", "run", "--port", "PORT") as server:
        server.ready().register()
        assert server.picture(server.preview())[:4] in (PNG, WEBP)
        log = server.stop(signal.SIGINT)
        assert log.count('"worker started"') == log.count('"worker stopped"') == 1
