"""What the rest of SEIDRA knows of the place where files are: a few methods, and keys.

A file is put whole under a key that was never used before, and never changes. So whoever reads one
sees all of it, and whoever deletes one takes nobody else's away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol


class Files(Protocol):
    """One store of files; `seidra.files.keys` says what its keys look like."""

    def put(self, key: str, data: bytes, mime_type: str) -> None:
        """Store a file: whole and on the disk when this returns, or not at all. Raises OSError."""
        ...

    def put_file(self, key: str, source: Path, mime_type: str) -> None:
        """The same of a file that is whole and among the temporary ones, where it is no more
        afterwards."""
        ...

    def open(self, key: str) -> BinaryIO:
        """A file, for reading. Raises OSError; FileNotFoundError where there is none."""
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Delete files, in this order; what is not there is no error. Raises OSError."""
        ...

    def keys(self) -> Iterator[str]:
        """The key of every file that is there."""
        ...

    def link(self, key: str, seconds: int) -> str | None:
        """Where another server finds the file to send it, for that long; None: we send it."""
        ...
