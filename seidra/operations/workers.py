"""Workers: the one inside a server process, started by gunicorn.conf.py and `flask run` and never
by the app, and the one of `flask worker`."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from flask import Flask

from seidra import engines
from seidra.config import Settings
from seidra.database.base import Database
from seidra.engines.base import Engine
from seidra.engines.setup import Setup
from seidra.exchange.export_work import Exporter
from seidra.files import open_files
from seidra.jobs.worker import Worker
from seidra.operations.housekeeping import Housekeeper
from seidra.web.services import services_of


def make_slots(setup: Setup) -> list[Engine]:
    """An engine for each slot of each that there is: at_once of them render at a time."""
    return [
        engines.make(name, configured)
        for name, configured in setup.engines.items()
        for _ in range(configured.options.at_once)
    ]


def make_worker(
    settings: Settings,
    database: Database,
    slots: Sequence[Engine],
    wake: threading.Event,
    watched: Sequence[Engine] = (),
) -> Worker:
    """A worker that has an engine for each slot and also keeps house; it is not started."""
    files = open_files(settings)
    keeper = Housekeeper(database, files, settings)
    exporter = Exporter(database, files, settings)
    long_works = (exporter.work_one,)
    return Worker(settings, database, files, slots, wake, keeper.run, watched, long_works)


def make_whole_worker(
    settings: Settings, database: Database, setup: Setup, wake: threading.Event
) -> Worker:
    """A worker for everything that there is; it is not started."""
    watched = [engines.make(name, configured) for name, configured in setup.engines.items()]
    return make_worker(settings, database, make_slots(setup), wake, watched)


def start_worker(app: Flask) -> Worker | None:
    """Start the embedded worker of `app`, unless SEIDRA_EMBEDDED_WORKER switches it off."""
    services = services_of(app)
    if not services.settings.embedded_worker:
        return None
    served = engines.without_own_worker(services.setup)
    worker = make_whole_worker(services.settings, services.database, served, services.wake)
    worker.start()
    return worker
