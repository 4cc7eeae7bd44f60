"""`flask db rollback`: what the SQL of a migration cannot undo is undone before it."""

from __future__ import annotations

from contextlib import closing

from seidra.config import Settings
from seidra.database import migrate, open_database
from seidra.database.base import Database
from seidra.database.queries import queries
from seidra.errors import StartError
from seidra.files.keys import SIZES, ZIP, derived_key, plain_key
from seidra.files.local import LocalFiles
from seidra.media.chores import delete_files
from seidra.values import timestamp_in

_FILE_KEYS = "0018."
"""The migration that gave files their keys; its SQL cannot rename them."""

_REAL_PRESETS = "0019."
"""The migration that gave personas longer texts; its SQL can only refuse."""

_SIZES = "0024."
"""The migration since which pictures have other sizes than that of the thumbnail, and a trash."""

_EXPORTS = "0031."
"""The migration since which there are exports, whose keys the version before cannot read."""

_THUMBNAIL = 320
"""The one size that there was before."""

_BATCH = 200


def count_after(settings: Settings, step: str) -> int:
    """How many of the applied migrations came after this one, named by its id or its number.

    Raises StartError unless it is applied.
    """
    applied = [known.id for known in migrate.list_migrations(settings) if known.applied]
    for place, id in enumerate(applied, 1):
        if step in (id, id.partition(".")[0]):
            return len(applied) - place
    raise StartError(f"There is no applied migration {step}.")


def rollback(settings: Settings, count: int | None = 1) -> list[str]:
    """Undo the last `count` migrations (None: all), with their data; returns their ids. Raises
    StartError, before anything is done, where texts would not fit."""
    with migrate.start_lock(settings):
        steps = migrate.list_migrations(settings)
        applied = [step.id for step in steps if step.applied]
        undone = tuple(id[:5] for id in applied[::-1][:count])
        missing = 0
        if _REAL_PRESETS in undone:
            with closing(open_database(settings)) as database:
                _check_texts_fit(database)
        if not {_FILE_KEYS, _SIZES, _EXPORTS}.isdisjoint(undone):
            # The statements below are those of the newest schema: a way back in several steps makes
            # it again first.
            missing = len(steps) - len(applied)
            migrate.apply_migrations(settings)
            files = LocalFiles(settings)
            with closing(open_database(settings)) as database:
                if _EXPORTS in undone:
                    drop_exports(database, files)
                if _SIZES in undone:
                    drop_trash(database)
                    drop_sizes(files)
                if _FILE_KEYS in undone:
                    drop_imports(database)
                    give_plain_names(database, files)
        every = None if count is None else count + missing
        return migrate.undo_migrations(settings, every)[missing:]


def _check_texts_fit(database: Database) -> None:
    too_long = queries.operations.personas_too_long(database.connection)
    if too_long:
        raise StartError(
            f"{too_long} of the personas do not fit into the version before: it has descriptions of"
            " at most 500 characters, and prompts of at most 1,000 with a style in each. Shorten"
            " these first; nothing has been changed."
        )


def drop_trash(database: Database) -> None:
    """Delete what lies in the trash for ever; triggers queue the files."""
    deleted = _BATCH
    while deleted == _BATCH:
        with database.transaction() as tx:
            # Before every moment there is.
            deleted = queries.trash.purge_before(tx, before="~", limit=_BATCH)


def drop_exports(database: Database, files: LocalFiles) -> None:
    """Delete all exports and their files."""
    with database.transaction() as tx:
        queries.operations.exports_drop(tx)
    files.delete([key for key in files.keys() if key.endswith(ZIP)])  # noqa: SIM118


def drop_imports(database: Database) -> None:
    """Delete all imports; triggers queue the files of pictures that became no items."""
    with database.transaction() as tx:
        queries.operations.imports_drop(tx)


def drop_sizes(files: LocalFiles) -> None:
    """Delete the derived pictures whose sizes the version before does not know."""
    for size in SIZES:
        if size != _THUMBNAIL:
            ending = derived_key("", size)
            files.delete([key for key in files.keys() if key.endswith(ending)])  # noqa: SIM118


def give_plain_names(database: Database, files: LocalFiles) -> None:
    """Call every file as 0.1 does, by its item alone, and delete those that are to go. The server
    must be stopped. Safe to repeat: at each moment every row's file is there under its key."""
    after = ""
    while batch := queries.operations.media_after(database.connection, after=after, limit=_BATCH):
        after = batch[-1]["id"]
        keyed = [row for row in batch if row["file_key"] is not None]
        for row in keyed:
            key, name = row["file_key"], plain_key(row["id"], row["mime_type"])
            files.add_name(key, name)
            files.add_name(derived_key(key, _THUMBNAIL), derived_key(name, _THUMBNAIL))
        with database.transaction() as tx:
            queries.operations.media_unname(tx, [{"id": row["id"]} for row in keyed])
            queries.media.condemn(tx, [{"key": row["file_key"]} for row in keyed])
    with database.transaction() as tx:
        # Also the files of announcements: nobody puts one any more.
        moment = timestamp_in(0)
        queries.media.announcements_condemn(tx, now=moment, horizon=moment)
    while delete_files(database, files):
        pass
