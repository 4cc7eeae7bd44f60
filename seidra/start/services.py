"""Makes the parts of an app."""

from __future__ import annotations

import threading

from seidra.auth.passwords import LoginChecker
from seidra.auth.tickets import Tickets
from seidra.auth.tokens import Verifier
from seidra.config import Settings
from seidra.database import open_database
from seidra.database.queries import queries
from seidra.engines import read_setup
from seidra.files import open_files
from seidra.jobs.streams import Streams
from seidra.media.links import Links
from seidra.web.rates import Rates
from seidra.web.services import Services


def make_services(settings: Settings) -> Services:
    """The parts of an app with these settings. Raises StartError for a store of files that cannot
    be used."""
    files = open_files(settings)
    files.check()
    database = open_database(settings)
    costs = [row["cost"] for row in queries.users.password_costs(database.connection)]
    return Services(
        settings=settings,
        setup=read_setup(settings),
        database=database,
        files=files,
        links=Links(settings),
        tickets=Tickets(settings),
        verifier=Verifier(),
        check_login=LoginChecker(settings, costs),
        streams=Streams(settings),
        rates=Rates(settings) if settings.rate_limits else None,
        wake=threading.Event(),
    )
