"""What the rest of SEIDRA knows of the place where files are: a few methods, and keys.

A file is put whole under a key that was never used before, and never changes. So whoever reads one
sees all of it, and whoever deletes one takes nobody else's away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from seidra.errors import Unavailable

Place = Path | str
"""Where a file is, for people: a path, or the address of an object in a bucket."""


class StoreUnavailable(Unavailable):
    """503: the store of files does not answer, or refuses; nothing is known of any file."""


@dataclass(frozen=True)
class Stored:
    """A file that is there: its key (None for what is not called as we call files), its bytes
    (None where they cannot be told) and when it was put, in seconds of the epoch."""

    place: Place
    key: str | None
    size: int | None
    modified: float


@dataclass(frozen=True)
class Handover:
    """Who sends a file instead of us. `internal`: the proxy before us, at this location of its own;
    else whoever asked is sent to this address."""

    address: str
    internal: bool


class Files(Protocol):
    """One store of files; `seidra.files.keys` says what its keys look like. Where the store is
    another server, every method that asks it also raises StoreUnavailable."""

    @property
    def origin(self) -> str | None:
        """The web origin that `link` leads browsers to, where it is not our own."""
        ...

    def check(self) -> None:
        """Raise StartError unless the store can be used."""
        ...

    def put(self, key: str, data: bytes | Sequence[bytes | memoryview], mime_type: str) -> None:
        """Store a file, which may come in pieces: whole and on the disk when this returns, or not
        at all. Raises OSError."""
        ...

    def put_file(self, key: str, source: Path, mime_type: str) -> None:
        """The same of a file that is whole and among the temporary ones, where it is no more
        afterwards."""
        ...

    def open(self, key: str) -> BinaryIO:
        """A file, for reading; it can be sought. Raises OSError; FileNotFoundError where there is
        none."""
        ...

    def stat(self, key: str) -> Stored:
        """What is known of a file. Raises OSError; FileNotFoundError where there is none."""
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Delete files, in this order; what is not there is no error. Raises OSError."""
        ...

    def keys(self) -> Iterator[str]:
        """The key of every file that is there."""
        ...

    def scan(self) -> Iterator[Stored]:
        """Every file that is there. Those with keys come in the order of these."""
        ...

    def place(self, key: str) -> Place:
        """Where a file is, whether or not it is there. Raises ValueError for no key."""
        ...

    def link(
        self, key: str, seconds: int, method: str = "GET", *, attached: bool = False
    ) -> Handover | None:
        """Who sends the file for that long, to a request of that method; None: we send it.
        `attached`: under a name that we choose."""
        ...

    def add_name(self, key: str, other: str) -> None:
        """Store a file under another key too; what is not there is no error. For a way back alone:
        the file of a key never changes otherwise."""
        ...

    def is_empty(self) -> bool:
        """Whether there is no picture at all. Raises OSError."""
        ...

    def adopted(self, folder: Path) -> AbstractContextManager[None]:
        """Take over a folder of whole pictures on the file system of the temporary files, each at
        its key; what fails within the block takes them back. Raises OSError."""
        ...

    def try_writing(self) -> float:
        """Put something small, read and delete it; returns when it was put by the store's clock, in
        seconds of the epoch. Raises OSError."""
        ...

    # What lies among the temporary files of this computer.

    def temporary_path(self, kind: str) -> Path:
        """Where a new temporary file may be made."""
        ...

    def temporary(self, older_than: float) -> list[Path]:
        """What lies among the temporary files and is older than that many seconds."""
        ...

    def discard(self, path: Path) -> None:
        """Drop something temporary, a folder or a file."""
        ...

    def grant(self, path: Path) -> None:
        """Let the proxy that sends the files read a new one, where there is such a proxy."""
        ...
