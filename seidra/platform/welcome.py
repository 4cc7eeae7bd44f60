"""What a browser asks of a server whose address somebody has typed in."""

from __future__ import annotations

from flask import Flask, Response, redirect, request
from werkzeug.wrappers import Response as WerkzeugResponse


def welcome_browsers(app: Flask) -> None:
    """Lead `/` and `/docs` to the documentation, and answer that there is no icon."""
    app.add_url_rule("/", view_func=lead_to_docs)
    app.add_url_rule("/docs", "lead_to_docs", lead_to_docs)
    app.add_url_rule("/favicon.ico", view_func=no_icon)


def lead_to_docs() -> WerkzeugResponse:
    """Where the documentation is: seen from here, so that it is right below a path too."""
    return redirect(f"{'../' * (request.path.count('/') - 1)}api/docs")


def no_icon() -> Response:
    """Nothing, for a day."""
    return Response(status=204, headers={"Cache-Control": "public, max-age=86400"})
