"""What must be well for SEIDRA to work, said in sentences by `flask doctor`."""

from __future__ import annotations

import logging
import os
import pwd
import shutil
import stat
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from limits.errors import ConfigurationError
from limits.storage import storage_from_string

from seidra import engines
from seidra.auth import first_account
from seidra.config import PACKAGE_DIR, Settings, settings_file
from seidra.database import migrate, open_database
from seidra.database.base import Database, required_row
from seidra.database.queries import queries
from seidra.errors import Problem, StartError
from seidra.files import open_files
from seidra.jobs.presence import SILENCE_SECONDS
from seidra.operations.copies import copied_database
from seidra.operations.media import MediaCheck
from seidra.operations.readiness import schema_problem, unwritable_folders
from seidra.start import search_texts
from seidra.values import timestamp, timestamp_in

OK, WARN, FAIL = "ok", "warn", "fail"
_LITTLE, _TOO_LITTLE = 1 << 30, 100 << 20
"""Free bytes below which the disk is a worry, and a failure."""
_PATIENCE = 600.0
"""Seconds after which a job that still waits for a worker is stuck."""
_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "afs", "lustre", "gfs2", "ocfs2"}
_NETWORK |= {"fuse.sshfs", "fuse.glusterfs", "fuse.s3fs", "fuse.rclone", "fuse.cephfs", "drvfs"}
"""File systems, as Linux calls them, whose files other machines hold: SQLite's locks and shared
memory are not safe there."""

_CLOCK_SECONDS, _CLOCK_LIMIT = 30.0, 600.0
"""How far apart the clocks of a bucket and of this machine may be: a worry, and a failure."""

_log = logging.getLogger(__name__)


def file_system(folder: Path, mounts: Path = Path("/proc/self/mounts")) -> str:
    """What kind of file system a folder lies on, as Linux calls it; empty where nobody can say."""
    try:
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    kind, deepest = "", -1
    for line in lines:
        # Blanks in a path are written as octal numbers; the last of equal ones lies on top.
        _, point, found, *_ = line.split(" ")
        path = Path(point.replace("\\040", " "))
        if folder.resolve().is_relative_to(path) and len(path.parts) >= deepest:
            kind, deepest = found, len(path.parts)
    return kind


def free_bytes(folder: Path) -> int:
    """How many bytes may still be written into a folder, which need not be there yet."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


# --------------------------------------------------------------------------------------- the doctor


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: ok, warn or fail, what was seen, and what to do about it."""

    name: str
    state: str
    seen: str
    advice: str = ""


def examine(settings: Settings, *, whole: bool = True) -> Iterator[Check]:
    """Every check, one after another; it changes nothing. Without a usable schema the database's
    are left out, and unless it is to be `whole`, those that read everything that is stored."""
    database = open_database(settings)
    yield _version()
    yield _engine(settings, database.product)
    yield _settings(settings)
    yield _secrets(settings)
    if settings.rate_limits and settings.rate_storage != "memory://":
        yield _redis(settings)
    if settings.media_url is not None:
        yield _bucket(settings)
        if settings.rate_limits and settings.rate_storage == "memory://":
            yield Check(
                "rates",
                WARN,
                "Each server process counts requests for itself.",
                "With more than one node, set SEIDRA_RATE_STORAGE to a Redis.",
            )
    yield _folders(settings)
    yield _disk(settings)
    if (problem := schema_problem(settings)) is not None:
        yield Check(
            "schema",
            FAIL,
            problem,
            "Run `flask init` with the version of SEIDRA that is to serve it.",
        )
        return
    yield Check("schema", OK, "The database has just this version's migrations.")
    with closing(database):
        for name, check in _database_checks(settings).items():
            if name in _LONG_CHECKS and not whole:
                continue
            try:
                yield check(settings, database)
            except (database.errors, StartError, Problem, OSError) as error:
                reason = str(getattr(error, "detail", error)).rstrip(".")
                yield Check(
                    name,
                    FAIL,
                    f"It cannot be checked: {reason}.",
                    "If it stays so, restore a backup.",
                )


def _version() -> Check:
    python = sys.version.partition(" ")[0]
    return Check("version", OK, f"SEIDRA {version('seidra')} in {PACKAGE_DIR}, Python {python}.")


_ENGINE_ADVICE = "Correct SEIDRA_ENGINE, or the file that SEIDRA_ENGINES names."


def _engine(settings: Settings, product: str) -> Check:
    try:
        migrate.check_version(settings)
    except StartError as error:
        return Check(settings.database_engine, FAIL, error.message, "Install a newer one.")
    return Check(settings.database_engine, OK, f"{product}.")


