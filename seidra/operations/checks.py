"""What must be well for SEIDRA to work, said in sentences by `flask doctor`."""

from __future__ import annotations

import logging
import shutil
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from seidra import engines
from seidra.config import Settings
from seidra.database import open_database
from seidra.database.base import Database, required_row
from seidra.database.queries import queries
from seidra.database.sqlite import migrate
from seidra.errors import Problem, StartError
from seidra.files.local import LocalFiles
from seidra.operations.media import MediaCheck
from seidra.platform.readiness import schema_problem, unwritable_folders
from seidra.start import search_texts
from seidra.values import timestamp, timestamp_in

OK, WARN, FAIL = "ok", "warn", "fail"
_LITTLE, _TOO_LITTLE = 1 << 30, 100 << 20
"""Free bytes below which the disk is a worry, and a failure."""
_PATIENCE = 600.0
"""Seconds after which a job that still waits for a worker is stuck."""
_SILENCE = 60.0
"""Seconds after which a worker without a sign of life is taken for gone."""

_log = logging.getLogger(__name__)


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


def examine(settings: Settings) -> Iterator[Check]:
    """Every check, one after another; it changes nothing. Without a usable schema the database's
    are left out."""
    database = open_database(settings)
    yield _sqlite(database.product)
    yield _settings(settings)
    yield _secrets(settings)
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
        for name, check in _DATABASE_CHECKS.items():
            try:
                yield check(settings, database)
            except (database.errors, Problem, OSError) as error:
                reason = str(getattr(error, "detail", error)).rstrip(".")
                yield Check(
                    name,
                    FAIL,
                    f"It cannot be checked: {reason}.",
                    "If it stays so, restore a backup.",
                )


_ENGINE_ADVICE = "Correct SEIDRA_ENGINE, or the file that SEIDRA_ENGINES names."


def _sqlite(product: str) -> Check:
    try:
        migrate.check_version()
    except StartError as error:
        return Check("sqlite", FAIL, error.message, "Install a newer one.")
    return Check("sqlite", OK, f"{product}.")


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
    return Check("settings", OK, f"Every setting is valid; the engine is {setup.default}.")


def _secrets(settings: Settings) -> Check:
    path = settings.database_path
    secret = [
        path,
        path.with_name(f"{path.name}-wal"),
        settings.data_dir / "jwt.secret",
        Path(".env").absolute(),
    ]
    found = [(file, stat.S_IMODE(file.stat().st_mode)) for file in secret if file.exists()]
    for file, mode in found:
        if mode & 0o077:
            return Check(
                "secrets",
                FAIL,
                f"Others may open {file} (mode {mode:04o}).",
                f"Run `chmod 600 {file}`.",
            )
    return Check("secrets", OK, f"{len(found)} files with secrets are their owner's alone.")


def _folders(settings: Settings) -> Check:
    if closed := unwritable_folders(settings.runtime_folders()):
        return Check(
            "folders",
            FAIL,
            f"The folder {closed[0]} is missing or cannot be written.",
            "Run `flask init`, or give it to the account that the server runs as.",
        )
    try:
        LocalFiles(settings).check()
    except StartError as error:
        return Check("folders", FAIL, error.message, "Move SEIDRA_TMP_DIR.")
    return Check("folders", OK, f"{len(set(settings.runtime_folders()))} folders can be written.")


def _disk(settings: Settings) -> Check:
    free, folder = min((free_bytes(folder), str(folder)) for folder in settings.runtime_folders())
    seen = f"{free / 1e9:.1f} GB are free for {folder}."
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
    if wrong := search_texts.check_texts(database):
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
    rows, since = queries.workers.list_all(database.connection), timestamp_in(-_SILENCE)
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
