"""The files of the page, read and compressed once at the start, under an address that changes with
them."""

from __future__ import annotations

import gzip
import hashlib
import posixpath
import re
from collections.abc import Collection
from functools import cache
from html import escape
from pathlib import Path
from typing import NamedTuple

_STATIC = Path(__file__).parent / "static"
_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
_APART = re.compile(r"pages/(?!index\.js$)|i18n/(?!en\.js$)")
"""Scripts that are sent when somebody opens what they are of. All others are sent as one with
`app.js`: a first view asks for a few files instead of thirty."""

_IMPORT = re.compile(r'^import (?:\w+|\{[^}]*\}) from "([^"]+)";$', re.MULTILINE)
_LATER = re.compile(r'\bimport\("([^"]+)"\)')


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
        texts = {
            path.relative_to(_STATIC).as_posix(): path.read_text(encoding="utf-8")
            for path in sorted(_STATIC.rglob("*"))
            if path.suffix in _TYPES
        }
        self.files = {
            name: _read_file(text.encode(), Path(name).suffix)
            for name, text in _join_scripts(texts).items()
        }
        digest = hashlib.sha256()
        for name, file in self.files.items():
            digest.update(name.encode() + b"\0" + file.plain + b"\0")
        self.digest = digest.hexdigest()[:16]
        self.page = _read_file(self._page_text(base).encode(), ".html")
        self.etag = f'"{hashlib.sha256(self.page.plain).hexdigest()[:16]}"'

    def _page_text(self, base: str) -> str:
        root = escape(f"{base}/studio/{self.digest}", quote=True)
        return (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1, '
            'viewport-fit=cover">\n<meta name="color-scheme" content="dark light">\n'
            "<title>SEIDRA</title>\n"
            f'<link rel="icon" href="{root}/icon.svg" type="image/svg+xml">\n'
            f'<link rel="stylesheet" href="{root}/studio.css">\n'
            f'<script type="module" src="{root}/app.js"></script>\n'
            "</head>\n<body>\n"
            "<noscript>The studio needs JavaScript. The API and its documentation do not: "
            f'<a href="{escape(base, quote=True)}/api/docs">api/docs</a>.</noscript>\n'
            "</body>\n</html>\n"
        )


@cache
def read_studio(base: str) -> StudioFiles:
    """The files of the page, read and compressed once a process for each path in front."""
    return StudioFiles(base)


def _join_scripts(texts: dict[str, str]) -> dict[str, str]:
    """The files by name, those scripts joined that the first view needs: each stands after what it
    imports, below a line that names it, and its lines follow one for one. No two of them may use a
    name twice at their top, for they share one scope."""
    scripts = {name for name in texts if name.endswith(".js")}
    joined = sorted(name for name in scripts if not _APART.match(name))
    parts: dict[str, str] = {}

    def add(name: str) -> None:
        if name in parts:
            return
        # Marked before what it imports is added: two modules may import each other.
        parts[name] = ""
        for address in _IMPORT.findall(texts[name]):
            add(_named_from(name, address))
        del parts[name]
        parts[name] = f"// {name}\n{_inside_text(name, texts[name])}"

    for name in joined:
        add(name)
    sent = {
        name: _outside_text(name, text, parts.keys()) if name in scripts else text
        for name, text in texts.items()
        if name not in parts
    }
    return sent | {"app.js": "".join(parts.values())}


def _inside_text(name: str, text: str) -> str:
    """A script as it stands among those that are joined, seen from `app.js`: they import nothing of
    each other, and what one gives by default has its file's name."""
    text = _IMPORT.sub(lambda found: "\n" * found[0].count("\n"), _bare_script(text))
    text = text.replace("export default ", f"const {Path(name).stem} = ")
    return _LATER.sub(lambda found: f'import("./{_named_from(name, found[1])}")', text)


def _outside_text(name: str, text: str, joined: Collection[str]) -> str:
    """A script that is sent alone: what it imports of those that are joined, `app.js` has."""

    def from_app(found: re.Match[str]) -> str:
        if _named_from(name, found[1]) not in joined:
            return found[0]
        return found[0].replace(found[1], posixpath.relpath("app.js", posixpath.dirname(name)))

    return _IMPORT.sub(from_app, _bare_script(text))


def _named_from(name: str, address: str) -> str:
    """The name of the file that a script imports by its address."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), address))


def _bare_script(text: str) -> str:
    """A script without its comments and types and the blanks that lines begin with, a third of it;
    lines keep their numbers, so that what the browser's console names is found in the source. No
    text of a script goes over several lines."""
    text = _DESCRIPTION.sub(lambda found: "\n" * found[0].count("\n"), text)
    return _INDENT.sub("", _TYPE.sub("", _REMARK.sub("", text)))


_DESCRIPTION = re.compile(r"^[ \t]*/\*\*(?:(?!\*/).)*\*/[ \t]*\n", re.MULTILINE | re.DOTALL)
"""A comment of JSDoc on lines of its own."""
_TYPE = re.compile(r"/\*\* @type [^\n]*?\*/ ?")
"""One that says a type within a line."""
_REMARK = re.compile(r"^[ \t]*//[^\n]*$", re.MULTILINE)
_INDENT = re.compile(r"^[ \t]+", re.MULTILINE)


def _read_file(content: bytes, suffix: str) -> StaticFile:
    kind = _TYPES.get(suffix, "text/html; charset=utf-8")
    return StaticFile(kind, content, gzip.compress(content, 9, mtime=0))
