"""The files of the page, read and compressed once at the start, under an address that changes with
them."""

from __future__ import annotations

import gzip
import hashlib
import re
from html import escape
from pathlib import Path
from typing import NamedTuple

_STATIC = Path(__file__).parent / "static"
_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
_FIRST_VIEW = ("lib", "data", "parts/shell.js", "parts/dialog.js", "parts/dock.js", "i18n/en.js")
"""What the browser is told to fetch at once, beside the entry."""


class StaticFile(NamedTuple):
    """A file as it is sent."""

    content_type: str
    plain: bytes
    compressed: bytes


class StudioFiles:
    """Every file of the page by its path below `static/`, their digest, and the page itself.

    `base` is the path in front of everything: "" or such as "/seidra".
    """

    def __init__(self, base: str) -> None:
        paths = sorted(path for path in _STATIC.rglob("*") if path.suffix in _TYPES)
        self.files = {
            path.relative_to(_STATIC).as_posix(): _read_file(_sent_text(path), path.suffix)
            for path in paths
        }
        digest = hashlib.sha256()
        for name, file in self.files.items():
            digest.update(name.encode() + b"\0" + file.plain + b"\0")
        self.digest = digest.hexdigest()[:16]
        self.page = _read_file(self._page_text(base).encode(), ".html")
        self.etag = f'"{hashlib.sha256(self.page.plain).hexdigest()[:16]}"'

    def _page_text(self, base: str) -> str:
        root = escape(f"{base}/studio/{self.digest}", quote=True)
        preloads = "".join(
            f'<link rel="modulepreload" href="{root}/{name}">\n'
            for name in self.files
            if name.endswith(".js") and name.startswith(_FIRST_VIEW)
        )
        return (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1, '
            'viewport-fit=cover">\n<meta name="color-scheme" content="dark light">\n'
            "<title>SEIDRA</title>\n"
            f'<link rel="icon" href="{root}/icon.svg" type="image/svg+xml">\n'
            f'<link rel="stylesheet" href="{root}/studio.css">\n'
            f'<script type="module" src="{root}/app.js"></script>\n'
            f"{preloads}</head>\n<body>\n"
            "<noscript>The studio needs JavaScript. The API and its documentation do not: "
            f'<a href="{escape(base, quote=True)}/api/docs">api/docs</a>.</noscript>\n'
            "</body>\n</html>\n"
        )


def _sent_text(path: Path) -> bytes:
    """A file without its comments and the blanks that lines begin with, a third of a script; lines
    keep their numbers, so that what the browser's console names is found in the source. No text of
    a script goes over several lines."""
    text = path.read_bytes()
    if path.suffix != ".js":
        return text
    text = _DESCRIPTION.sub(lambda found: b"\n" * found[0].count(b"\n"), text)
    return _INDENT.sub(b"", _TYPE.sub(b"", _REMARK.sub(b"", text)))


_DESCRIPTION = re.compile(rb"^[ \t]*/\*\*(?:(?!\*/).)*\*/[ \t]*\n", re.MULTILINE | re.DOTALL)
"""A comment of JSDoc on lines of its own."""
_TYPE = re.compile(rb"/\*\* @type [^\n]*?\*/ ?")
"""One that says a type within a line."""
_REMARK = re.compile(rb"^[ \t]*//[^\n]*$", re.MULTILINE)
_INDENT = re.compile(rb"^[ \t]+", re.MULTILINE)

_TYPE = re.compile(rb"/\*\* @type (?:(?!\*/).)*\*/ ?")
"""A type within a line."""


def _read_file(content: bytes, suffix: str) -> StaticFile:
    kind = _TYPES.get(suffix, "text/html; charset=utf-8")
    return StaticFile(kind, content, gzip.compress(content, 9, mtime=0))
