"""How the bytes of a picture are answered: under which headers, by whom they are sent."""

from __future__ import annotations

import errno
import io
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

from flask import Response, current_app, request, send_file

from seidra.errors import NotFound, Unavailable
from seidra.files.base import Files, Handover
from seidra.media.bare import bare_picture
from seidra.media.crops import Crop, cut_out
from seidra.media.thumbnails import MIME_TYPE, TooBusy, thumbnail_key
from seidra.web.services import services


def send_thumbnail(key: str, size: int, tag: str, max_age: int, item_id: str) -> Response:
    """The picture of a key in a smaller size, which is made where it is not there; the rest as for
    `send_stored`. Raises Unavailable where it cannot be made now."""
    with _making(item_id):
        small = thumbnail_key(services().files, key, size)
    return send_stored(small, MIME_TYPE, tag, max_age, item_id, f"seidra-{item_id}.webp")


def send_crop(
    key: str,
    picture: tuple[int, int],
    crop: Crop,
    size: int,
    tag: str,
    max_age: int,
    item_id: str,
) -> Response:
    """A square of the picture of a key in a size; the rest as for `send_thumbnail`."""
    with _making(item_id):
        data = cut_out(services().files, key, picture, crop, size)
    name = f"seidra-{item_id}.webp"
    response = send_file(
        io.BytesIO(data), MIME_TYPE, etag=tag, conditional=True, max_age=max_age, download_name=name
    )
    return with_file_headers(response, max_age)


@contextmanager
def _making(item_id: str) -> Iterator[None]:
    """Make a failure of making a thumbnail an answer."""
    try:
        yield
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


def send_stored(
    key: str,
    mime_type: str,
    tag: str,
    max_age: int,
    item_id: str,
    name: str,
    *,
    attached: bool = False,
) -> Response:
    """The bytes of a stored file, or none, and word to the proxy which ones it is to send.

    They never change, so `tag` is its ETag. Where a store of its own has them, a browser is sent
    there. `attached`: a file to keep, called `name`. Raises
    NotFound.
    """
    files = services().files
    try:
        link = files.link(key, max_age, request.method, attached=attached)
        if link is None:
            response = _send_opened(files, key, mime_type, tag, max_age, name)
        else:
            # Asked once for all: what is gone is a 404 of ours, whoever sends the rest.
            files.stat(key)
            response = _handed_over(link, mime_type)
    except OSError:
        raise _missing(item_id) from None
    if link is not None and not link.internal:
        # A while less than the address is good, so that what a browser has kept leads somewhere.
        return with_file_headers(response, min(max_age, _REDIRECT_SECONDS))
    if link is not None:
        response.headers.set("Content-Disposition", "inline", filename=name)
    if attached:
        attach(response, name)
    return with_file_headers(response, max_age)


_REDIRECT_SECONDS = 30
"""How long a browser may follow a redirect again without asking."""


def _handed_over(link: Handover, mime_type: str) -> Response:
    """The answer by which somebody else sends the bytes; ranges and conditions are theirs to judge,
    by their own ETag."""
    if not link.internal:
        return Response(status=302, headers={"Location": link.address})
    return Response(b"", content_type=mime_type, headers={"X-Accel-Redirect": link.address})


def _send_opened(
    files: Files, key: str, mime_type: str, tag: str, max_age: int, name: str
) -> Response:
    stored, file = files.stat(key), files.open(key)
    try:
        response = send_file(
            file,
            mime_type,
            etag=tag,
            conditional=False,
            max_age=max_age,
            last_modified=stored.modified,
            download_name=name,
        )
        response.headers["Content-Length"] = str(stored.size)
        response.make_conditional(request.environ, accept_ranges=True, complete_length=stored.size)
        return response
    except BaseException:
        file.close()
        raise


def send_bare(
    key: str,
    mime_type: str,
    tag: str,
    max_age: int,
    item_id: str,
    name: str,
    *,
    attached: bool = False,
) -> Response:
    """A stored picture without what was written beside it; the rest as for `send_stored`. It is
    made for each request, and no proxy has it."""
    try:
        with services().files.open(key) as file:
            data = bare_picture(file.read(), mime_type)
    except OSError:
        raise _missing(item_id) from None
    response = send_file(
        io.BytesIO(data), mime_type, etag=tag, conditional=True, max_age=max_age, download_name=name
    )
    if attached:
        attach(response, name)
    return with_file_headers(response, max_age)


def attach(response: Response, name: str) -> None:
    """Call an answer a file to keep: in ASCII, and whole (RFC 8187) where that is not all."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().strip()
    names = {"filename": plain}
    if plain != name:
        names["filename*"] = f"UTF-8''{quote(name, safe='!#$&+-.^_`|~')}"
    response.headers.set("Content-Disposition", "attachment", **names)


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
