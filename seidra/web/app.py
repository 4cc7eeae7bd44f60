"""The Flask app before it has any route: its limits, its outermost layer, CORS, and what is done
after a request."""

from __future__ import annotations

import re

from flask import Flask, Response, request
from flask_cors.core import get_cors_options, set_cors_headers
from werkzeug.middleware.proxy_fix import ProxyFix

from seidra.config import Settings
from seidra.web import problems
from seidra.web.arguments import IdConverter, ModelConverter
from seidra.web.below import BelowPath
from seidra.web.compress import compress_answers
from seidra.web.edge import Edge
from seidra.web.services import Services, register_services


def make_app(services: Services) -> Flask:
    """An app whose paths may end in a slash, whose bodies are bounded, and whose failures have one
    shape."""
    settings = services.settings
    app = Flask("seidra", static_folder=None)
    register_services(app, services)
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.url_map.converters["id"] = IdConverter
    app.url_map.converters["model"] = ModelConverter
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body
    if settings.base_path:
        app.wsgi_app = BelowPath(app.wsgi_app, settings.base_path)  # type: ignore[method-assign]
    app.wsgi_app = Edge(app.wsgi_app)  # type: ignore[method-assign]
    if count := settings.trusted_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=count, x_proto=count, x_host=0)  # type: ignore[method-assign]
    compress_answers(app)
    _add_cors(app, settings)
    problems.answer_failures(app, services.database)
    app.teardown_request(lambda _: services.database.release())
    return app


def _add_cors(app: Flask, settings: Settings) -> None:
    """CORS with credentials: browsers that are told to send them want to hear it, though there are
    none to send. flask-cors decides; it is only asked when a browser does (12 us a request
    less)."""
    options = get_cors_options(
        app,
        {
            # Compiled, for flask-cors takes a text with brackets for a regular expression.
            "origins": [re.compile(re.escape(o) + r"\Z") for o in settings.allowed_origins],
            "supports_credentials": True,
            "always_send": False,
            "max_age": 600,
            "allow_headers": [
                "Authorization",
                "Content-Type",
                "Idempotency-Key",
                "If-Match",
                "If-None-Match",
                "Last-Event-ID",
                "X-Request-ID",
            ],
            "expose_headers": [
                "ETag",
                "Idempotency-Replayed",
                "Link",
                "Location",
                "Retry-After",
                "X-Request-ID",
                "X-Total-Count",
                "Content-Disposition",
                "X-Lost",
            ],
        },
    )

    @app.after_request
    def add_cors_headers(response: Response) -> Response:
        return set_cors_headers(response, options) if "HTTP_ORIGIN" in request.environ else response
