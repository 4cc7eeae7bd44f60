"""Workers: the one inside a server process, started by gunicorn.conf.py and `flask run` and never
by the app, and the one of `flask worker`."""

from __future__ import annotations

import threading

from flask import Flask

from seidra import engines
from seidra.config import Settings
from seidra.database.base import Database
from seidra.engines.base import Engine
from seidra.files.local import LocalFiles
from seidra.jobs.worker import Worker
from seidra.operations.housekeeping import Housekeeper
from seidra.web.services import services_of


def make_worker(
    settings: Settings, database: Database, engine: Engine, wake: threading.Event
) -> Worker:
    """A worker that also keeps house; it is not started."""
    files = LocalFiles(settings)
    keeper = Housekeeper(database, files, settings)
    return Worker(settings, database, files, {engine.name: engine}, wake, keeper.run)


def start_worker(app: Flask) -> Worker | None:
    """Start the embedded worker of `app`, unless SEIDRA_EMBEDDED_WORKER switches it off."""
    services = services_of(app)
    if not services.settings.embedded_worker:
        return None
    engine = engines.make(services.setup.default, services.setup.engines[services.setup.default])
    worker = make_worker(services.settings, services.database, engine, services.wake)
    worker.start()
    return worker
