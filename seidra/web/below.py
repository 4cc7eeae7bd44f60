"""An app that stands below a path of its host, such as https://host/seidra."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import unquote
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


class BelowPath:
    """Takes the path in front off each request that still has it, and names it as SCRIPT_NAME to
    all: a reverse proxy may strip it or not."""

    def __init__(self, app: WSGIApplication, base_path: str) -> None:
        self._app = app
        # As WSGI spells paths: decoded, each byte a character.
        self._base = unquote(base_path).encode().decode("latin-1")

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == self._base or path.startswith(f"{self._base}/"):
            environ["PATH_INFO"] = path[len(self._base) :]
        environ["SCRIPT_NAME"] = self._base
        return self._app(environ, start_response)
