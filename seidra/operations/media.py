"""`flask media check`: whether files and rows of the media agree, and mending it while the server
runs.

A file is announced in the database before it is put, and a row that names it takes the announcement
away in one transaction; a deleted row leaves its key there, until its file is gone. So in one state
of the database every file is named or listed there, and each suspicion is confirmed in one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from seidra.config import Settings
from seidra.database.base import Database, Row
from seidra.database.queries import queries
from seidra.files import open_files
from seidra.files.base import Place, Stored
from seidra.files.keys import match_key, original_key
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
    path: Place
    sentence: str
    key: str = ""
    media_id: str = ""


class MediaCheck:
    """Walks over rows and files. `items` and `files` count what it has seen."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._database = database
        self._files = open_files(settings)
        self._keep_seconds = settings.keep_temporary_hours * 3600.0
        self.items = self.files = 0

    def find(self, *, deep: bool = False) -> Iterator[Finding]:
        """Everything that is wrong; `deep` also decodes every picture."""
        yield from self._check_all(deep)
        for path in self._files.temporary(self._keep_seconds):
            yield Finding(LEFTOVER, path, f"{path} is a temporary file that nobody works on.")

    def repair(self, finding: Finding) -> bool:
        """Delete what has lost its other half, if that is still so; returns whether it did."""
        if finding.kind == LEFTOVER:
            self._files.discard(Path(finding.path))
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

    def _check_all(self, deep: bool) -> Iterator[Finding]:
        """Rows and files side by side, in the order of media ids: a store that is another server
        is asked for a list, and not for each file."""
        rows, strangers = self._rows(), list[Stored]()
        row = next(rows, None)
        for id, group in itertools.groupby(self._keyed(strangers), lambda file: file[0]):
            files = {stored.key: stored for _, stored in group if stored.key is not None}
            while row is not None and row["id"] < id:
                yield from self._check_row(row, {}, deep)
                row = next(rows, None)
            named = set()
            while row is not None and row["id"] == id:
                named.add(row_key(row))
                yield from self._check_row(row, files, deep)
                row = next(rows, None)
            for key, stored in files.items():
                if original_key(key) not in named:
                    yield from self._check_file(key, stored)
        while row is not None:
            yield from self._check_row(row, {}, deep)
            row = next(rows, None)
        for stored in strangers:
            yield Finding(STRANGER, stored.place, f"{stored.place} is no file of SEIDRA's.")

    def _rows(self) -> Iterator[Row]:
        after = ""
        while batch := queries.operations.media_after(
            self._database.connection, after=after, limit=_BATCH
        ):
            after = batch[-1]["id"]
            self.items += len(batch)
            yield from batch

    def _keyed(self, strangers: list[Stored]) -> Iterator[tuple[str, Stored]]:
        """The files that have keys, with the media ids in these; the others go into the list."""
        for stored in self._files.scan():
            self.files += 1
            if stored.key is None:
                strangers.append(stored)
            else:
                yield match_key(stored.key)["id"], stored

    def _check_row(self, row: Row, files: Mapping[str, Stored], deep: bool) -> Iterator[Finding]:
        """`files`: those that were listed beside the row. One that is not there may be newer than
        the list, and is asked for."""
        id, key = row["id"], row_key(row)
        place, listed = self._files.place(key), files.get(key)
        try:
            if listed is None or listed.size is None:
                listed = self._files.stat(key)
        except FileNotFoundError:
            if self._is_lost(key):
                yield Finding(LOST, place, f"Item {id} has no file {place}.", key, id)
            return
        except OSError as error:
            sentence = f"{place} cannot be read: {error.strerror}."
            yield Finding(UNREADABLE, place, sentence, key, id)
            return
        if listed.size != row["file_size"]:
            sentence = f"{place} has {listed.size} bytes; item {id} says {row['file_size']}."
            yield Finding(SIZE, place, sentence, key, id)
        elif (
            deep
            and row["mime_type"].startswith("image/")
            and (reason := self._unreadable(key, row))
        ):
            yield Finding(UNREADABLE, place, f"{place} {reason}.", key, id)

    def _check_file(self, key: str, stored: Stored) -> Iterator[Finding]:
        if not is_named(self._database.connection, key) and self._is_orphan(key):
            yield Finding(ORPHAN, stored.place, f"{stored.place} belongs to no item.", key)

    def _exists(self, key: str) -> bool:
        try:
            self._files.stat(key)
        except FileNotFoundError:
            return False
        except OSError:
            # What is in its place is there.
            return True
        return True

    def _is_lost(self, key: str) -> bool:
        # In this order: a row goes before its file does.
        return not self._exists(key) and is_named(self._database.connection, key)

    def _is_orphan(self, key: str) -> bool:
        with self._database.snapshot() as rows:
            queued = queries.operations.media_deletion_queued(rows, key=original_key(key))
            if queued is not None or is_named(rows, key):
                return False
        # In this order: what is queued for deletion stays queued until its file is gone.
        return self._exists(key)

    def _unreadable(self, key: str, row: Row) -> str:
        """Why a picture cannot be decoded to what its row says; nothing when it can."""
        try:
            with self._files.open(key) as file, Image.open(file) as image:
                image.load()
                size = image.size
        except FileNotFoundError:
            return ""  # Deleted meanwhile.
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            return f"is damaged: {error}".rstrip(".")
        if size != (row["width"], row["height"]):
            return f"is {size[0]}x{size[1]}; its item says {row['width']}x{row['height']}"
        return ""
