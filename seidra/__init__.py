"""SEIDRA: the self-hosted backend of an AI image studio."""

from __future__ import annotations

import logging.config
import sqlite3
import threading
from collections.abc import Callable
from typing import Any

from flask import Flask, Request, Response, request
from flask.sessions import NullSession, SessionInterface, SessionMixin
from flask_cors.core import get_cors_options, set_cors_headers
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import MapAdapter

from seidra import engines, errors, http, logs, rates
from seidra.auth import passwords, tokens
from seidra.auth.routes import blp as auth_blp
from seidra.auth.routes import settings_blp
from seidra.auth.tickets import Tickets
from seidra.config import Settings, get_settings
from seidra.database.connect import Database, translate
from seidra.database.service import init_database
from seidra.jobs.events import blp as events_blp
from seidra.jobs.routes import blp as jobs_blp
from seidra.jobs.streams import Streams
from seidra.media.links import Links
from seidra.media.routes import blp as media_blp
from seidra.media.storage import Storage
from seidra.nsfw.routes import blp as nsfw_blp
from seidra.personas.routes import blp as personas_blp
from seidra.personas.search import Totals
from seidra.platform import metrics
from seidra.platform.openapi import complete, make_api
from seidra.platform.routes import blp as platform_blp

__all__ = ["create_app"]


class _NoSession(SessionInterface):
    """There are no cookies, so each request has the same empty session."""

    _empty = NullSession()

    def open_session(self, app: Flask, request: Request) -> SessionMixin:
        return self._empty

    def is_null_session(self, obj: object) -> bool:
        return True


class _Request(Request):
    """A request of an app whose hooks and error handlers belong to all of it, and to no single blueprint."""

    blueprints: list[str] = []


class Seidra(Flask):
    """Flask without what SEIDRA has no use for, which each request would pay all the same: async views (6 us),
    cookie sessions (2 us), hooks of blueprints (4 us), and routes or links that depend on the Host header (11 us)."""

    request_class = _Request
    session_interface = _NoSession()

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        if request is None:
            return super().create_url_adapter(None)
        return MapAdapter(
            self.url_map, server_name="", script_name="/", subdomain="", url_scheme="http", path_info=request.path,
            default_method=request.method,
        )  # fmt: skip


def create_app(settings: Settings | None = None) -> Flask:
    """Make the WSGI application: read the settings, initialise the database, wire the features.

    Raises StartError, with one sentence, when something outside the code is wrong. It starts no worker.
    """
    settings = settings or get_settings()
    logging.config.dictConfig(logs.configuration(settings.log_level))
    engines.check(settings.engine)
    init_database(settings)
    app = Seidra("seidra", static_folder=None)
    _add_parts(app, settings)
    http.register(app, settings)
    rates.register(app, settings)
    tokens.register(app, settings)
    # Made now, so that the first login of an unknown name takes no longer than any other.
    passwords.decoy(settings)
    _add_cors(app, settings)
    api = make_api(app)
    for blueprint in (auth_blp, settings_blp, nsfw_blp, personas_blp, jobs_blp, events_blp, media_blp, platform_blp):
        api.register_blueprint(blueprint)
    complete(app, api)
    metrics.register(app, settings)
    _add_errors(app)
    if settings.trusted_proxies:
        count = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=count, x_proto=count, x_host=0)  # type: ignore[method-assign]
    return app


def _add_parts(app: Flask, settings: Settings) -> None:
    """What requests and the worker share, by name."""
    storage = Storage(settings)
    storage.check()
    database = Database(settings)
    app.extensions["seidra.settings"] = settings
    app.extensions["seidra.database"] = database
    app.extensions["seidra.storage"] = storage
    app.extensions["seidra.links"] = Links(settings)
    app.extensions["seidra.tickets"] = Tickets(settings)
    app.extensions["seidra.streams"] = Streams(settings)
    app.extensions["seidra.totals"] = Totals()
    # Set whenever there is something for a worker of this process to do.
    app.extensions["seidra.wake"] = threading.Event()
    app.teardown_request(lambda _: database.release())


def _add_cors(app: Flask, settings: Settings) -> None:
    """CORS without credentials. flask-cors decides; it is only asked when a browser does (12 us a request less)."""
    options = get_cors_options(app, {
        "origins": list(settings.allowed_origins),
        "supports_credentials": False,
        "always_send": False,
        "max_age": 600,
        "allow_headers": ["Authorization", "Content-Type", "If-Match", "If-None-Match", "Last-Event-ID",
                          "X-Request-ID"],
        "expose_headers": ["ETag", "Link", "Location", "Retry-After", "X-Request-ID", "X-Total-Count",
                           "Content-Disposition"],
    })  # fmt: skip

    @app.after_request
    def cors(response: Response) -> Response:
        return set_cors_headers(response, options) if "HTTP_ORIGIN" in request.environ else response


def _add_errors(app: Flask) -> None:
    errors.register(app)

    def database_error(error: sqlite3.Error) -> Response:
        # What `transaction` translates for writes, for the reads outside of one.
        translated = translate(error)
        if isinstance(translated, errors.Problem):
            return errors.problem(translated)
        return errors.unexpected(translated)

    app.register_error_handler(sqlite3.Error, database_error)
