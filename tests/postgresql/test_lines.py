"""The lines that copies are compared by: both engines make the same of the same values."""

from __future__ import annotations

import csv
import random
import struct
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from instances import server
from test_move import there

from seidra.config import Settings
from seidra.database import move
from seidra.database.postgresql import move as postgresql
from seidra.database.sqlite import move as sqlite
from seidra.database.sqlite.connect import open_connection

__all__ = ["server", "there"]
"""The fixtures."""

pytestmark = pytest.mark.slow

TEXTS = [
    "",
    '"',
    '""',
    "a,b",
    "a\nb",
    "\r\n",
    "\t",
    "\\.",
    "\\N",
    "\\x41",
    "%w %s",
    "é🎈",
    "NULL",
    " ",
]


def numbers() -> list[float | None]:
    rng = random.Random(5)
    drawn = [struct.unpack("<d", rng.randbytes(8))[0] for _ in range(500)]
    return [
        *(None, 0.0, 1.0, -3.0, 0.1, 1 / 3, 1e-5, 1e-4, 123456789.125, 2.0**53),
        *(1e14, 1e15, 1234567890123456.0, -1.5e15, 9.9e15, 1e16, 1e22, 5e-324, 1.7e308),
        *(value for value in drawn if value == value),
    ]


def test_both_engines_make_the_same_lines(there: Settings, tmp_path: Path) -> None:
    with closing(open_connection(tmp_path / "lines.db")) as here:
        here.execute(
            "CREATE TABLE lines (n INTEGER PRIMARY KEY, flag INTEGER NOT NULL, fraction REAL,"
            " needed TEXT NOT NULL, maybe TEXT, bytes BLOB) STRICT"
        )
        for n, fraction in enumerate(numbers()):
            text = TEXTS[n % len(TEXTS)]
            maybe = None if n % 3 == 0 else text
            document = None if n % 4 == 0 else bytes([n % 256, 34, 0, 255])
            here.execute(
                "INSERT INTO lines VALUES (?, ?, ?, ?, ?, ?)",
                (n, n % 2, fraction, text, maybe, document),
            )
        with psycopg.connect(there.database_url, autocommit=True) as owner:
            owner.execute(
                "CREATE TABLE lines (n BIGINT PRIMARY KEY, flag BOOLEAN NOT NULL,"
                " fraction FLOAT8, needed TEXT NOT NULL, maybe TEXT, bytes BYTEA)"
            )
        columns = ("bytes", "flag", "fraction", "maybe", "n", "needed")
        source = sqlite._Side(here)
        wanted = [line for lines in source.lines("lines", columns) for line in lines]
        with postgresql.writing(there) as target:
            digest = move.Digest()
            target.load("lines", columns, source, digest)
            found = [line for lines in target.lines("lines", columns) for line in lines]
            rows = sorted(target.rows("lines", columns), key=lambda row: row[4])
        assert sorted(found) == sorted(wanted)
        assert digest.rows == len(wanted) == len(numbers())
        # They are CSV, and what was stored is what was there, to the last digit.
        parsed = list(csv.reader(b"".join(wanted).decode().splitlines(keepends=True)))
        assert {len(row) for row in parsed} == {6}
        assert [repr(row[2]) for row in rows] == [repr(value) for value in numbers()]
        assert rows == sorted(source.rows("lines", columns), key=lambda row: row[4])


def test_progress_is_told_each_hundred_thousand_rows() -> None:
    told: list[int] = []
    digest = move.Digest(tell=told.append)
    for _ in range(25):
        digest.add([b"line\n"] * 10_000)
    assert told == [100_000, 200_000]
    assert digest.rows == 250_000
    # The order of lines says nothing, and each of them counts.
    one, other, third = move.Digest(), move.Digest(), move.Digest()
    one.add([b"a\n", b"b\n"])
    other.add([b"b\n"])
    other.add([b"a\n"])
    third.add([b"a\n", b"c\n"])
    assert one == other != third
