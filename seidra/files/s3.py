"""Files as objects of a bucket, on any server that speaks S3; needs the extra `s3`.

An object is there whole or not at all, however it is put. It is called as its key, below the prefix
of SEIDRA_MEDIA_URL, and carries its type.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

from seidra import parsers
from seidra.config import BUCKET_KEYS, Settings
from seidra.errors import StartError
from seidra.files.base import Handover, Stored, StoreUnavailable
from seidra.files.keys import EXTENSIONS, match_key
from seidra.files.temporary import TemporaryFiles

try:
    import obstore
    from obstore.exceptions import BaseError
    from obstore.store import S3Store
except ImportError:
    raise StartError(
        "SEIDRA_MEDIA_URL needs a client of S3: run `pip install 'seidra[s3]'`."
    ) from None

_SIGNED_SECONDS = 60
"""How long an address that we sign is good: it is used at once, and each use asks us again."""

_BUFFER = 1 << 20
"""Bytes that are asked for at a time, where somebody reads on."""

_PART = 8 << 20
"""Bytes of a part of a large object; four are in memory at a time."""

_PAGE = 1000
"""Objects of a page of a list, and of a request to delete some: as many as S3 allows."""

_FAULTS = (BaseError, OSError)
_SAID = 300

_log = logging.getLogger(__name__)


class BucketFiles(TemporaryFiles):
    """The bucket of one instance."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.tmp_dir)
        assert settings.media_url is not None
        self._bucket = parsers.bucket(settings.media_url)
        self._keys = dict(settings.bucket_keys)
        given = set(self._keys) & set(BUCKET_KEYS[:2])
        if len(given) == 1 or (self._bucket.endpoint and not given):
            raise StartError(
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY must both be given with"
                " SEIDRA_MEDIA_URL."
            )
        self._proxy = settings.x_accel_redirect
        self._prefix = f"{self._bucket.prefix}/" if self._bucket.prefix else ""
        self._store = self._open_store(self._bucket.endpoint)
        # Signing asks nobody, so the address may be one that we could not reach ourselves.
        outside = None if self._proxy is not None else self._bucket.public
        self._signing = self._open_store(outside) if outside else self._store

    @property
    def origin(self) -> str | None:
        """The web origin that `link` leads browsers to."""
        if self._proxy is not None:
            return None
        parts = urlsplit(obstore.sign(self._signing, "GET", "x", timedelta(seconds=1)))
        return f"{parts.scheme}://{parts.netloc}"

    def check(self) -> None:
        """Raise StartError unless the bucket is there and answers us."""
        try:
            self._first_page(self._store, self._prefix)
        except _FAULTS as error:
            status = _status(error)
            if status in (401, 403):
                raise StartError(
                    f"The bucket {self._bucket.name} of SEIDRA_MEDIA_URL is closed to us: correct"
                    " AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or what they may do."
                ) from None
            if status == 404:
                raise StartError(
                    f"There is no bucket {self._bucket.name} as SEIDRA_MEDIA_URL names it."
                ) from None
            raise StartError(
                f"The server of SEIDRA_MEDIA_URL does not answer as S3 does: {_short(error)}"
            ) from None

    # ------------------------------------------------------------------------- what any store does

    def put(self, key: str, data: bytes | Sequence[bytes | memoryview], mime_type: str) -> None:
        """Store a file, which may come in pieces: whole when this returns, or not at all."""
        pieces = [data] if isinstance(data, bytes) else data
        if len(pieces) == 1 or sum(map(len, pieces)) <= _PART:
            self._put(key, b"".join(pieces), mime_type)
        else:
            # Together they would be held twice.
            with self.written(pieces) as part:
                self.put_file(key, part, mime_type)

    def put_file(self, key: str, source: Path, mime_type: str) -> None:
        """The same of a file that is whole and among the temporary ones, where it is no more
        afterwards; a large one goes in parts."""
        self._put(key, source, mime_type)
        source.unlink()

    def open(self, key: str) -> BinaryIO:
        """A file, for reading: as far as it is read it is asked for. Raises FileNotFoundError."""
        size = self.stat(key).size or 0
        reader = _Reader(self._store, self._name(key), size)
        return cast(BinaryIO, io.BufferedReader(reader, _BUFFER))

    def stat(self, key: str) -> Stored:
        """What is known of a file. Raises FileNotFoundError."""
        name = self._name(key)
        with _asking():
            return self._stored(obstore.head(self._store, name))

    def delete(self, keys: Iterable[str]) -> None:
        """Delete files, in this order; what is not there is no error."""
        names = map(self._name, keys)
        while batch := list(itertools.islice(names, _PAGE)):
            with _asking(), contextlib.suppress(FileNotFoundError):
                obstore.delete(self._store, batch)

    def keys(self) -> Iterator[str]:
        """The key of every file that is there."""
        return (stored.key for stored in self.scan() if stored.key is not None)

    def scan(self) -> Iterator[Stored]:
        """Every file that is there, a page at a time. Those with keys come in the order of
        these."""
        with _asking():
            pages = obstore.list(self._store, self._prefix or None, chunk_size=_PAGE)
        while True:
            with _asking():
                page = next(pages, None)
            if page is None:
                return
            yield from map(self._stored, page)

    def place(self, key: str) -> str:
        """The address of a file, whether or not it is there. Raises ValueError for no key."""
        return f"s3://{self._bucket.name}/{self._name(key)}"

    def link(
        self, key: str, seconds: int, method: str = "GET", *, attached: bool = False
    ) -> Handover | None:
        """A signed address: for the proxy of SEIDRA_X_ACCEL_REDIRECT, as its location `bucket`, or
        else for whoever asked. None for a name of our own without a proxy: a signed address cannot
        say one."""
        if attached and self._proxy is None:
            return None
        name, lasting = self._name(key), timedelta(seconds=_SIGNED_SECONDS)
        with _asking():
            address = obstore.sign(self._signing, cast(Any, method), name, lasting)
        if self._proxy is None:
            return Handover(address, internal=False)
        parts = urlsplit(address)
        return Handover(f"{self._proxy}/bucket{parts.path}?{parts.query}", internal=True)

    def add_name(self, key: str, other: str) -> None:
        """Store a file under another key too; what is not there is no error."""
        source, target = self._name(key), self._name(other)
        with _asking(), contextlib.suppress(FileNotFoundError):
            obstore.copy(self._store, source, target)

    def is_empty(self) -> bool:
        """Whether there is nothing where pictures are."""
        with _asking():
            return not self._first_page(self._store, self._prefix)

    @contextmanager
    def adopted(self, folder: Path) -> Iterator[None]:
        """Put every picture of a folder, each at its key; what fails within the block takes them
        back."""
        put: list[str] = []
        types = {ending: mime_type for mime_type, ending in EXTENSIONS.items()}
        try:
            for path in sorted(folder.glob("*/*")):
                put.append(path.relative_to(folder).as_posix())
                self.put_file(put[-1], path, types[path.suffix])
            yield
        except BaseException:
            # Why it failed says more.
            with contextlib.suppress(StoreUnavailable):
                self.delete(put)
            raise

    def grant(self, path: Path) -> None:
        """No proxy reads our temporary files."""

    # ---------------------------------------------------------------------------- what buckets do

    def try_writing(self) -> float:
        """Put a small object, read it and delete it; returns when it was put by the server's clock,
        in seconds of the epoch. Raises StoreUnavailable."""
        name = f"{self._prefix}doctor-{self.temporary_path('try').name}"
        try:
            with _asking():
                obstore.put(self._store, name, b"SEIDRA")
                put = obstore.head(self._store, name)["last_modified"].timestamp()
                obstore.delete(self._store, name)
        except FileNotFoundError as error:
            raise StoreUnavailable("The store forgets at once what is put into it.") from error
        return put

    def _open_store(self, endpoint: str | None) -> S3Store:
        named = {name.lower(): value for name, value in self._keys.items()}
        place = {"endpoint": endpoint} if endpoint else {}
        return S3Store(
            self._bucket.name,
            config=cast(Any, {"region": self._bucket.region, **place, **named}),
            client_options={"timeout": "60s", "connect_timeout": "3s", "allow_http": True},
            # With it a server that is away is known within some ten seconds.
            retry_config={
                "max_retries": 3,
                "retry_timeout": timedelta(seconds=15),
                "backoff": {
                    "init_backoff": timedelta(milliseconds=100),
                    "max_backoff": timedelta(seconds=2),
                    "base": 2,
                },
            },
        )

    @staticmethod
    def _first_page(store: S3Store, prefix: str) -> list[Any]:
        return list(next(obstore.list(store, prefix or None, chunk_size=1), []))

    def _put(self, key: str, source: bytes | Path, mime_type: str) -> None:
        name = self._name(key)
        attributes = {"Content-Type": mime_type or "application/octet-stream"}
        try:
            with _asking():
                obstore.put(
                    self._store,
                    name,
                    source,
                    attributes=cast(Any, attributes),
                    chunk_size=_PART,
                    max_concurrency=4,
                )
        except FileNotFoundError as error:
            # Of the bucket, or of a half that the server gave up.
            raise _unavailable(error) from None

    def _name(self, key: str) -> str:
        match_key(key)
        return self._prefix + key

    def _stored(self, about: Any) -> Stored:
        name = about["path"]
        key: str | None = name.removeprefix(self._prefix)
        try:
            match_key(key or "")
        except ValueError:
            key = None
        when = about["last_modified"].timestamp()
        return Stored(f"s3://{self._bucket.name}/{name}", key, about["size"], when)