def _settings(settings: Settings) -> Check:
    try:
        setup = engines.check_setup(settings)
    except StartError as error:
        return Check("settings", FAIL, error.message, _ENGINE_ADVICE)
    if settings.public_url and settings.registration == "open":
        return Check(
            "settings",
            WARN,
            f"Anybody who reaches {settings.public_url} may make an account.",
            "Set SEIDRA_REGISTRATION=closed if that is not meant.",
        )
    if settings.public_url and not settings.trusted_proxies:
        return Check(
            "settings",
            WARN,
            "There is a public address, but no trusted proxy.",
            "Set SEIDRA_TRUSTED_PROXIES=1 behind a reverse proxy.",
        )
    if settings.access_token_seconds > settings.refresh_token_seconds:
        return Check(
            "settings",
            WARN,
            "Access tokens outlive refresh tokens.",
            "Lower SEIDRA_ACCESS_TOKEN_SECONDS.",
        )
    if setup.warnings:
        return Check("settings", WARN, setup.warnings[0], "Close the file to others.")
    source = settings_file() or "the environment alone"
    return Check(
        "settings",
        OK,
        f"Every setting is valid, read from {source}; the engine is {setup.default}.",
    )


def _secrets(settings: Settings) -> Check:
    # The database's own folder, else that of the files: whose it is, runs the server.
    path, database = settings.data_dir, []
    if settings.database_engine == "sqlite":
        path = settings.database_path
        database = [path, path.with_name(f"{path.name}-wal")]
    secret = [
        *database,
        settings.data_dir / "jwt.secret",
        first_account.token_file(settings),
        settings_file(),
    ]
    found = [(file, file.stat()) for file in secret if file is not None and file.exists()]
    # A file that another account owns would be closed to the server by a mode alone.
    server = path.stat().st_uid if path.exists() else os.geteuid()
    for file, state in found:
        if state.st_mode & 0o077:
            own = "" if state.st_uid == server else f"chown {_account_name(server)} {file} && "
            return Check(
                "secrets",
                FAIL,
                f"Others may open {file} (mode {stat.S_IMODE(state.st_mode):04o}).",
                f"Run `{own}chmod 600 {file}`.",
            )
    return Check("secrets", OK, f"{len(found)} files with secrets are their owner's alone.")


def _account_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _redis(settings: Settings) -> Check:
    try:
        answers = storage_from_string(
            settings.rate_storage, socket_timeout=1, socket_connect_timeout=1
        ).check()
    except (ConfigurationError, ValueError):
        return Check(
            "redis", FAIL, "There is no client for Redis.", "Run `pip install 'seidra[redis]'`."
        )
    if not answers:
        return Check(
            "redis",
            FAIL,
            "Redis does not answer: each server process counts requests for itself.",
            "Start it, or correct SEIDRA_RATE_STORAGE.",
        )
    return Check("redis", OK, "Redis answers.")


def _folders(settings: Settings) -> Check:
    if closed := unwritable_folders(settings.runtime_folders()):
        return Check(
            "folders",
            FAIL,
            f"The folder {closed[0]} is missing or cannot be written.",
            "Run `flask init`, or give it to the account that the server runs as.",
        )
    if settings.media_url is None:
        try:
            open_files(settings).check()
        except StartError as error:
            return Check("folders", FAIL, error.message, "Move SEIDRA_TMP_DIR.")
    return Check("folders", OK, f"{len(set(settings.runtime_folders()))} folders can be written.")


def _bucket(settings: Settings) -> Check:
    """Whether the bucket is there, lists, takes and gives; and whether its clock is ours, for what
    is signed is refused by another one."""
    try:
        files = open_files(settings)
        files.check()
        began = time.time()
        put_at = files.try_writing()
        ended = time.time()
    except StartError as error:
        return Check("bucket", FAIL, error.message, "See docs/scaling.md.")
    except Problem:
        return Check(
            "bucket",
            FAIL,
            "The bucket lists what it has, but cannot be written, read or deleted from.",
            "Allow PutObject, GetObject and DeleteObject below the prefix.",
        )
    # Whole seconds are all that it tells.
    off = max(began - 1 - put_at, put_at - ended, 0.0)
    if off > _CLOCK_SECONDS:
        return Check(
            "bucket",
            FAIL if off > _CLOCK_LIMIT else WARN,
            f"The bucket's clock and ours are {off:.0f} s apart.",
            "Set the clocks; from 15 minutes on, what is signed is refused.",
        )
    return Check("bucket", OK, "The bucket lists, takes, gives and deletes.")


def _disk(settings: Settings) -> Check:
    free, folder = min((free_bytes(folder), str(folder)) for folder in settings.runtime_folders())
    seen = f"{free / 1e9:.1f} GB are free for {folder}."
    if (
        settings.database_engine == "sqlite"
        and (kind := file_system(settings.database_path.parent)) in _NETWORK
    ):
        return Check(
            "disk",
            FAIL,
            f"The database lies on a network file system ({kind}), where SQLite may lose data.",
            "Move it to a disk of this machine.",
        )
    if free < _LITTLE:
        return Check(
            "disk", FAIL if free < _TOO_LITTLE else WARN, seen, "Make room, or move the folder."
        )
    return Check("disk", OK, seen)


