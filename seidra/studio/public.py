"""The pages behind a link for outsiders: a picture, or a collection as a grid.

They need no script and no account. Whatever is the matter with a link (ended, taken back, never
made; its picture deleted, its owner disabled or no longer allowed to show it), the answer is the
same page.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from flask import Flask, Response, request
from jinja2 import Environment, FileSystemLoader, Template

from seidra.config import Settings
from seidra.database.base import Row
from seidra.errors import NotFound
from seidra.files.keys import SIZES
from seidra.media.answers import send_bare, send_stored, send_thumbnail
from seidra.media.keys import row_key
from seidra.media.sharing import OpenedLink, linked_picture, linked_pictures, open_link
from seidra.media.thumbnails import thumbnail_size
from seidra.media.view import file_name
from seidra.values import from_json
from seidra.web import rates
from seidra.web.answers import public_url
from seidra.web.services import services

PATHS = (
    "/s/<token>",
    "/s/<token>/picture",
    "/s/<token>/thumbnail",
    "/s/<token>/download",
    "/s/<token>/<uuid:media_id>",
    "/s/<token>/<uuid:media_id>/picture",
    "/s/<token>/<uuid:media_id>/thumbnail",
    "/s/<token>/<uuid:media_id>/download",
)

_ON_A_PAGE = 48
_SMALL = 320
"""The size of a picture in a grid."""

_PREVIEW = 640
"""The size of the picture that other programs show beside a link."""

_WORDS = {
    "en": {
        "picture": "Shared picture",
        "collection": "Shared collection",
        "made": "Made on {date}, {width} × {height} pixels",
        "prompt": "Prompt",
        "negative": "Negative prompt",
        "download": "Download",
        "whole": "Back to the collection",
        "veiled": "This is marked as not for everybody.",
        "some": "Some of them are marked as not for everybody.",
        "show": "Show",
        "number": "Picture {n}",
        "pages": "Pages",
        "page": "Page {page} of {pages}",
        "earlier": "Previous",
        "later": "Next",
        "empty": "There is no picture in it.",
        "gone": "Nothing to see here",
        "why": "This link has ended, was taken back, or never was.",
        "footer": "Shared with SEIDRA by a link that ends.",
    },
    "fr": {
        "picture": "Image partagée",
        "collection": "Collection partagée",
        "made": "Faite le {date}, {width} × {height} pixels",
        "prompt": "Prompt",
        "negative": "Prompt négatif",
        "download": "Télécharger",
        "whole": "Retour à la collection",
        "veiled": "Ceci est signalé comme n’étant pas pour tout le monde.",
        "some": "Certaines sont signalées comme n’étant pas pour tout le monde.",
        "show": "Afficher",
        "number": "Image {n}",
        "pages": "Pages",
        "page": "Page {page} sur {pages}",
        "earlier": "Précédente",
        "later": "Suivante",
        "empty": "Elle ne contient aucune image.",
        "gone": "Rien à voir ici",
        "why": "Ce lien a expiré, a été retiré, ou n’a jamais existé.",
        "footer": "Partagé avec SEIDRA par un lien qui expire.",
    },
}

View = Callable[..., Response]


def serve_public(app: Flask, settings: Settings) -> None:
    """Answer the paths below `/s/`."""
    pages = _Pages(settings.base_path)
    views: dict[str, View] = {
        "": pages.page,
        "picture": pages.picture,
        "thumbnail": pages.thumbnail,
        "download": pages.download,
    }
    for path in PATHS:
        last = path.rpartition("/")[2]
        name = last if last in views else ""
        endpoint = f"shared_{name or 'page'}"
        if endpoint not in app.view_functions:
            app.add_url_rule(path, endpoint, pages.guarded(views[name]))
        else:
            app.add_url_rule(path, endpoint)


class _Pages:
    """The views, of an app that stands below `base` ("" or such as "/seidra")."""

    def __init__(self, base: str) -> None:
        self._base = base

    def guarded(self, view: View) -> View:
        """A view of what a token opens, counted for its address; anything that is not to be seen is
        one and the same page."""

        @wraps(view)
        def answer(token: str, media_id: UUID | None = None) -> Response:
            rates.count_request("shared", rates.client_address())
            try:
                link = open_link(services().database.connection, token)
                return view(link, token, None if media_id is None else str(media_id))
            except NotFound:
                return self._gone()

        return rates.counts_itself(answer)

    # ------------------------------------------------------------------------------------ the files

    def picture(self, link: OpenedLink, token: str, media_id: str | None) -> Response:
        """The picture: without what was written beside it, unless that is given too."""
        return self._send(link, media_id, attached=False)

    def download(self, link: OpenedLink, token: str, media_id: str | None) -> Response:
        """The same, as a file to keep."""
        return self._send(link, media_id, attached=True)

    def _send(self, link: OpenedLink, media_id: str | None, *, attached: bool) -> Response:
        row = _picture(link, media_id)
        seed = from_json(row["metadata"]).get("seed") if link.with_details else None
        name = file_name(row["created_at"], row["mime_type"], None, seed)
        send = send_stored if link.with_details else send_bare
        tag = f"{row['id']}-shared{'' if link.with_details else '-bare'}"
        answer = send(row_key(row), row["mime_type"], tag, 0, row["id"], name, attached=attached)
        return _unlisted(answer)

    def thumbnail(self, link: OpenedLink, token: str, media_id: str | None) -> Response:
        """The picture in a smaller size."""
        row = _picture(link, media_id)
        size = request.args.get("size", _SMALL, type=int)
        if size not in SIZES:
            raise NotFound
        tag = f"{row['id']}-shared-{size}"
        return _unlisted(send_thumbnail(row_key(row), size, tag, 0, row["id"]))

    # ------------------------------------------------------------------------------------ the pages

    def page(self, link: OpenedLink, token: str, media_id: str | None) -> Response:
        """The page of a picture, or of a collection."""
        if media_id is None and link.collection_id is not None:
            return self._collection(link, token)
        return self._one(link, token, _picture(link, media_id), media_id)

    def _one(self, link: OpenedLink, token: str, row: Row, media_id: str | None) -> Response:
        words = _words()
        title = words["picture"] if media_id is None else link.name or words["collection"]
        here = f"/s/{token}" + ("" if media_id is None else f"/{media_id}")
        width, height, date = row["width"], row["height"], row["created_at"][:10]
        about = words["made"].format(date=date, width=width, height=height)
        back = None
        if media_id is not None:
            back = f"{self._base}/s/{token}" + ("?show=1" if _shows() else "")
        preview = None if row["is_nsfw"] else (here, width, height)
        return self._answer(
            _Shown(title, about, here, preview),
            picture=row,
            date=date,
            veiled=bool(row["is_nsfw"]) and not _shows(),
            details=_details(words, from_json(row["metadata"])) if link.with_details else (),
            back=back,
        )

    def _collection(self, link: OpenedLink, token: str) -> Response:
        words = _words()
        connection = services().database.connection
        wanted = request.args.get("page", 1, type=int)
        wanted = min(max(wanted, 1), 1 << 20)
        first = (wanted - 1) * _ON_A_PAGE
        rows, total = linked_pictures(connection, link, _ON_A_PAGE, first)
        pages = max((total + _ON_A_PAGE - 1) // _ON_A_PAGE, 1)
        if wanted > pages:
            raise NotFound
        here = f"/s/{token}"
        veiled = any(row["is_nsfw"] for row in rows) and not _shows()
        safe = next((row for row in rows if not row["is_nsfw"]), None)
        preview = None if safe is None else (f"{here}/{safe['id']}", safe["width"], safe["height"])
        return self._answer(
            _Shown(
                link.name or words["collection"],
                link.description or words["collection"],
                here,
                preview,
            ),
            description=link.description,
            veiled=veiled,
            note=None if rows else words["empty"],
            items=[
                _item(words, row, first + n)
                for n, row in enumerate(rows, 1)
                if not (veiled and row["is_nsfw"])
            ],
            page=wanted,
            pages=pages,
        )

    def _gone(self) -> Response:
        words = _words()
        return self._answer(
            _Shown(words["gone"], words["why"], None, None), status=404, note=words["why"]
        )

    def _answer(self, shown: _Shown, status: int = 200, **more: Any) -> Response:
        template, style, digest = _template()
        text = template.render(
            language=_language(),
            words=_words(),
            title=shown.title,
            about=shown.about,
            address=f"{self._base}{shown.here}",
            open_graph=_open_graph(shown),
            showing=_shows(),
            small=_SMALL,
            style=style,
            **({"page": 1, "pages": 1} | more),
        )
        answer = Response(text, status, content_type="text/html; charset=utf-8")
        answer.headers["Content-Security-Policy"] = (
            f"default-src 'none'; img-src 'self'; style-src 'sha256-{digest}'; base-uri 'none'; "
            "form-action 'none'; frame-ancestors 'none'"
        )
        answer.headers["Cache-Control"] = "private, no-cache"
        answer.headers["Vary"] = "Accept-Language"
        return _unlisted(answer)


class _Shown(NamedTuple):
    """What a page is called and tells of itself, its path, and the path and size in pixels of the
    picture that stands for it."""

    title: str
    about: str
    here: str | None
    preview: tuple[str, int, int] | None


def _picture(link: OpenedLink, media_id: str | None) -> Row:
    """The picture that a path means. Raises NotFound: a collection has no picture of its own, and a
    link of one picture has no others."""
    if (media_id is None) == (link.media_id is None):
        raise NotFound
    return linked_picture(services().database.connection, link, media_id)


def _unlisted(answer: Response) -> Response:
    answer.headers["X-Robots-Tag"] = "noindex, nofollow"
    return answer


def _language() -> str:
    return request.accept_languages.best_match(list(_WORDS), "en")


def _words() -> dict[str, str]:
    return _WORDS[_language()]


def _shows() -> bool:
    """Whether who looks has asked to see what is veiled."""
    return request.args.get("show") == "1"


def _item(words: dict[str, str], row: Row, number: int) -> dict[str, Any]:
    """A picture in a grid."""
    width, height = thumbnail_size(row["width"], row["height"], _SMALL)
    title = words["number"].format(n=number)
    return {
        "id": row["id"],
        "is_nsfw": row["is_nsfw"],
        "width": width,
        "height": height,
        "title": title,
    }


def _details(words: dict[str, str], metadata: dict[str, object]) -> list[tuple[str, str]]:
    return [
        (words[label], text)
        for label, name in (("prompt", "prompt"), ("negative", "negative_prompt"))
        if isinstance(text := metadata.get(name), str) and text
    ]


def _open_graph(shown: _Shown) -> dict[str, str]:
    """What other programs show of a link. They want whole addresses, and the Host header is
    nobody's word: without SEIDRA_PUBLIC_URL there are none."""
    tags = {"og:title": shown.title, "og:description": shown.about, "og:type": "website"}
    tags["og:site_name"] = "SEIDRA"
    if (base := public_url()) and shown.here is not None:
        tags["og:url"] = f"{base}{shown.here}"
        if shown.preview is not None:
            path, width, height = shown.preview
            small = thumbnail_size(width, height, _PREVIEW)
            tags["og:image"] = f"{base}{path}/thumbnail?size={_PREVIEW}"
            tags["og:image:width"], tags["og:image:height"] = map(str, small)
    return tags


@cache
def _template() -> tuple[Template, str, str]:
    """The page, its style, and the digest that its policy names the style by."""
    folder = Path(__file__).parent
    loader = FileSystemLoader(folder)
    pages = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    style = (folder / "public.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return pages.get_template("public.html"), style, digest
