"""Signed links: how an <img> or <a> loads a picture without a header.

A link names item, variant, user and expiry, and is signed over all four with a key of its own,
derived from the JWT secret. A variant is a part of the path, and of a thumbnail its size and the
square that it shows too; its size is not signed, so that one signature is good for all sizes. The
expiry is rounded up to a window, so that links, and with them browser caches, stay stable.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Iterable
from urllib.parse import parse_qs, urlsplit

from marshmallow import ValidationError

from seidra.config import Settings, jwt_secret
from seidra.media.thumbnails import SIZE

MEDIA, TRASH, EXPORTS = "media", "trash", "exports"
"""What links lead to: an item, an entry of the trash, or the file of an export."""

FRAME = "frame"
"""The variant of a job's unfinished picture; the id is the job's."""

_PATH = re.compile(
    r"/api/media/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/(?:content|thumbnail|download)"
)


class Links:
    """Makes and checks the links of one instance."""

    def __init__(self, settings: Settings) -> None:
        self._key = hmac.digest(jwt_secret(settings).encode(), b"seidra media links v1", "sha256")
        self._window = settings.media_link_seconds
        self._base = settings.public_url or ""
        self._path = settings.base_path

    def make(self, item_id: str, variant: str, user_id: int, section: str = MEDIA) -> str:
        """A link that is valid for one to two windows from now. `variant`: content, download, or
        what `thumbnail_variant` answers."""
        signed = self._signed(item_id, _signed_variant(variant), user_id, section)
        name, _, size = variant.partition(":")
        size, _, crop = size.partition(":")
        query = f"size={size}&{signed}" if size else signed
        query = f"crop={crop}&{query}" if crop else query
        return f"{self._base}/api/{section}/{item_id}/{name}?{query}"

    def make_thumbnails(self, item_id: str, sizes: Iterable[int], user_id: int) -> list[str]:
        """What `make` answers for the thumbnails of an item in these sizes, signed once."""
        address = f"{self._base}/api/{MEDIA}/{item_id}/thumbnail?"
        signed = self._signed(item_id, "thumbnail", user_id)
        return [
            f"{address}{signed}" if size == SIZE else f"{address}size={size}&{signed}"
            for size in sizes
        ]

    def make_frame(self, job_id: str, number: int, user_id: int) -> str:
        """A link to the unfinished picture of a job, another one for each. Valid as long."""
        signed = self._signed(job_id, FRAME, user_id)
        return f"{self._base}/api/jobs/{job_id}/{FRAME}?n={number}&{signed}"

    def as_reference(self, url: str) -> str:
        """A link of ours without the path that SEIDRA stands below; any other URL as it is."""
        start = url.find(f"{self._path}/api/{MEDIA}/") if self._path else -1
        if start < 0:
            return url
        shorter = url[:start] + url[start + len(self._path) :]
        return shorter if is_media_link(shorter) else url

    def _signed(self, item_id: str, variant: str, user_id: int, section: str = MEDIA) -> str:
        expires = (int(time.time()) // self._window + 2) * self._window
        signature = self._sign(item_id, variant, user_id, expires, section)
        return f"user={user_id}&expires={expires}&signature={signature}"

    def check(
        self,
        item_id: str,
        variant: str,
        user: str,
        expires: str,
        signature: str,
        section: str = MEDIA,
    ) -> int | None:
        """The user id that a link was made for, or None for one that is forged or expired."""
        if not (re.fullmatch(r"[0-9]{1,10}", user) and re.fullmatch(r"[0-9]{1,12}", expires)):
            return None
        # Until 0.2 a thumbnail's size was signed too: pages that are open go on.
        good = (
            self._sign(item_id, signed, int(user), int(expires), section).encode()
            for signed in (_signed_variant(variant), variant)
        )
        if not any(hmac.compare_digest(each, signature.encode()) for each in good):
            return None
        return int(user) if int(expires) > time.time() else None

    def _sign(self, item_id: str, variant: str, user_id: int, expires: int, section: str) -> str:
        # Of media it says nothing: links of older versions go on.
        place = "" if section == MEDIA else f"{section}:"
        message = f"{place}{item_id}:{variant}:{user_id}:{expires}".encode()
        return base64.urlsafe_b64encode(
            hmac.digest(self._key, message, hashlib.sha256)[:24]
        ).decode()


def thumbnail_variant(size: int, crop: str = "") -> str:
    """The variant of a thumbnail in a size, or of a square of the picture; that of 320 is the one
    that has always been."""
    if crop:
        return f"thumbnail:{size}:{crop}"
    return "thumbnail" if size == SIZE else f"thumbnail:{size}"


def _signed_variant(variant: str) -> str:
    """What is signed of a variant: all but the size."""
    name, _, shown = variant.partition(":")
    crop = shown.partition(":")[2]
    return f"{name}::{crop}" if crop else name


def is_media_link(url: str) -> bool:
    """Whether this is a link of ours: relative, or absolute with a signature. Raises
    ValidationError for what is no URL at all, such as one whose host has an open bracket."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValidationError("Must be an http or https URL.") from None
    if not _PATH.fullmatch(parts.path):
        return False
    return not parts.netloc or "signature" in parse_qs(parts.query)


def media_id_of(url: str) -> str | None:
    """The media id that a link of ours names, or None for any other URL."""
    match = _PATH.fullmatch(urlsplit(url).path)
    return match[1] if match and is_media_link(url) else None
