"""Files that come with a request: multipart bodies, streamed to the disk and bounded.

A small file stays in memory, a larger one lies in a temporary file without a name until the answer
is made. Bounded are each file, the body, the number of its parts and the texts beside the files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, Any, cast

from flask import Response, g, request
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser

from seidra.errors import Invalid, Mistake, Problem, Unavailable
from seidra.web.arguments import Decorator, View
from seidra.web.services import services

MULTIPART = "multipart/form-data"

_IN_MEMORY = 256 * 1024
"""Bytes of a file from which on it lies on the disk."""

_TEXTS = 512 * 1024
"""Bytes of what comes beside the files: fields, and the headers of parts."""

_PARTS = 300
"""Parts of a body, files and fields together."""

_WHOLE_FILES = 4
"""As many times the largest file are the largest body, where several files may come."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that was received. `field` is the part's name, `name` what its sender calls it, which
    decides nothing; `digest` the SHA-256 of its bytes."""

    field: str
    name: str
    size: int
    digest: str
    file: IO[bytes]

    def read(self) -> bytes:
        """All of it."""
        self.file.seek(0)
        return self.file.read()


@dataclass(frozen=True, slots=True)
class Received:
    """A multipart body: its files in order, and its texts by field."""

    files: list[Upload]
    texts: MultiDict[str, str]

    @property
    def digest(self) -> str:
        """The same for two bodies that say the same, whatever the boundary between their parts."""
        whole = hashlib.sha256()
        for each in self.files:
            whole.update(repr((each.field, each.name, each.digest)).encode())
        whole.update(repr(list(self.texts.items(multi=True))).encode())
        return whole.hexdigest()

    def values(self, lists: set[str]) -> dict[str, Any]:
        """What came under each field; all of it for those in `lists`, else the first."""
        found: dict[str, list[Any]] = {}
        for name, text in self.texts.items(multi=True):
            # An empty field of a form is as one that is not there.
            if text:
                found.setdefault(name, []).append(text)
        for each in self.files:
            found.setdefault(each.field, []).append(each)
        return {name: all_ if name in lists else all_[0] for name, all_ in found.items()}


def takes_files(count: int, *, or_json: bool = False) -> Decorator:
    """Let a view, below its guards and above all that reads the body, be sent up to `count` files.
    `or_json`: a body that is no multipart is left to what stands below; else it is a 415.

    Raises a 413 Problem that names the limit, a 400 for what is no whole multipart body.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def with_files(*args: Any, **kwargs: Any) -> Response:
            if request.mimetype != MULTIPART:
                if or_json:
                    return view(*args, **kwargs)
                raise Problem(f"The body must be sent as {MULTIPART}.", status=415)
            with _received(count) as g.received:
                return view(*args, **kwargs)

        return with_files

    return decorate


def received() -> Received | None:
    """What came with this request as files and texts; None where it is no multipart body."""
    found: Received | None = g.get("received")
    return found


@contextmanager
def _received(count: int) -> Iterator[Received]:
    parts: list[_Part] = []
    try:
        yield _receive(count, parts)
    finally:
        for part in parts:
            part.file.close()


def _receive(count: int, parts: list[_Part]) -> Received:
    settings = services().settings
    most = settings.max_upload * min(count, _WHOLE_FILES) + _TEXTS

    def begin_part(*_: Any, **about: Any) -> IO[bytes]:
        if len(parts) == count:
            files = "file" if count == 1 else "files"
            mistake = Mistake(f"Must be at most {count} {files}.", "count", max=count)
            raise Invalid({"file": [mistake]})
        part = _Part(str(about.get("filename") or ""), settings.max_upload, settings.tmp_dir)
        parts.append(part)
        return cast(IO[bytes], part)

    # One byte more is what tells a body that is too large from one that ends there.
    request.max_content_length = most + 1
    parser = FormDataParser(
        begin_part, max_form_memory_size=_TEXTS, max_form_parts=_PARTS, silent=False
    )
    try:
        _, texts, files = parser.parse(
            cast(IO[bytes], _Bounded(request.stream, most)),
            request.mimetype,
            request.content_length,
            request.mimetype_params,
        )
    except RequestEntityTooLarge:
        raise _too_large("The body is too large", most) from None
    except ValueError:
        raise Problem("The body is not a whole multipart body.", status=400) from None
    except OSError as error:
        if error.errno is None:
            raise
        raise Unavailable("There is no room for the file on the server's disk.") from None
    names = [name for name, _ in files.items(multi=True)]
    if None in names or None in texts:
        raise Problem("A part of the body has no name.", status=400)
    found = [
        Upload(name, part.name, part.size, part.digest.hexdigest(), part.file)
        for name, part in zip(names, _in_order(files, parts), strict=True)
        # A form's file field that nobody has filled.
        if part.name or part.size
    ]
    return Received(found, texts)


def _in_order(files: MultiDict[str, Any], parts: list[_Part]) -> list[_Part]:
    """The parts in the order in which `files` has them: by their fields."""
    by_stream = {id(part): part for part in parts}
    return [by_stream[id(each.stream)] for _, each in files.items(multi=True)]


def _too_large(what: str, limit: int, **more: Any) -> Problem:
    return Problem(f"{what}: at most {limit:,} bytes.", status=413, more={"limit": limit}, **more)


class _Bounded:
    """A body of which no more than a limit is read."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self._stream = stream
        self._left = limit

    def read(self, size: int) -> bytes:
        """Some of it. Raises RequestEntityTooLarge beyond the limit."""
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise RequestEntityTooLarge
        return data


class _Part:
    """A file on its way in: counted, digested, and refused beyond the limit."""

    def __init__(self, name: str, limit: int, folder: Path) -> None:
        self.name = name
        self.size = 0
        self.digest = hashlib.sha256()
        # Closed when the request is answered.
        self.file = cast(
            IO[bytes],
            SpooledTemporaryFile(max_size=_IN_MEMORY, mode="w+b", dir=str(folder)),  # noqa: SIM115
        )
        self._limit = limit

    def write(self, data: bytes) -> int:
        """Take more of it. Raises a 413 Problem beyond the limit."""
        self.size += len(data)
        if self.size > self._limit:
            sentence = f"Must have at most {self._limit:,} bytes."
            mistake = Mistake(sentence, "too_large", max=self._limit)
            raise _too_large("A file is too large", self._limit, errors={"file": [mistake]})
        self.digest.update(data)
        return self.file.write(data)

    def seek(self, at: int) -> int:
        """As a file's."""
        return self.file.seek(at)
