"""The schema: yoyo applies the migrations of the database's engine, one process at a time, each
migration together with its mark.

Each engine has a `migrate.py` in its folder with what differs: how it locks, what it reads and how
yoyo gets at it.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import yoyo

from seidra.config import Settings, ensure_runtime_directories
from seidra.errors import StartError


class OneTransaction:
    """What makes a backend of yoyo safe from a kill: a migration and its mark are one transaction.

    yoyo commits them apart, and a kill between the two sticks for ever ("table already exists").
    """

    def get_log_data(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Who migrates, which yoyo notes."""
        # It asks for the account's name; in a container it may have none.
        try:
            getpass.getuser()
        except (KeyError, OSError):
            os.environ["LOGNAME"] = str(os.getuid())
        found: dict[str, Any] = super().get_log_data(*args, **kwargs)  # type: ignore[misc]
        return found

    def apply_one(self: Any, migration: Any, force: bool = False, mark: bool = True) -> None:
        """Apply a migration and mark it."""
        self.ensure_internal_schema_updated()
        with self.transaction():
            migration.process_steps(self, "apply", force=force)
            self.mark_one(migration)

    def rollback_one(self: Any, migration: Any, force: bool = False) -> None:
        """Undo a migration and take its mark away."""
        self.ensure_internal_schema_updated()
        with self.transaction():
            migration.process_steps(self, "rollback", force=force)
            self.unmark_one(migration)


@dataclass(frozen=True)
class Status:
    """One migration, whether it is applied, and whether this version knows it."""

    id: str
    applied: bool
    known: bool = True


class Engine(Protocol):
    """What an engine's `migrate.py` gives."""

    NEWER_SERVES: bool
    """Whether this version also serves on what a newer one has migrated: migrations only add, so
    that a node may be older than another for a while."""

    def folder(self) -> Path:
        """Where its migrations are."""
        ...

    def check_version(self) -> None:
        """Raise StartError for a library that is too old for the schema."""
        ...

    def start_lock(self, settings: Settings) -> AbstractContextManager[None]:
        """Let one process at a time migrate and seed; that of one that is killed is free."""
        ...

    def applied_ids(self, settings: Settings) -> set[str]:
        """The ids that the database has, read without changing it; none when there is no database.

        Raises StartError for what is no database.
        """
        ...

    def is_locked(self, settings: Settings) -> bool:
        """Whether a killed process left its row in yoyo's lock table, or there is no such table.

        Raises StartError for a database that cannot be written.
        """
        ...

    def open_backend(self, settings: Settings) -> AbstractContextManager[Any]:
        """yoyo's backend, on a database that is fit for it. Raises StartError for one that is
        not."""
        ...


def engine_of(settings: Settings) -> Engine:
    """The engine of the database that SEIDRA_DATABASE_URL names."""
    if settings.database_engine == "sqlite":
        from seidra.database.sqlite import migrate as sqlite

        return sqlite
    from seidra.database import need_driver

    need_driver()
    from seidra.database.postgresql import migrate as postgresql

    return postgresql


def check_version(settings: Settings) -> None:
    """Raise StartError for a library that is too old for the schema."""
    engine_of(settings).check_version()


def start_lock(settings: Settings) -> AbstractContextManager[None]:
    """Let one process at a time migrate and seed; that of one that is killed is free."""
    return engine_of(settings).start_lock(settings)


def apply_migrations(settings: Settings, wanted: Collection[str] | None = None) -> list[str]:
    """Apply what is missing, or what is `wanted` of it; returns the ids applied. The caller holds
    `start_lock`."""
    engine = engine_of(settings)
    engine.check_version()
    steps = list_migrations(settings)
    _check_known(settings, steps)
    if all(step.applied for step in steps) and not engine.is_locked(settings):
        # As nearly every start finds it: yoyo would parse every migration to apply none.
        ensure_runtime_directories(settings)
        return []
    with engine.open_backend(settings) as backend:
        pending = backend.to_apply(_read(engine))
        if wanted is not None:
            pending = pending.filter(lambda migration: migration.id in wanted)
        backend.apply_migrations(pending)
        return [migration.id for migration in pending]


def undo_migrations(settings: Settings, count: int | None = 1) -> list[str]:
    """Undo the last `count` migrations (None: all), with their data; returns their ids. Needs
    `start_lock`."""
    engine = engine_of(settings)
    engine.check_version()
    # What this version does not know it cannot undo, and what came before not without it.
    _check_known(settings, list_migrations(settings), serving=False)
    with engine.open_backend(settings) as backend:
        applied = list(backend.to_rollback(_read(engine)))[:count]
        backend.rollback_migrations(applied)
        return [migration.id for migration in applied]


def list_migrations(settings: Settings) -> list[Status]:
    """Every migration in order. A database that does not exist yet has none applied (and is not
    made)."""
    engine = engine_of(settings)
    known, applied = _known_ids(engine.folder()), engine.applied_ids(settings)
    return [Status(id, id in applied, id in known) for id in sorted(applied | set(known))]


def check_current(settings: Settings) -> None:
    """Raise StartError unless the database has this version's migrations, and no other ones that
    it cannot serve with."""
    steps = list_migrations(settings)
    _check_known(settings, steps)
    if not all(step.applied for step in steps):
        raise StartError(
            f"The database {settings.database_place} is not up to date: run `flask init` first."
        )


def _check_known(settings: Settings, steps: list[Status], *, serving: bool = True) -> None:
    newer = [step.id for step in steps if not step.known]
    if newer and not (serving and engine_of(settings).NEWER_SERVES):
        raise StartError(
            f"The database {settings.database_place} is from a newer version of SEIDRA: it has the "
            f"migration {newer[-1]}."
        )


def _known_ids(folder: Path) -> list[str]:
    ids = sorted(p.stem for p in folder.glob("*.sql") if not p.name.endswith(".rollback.sql"))
    if not ids:
        raise StartError(f"There are no migrations in {folder}: the installation is incomplete.")
    return ids


def _read(engine: Engine) -> Any:
    return yoyo.read_migrations(str(engine.folder()))
