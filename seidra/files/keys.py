"""Keys: what files are called.

    6f/<media id>.<attempt>.png             a picture; the attempt is a digest of the claim
    6f/<media id>.<attempt>.png.320.webp    a smaller one of it: derived, can be made again
    6f/<media id>.png                       a picture of 0.1, whose rows name no key
    6f/<export id>.<attempt>.zip            what somebody takes away

No two attempts share a key. So a late one can neither overwrite nor delete another's picture, and
a key whose file is gone is never used again.
"""

from __future__ import annotations

import hashlib
import re

EXTENSIONS = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp", "video/mp4": ".mp4"}
"""How the names of files of a type end."""

SIZES = (160, 320, 640, 1600)
"""The sizes of derived pictures: pixels on the longer side."""

ARCHIVE = "application/zip"
"""The type of an export."""

ZIP = ".zip"
_ENDINGS = "|".join(re.escape(extension) for extension in (*EXTENSIONS.values(), ZIP))
_SIZES = "|".join(map(str, SIZES))
_PICTURE = (
    r"(?P<shard>[0-9a-f]{2})/(?P<id>(?P=shard)[0-9a-f]{6}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})"
    rf"(?P<attempt>\.[0-9a-f]{{16}})?(?:{_ENDINGS})"
)
_ANY = re.compile(rf"(?P<original>{_PICTURE})(?P<derived>\.(?:{_SIZES})\.webp)?")


def new_key(media_id: str, mime_type: str, claim: str) -> str:
    """The key of a picture that an attempt, known by its claim, has made."""
    return f"{media_id[:2]}/{media_id}.{_attempt(claim)}{EXTENSIONS[mime_type]}"


def archive_key(export_id: str, claim: str) -> str:
    """The key of an export that an attempt, known by its claim, has written."""
    return f"{export_id[:2]}/{export_id}.{_attempt(claim)}{ZIP}"


def _attempt(claim: str) -> str:
    return hashlib.sha256(claim.encode()).hexdigest()[:16]


def plain_key(media_id: str, mime_type: str) -> str:
    """The key of a picture of 0.1."""
    return f"{media_id[:2]}/{media_id}{EXTENSIONS[mime_type]}"


def derived_key(key: str, size: int) -> str:
    """The key of a picture's smaller one."""
    return f"{key}.{size}.webp"


def with_derived(key: str) -> list[str]:
    """A picture's key and those of all that is derived of it, itself first."""
    return [key, *(derived_key(key, size) for size in SIZES)]


def original_key(key: str) -> str:
    """The key of the picture that a file is, or is derived of. Raises ValueError for no key."""
    return match_key(key)["original"]


def is_picture_key(key: str) -> bool:
    """Whether this is the key of a picture itself."""
    match = _ANY.fullmatch(key)
    return match is not None and not match["derived"] and not key.endswith(ZIP)


def match_key(key: str) -> re.Match[str]:
    """The parts of a key: original, id, attempt and derived. Raises ValueError for no key."""
    match = _ANY.fullmatch(key)
    if match is None:
        raise ValueError(f"{key!r} is no key of a file")
    return match
