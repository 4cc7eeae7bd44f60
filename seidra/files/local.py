"""Files in folders of this computer: pictures in one, what is derived of them in another.

A file gets its name only by a rename of a complete, synced one. Nothing else in SEIDRA writes into
these folders, but for a restore, which makes them.
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from seidra.config import Settings
from seidra.errors import StartError
from seidra.files.base import Handover, Stored
from seidra.files.keys import EXTENSIONS, derived_key, match_key
from seidra.files.temporary import TemporaryFiles

_THUMBNAIL = 320
"""The size of the thumbnails of 0.1, whose names do not say it."""


class LocalFiles(TemporaryFiles):
    """The media, thumbnail and temporary folders of one instance."""

    origin = None

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.tmp_dir)
        self._media = settings.media_dir
        self._thumbnails = settings.thumbnail_dir
        self._proxy = settings.x_accel_redirect

    def check(self) -> None:
        """Raise StartError unless a temporary file can be renamed into the media and thumbnail
        folders."""
        for name, folder in (
            ("SEIDRA_MEDIA_DIR", self._media),
            ("SEIDRA_THUMBNAIL_DIR", self._thumbnails),
        ):
            if folder.stat().st_dev != self._tmp.stat().st_dev:
                raise StartError(
                    f"SEIDRA_TMP_DIR must be on the same file system as {name} ({folder})."
                )
            self._make(folder)

    # ------------------------------------------------------------------------- what any store does

    def put(self, key: str, data: bytes | Sequence[bytes | memoryview], mime_type: str) -> None:
        """Store a file, which may come in pieces: whole and on the disk when this returns, or not
        at all. Raises OSError."""
        with self.written([data] if isinstance(data, bytes) else data) as part:
            self.put_file(key, part, mime_type)

    def put_file(self, key: str, source: Path, mime_type: str) -> None:
        """The same of a file that is whole and among the temporary ones, where it is no more
        afterwards."""
        path = self.path(key)
        self._make(path.parent)
        _refuse_links(path)
        self.grant(source)
        with builtins.open(source, "rb") as file:
            os.fsync(file.fileno())
        os.replace(source, path)
        sync_folder(path.parent)

    def open(self, key: str) -> BinaryIO:
        """A file, for reading. Raises OSError; FileNotFoundError where there is none."""
        return builtins.open(self.plain_path(key), "rb")

    def delete(self, keys: Iterable[str]) -> None:
        """Delete files, in this order; what is not there is no error. Raises OSError.

        What lies behind a folder that is a symbolic link is not ours, and stays.
        """
        for path in map(self.path, keys):
            if not path.parent.is_symlink():
                path.unlink(missing_ok=True)

    def keys(self) -> Iterator[str]:
        """The key of every file that is there."""
        for path in self._walk():
            if (key := self._key(path)) is not None:
                yield key

    def stat(self, key: str) -> Stored:
        """What is known of a file. Raises OSError where a symbolic link was put in its place, and
        FileNotFoundError where there is none."""
        path = self.plain_path(key)
        state = path.stat()
        return Stored(path, key, state.st_size, state.st_mtime)

    def scan(self) -> Iterator[Stored]:
        """Every file that is there. Those with keys come in the order of these."""
        # Listed once: a folder that is made meanwhile, for a new picture, is no stranger.
        found = [(entry.is_dir(), Path(entry)) for base in self._bases() for entry in _listed(base)]
        shards = {path.name for is_folder, path in found if is_folder}
        yield from (_stored(path, None) for _, path in found if path.name not in shards)
        for shard in sorted(shards):
            keyed = []
            for path in self._walk(shard):
                if (key := self._key(path)) is None:
                    yield _stored(path, None)
                else:
                    keyed.append((key, path))
            for key, path in sorted(keyed):
                yield _stored(path, key)

    def place(self, key: str) -> Path:
        """Where a file is, whether or not it is there. Raises ValueError for no key."""
        return self.path(key)

    def link(
        self, key: str, seconds: int, method: str = "GET", *, attached: bool = False
    ) -> Handover | None:
        """The internal location by which the proxy of SEIDRA_X_ACCEL_REDIRECT finds the file, such
        as `/protected/media/6f/6f1c....png`; None without such a proxy."""
        if self._proxy is None:
            return None
        base, path = self._base(key), self.path(key)
        name = "media" if base == self._media else "thumbnails"
        return Handover(f"{self._proxy}/{name}/{path.relative_to(base)}", internal=True)

    def is_empty(self) -> bool:
        """Whether there is nothing where pictures are. Raises OSError."""
        return not (self._media.exists() and any(self._media.iterdir()))

    def try_writing(self) -> float:
        """Put something small, read and delete it; returns when it was put by the clock of the
        disk, in seconds of the epoch. Raises OSError."""
        with tempfile.NamedTemporaryFile(dir=self._tmp) as file:
            file.write(b"SEIDRA")
            file.flush()
            return os.stat(file.name).st_mtime

    @contextmanager
    def adopted(self, folder: Path) -> Iterator[None]:
        """Take over a folder of whole pictures on the file system of the temporary files, each at
        its key; what fails within the block takes them back. Raises OSError."""
        moved: list[Path] = []
        try:
            for shard in sorted(folder.iterdir()):
                moved.append(self._media / shard.name)
                os.rename(shard, moved[-1])
            sync_folder(self._media)
            yield
        except BaseException:
            for path in moved:
                shutil.rmtree(path, ignore_errors=True)
            raise

    # ----------------------------------------------------------------------------- what folders do

    def path(self, key: str) -> Path:
        """Where a file is, whether or not it is there. Raises ValueError for no key."""
        match = match_key(key)
        if not match["attempt"] and match["derived"] == f".{_THUMBNAIL}.webp":
            # Thumbnails of 0.1 are named after the media id alone.
            return self._thumbnails / match["shard"] / f"{match['id']}.webp"
        return self._base(key) / key

    def plain_path(self, key: str) -> Path:
        """Where a file is, for reading. Raises OSError where a symbolic link was put in its
        place."""
        path = self.path(key)
        _refuse_links(path)
        return path

    def add_name(self, key: str, other: str) -> None:
        """Store a file under another key too; what is not there is no error. For a way back alone:
        the file of a key never changes otherwise."""
        source, path = self.path(key), self.path(other)
        if not source.exists():
            return
        self._make(path.parent)
        path.unlink(missing_ok=True)
        try:
            os.link(source, path)
        except OSError:
            # Not every file system has second names.
            self.put(other, source.read_bytes(), "")
        sync_folder(path.parent)

    def grant(self, path: Path) -> None:
        """Let the proxy that sends the files read a new one, where there is such a proxy."""
        if self._proxy is not None:
            path.chmod(0o750 if path.is_dir() else 0o640)

    def _base(self, key: str) -> Path:
        return self._thumbnails if match_key(key)["derived"] else self._media

    def _bases(self) -> tuple[Path, Path]:
        return self._media, self._thumbnails

    def _walk(self, below: str = "") -> Iterator[Path]:
        for base in self._bases():
            for folder, _, names in os.walk(base / below):
                for name in names:
                    yield Path(folder, name)

    def _key(self, path: Path) -> str | None:
        """The key of a file in one of the folders; None for a stranger."""
        derived = path.is_relative_to(self._thumbnails)
        key = path.relative_to(self._thumbnails if derived else self._media).as_posix()
        if derived and key.count(".") == 1:
            key = derived_key(self._plain_original(key), _THUMBNAIL)
        with contextlib.suppress(ValueError):
            return key if self.path(key) == path else None
        return None

    def _plain_original(self, thumbnail: str) -> str:
        """The picture that a thumbnail of 0.1 is of; its name does not say the picture's type."""
        stem = thumbnail.removesuffix(".webp")
        found = (f"{stem}{ending}" for ending in EXTENSIONS.values())
        return next((key for key in found if (self._media / key).exists()), f"{stem}.png")

    def _make(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # By chmod, for the umask would take the group's right away.
        if self._proxy is not None and folder.stat().st_mode & 0o050 != 0o050:
            self.grant(folder)


def sync_folder(folder: Path) -> None:
    """Make the renames into a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _listed(folder: Path) -> list[os.DirEntry[str]]:
    """What stands in a folder, with its kind as the folder says it."""
    with os.scandir(folder) as entries:
        return list(entries)


def _stored(path: Path, key: str | None) -> Stored:
    try:
        state = path.stat()
    except OSError:
        # Gone meanwhile, or a symbolic link to nowhere.
        return Stored(path, key, None, 0.0)
    return Stored(path, key, state.st_size, state.st_mtime)


def _refuse_links(path: Path) -> None:
    """Raise OSError where a path or its folder is a symbolic link: that could lead to any file."""
    if path.is_symlink() or path.parent.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