def _integrity(settings: Settings, database: Database) -> Check:
    wrong = [
        row["message"]
        for row in queries.operations.quick_integrity(database.connection)
        if row["message"] != "ok"
    ]
    if wrong:
        return Check(
            "integrity", FAIL, f"The database is damaged: {wrong[0]}.", "Restore a backup."
        )
    return Check("integrity", OK, "The database file is sound.")


def _foreign_keys(settings: Settings, database: Database) -> Check:
    if dangling := queries.operations.dangling(database.connection):
        return Check(
            "references",
            FAIL,
            f"{dangling} rows refer to what does not exist.",
            "Restore a backup.",
        )
    return Check("references", OK, "Every reference has its row.")


def _counters(settings: Settings, database: Database) -> Check:
    wrong = [
        f"{count} of {name}"
        for name, count in dict(
            required_row(queries.operations.wrong_counts(database.connection))
        ).items()
        if count
    ]
    if wrong:
        return Check(
            "counters",
            FAIL,
            f"Counters differ from what they count: {', '.join(wrong)}.",
            "Restore a backup; totals in lists are wrong until then.",
        )
    return Check("counters", OK, "Every counter agrees with what it counts.")


def _search(settings: Settings, database: Database) -> Check:
    with copied_database(settings, database) as copy:
        wrong = search_texts.check_texts(copy)
    if wrong:
        return Check("search", FAIL, " ".join(wrong), "Run `flask search rebuild`.")
    return Check("search", OK, "The search index agrees with its table.")


def _media(settings: Settings, database: Database) -> Check:
    check = MediaCheck(settings, database)
    counts = Counter(finding.kind for finding in check.find())
    if counts:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
        state = FAIL if set(counts) - {"leftover", "stranger"} else WARN
        seen = f"Of {check.items} items and {check.files} files: {kinds}."
        return Check("media", state, seen, "Run `flask media check`.")
    return Check("media", OK, f"{check.items} items and {check.files} files agree.")


def _jobs(settings: Settings, database: Database) -> Check:
    now, before = timestamp(), timestamp_in(-_PATIENCE)
    row = required_row(queries.operations.overdue_jobs(database.connection, now=now, before=before))
    if row["waiting"]:
        return Check(
            "jobs",
            FAIL,
            f"{row['waiting']} jobs have waited for a worker for more than ten minutes.",
            "See that a server with SEIDRA_EMBEDDED_WORKER=true or `flask worker` runs.",
        )
    return Check("jobs", OK, f"No job is stuck; workers hold {row['working']}.")


def _workers(settings: Settings, database: Database) -> Check:
    rows, since = queries.workers.list_all(database.connection), timestamp_in(-SILENCE_SECONDS)
    alive = [row for row in rows if row["seen_at"] >= since]
    if not alive:
        return Check(
            "workers",
            WARN,
            "No worker has given a sign of life in the last minute.",
            "Start the server, or `flask worker`; jobs wait until then.",
        )
    return Check("workers", OK, f"{len(alive)} workers are at work.")


def _engines(settings: Settings, database: Database) -> Check:
    try:
        setup = engines.read_setup(settings)
    except StartError:
        return Check("engines", OK, "Which there are is to be told once the settings are right.")
    known = {row["name"]: row for row in queries.engines.list_all(database.connection)}
    for name in setup.engines:
        row = known.get(name)
        if row is not None and row["unreachable_since"] is not None:
            return Check(
                "engines",
                WARN,
                f"{name} has not answered since {row['unreachable_since'][:16]}: {row['message']}",
                f"See that it runs; `flask engines check {name}` asks it now.",
            )
    return Check("engines", OK, f"There is {', '.join(setup.engines)}.")


def _database_checks(settings: Settings) -> dict[str, Callable[[Settings, Database], Check]]:
    if settings.database_engine == "sqlite":
        return _DATABASE_CHECKS
    return {"server": _server, **_DATABASE_CHECKS}


def _server(settings: Settings, database: Database) -> Check:
    """Whether the server and the database are such as SEIDRA needs."""
    server = database.server()
    if server is None:
        return Check("server", OK, "There is none.")
    if server.faults:
        return Check("server", FAIL, " ".join(server.faults), "See docs/scaling.md.")
    if server.worries:
        return Check(
            "server",
            WARN,
            " ".join(server.worries),
            "Copy it into a database with --locale C.UTF-8 (docs/scaling.md).",
        )
    return Check("server", OK, server.seen)


_DATABASE_CHECKS: dict[str, Callable[[Settings, Database], Check]] = {
    "integrity": _integrity,
    "references": _foreign_keys,
    "counters": _counters,
    "search": _search,
    "media": _media,
    "jobs": _jobs,
    "workers": _workers,
    "engines": _engines,
}
_LONG_CHECKS = {"integrity", "references", "counters", "search", "media"}
"""Those that take the longer, the more there is."""