class _Reader(io.RawIOBase):
    """An object, read in ranges."""

    def __init__(self, store: S3Store, name: str, size: int) -> None:
        super().__init__()
        self._store, self._name, self._size = store, name, size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError("before the beginning")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        data = self._read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        return self._read(self._size)

    def _read(self, length: int) -> bytes:
        length = min(length, self._size - self._position)
        if length <= 0:
            return b""
        with _asking():
            data = bytes(
                obstore.get_range(self._store, self._name, start=self._position, length=length)
            )
        self._position += len(data)
        return data


@contextmanager
def _asking() -> Iterator[None]:
    """Let FileNotFoundError through, and make StoreUnavailable of any other fault."""
    try:
        yield
    except FileNotFoundError:
        raise
    except _FAULTS as error:
        raise _unavailable(error) from error


def _unavailable(error: Exception) -> StoreUnavailable:
    _log.warning("the bucket does not do what it is asked: %s", _short(error))
    return StoreUnavailable("The store of the pictures does not answer; try again.")


def _status(error: Exception) -> int:
    """The status that the server answered with, as a failure tells it in its text alone; 0 where
    there was no answer."""
    match = re.search(r"status code: (\d{3})", str(error))
    return int(match[1]) if match else 0


def _short(error: Exception) -> str:
    """What a failure says, on one line."""
    return " ".join(str(error).partition("Debug source")[0].split())[:_SAID]
