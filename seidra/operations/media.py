"""`flask media check`: whether files and rows of the media agree, and mending it while the server
runs.

A file is announced in the database before it is put, and a row that names it takes the announcement
away in one transaction; a deleted row leaves its key there, until its file is gone. So in one state
of the database every file is named or listed there, and each suspicion is confirmed in one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from seidra.config import Settings
from seidra.database.base import Database, Row
from seidra.database.queries import queries
from seidra.files.keys import original_key
from seidra.files.local import LocalFiles
from seidra.media.keys import is_named, row_key

LOST, ORPHAN, LEFTOVER = "lost", "orphan", "leftover"
SIZE, UNREADABLE, STRANGER = "size", "unreadable", "stranger"
MENDED = (LOST, ORPHAN, LEFTOVER)
"""What `repair` mends; of the others nobody but a person can say what is right."""
_BATCH = 500


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, and a sentence about it. Of an orphan or a lost item, `key` is the
    file's and `media_id` the item's."""

    kind: str
    path: Path
    sentence: str
    key: str = ""
    media_id: str = ""


class MediaCheck:
    """Walks over rows and files. `items` and `files` count what it has seen."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._database = database
        self._files = LocalFiles(settings)
        self._keep_seconds = settings.keep_temporary_hours * 3600.0
        self.items = self.files = 0

    def find(self, *, deep: bool = False) -> Iterator[Finding]:
        """Everything that is wrong; `deep` also decodes every picture."""
        yield from self._check_rows(deep)
        yield from self._check_files()
        for path in self._files.temporary(self._keep_seconds):
            yield Finding(LEFTOVER, path, f"{path} is a temporary file that nobody works on.")

    def repair(self, finding: Finding) -> bool:
        """Delete what has lost its other half, if that is still so; returns whether it did."""
        if finding.kind == LEFTOVER:
            self._files.discard(finding.path)
        elif finding.kind == LOST and self._is_lost(finding.key):
            with self._database.transaction() as tx:
                # A trigger queues what else there may be of its files, such as the thumbnail.
                queries.operations.media_drop(tx, id=finding.media_id)
                queries.trash.drop_item(tx, item_id=finding.media_id)
        elif finding.kind == ORPHAN and self._is_orphan(finding.key):
            self._files.delete([finding.key])
        else:
            return False
        return True

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
        id, key = row["id"], row_key(row)
        path = self._files.path(key)
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            if not self._is_lost(key):
                return None
            return Finding(LOST, path, f"Item {id} has no file {path}.", key, id)
        except OSError as error:
            return Finding(UNREADABLE, path, f"{path} cannot be read: {error.strerror}.", key, id)
        if size != row["file_size"]:
            sentence = f"{path} has {size} bytes; item {id} says {row['file_size']}."
            return Finding(SIZE, path, sentence, key, id)
        if deep and row["mime_type"].startswith("image/") and (reason := _unreadable(path, row)):
            return Finding(UNREADABLE, path, f"{path} {reason}.", key, id)
        return None

    def _check_files(self) -> Iterator[Finding]:
        for path in self._files.strangers():
            self.files += 1
            yield Finding(STRANGER, path, f"{path} is no file of SEIDRA's.")
        for key in self._files.keys():  # noqa: SIM118 (no dict)
            self.files += 1
            if not is_named(self._database.connection, key) and self._is_orphan(key):
                path = self._files.path(key)
                yield Finding(ORPHAN, path, f"{path} belongs to no item.", key)

    def _is_lost(self, key: str) -> bool:
        # In this order: a row goes before its file does.
        return not self._files.path(key).exists() and is_named(self._database.connection, key)

    def _is_orphan(self, key: str) -> bool:
        with self._database.snapshot() as rows:
            queued = queries.operations.media_deletion_queued(rows, key=original_key(key))
            if queued is not None or is_named(rows, key):
                return False
        # In this order: what is queued for deletion stays queued until its file is gone.
        return self._files.path(key).exists()


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
