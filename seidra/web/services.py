"""What a request, a command or a worker needs of the app: one object with a name for each thing."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from flask import Flask, current_app

from seidra.config import Settings
from seidra.database.base import Database
from seidra.files.base import Files

if TYPE_CHECKING:
    # For their names as types alone: what a feature makes of a secret or a setting, the app only
    # keeps.
    from seidra.auth.passwords import LoginChecker
    from seidra.auth.tickets import Tickets
    from seidra.auth.tokens import Verifier
    from seidra.engines.setup import Setup
    from seidra.jobs.streams import Streams
    from seidra.media.links import Links
    from seidra.web.rates import Rates

_KEY = "seidra"


@dataclass(frozen=True)
class Services:
    """The parts of one app. `rates` is None where limits are switched off."""

    settings: Settings
    setup: Setup
    """Which engines there are, and which is the default."""
    database: Database
    files: Files
    links: Links
    tickets: Tickets
    verifier: Verifier
    check_login: LoginChecker
    streams: Streams
    rates: Rates | None
    wake: threading.Event
    """Set whenever there is something for a worker of this process to do."""


def register_services(app: Flask, services: Services) -> None:
    """Give `app` its parts."""
    app.extensions[_KEY] = services


def services_of(app: Flask) -> Services:
    """The parts of an app."""
    return cast(Services, app.extensions[_KEY])


def services() -> Services:
    """The parts of the running app."""
    return services_of(current_app)
