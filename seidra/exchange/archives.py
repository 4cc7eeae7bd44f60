"""ZIPs of others, opened with care: what is packed must not become too much, or lead elsewhere."""

from __future__ import annotations

import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import BinaryIO, NamedTuple

from seidra.errors import Invalid
from seidra.exchange.documents import broken

MAX_MEMBERS = 1_000
MAX_UNPACKED = 100 * 1024 * 1024
"""Bytes of all members together."""

_MAX_RATIO = 100
_SMALL = 1024 * 1024
"""Bytes up to which a member may be packed by any ratio: JSON of nothing but blanks is small."""

_DIRECTORY = 1024 * 1024
"""Bytes of the list of members: what says how much memory opening an archive takes."""

DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(OSError, EOFError, NotImplementedError, RuntimeError, ValueError),
)
"""What reading a damaged member raises: each way of packing has its own words."""

_END, _END_64 = b"PK\x05\x06", b"PK\x06\x07"
_LONGEST_END = 22 + 65_535
_LONG_END = 56 + 20
_ENCRYPTED = 0x1
_TIME = (1980, 1, 1, 0, 0, 0)


def is_zip(data: bytes) -> bool:
    """Whether a file begins as a ZIP."""
    return data[:4] in (b"PK\x03\x04", _END)


class Archive:
    """The members of an opened archive, which were all looked at."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.names = [info.filename for info in archive.infolist() if not info.is_dir()]

    def read(self, name: str, limit: int) -> bytes:
        """A member. Raises Invalid where there is none, or it is broken or larger than `limit`."""
        try:
            with self._archive.open(name) as member:
                data = member.read(limit + 1)
        except KeyError:
            raise broken(f"The archive has no {name}.", "member_missing") from None
        except DAMAGE:
            raise broken(f"{name!r} of the archive is broken.", "broken_archive") from None
        if len(data) > limit:
            raise broken(f"{name!r} has more than {limit:,} bytes.", "member_too_large")
        return data


def has_member(data: bytes, name: str) -> bool:
    """Whether an archive that may be opened has a member of that name."""
    try:
        with opened(data) as archive:
            return name in archive.names
    except Invalid:
        # Reading it says what is wrong; a name in it says whose it is.
        return name.encode() in data


@contextmanager
def opened(data: bytes) -> Iterator[Archive]:
    """An archive whose members may all be read. Raises Invalid, with what is wrong with it."""
    _check_directory(data)
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except DAMAGE:
        raise broken("Is no whole ZIP.", "broken_archive") from None
    with archive:
        _check_members(archive)
        yield Archive(archive)


class Directory(NamedTuple):
    """What the end of an archive says of its list of members: in bytes, and whether it is one of
    ZIP64."""

    members: int
    size: int
    long: bool


def directory_of(file: BinaryIO) -> Directory:
    """The list of members, which is not read itself: it may have millions. Raises Invalid."""
    end = file.seek(0, io.SEEK_END)
    file.seek(max(end - _LONGEST_END - _LONG_END, 0))
    tail = file.read()
    at = tail.rfind(_END, max(len(tail) - _LONGEST_END, 0))
    if at < 0 or len(tail) < at + 22:
        raise broken("Is no whole ZIP.", "broken_archive")
    count, size = struct.unpack_from("<HI", tail, at + 10)
    # Both stand right before it.
    long = tail[max(at - 20, 0) : at].startswith(_END_64)
    if long and at >= _LONG_END:
        size = max(size if size != 0xFFFFFFFF else 0, *struct.unpack_from("<Q", tail, at - 36))
    return Directory(count, size, long or count == 0xFFFF)


def _check_directory(data: bytes) -> None:
    count, size, long = directory_of(io.BytesIO(data))
    if long:
        raise broken("Is a ZIP64, which is not read.", "too_many_members")
    if count > MAX_MEMBERS or size > _DIRECTORY:
        raise broken(f"Has more than {MAX_MEMBERS:,} members.", "too_many_members")


def _check_members(archive: zipfile.ZipFile) -> None:
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise broken(f"Has more than {MAX_MEMBERS:,} members.", "too_many_members")
    if sum(info.file_size for info in members) > MAX_UNPACKED:
        raise broken(f"Has more than {MAX_UNPACKED:,} bytes unpacked.", "too_large_unpacked")
    for info in members:
        name = info.filename.replace("\\", "/")
        if name.startswith("/") or ".." in PurePosixPath(name).parts or name[1:2] == ":":
            raise broken(f"{info.filename[:80]!r} leads out of the archive.", "path_outside")
        if info.flag_bits & _ENCRYPTED:
            raise broken("Is encrypted.", "encrypted")
        packed = max(info.compress_size, 1)
        if info.file_size > _SMALL and info.file_size / packed > _MAX_RATIO:
            sentence = f"{info.filename[:80]!r} is packed more than {_MAX_RATIO} times."
            raise broken(sentence, "packed_too_much")


def pack(members: Mapping[str, bytes]) -> bytes:
    """An archive of these members, the same bytes for the same ones; pictures as they are."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name, _TIME)
            packs = not name.endswith((".png", ".jpg", ".webp"))
            info.compress_type = zipfile.ZIP_DEFLATED if packs else zipfile.ZIP_STORED
            info.external_attr = 0o644 << 16
            archive.writestr(info, data)
    return file.getvalue()
