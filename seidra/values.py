"""Small values that rows and answers are made of: times as text, JSON as text, ids."""

from __future__ import annotations

import secrets
import time
import uuid
import zlib
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

_ahead = 0.0
"""By how many seconds the clock that all of SEIDRA goes by is ahead of this host's."""


def set_clock(ahead: float) -> None:
    """From now on tell the time of a clock that is so many seconds ahead of this host's: the
    database's, which all machines have in common."""
    global _ahead
    _ahead = ahead


def seconds_now() -> float:
    """Now, in seconds since 1970, by the clock that all of SEIDRA goes by."""
    return time.time() + _ahead


def now() -> datetime:
    """Now by that clock, in UTC."""
    return datetime.fromtimestamp(seconds_now(), UTC)


def timestamp(moment: datetime | None = None) -> str:
    """A moment (default: now) as ISO-8601 UTC, always with microseconds and Z, so that text order
    is time order."""
    moment = now() if moment is None else moment.astimezone(UTC)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def timestamp_in(seconds: float) -> str:
    """The timestamp that many seconds from now (negative: ago)."""
    return timestamp(now() + timedelta(seconds=seconds))


def parse_timestamp(text: str) -> datetime:
    """The aware datetime of a timestamp."""
    return datetime.fromisoformat(text)


def new_uid() -> str:
    """A new UUID of version 7 (RFC 9562): milliseconds and random bits, so that text order is time
    order."""
    bits = int(seconds_now() * 1000) << 80 | secrets.randbits(80)
    # What says version and variant, in the middle of the random bits.
    bits = bits & ~(0xF << 76) | 0x7 << 76
    bits = bits & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=bits))


def to_json(value: Any) -> str:
    """JSON text for a column. Takes what `check_json` (seidra.web.fields) lets through."""
    return orjson.dumps(value).decode()


def from_json(text: str) -> Any:
    """The value of a JSON column."""
    return orjson.loads(text)


def same_json(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON: in whatever order of keys, but true is not 1."""
    texts = [orjson.dumps(value, option=orjson.OPT_SORT_KEYS) for value in (one, other)]
    return texts[0] == texts[1]


def packed(data: bytes) -> bytes:
    """Bytes as a column keeps them that may be long."""
    return zlib.compress(data, 1)


def unpacked(data: bytes) -> bytes:
    """The bytes of such a column."""
    return zlib.decompress(data)


json_fragment = orjson.Fragment
"""JSON of the database passed into an answer as it is, without parsing and writing it again."""
