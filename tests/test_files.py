"""The store of files: whole or not at all, and deaf to what somebody put in its way."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seidra.config import Settings
from seidra.files import keys
from seidra.files.base import Files
from seidra.files.local import LocalFiles

ID = "6f1c2f0e-0d5b-5d5c-9c55-2b8d3f3c1a10"
KEY = keys.new_key(ID, "image/png", "worker-1")
SMALL = keys.derived_key(KEY, 320)


@pytest.fixture
def files(settings: Settings) -> LocalFiles:
    return LocalFiles(settings)


def read(files: Files, key: str) -> bytes:
    with files.open(key) as file:
        return file.read()


def test_what_is_put_is_there_until_it_is_deleted(files: LocalFiles, settings: Settings) -> None:
    old = keys.plain_key(ID, "image/webp")
    put = [KEY, SMALL, old, keys.derived_key(old, 320)]
    for number, key in enumerate(put):
        files.put(key, bytes([number]), "")
    assert [read(files, key) for key in put] == [b"\0", b"\1", b"\2", b"\3"]
    assert sorted(files.keys()) == sorted(put)
    assert files.path(KEY) == settings.media_dir / KEY
    assert files.path(SMALL) == settings.thumbnail_dir / SMALL
    # As 0.1 calls them.
    assert files.path(put[2]) == settings.media_dir / "6f" / f"{ID}.webp"
    assert files.path(put[3]) == settings.thumbnail_dir / "6f" / f"{ID}.webp"
    files.delete([KEY, "6f/" + KEY[3:].replace("png", "jpg"), SMALL])
    assert sorted(files.keys()) == sorted(put[2:])
    with pytest.raises(FileNotFoundError):
        files.open(KEY)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "../seidra.db",
        f"6f/../../{ID}.png",
        f"ab/{ID}.png",
        f"6f/{ID}.exe",
        f"6f/{ID}.0123.png",
        f"6f/{ID}.png.320.jpg",
        f"6f/{ID}.png\n",
        f"/6f/{ID}.png",
    ],
)
def test_what_is_no_key_names_no_file(files: LocalFiles, key: str) -> None:
    uses: list[Callable[[], Any]] = [
        lambda: files.put(key, b"x", ""),
        lambda: files.open(key),
        lambda: files.delete([key]),
        lambda: files.path(key),
        lambda: keys.original_key(key),
    ]
    for use in uses:
        with pytest.raises(ValueError, match="is no key"):
            use()
    assert not keys.is_picture_key(key)


@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_a_put_that_fails_leaves_nothing(
    files: LocalFiles, settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    files.put(KEY, b"whole", "")

    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "x")

    with monkeypatch.context() as patched:
        patched.setattr(os, name, full)
        with pytest.raises(OSError, match="x"):
            files.put(KEY, b"half", "")
    assert read(files, KEY) == b"whole"
    assert list(settings.tmp_dir.iterdir()) == []


def test_a_folder_that_is_made_while_one_looks_is_no_stranger(
    files: LocalFiles, settings: Settings
) -> None:
    note = settings.media_dir / "note.txt"
    note.touch()
    seen = files.scan()
    assert next(seen).place == note
    (settings.thumbnail_dir / "6f").mkdir()
    assert list(seen) == []


def test_a_file_is_complete_and_synced_before_it_has_its_name(
    files: LocalFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []

    def watched(name: str) -> None:
        real = getattr(os, name)

        def call(*arguments: Any) -> Any:
            size = os.fstat(arguments[0]).st_size if name == "fsync" else 0
            steps.append(f"{name} {size if size == 5 else ''}".strip())
            return real(*arguments)

        monkeypatch.setattr(os, name, call)

    watched("fsync")
    watched("replace")
    files.put(KEY, b"whole", "")
    assert steps == ["fsync 5", "replace", "fsync"]


@pytest.mark.parametrize("planted", ["file", "folder"])
def test_a_symbolic_link_is_not_followed(
    files: LocalFiles, settings: Settings, tmp_path: Path, planted: str
) -> None:
    files.put(KEY, b"ours", "")
    outside, path = tmp_path / "outside", files.path(KEY)
    if planted == "folder":
        path.parent.rename(outside)
        path.parent.symlink_to(outside)
    else:
        path.rename(outside)
        path.symlink_to(outside)
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        files.open(KEY)
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        files.put(KEY, b"theirs", "")
    files.delete([KEY])
    kept = outside / path.name if planted == "folder" else outside
    assert kept.read_bytes() == b"ours"


def test_no_two_attempts_share_a_key() -> None:
    claims = [f"host-7-ab12cd34-{n}" for n in range(1000)]
    assert len({keys.new_key(ID, "image/png", claim) for claim in claims}) == 1000
    derived = [keys.derived_key(KEY, size) for size in (160, 320, 640, 1600)]
    assert keys.with_derived(KEY) == [KEY, *derived]
    assert SMALL in derived
    assert keys.original_key(SMALL) == keys.original_key(KEY) == KEY
