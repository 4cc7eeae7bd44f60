"""`flask media copy`: the files of an instance into a bucket, or back into its folders.

Nothing is deleted. What is there already, with as many bytes, is left alone, so that a copy that
was broken off goes on, and one of a running server is made whole by another after it has stopped.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from seidra.config import Settings
from seidra.errors import StartError
from seidra.files import open_files
from seidra.files.base import Files, Stored
from seidra.files.keys import EXTENSIONS, ZIP
from seidra.files.temporary import private
from seidra.operations.archive import CHUNK, Progress

_TYPES = {ending: mime_type for mime_type, ending in EXTENSIONS.items()}
_TYPES[ZIP] = "application/zip"


@dataclass
class Copied:
    """How many files were copied now, their bytes, and how many were there before."""

    files: int = 0
    bytes: int = 0
    kept: int = 0


def other_store(settings: Settings, media_url: str | None) -> Files:
    """The store that files are to go to: the bucket of an URL, or the folders (None). Raises
    StartError for the one that they are in, and for one that cannot be used."""
    if media_url == settings.media_url:
        raise StartError("The files are there already; name another place.")
    target = open_files(dataclasses.replace(settings, media_url=media_url))
    target.check()
    return target


def total_bytes(source: Files) -> int:
    """The bytes of all files."""
    return sum(stored.size or 0 for stored in source.scan() if stored.key is not None)


def copy_files(source: Files, target: Files, progress: Progress) -> Copied:
    """Copy every file of one store into another; each is read back and compared by its hash, and
    at the end all by their sizes. Raises StartError where one differs, and OSError."""
    copied = Copied()
    there = _sizes(target)
    for stored in source.scan():
        if stored.key is None:
            continue
        if stored.size is not None and there.get(stored.key) == stored.size:
            copied.kept += 1
            progress(stored.size)
            continue
        try:
            size = _copy_file(source, target, stored.key, progress)
        except FileNotFoundError:
            # Deleted meanwhile, as its item was.
            continue
        copied.files += 1
        copied.bytes += size
    _compare(source, target)
    return copied


def _copy_file(source: Files, target: Files, key: str, progress: Progress) -> int:
    part = target.temporary_path("copy")
    try:
        digest, size = hashlib.sha256(), 0
        with source.open(key) as file, open(part, "xb", opener=private) as out:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
                size += len(chunk)
                out.write(chunk)
                progress(len(chunk))
        target.put_file(key, part, _TYPES[Path(key).suffix])
    finally:
        target.discard(part)
    if _digest(target, key) != digest.digest():
        # A later copy would take it for whole.
        target.delete([key])
        raise StartError(f"{target.place(key)} did not come back as it was written.")
    return size


def _digest(files: Files, key: str) -> bytes:
    digest = hashlib.sha256()
    with files.open(key) as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.digest()


def _sizes(files: Files) -> dict[str, int | None]:
    return {stored.key: stored.size for stored in files.scan() if stored.key is not None}


def _compare(source: Files, target: Files) -> None:
    """Raise StartError unless the target has every file that the source still has, with its
    size."""
    there = _sizes(target)
    for stored in _still_there(source, there):
        raise StartError(
            f"{stored.place} is not in the other place as it is here; copy again, with the server"
            " stopped."
        )


def _still_there(source: Files, there: dict[str, int | None]) -> Iterator[Stored]:
    return (
        stored
        for stored in source.scan()
        if stored.key is not None and there.get(stored.key, -1) != stored.size
    )
