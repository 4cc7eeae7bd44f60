"""`flask backup`: database and pictures as one archive, while the server runs.

First a copy of the database in one read transaction, then the pictures that its rows name. A
picture never changes, so those that are there are the right ones; one whose item was deleted in
between leaves the copy too.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import tempfile
from contextlib import closing
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from seidra.config import Settings
from seidra.database import migrate, move
from seidra.database.base import Connection, Database, required_row
from seidra.database.queries import queries
from seidra.database.sqlite.connect import open_connection
from seidra.errors import StartError
from seidra.files import open_files
from seidra.files.base import Files
from seidra.files.local import sync_folder
from seidra.files.temporary import private
from seidra.media.keys import row_key
from seidra.operations.archive import CHUNK, DATABASE, MEDIA, Progress, ReadFailed, Writer
from seidra.values import timestamp

_BATCH = 500


@dataclass
class Report:
    """What a backup holds: how many pictures, and the ids of the items whose picture could not be
    read."""

    media: int = 0
    unreadable: list[str] = field(default_factory=list)


def expected_bytes(settings: Settings, database: Database) -> int:
    """About how many bytes `backup` will report as progress."""
    media = required_row(queries.operations.media_total(database.connection))
    size = settings.database_path.stat().st_size if settings.database_engine == "sqlite" else 0
    return int(media["bytes"]) + size


def backup(settings: Settings, database: Database, target: Path, progress: Progress) -> Report:
    """Write the archive under a temporary name and rename it to `target` when it is whole and on
    the disk.

    Raises StartError when the database cannot be read or the archive not written; `target` is
    untouched then.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise StartError(
            f"The folder {target.parent} cannot be written: {error.strerror}."
        ) from None
    try:
        copy, archive = folder / "seidra.db", folder / "archive"
        _copy(settings, database, copy)
        with (
            open(archive, "xb", opener=private) as file,
            tempfile.TemporaryFile(dir=folder) as lines,
        ):
            report = _fill(settings, database, copy, Writer(file, lines, progress), progress)
            file.flush()
            os.fsync(file.fileno())
        os.replace(archive, target)
        sync_folder(target.parent)
    except database.errors as error:
        raise StartError(f"The database {database.place} cannot be copied: {error}.") from None
    except OSError as error:
        raise StartError(
            f"The backup {target} cannot be written: {error.strerror or error}."
        ) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return report


def _copy(settings: Settings, database: Database, copy: Path) -> None:
    """The database as it is now, as a file of SQLite, whichever engine it has: so an archive of one
    is an archive for the other."""
    if settings.database_engine == "sqlite":
        queries.operations.copy(database.connection, path=str(copy))
    else:
        move.copy(settings, settings.with_database(copy))


def _fill(
    settings: Settings, database: Database, copy: Path, writer: Writer, progress: Progress
) -> Report:
    with closing(open_connection(copy)) as rows:
        # They are of no use to anybody later.
        queries.operations.frames_drop(rows)
        queries.operations.idempotency_drop(rows)
        queries.operations.exports_drop(rows)
        report = _add_media(open_files(settings), database.connection, rows, writer)
    packed = copy.with_suffix(".gz")
    size, checksum = _pack(copy, packed, progress)
    with open(packed, "rb") as source:
        writer.add(DATABASE, source, packed.stat().st_size)
    writer.finish(
        {
            "seidra": version("seidra"),
            "created_at": timestamp(),
            "media": report.media,
            "unreadable": len(report.unreadable),
            "migrations": [
                step.id
                for step in migrate.list_migrations(settings.with_database(copy))
                if step.applied
            ],
            "database": {"size": size, "sha256": checksum},
        }
    )
    return report


def _add_media(files: Files, live: Connection, rows: Connection, writer: Writer) -> Report:
    """Add the pictures that the copy names. `rows` is the copy, `live` the database as it is
    now."""
    report, after = Report(), ""
    while batch := queries.operations.media_after(rows, after=after, limit=_BATCH):
        after = batch[-1]["id"]
        for row in batch:
            if _add_picture(files, row_key(row), writer):
                report.media += 1
            elif queries.media.exists(live, id=row["id"]) is None:
                # Deleted meanwhile: the row goes before its file does.
                queries.operations.media_drop(rows, id=row["id"])
                queries.trash.drop_item(rows, item_id=row["id"])
            else:
                report.unreadable.append(row["id"])
    return report


def _add_picture(files: Files, key: str, writer: Writer) -> bool:
    """Add a picture; returns whether it could be read."""
    try:
        source = files.open(key)
    except OSError:
        return False
    with source:
        try:
            writer.add(MEDIA + key, source, source.seek(0, os.SEEK_END))
        except ReadFailed:
            return False
    return True


def _pack(source: Path, target: Path, progress: Progress) -> tuple[int, str]:
    """Compress a file; returns the size and the checksum of what it holds."""
    digest, size = hashlib.sha256(), 0
    # Level 1: a third more bytes than the default for a fifth of its time.
    with (
        open(source, "rb") as file,
        open(target, "xb", opener=private) as out,
        gzip.open(out, "wb", compresslevel=1) as packed,
    ):
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
            packed.write(chunk)
            progress(len(chunk))
    return size, digest.hexdigest()
