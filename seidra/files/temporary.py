"""Files on their way: they lie on this computer, wherever the others are."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

METRICS = "metrics"
"""The folder among the temporary files that is none: where server processes count for /metrics."""


class TemporaryFiles:
    """The temporary folder of one instance."""

    def __init__(self, folder: Path) -> None:
        self._tmp = folder

    def temporary_path(self, kind: str) -> Path:
        """Where a new temporary file may be made."""
        return self._tmp / f"{kind}-{os.getpid()}-{os.urandom(6).hex()}"

    @contextlib.contextmanager
    def written(self, pieces: Iterable[bytes | memoryview]) -> Iterator[Path]:
        """A new temporary file with these bytes, which the block moves to its place; where it
        fails, nothing stays. Raises OSError."""
        path = self.temporary_path("put")
        try:
            with open(path, "xb", opener=private) as file:
                file.writelines(pieces)
            yield path
        except BaseException:
            # Of all things on a full disk.
            with contextlib.suppress(OSError):
                path.unlink()
            raise

    def temporary(self, older_than: float) -> list[Path]:
        """What lies among the temporary files and is older than that many seconds: of processes
        that ended in the middle."""
        now, found = time.time(), []
        for path in self._tmp.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if path.name != METRICS and now - path.stat().st_mtime > older_than:
                    found.append(path)
        return found

    def discard(self, path: Path) -> None:
        """Drop something temporary, a folder or a file."""
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def private(path: str, flags: int) -> int:
    """An opener for files that their owner alone may read."""
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
