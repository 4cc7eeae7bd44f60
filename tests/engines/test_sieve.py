"""Pictures that are decoded while their answer comes."""

from __future__ import annotations

import base64
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seidra.engines.sieve import SMALLEST, Sieve
from seidra.engines.wire import Nonsense

NOISE = random.Random(1).randbytes(60_000)


def through(text: bytes, size: int, largest: int = 1 << 20) -> tuple[Any, Sieve]:
    """What is left of an answer that comes in pieces of a size, and the sieve."""
    sieve = Sieve(largest)
    left = b"".join(sieve.feed(text[at : at + size]) for at in range(0, len(text), size))
    return json.loads(left), sieve


def encoded(length: int, prefix: str = "") -> str:
    return prefix + base64.b64encode(NOISE[:length]).decode()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1024, 1 << 20])
@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,"])
@pytest.mark.parametrize("slashes", [False, True])
@pytest.mark.parametrize("length", [20_000, 20_001, 20_002])
def test_a_picture_is_taken_out(size: int, prefix: str, slashes: bool, length: int) -> None:
    told = {
        "images": [encoded(length, prefix), encoded(30, prefix)],
        "info": json.dumps({"prompt": 'a "cat" \\ dog ' * 3000}),
        "n": [1, None, {"x": "\u2028"}],
    }
    text = json.dumps(told)
    if slashes:
        text = text.replace("/", "\\/")
    left, sieve = through(text.encode(), size)
    word = left["images"][0]
    assert len(word) < 50
    assert sieve.find(word) == NOISE[:length]
    # Given away.
    assert sieve.find(word) is None
    assert left | {"images": None} == told | {"images": None}
    assert left["images"][1] == told["images"][1]
    assert sieve.find(left["images"][1]) is None


@given(
    st.recursive(
        st.none() | st.integers() | st.text() | st.text('\\"/u0', max_size=20),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
    st.integers(1, 40),
    st.booleans(),
)
def test_any_other_json_stays_what_it_is(value: Any, size: int, ascii: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii).encode()
    assert through(text, size)[0] == value


@pytest.mark.parametrize(
    "text",
    [
        "A" * (SMALLEST - 1),
        " ".join(["word"] * SMALLEST),
        "A" * (SMALLEST - 1) + "!" + "A" * SMALLEST,
        "/" * 10 + "\\" + "/" * SMALLEST,
    ],
)
@pytest.mark.parametrize("size", [5, 4096])
def test_what_does_not_begin_as_base64_stays(text: str, size: int) -> None:
    assert through(json.dumps([text]).encode(), size)[0] == [text]


@pytest.mark.parametrize(
    "text",
    [
        "A" * SMALLEST * 2 + "!" + "A" * 99,
        "A" * SMALLEST + "A",
        "A" * (SMALLEST - 2) + "==" + "AAAA",
        "A" * SMALLEST + "AA==AAAA",
        "A" * SMALLEST + "\n" + "A" * 4,
        "A" * SMALLEST + "\u00e9",
    ],
)
@pytest.mark.parametrize("size", [1, 4, 4096])
def test_what_breaks_off_later_is_no_picture(text: str, size: int) -> None:
    with pytest.raises(Nonsense, match="broken"):
        through(json.dumps([text]).encode(), size)


def test_a_picture_that_is_too_large_ends_the_answer() -> None:
    with pytest.raises(Nonsense, match="too large"):
        through(json.dumps([encoded(60_000)]).encode(), 4096, largest=50_000)
    through(json.dumps([encoded(50_000)]).encode(), 4096, largest=50_001)


def test_nobody_can_write_the_word_that_stands_for_a_picture() -> None:
    left, sieve = through(json.dumps([encoded(20_000), "x 0", " 0", "0"]).encode(), 4096)
    assert [sieve.find(text) for text in left[1:]] == [None, None, None]
    assert left[0] != through(json.dumps([encoded(20_000)]).encode(), 4096)[0][0]


HELD = """
import json, sys
sys.path[:0] = sys.argv[1:]
from seidra.engines.sieve import Sieve

def kilobytes(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name))

sieve, piece = Sieve(1 << 25), b"QUJD" * 16384
before = kilobytes("VmRSS")
sieve.feed(b'["')
for _ in range(427):
    sieve.feed(piece)
left = json.loads(b'["' + sieve.feed(b'"]'))
print(len(sieve.find(left[0])), kilobytes("VmHWM") - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the peak")
def test_a_picture_is_held_once() -> None:
    """21 MB go through with little more than 21 MB; held as text and parsed, they took 80."""
    root = str(Path(__file__).resolve().parents[2])
    done = subprocess.run(
        [sys.executable, "-c", HELD, root], capture_output=True, text=True, check=True
    )
    length, grown = map(int, done.stdout.split())
    assert length == 427 * 16384 * 3
    assert grown * 1024 < length * 1.4
