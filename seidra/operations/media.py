"""`flask media check`: whether files and rows of the media agree, and mending it while the server
runs.

A finishing job renames its files and inserts their rows in one transaction, and a deleted row's
file goes in another. So whoever holds the write lock sees files and rows agree, and each suspicion
is confirmed, or mended, under it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from seidra.config import Settings
from seidra.database.base import Connection, Database, Row
from seidra.database.queries import queries
from seidra.jobs.results import live_claims
from seidra.media.storage import Storage

LOST, ORPHAN, LEFTOVER = "lost", "orphan", "leftover"
SIZE, UNREADABLE, STRANGER = "size", "unreadable", "stranger"
MENDED = (LOST, ORPHAN, LEFTOVER)
"""What `repair` mends; of the others nobody but a person can say what is right."""
_BATCH = 500


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, and a sentence about it. Of an orphan or a lost item, `media_id` is
    its id."""

    kind: str
    path: Path
    sentence: str
    media_id: str = ""


class MediaCheck:
    """Walks over rows and files. `items` and `files` count what it has seen."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._database = database
        self._storage = Storage(settings)
        self._keep_seconds = settings.keep_temporary_hours * 3600.0
        self.items = self.files = 0

    def find(self, *, deep: bool = False) -> Iterator[Finding]:
        """Everything that is wrong; `deep` also decodes every picture."""
        yield from self._check_rows(deep)
        yield from self._check_files()
        for path in self._storage.temporary(live_claims(self._database), self._keep_seconds):
            yield Finding(LEFTOVER, path, f"{path} is a temporary file that nobody works on.")

    def repair(self, finding: Finding) -> bool:
        """Delete what has lost its other half, if that is still so; returns whether it did."""
        if finding.kind == LEFTOVER:
            self._storage.discard(finding.path)
            return True
        with self._database.transaction() as tx:
            if finding.kind == LOST and self._is_lost(tx, finding.media_id, finding.path):
                # A trigger queues what else there may be of its files, such as the thumbnail.
                queries.operations.media_drop(tx, id=finding.media_id)
                return True
            if finding.kind == ORPHAN and self._is_orphan(tx, finding.media_id, finding.path):
                finding.path.unlink(missing_ok=True)
                return True
        return False

    def _check_rows(self, deep: bool) -> Iterator[Finding]:
        after = ""
        while batch := queries.operations.media_after(
            self._database.connection, after=after, limit=_BATCH
        ):
            after = batch[-1]["id"]
            for row in batch:
                self.items += 1
                if (finding := self._check_row(row, deep)) is not None:
                    yield finding

    def _check_row(self, row: Row, deep: bool) -> Finding | None:
        id, path = row["id"], self._storage.path(row["id"], row["mime_type"])
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            with self._database.transaction() as tx:
                lost = self._is_lost(tx, id, path)
            return Finding(LOST, path, f"Item {id} has no file {path}.", id) if lost else None
        except OSError as error:
            return Finding(UNREADABLE, path, f"{path} cannot be read: {error.strerror}.", id)
        if size != row["file_size"]:
            return Finding(
                SIZE, path, f"{path} has {size} bytes; item {id} says {row['file_size']}.", id
            )
        if deep and row["mime_type"].startswith("image/") and (reason := _unreadable(path, row)):
            return Finding(UNREADABLE, path, f"{path} {reason}.", id)
        return None

    def _check_files(self) -> Iterator[Finding]:
        for path, id in self._storage.stored():
            self.files += 1
            if id is None:
                yield Finding(STRANGER, path, f"{path} is no file of SEIDRA's.")
            elif not self._storage.belongs(
                path, id, queries.operations.media_kind(self._database.connection, id=id)
            ):
                with self._database.transaction() as tx:
                    orphan = self._is_orphan(tx, id, path)
                    due = queries.operations.media_deletion_queued(tx, media_id=id)
                # What is queued for deletion goes by itself.
                if orphan and due is None:
                    yield Finding(ORPHAN, path, f"{path} belongs to no item.", id)

    def _is_lost(self, tx: Connection, media_id: str, path: Path) -> bool:
        return queries.media.exists(tx, id=media_id) is not None and not path.exists()

    def _is_orphan(self, tx: Connection, media_id: str, path: Path) -> bool:
        return path.exists() and not self._storage.belongs(
            path, media_id, queries.operations.media_kind(tx, id=media_id)
        )


def _unreadable(path: Path, row: Row) -> str:
    """Why a picture cannot be decoded to what its row says; nothing when it can."""
    try:
        with Image.open(path) as image:
            image.load()
            size = image.size
    except FileNotFoundError:
        return ""  # Deleted meanwhile.
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return f"is damaged: {error}".rstrip(".")
    if size != (row["width"], row["height"]):
        return f"is {size[0]}x{size[1]}; its item says {row['width']}x{row['height']}"
    return ""
