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
from html import escape
from pathlib import Path
from uuid import UUID

from flask import Flask, Response, request

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
        "show": "Show it",
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
        address = escape(f"{self._base}{here}")
        width, height, date = row["width"], row["height"], row["created_at"][:10]
        made = words["made"].format(date=date, width=width, height=height)
        veiled = bool(row["is_nsfw"]) and not _shows()
        parts = []
        if veiled:
            parts.append(_veil(words, address))
        else:
            parts.append(
                f'<figure class="picture"><img src="{address}/picture" width="{width}" '
                f'height="{height}" alt="{escape(title)}"></figure>'
            )
        parts.append(f'<p class="facts"><time datetime="{date}">{escape(made)}</time></p>')
        if not veiled:
            parts.append(
                f'<p><a class="button" href="{address}/download">{words["download"]}</a></p>'
            )
            if link.with_details:
                parts += _details(words, from_json(row["metadata"]))
        if media_id is not None:
            back = escape(f"{self._base}/s/{token}") + _keeps_showing()
            parts.append(f'<p><a href="{back}">{words["whole"]}</a></p>')
        preview = None if row["is_nsfw"] else (here, width, height)
        return self._answer(words, title, made, "".join(parts), here, preview)

    def _collection(self, link: OpenedLink, token: str) -> Response:
        words = _words()
        connection = services().database.connection
        wanted = request.args.get("page", 1, type=int)
        wanted = min(max(wanted, 1), 1 << 20)
        rows, total = linked_pictures(connection, link, _ON_A_PAGE, (wanted - 1) * _ON_A_PAGE)
        pages = max((total + _ON_A_PAGE - 1) // _ON_A_PAGE, 1)
        if wanted > pages:
            raise NotFound
        title = link.name or words["collection"]
        here = f"/s/{token}"
        address = escape(f"{self._base}{here}")
        hidden = any(row["is_nsfw"] for row in rows) and not _shows()
        shown = [row for row in rows if not (hidden and row["is_nsfw"])]
        parts = [f"<p>{escape(link.description)}</p>"] if link.description else []
        if hidden:
            parts.append(_veil(words, address, page=wanted))
        if not rows:
            parts.append(f"<p>{words['empty']}</p>")
        if shown:
            first = (wanted - 1) * _ON_A_PAGE + 1
            places = {row["id"]: first + n for n, row in enumerate(rows)}
            items = "".join(self._item(words, address, row, places[row["id"]]) for row in shown)
            parts.append(f'<ul class="grid">{items}</ul>')
        if pages > 1:
            parts.append(_pager(words, address, wanted, pages))
        safe = next((row for row in rows if not row["is_nsfw"]), None)
        preview = None if safe is None else (f"{here}/{safe['id']}", safe["width"], safe["height"])
        about = link.description or words["collection"]
        return self._answer(words, title, about, "".join(parts), here, preview)

    def _item(self, words: dict[str, str], address: str, row: Row, n: int) -> str:
        width, height = thumbnail_size(row["width"], row["height"], _SMALL)
        target = f"{address}/{row['id']}"
        show = "?show=1" if row["is_nsfw"] else ""
        return (
            f'<li><a href="{target}{show}"><img src="{target}/thumbnail?size={_SMALL}" '
            f'width="{width}" height="{height}" loading="lazy" '
            f'alt="{escape(words["number"].format(n=n))}"></a></li>'
        )

    def _gone(self) -> Response:
        words = _words()
        body = f"<p>{escape(words['why'])}</p>"
        return self._answer(words, words["gone"], words["why"], body, None, None, 404)

    def _answer(
        self,
        words: dict[str, str],
        title: str,
        about: str,
        body: str,
        here: str | None,
        preview: tuple[str, int, int] | None,
        status: int = 200,
    ) -> Response:
        style, digest = _style()
        text = (
            f'<!doctype html>\n<html lang="{_language()}">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="robots" content="noindex, nofollow">\n'
            '<meta name="color-scheme" content="dark light">\n'
            f"<title>{escape(title)} · SEIDRA</title>\n"
            f"{_open_graph(title, about, here, preview)}<style>{style}</style>\n</head>\n<body>\n"
            f"<header>SEIDRA</header>\n<main>\n<h1>{escape(title)}</h1>\n{body}\n</main>\n"
            f"<footer>{escape(words['footer'])}</footer>\n</body>\n</html>\n"
        )
        answer = Response(text, status, content_type="text/html; charset=utf-8")
        answer.headers["Content-Security-Policy"] = (
            f"default-src 'none'; img-src 'self'; style-src 'sha256-{digest}'; base-uri 'none'; "
            "form-action 'none'; frame-ancestors 'none'"
        )
        answer.headers["Cache-Control"] = "private, no-cache"
        answer.headers["Vary"] = "Accept-Language"
        return _unlisted(answer)


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


def _keeps_showing() -> str:
    return "?show=1" if _shows() else ""


def _veil(words: dict[str, str], address: str, page: int = 1) -> str:
    query = "?show=1" + (f"&amp;page={page}" if page > 1 else "")
    return (
        f'<div class="veil"><p>{escape(words["veiled"])}</p>'
        f'<a class="button" href="{address}{query}">{words["show"]}</a></div>'
    )


def _pager(words: dict[str, str], address: str, page: int, pages: int) -> str:
    show = "&amp;show=1" if _shows() else ""
    parts = []
    if page > 1:
        parts.append(f'<a rel="prev" href="{address}?page={page - 1}{show}">{words["earlier"]}</a>')
    parts.append(f"<span>{words['page'].format(page=page, pages=pages)}</span>")
    if page < pages:
        parts.append(f'<a rel="next" href="{address}?page={page + 1}{show}">{words["later"]}</a>')
    return f'<nav aria-label="{words["pages"]}">{"".join(parts)}</nav>'


def _details(words: dict[str, str], metadata: dict[str, object]) -> list[str]:
    return [
        f'<h2>{words[label]}</h2><p class="prompt">{escape(text)}</p>'
        for label, name in (("prompt", "prompt"), ("negative", "negative_prompt"))
        if isinstance(text := metadata.get(name), str) and text
    ]


def _open_graph(
    title: str, about: str, here: str | None, preview: tuple[str, int, int] | None
) -> str:
    """What other programs show of a link. They want whole addresses, and the Host header is
    nobody's word: without SEIDRA_PUBLIC_URL there are none."""
    tags = {"og:title": title, "og:description": about, "og:type": "website"}
    tags["og:site_name"] = "SEIDRA"
    if (base := public_url()) and here is not None:
        tags["og:url"] = f"{base}{here}"
        if preview is not None:
            path, width, height = preview
            small = thumbnail_size(width, height, _PREVIEW)
            tags["og:image"] = f"{base}{path}/thumbnail?size={_PREVIEW}"
            tags["og:image:width"], tags["og:image:height"] = map(str, small)
    return "".join(
        f'<meta property="{name}" content="{escape(text)}">\n' for name, text in tags.items()
    )


@cache
def _style() -> tuple[str, str]:
    """The style of the pages, and the digest that their policy names it by."""
    text = (Path(__file__).parent / "public.css").read_text(encoding="utf-8")
    return text, base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
