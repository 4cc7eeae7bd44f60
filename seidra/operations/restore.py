"""`flask restore`: an archive of `flask backup` into an empty place.

The archive is read twice: first all of it is verified and nothing is written, then it is unpacked,
verified again, beside the places where things go. What can fail comes before the renames; the last
of them, the database's, makes the instance.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seidra.config import Settings, ensure_runtime_directories
from seidra.database import migrate, move, open_database
from seidra.database.queries import queries
from seidra.errors import Problem, StartError
from seidra.files import open_files
from seidra.files.base import Files
from seidra.files.local import sync_folder
from seidra.files.temporary import private
from seidra.media.keys import row_key
from seidra.operations.archive import CHUNK, DATABASE, Damaged, Progress, Reader
from seidra.operations.checks import free_bytes
from seidra.start import search_texts

_BATCH = 500


@dataclass(frozen=True)
class Restored:
    """What came back: how many pictures, items whose picture is not in the archive, migrations
    applied now."""

    media: int
    lost: int
    applied: int


@contextmanager
def opened(path: Path) -> Iterator[Reader]:
    """The archive, read as far as its manifest. Raises StartError for what is no whole archive of
    ours."""
    try:
        with open(path, "rb") as file, open(path, "rb") as lines:
            yield Reader(file, lines)
    except OSError as error:
        raise StartError(f"The archive {path} cannot be read: {error.strerror or error}.") from None


def check_place(settings: Settings) -> None:
    """Raise StartError unless there is neither a database nor a picture where things will go."""
    if settings.database_engine == "sqlite":
        path = settings.database_path
        for name in (path, path.with_name(f"{path.name}-wal")):
            if name.exists():
                raise StartError(
                    f"There is a database {path} already; restore into an empty place."
                )
    else:
        move.check_empty(settings)
    try:
        if not open_files(settings).is_empty():
            where = settings.media_dir if settings.media_url is None else "the bucket"
            raise StartError(f"There are files in {where} already; restore into an empty place.")
    except OSError as error:
        raise StartError(
            f"The folder {settings.media_dir} cannot be read: {error.strerror}."
        ) from None


def check_archive(settings: Settings, reader: Reader, progress: Progress) -> None:
    """Verify everything and write nothing. Raises StartError for what is damaged, newer, or too
    large for the disk."""
    # The archive's database is a file of SQLite, whichever engine it came from or goes to.
    staged = settings.with_database(_staged(settings))
    known = {step.id for step in migrate.list_migrations(staged)}
    newer = [id for id in reader.about["migrations"] if id not in known]
    if newer:
        raise StartError(
            f"The archive is from a newer version of SEIDRA: it has the migration {newer[-1]}."
        )
    needed = reader.about["bytes"] + reader.about["database"]["size"]
    # What goes into a bucket is unpacked here first.
    pictures = settings.media_dir if settings.media_url is None else settings.tmp_dir
    for folder in (pictures, _staged(settings).parent):
        if (free := free_bytes(folder)) < needed:
            raise StartError(
                f"There are {free:,} bytes free for {folder}; the archive needs {needed:,}."
            )
    databases = 0
    for member, checksum in reader.members():
        databases += member.name == DATABASE
        reader.read(member, checksum, lambda chunk: None, progress)
    if databases != 1:
        raise Damaged("The archive is no backup of SEIDRA: it holds no database.")


def restore(settings: Settings, reader: Reader, progress: Progress) -> Restored:
    """Unpack a checked archive, bring its database up to date, end its sessions, and put all in
    place."""
    with migrate.start_lock(settings):
        # Again: a server may have started in between. From here on, one that starts waits.
        check_place(settings)
        ensure_runtime_directories(settings)
        open_files(settings).check()
        staged = _staged(settings)
        folder = Path(tempfile.mkdtemp(prefix="restore-", dir=settings.tmp_dir))
        try:
            media = _unpack(reader, folder, staged, open_files(settings), progress)
            applied = len(_prepare_database(settings.with_database(staged)))
            lost = _lost(settings.with_database(staged), folder / "media")
            _put_in_place(settings, folder / "media", staged)
        except open_database(settings.with_database(staged)).errors as error:
            raise Damaged(f"The database in the archive is damaged: {error}.") from None
        except OSError as error:
            raise StartError(
                f"The archive cannot be unpacked: {error.strerror or error}."
            ) from None
        except Problem as problem:
            raise StartError(problem.detail) from None
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            for end in ("", "-wal", "-shm", "-journal"):
                staged.with_name(staged.name + end).unlink(missing_ok=True)
    return Restored(media, lost, applied)


def _staged(settings: Settings) -> Path:
    """Where the archive's database is made ready: beside its place, for a rename, or where it is
    copied from."""
    if settings.database_engine == "sqlite":
        return settings.database_path.with_name(f".{settings.database_path.name}.restored")
    return settings.tmp_dir / "seidra.db.restored"


def _unpack(reader: Reader, folder: Path, staged: Path, files: Files, progress: Progress) -> int:
    """Unpack the pictures under `folder` and the database to `staged`; returns how many
    pictures."""
    (folder / "media").mkdir(mode=0o700)
    count = 0
    for member, checksum in reader.members():
        # Names have one of two shapes, without dots between slashes, and nothing is opened that
        # exists.
        path = folder / member.name
        if not path.parent.exists():
            path.parent.mkdir(mode=0o700)
            files.grant(path.parent)
        with open(path, "xb", opener=private) as file:
            reader.read(member, checksum, file.write, progress)
        if member.name != DATABASE:
            files.grant(path)
            count += 1
    _unpack_database(folder / DATABASE, staged, reader.about["database"])
    return count


def _unpack_database(packed: Path, staged: Path, about: dict[str, Any]) -> None:
    staged.unlink(missing_ok=True)
    digest, size = hashlib.sha256(), 0
    try:
        with gzip.open(packed) as source, open(staged, "xb", opener=private) as target:
            # Never more than was announced, whatever it unpacks to.
            while size <= about["size"] and (chunk := source.read(CHUNK)):
                digest.update(chunk)
                size += len(chunk)
                target.write(chunk)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        size = -1
    if size != about["size"] or digest.hexdigest() != about.get("sha256"):
        raise Damaged(
            "The archive is damaged: its database has not the bytes that its manifest says."
        )


def _prepare_database(settings: Settings) -> list[str]:
    """Check the unpacked database, migrate it to head, end all sessions, mend the search index."""
    database = open_database(settings)
    with closing(database):
        wrong = [
            row["message"]
            for row in queries.operations.integrity(database.connection)
            if row["message"] != "ok"
        ]
        dangling = queries.operations.dangling(database.connection)
    if wrong or dangling:
        reason = wrong[0] if wrong else f"{dangling} rows refer to what does not exist"
        raise Damaged(f"The database in the archive is damaged: {reason}.")
    _check_schema(settings)
    applied = migrate.apply_migrations(settings)
    with closing(database):
        differs = search_texts.check_texts(database)
        with database.transaction() as tx:
            queries.operations.sessions_end(tx)
            queries.operations.api_keys_end(tx)
            queries.operations.password_links_end(tx)
            queries.operations.share_links_end(tx)
            queries.operations.invitations_end(tx)
            if differs:
                search_texts.rebuild_texts(tx)
    return applied


def _check_schema(settings: Settings) -> None:
    """Raise Damaged for a table, view, index or trigger that SEIDRA's migrations did not make: a
    foreign trigger would go on to write in everybody's name."""
    path = settings.database_path
    migrations = [step.id for step in migrate.list_migrations(settings) if step.applied]
    with tempfile.TemporaryDirectory(prefix="restore-", dir=settings.tmp_dir) as folder:
        model = settings.with_database(Path(folder) / path.name)
        migrate.apply_migrations(model, migrations)
        ours = _schema_parts(model)
    if foreign := sorted(_schema_parts(settings) - ours):
        kind, name, _ = foreign[0]
        raise Damaged(
            f"The database in the archive is not SEIDRA's alone: it has the {kind} {name}."
        )


def _schema_parts(settings: Settings) -> set[tuple[str, str, str]]:
    """Kind, name and, of what runs by itself, text of each part of the schema."""
    with closing(open_database(settings)) as database:
        return {
            (
                row["type"],
                row["name"],
                " ".join(row["sql"].split()) if row["type"] in ("trigger", "view") else "",
            )
            for row in queries.operations.schema_parts(database.connection)
        }


def _lost(settings: Settings, media: Path) -> int:
    """How many items have no picture among those unpacked."""
    database, after, lost = open_database(settings), "", 0
    with closing(database):
        while batch := queries.operations.media_after(
            database.connection, after=after, limit=_BATCH
        ):
            after = batch[-1]["id"]
            lost += sum(not (media / row_key(row)).exists() for row in batch)
    return lost


def _put_in_place(settings: Settings, media: Path, staged: Path) -> None:
    """The pictures first, then the database, which makes the instance."""
    os.sync()
    with open_files(settings).adopted(media):
        if settings.database_engine == "sqlite":
            os.rename(staged, settings.database_path)
        else:
            move.copy(settings.with_database(staged), settings)
    if settings.database_engine == "sqlite":
        sync_folder(settings.database_path.parent)
