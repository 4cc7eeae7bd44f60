"""SEIDRA: the self-hosted backend of an AI image studio."""

from __future__ import annotations

import logging.config

from flask import Flask

from seidra import engines
from seidra.auth import tokens
from seidra.auth.access_routes import blp as access_blp
from seidra.auth.routes import blp as auth_blp
from seidra.auth.routes import settings_blp
from seidra.config import Settings, check_proxy_login, get_settings
from seidra.exchange.export_routes import blp as exports_blp
from seidra.exchange.import_routes import blp as imports_blp
from seidra.exchange.uploads import blp as uploads_blp
from seidra.frontend.routes import blp as frontend_blp
from seidra.jobs.engines import admin_blp as engines_admin_blp
from seidra.jobs.engines import blp as engines_blp
from seidra.jobs.events import blp as events_blp
from seidra.jobs.routes import blp as jobs_blp
from seidra.library.hand_over_routes import admin_blp as hand_overs_admin_blp
from seidra.library.hand_over_routes import blp as hand_overs_blp
from seidra.library.organise import blp as organise_blp
from seidra.library.routes import trash_blp
from seidra.media.routes import blp as media_blp
from seidra.media.share_routes import collections_blp, shares_blp
from seidra.nsfw.routes import blp as nsfw_blp
from seidra.personas.routes import blp as personas_blp
from seidra.personas.routes import previews_blp
from seidra.platform import metrics
from seidra.platform.admin import blp as admin_blp
from seidra.platform.groups import blp as groups_blp
from seidra.platform.health import blp as platform_blp
from seidra.platform.instance import blp as instance_blp
from seidra.platform.invitations import blp as invitations_blp
from seidra.platform.usage import blp as usage_blp
from seidra.start.service import init_database
from seidra.start.services import make_services
from seidra.studio.public import serve_public
from seidra.studio.routes import serve_studio
from seidra.web import logs, openapi, rates
from seidra.web.app import make_app

__all__ = ["create_app"]

_BLUEPRINTS = (
    auth_blp,
    access_blp,
    settings_blp,
    nsfw_blp,
    personas_blp,
    previews_blp,
    jobs_blp,
    events_blp,
    engines_blp,
    engines_admin_blp,
    media_blp,
    shares_blp,
    collections_blp,
    uploads_blp,
    organise_blp,
    trash_blp,
    exports_blp,
    imports_blp,
    platform_blp,
    instance_blp,
    admin_blp,
    groups_blp,
    usage_blp,
    invitations_blp,
    hand_overs_blp,
    hand_overs_admin_blp,
)


def create_app(settings: Settings | None = None) -> Flask:
    """Make the WSGI application: read the settings, initialise the database, wire the features.

    Raises StartError, with one sentence, when something outside the code is wrong. It starts no
    worker.
    """
    settings = settings or get_settings()
    logging.config.dictConfig(logs.logging_configuration(settings.log_level))
    check_proxy_login(settings)
    engines.check_setup(settings)
    init_database(settings)
    app = make_app(make_services(settings))
    rates.count_requests(app, settings)
    tokens.set_up_signing(app, settings)
    api = openapi.make_api(app, settings.base_path)
    for blueprint in _BLUEPRINTS:
        api.register_blueprint(blueprint)
    if settings.frontend_routes:
        api.register_blueprint(frontend_blp)
    serve_studio(app, settings)
    serve_public(app, settings)
    metrics.serve_metrics(app, settings)
    return app
