"""Where files are: pictures and thumbnails under their media id, and temporary ones under the claim
that writes them.

A file gets its final name only by a rename of a complete, synced one. Nothing else in SEIDRA
touches these folders.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from seidra.config import Settings
from seidra.errors import StartError
from seidra.media import thumbnails

METRICS = "metrics"
"""The folder of tmp that is no claim's: where server processes count for /metrics."""

EXTENSIONS = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp", "video/mp4": ".mp4"}
_ID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")


class Storage:
    """The media, thumbnail and temporary folders of one instance."""

    def __init__(self, settings: Settings) -> None:
        self._media = settings.media_dir
        self._thumbnails = settings.thumbnail_dir
        self._tmp = settings.tmp_dir
        # Closed to others; a proxy that sends the files is in the group.
        self._open = settings.x_accel_redirect is not None

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

    def put_temporary(self, claim: str, position: int, data: bytes) -> None:
        """Write a picture and its thumbnail, synced, under temporary names of a claim."""
        folder = self._tmp / claim
        folder.mkdir(mode=0o700, exist_ok=True)
        self._write(folder / f"{position}.media", data)
        self._write(folder / f"{position}.thumbnail", thumbnails.thumbnail(data))

    def promote(self, claim: str, position: int, media_id: str, mime_type: str) -> None:
        """Give a claim's temporary files their final names; what a crashed attempt left there is
        overwritten."""
        for name, target in (
            ("media", self.path(media_id, mime_type)),
            ("thumbnail", self._thumbnail(media_id)),
        ):
            self._make(target.parent)
            os.replace(self._tmp / claim / f"{position}.{name}", target)
            sync_folder(target.parent)

    def discard_temporary(self, claim: str) -> None:
        """Drop a claim's temporary files."""
        shutil.rmtree(self._tmp / claim, ignore_errors=True)

    def sweep_temporary(self, live_claims: Callable[[], Iterable[str]]) -> list[str]:
        """Drop the temporary files of every claim that is not live; returns the claims dropped.

        The claims are asked for after the folder was read: a claim is committed before its files
        are begun, so that one that comes in between is not taken for dead.
        """
        found = [entry.name for entry in self._tmp.iterdir() if entry.is_dir()]
        live = {*live_claims(), METRICS}
        dead = [claim for claim in found if claim not in live]
        for claim in dead:
            self.discard_temporary(claim)
        return dead

    def temporary(self, live_claims: Iterable[str], older_than: float) -> list[Path]:
        """What lies in the temporary folder, belongs to no live claim, and is older than that many
        seconds."""
        live, now = {*live_claims, METRICS}, time.time()
        found = []
        for path in self._tmp.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if path.name not in live and now - path.stat().st_mtime > older_than:
                    found.append(path)
        return found

    def discard(self, path: Path) -> None:
        """Drop something temporary, a folder or a file."""
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    def stored(self) -> Iterator[tuple[Path, str | None]]:
        """Every file in the media and thumbnail folders, with the media id that its name gives;
        None for strangers."""
        for base, endings in (
            (self._media, set(EXTENSIONS.values())),
            (self._thumbnails, {".webp"}),
        ):
            for folder, _, names in os.walk(base):
                for name in names:
                    path = Path(folder, name)
                    ours = (
                        path.suffix in endings
                        and path.parent == base / path.stem[:2]
                        and _ID.fullmatch(path.stem)
                    )
                    yield path, path.stem if ours else None

    def belongs(self, path: Path, media_id: str, mime_type: str | None) -> bool:
        """Whether a file is the picture or the thumbnail of an item of that type (None: there is no
        item)."""
        return mime_type is not None and path in (
            self.path(media_id, mime_type),
            self._thumbnail(media_id),
        )

    def path(self, media_id: str, mime_type: str) -> Path:
        """Where a picture is, whether or not it is there."""
        return self._media / media_id[:2] / f"{media_id}{EXTENSIONS[mime_type]}"

    def picture_path(self, media_id: str, mime_type: str) -> Path:
        """Where a picture is, for reading. Raises OSError where something else was put in its
        place."""
        return _plain(self.path(media_id, mime_type))

    def thumbnail_path(self, media_id: str, mime_type: str) -> Path:
        """Where a thumbnail is; one that is gone is made again. Raises OSError when the picture is
        gone too."""
        path = self._thumbnail(media_id)
        if not path.exists():
            data = thumbnails.thumbnail(self.picture_path(media_id, mime_type).read_bytes())
            self._make(path.parent)
            part = self._tmp / f"thumbnail-{os.getpid()}-{os.urandom(4).hex()}"
            try:
                self._write(part, data)
                os.replace(part, path)
            except BaseException:
                # Of all things on a full disk.
                with contextlib.suppress(OSError):
                    part.unlink()
                raise
            if not self.path(media_id, mime_type).exists():
                # Deleted meanwhile, the picture first: nobody else would delete this any more.
                path.unlink(missing_ok=True)
        return _plain(path)

    def delete(self, media_id: str) -> None:
        """Delete a picture and its thumbnail; what is not there is no error."""
        for extension in EXTENSIONS.values():
            (self._media / media_id[:2] / f"{media_id}{extension}").unlink(missing_ok=True)
        self._thumbnail(media_id).unlink(missing_ok=True)

    def location(self, path: Path) -> str:
        """A picture or thumbnail as the proxy's internal locations name it:
        `/media/6f/6f1c....png`."""
        name, folder = next(
            (name, folder)
            for name, folder in (("thumbnails", self._thumbnails), ("media", self._media))
            if path.is_relative_to(folder)
        )
        return f"/{name}/{path.relative_to(folder)}"

    def _thumbnail(self, media_id: str) -> Path:
        return self._thumbnails / media_id[:2] / f"{media_id}.webp"

    def _make(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # By chmod, for the umask would take the group's right away.
        if self._open and folder.stat().st_mode & 0o050 != 0o050:
            self.grant(folder)

    def _write(self, path: Path, data: bytes) -> None:
        with open(path, "wb", opener=private) as file:
            self.grant(path)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def grant(self, path: Path) -> None:
        """Let the proxy that sends the files read a new one, where there is such a proxy."""
        if self._open:
            path.chmod(0o750 if path.is_dir() else 0o640)


def private(path: str, flags: int) -> int:
    """An opener for files that their owner alone may read."""
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _plain(path: Path) -> Path:
    """The path itself. Raises OSError where it or its folder is a symbolic link: that could lead to
    any file."""
    if path.is_symlink() or path.parent.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    return path


def sync_folder(folder: Path) -> None:
    """Make the renames into a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
