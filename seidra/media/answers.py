"""How the bytes of a picture are answered: for whom, under which headers, by whom they are sent."""

from __future__ import annotations

import errno
import time
from collections.abc import Mapping

from flask import Response, current_app, g, send_file

from seidra.auth.tokens import request_user
from seidra.errors import Forbidden, NotFound, Unavailable
from seidra.media.links import MEDIA
from seidra.media.thumbnails import MIME_TYPE, TooBusy, thumbnail_key
from seidra.web import rates
from seidra.web.services import services


def linked_user(
    item_id: str, variant: str, link: Mapping[str, str | None], section: str = MEDIA
) -> tuple[int, int]:
    """Whom a request for a file is of, by its signed link or else its Bearer token, and how many
    seconds the link is valid (0 for a token). Raises Forbidden for a link that is not.

    A valid link counts for its user, at a rate of its own, for a page loads sixty at once; anything
    else counts as every request does.
    """
    signature = link["signature"]
    if signature is None:
        g.user = request_user()
        return g.user["id"], 0
    expires = link["expires"] or ""
    user_id = services().links.check(
        item_id, variant, link["user"] or "", expires, signature, section
    )
    if user_id is None:
        rates.count_request("general", rates.client_address())
        raise Forbidden(
            "This link is not valid, or not any more; read the item again for a fresh one.",
            code="link_invalid",
        )
    rates.count_request("links", str(user_id))
    return user_id, max(int(expires) - int(time.time()), 0)


def send_thumbnail(key: str, size: int, tag: str, max_age: int, item_id: str) -> Response:
    """The picture of a key in a smaller size, which is made where it is not there; the rest as for
    `send_stored`. Raises Unavailable where it cannot be made now."""
    try:
        small = thumbnail_key(services().files, key, size)
    except TooBusy:
        raise Unavailable("Other thumbnails are being made; try again.") from None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise _missing(item_id) from None
        # The picture is there; it is its thumbnail that cannot be made.
        current_app.logger.exception("thumbnail of media item %s cannot be stored", item_id)
        raise Unavailable(
            "The thumbnail cannot be made right now; the disk may be full or read-only."
        ) from None
    return send_stored(small, MIME_TYPE, tag, max_age, item_id)


def send_stored(
    key: str, mime_type: str, tag: str, max_age: int, item_id: str, name: str | None = None
) -> Response:
    """The bytes of a stored file, or none, and word to the proxy which ones it is to send.

    They never change, so `tag` is its ETag; `name` makes it a file to keep. Raises NotFound.
    """
    files = services().files
    try:
        link = files.link(key, max_age)
        response = send_file(
            files.plain_path(key),
            mime_type,
            etag=tag,
            conditional=link is None,
            max_age=max_age,
            as_attachment=name is not None,
            download_name=name,
        )
    except OSError:
        raise _missing(item_id) from None
    if link is not None:
        # The proxy sends the bytes; ranges and conditions are its own to judge, by its own ETag.
        response.close()
        response.set_data(b"")
        response.headers["X-Accel-Redirect"] = link
    return with_file_headers(response, max_age)


def with_file_headers(response: Response, max_age: int) -> Response:
    """The answer of a file, with what its headers say of caching and of scripts in it."""
    response.headers["Cache-Control"] = (
        f"private, max-age={max_age}" if max_age else "private, no-cache"
    )
    response.headers["Vary"] = "Authorization, Origin"
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return response


def _missing(item_id: str) -> NotFound:
    current_app.logger.exception("file of media item %s is missing or damaged", item_id)
    return NotFound("file; it is missing from the server's disk")
