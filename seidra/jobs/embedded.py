"""The worker inside a server process: started by gunicorn.conf.py and `flask run`, never by the app."""

from __future__ import annotations

from flask import Flask

from seidra import engines
from seidra.jobs.worker import Worker


def start_worker(app: Flask) -> Worker | None:
    """Start the embedded worker of `app`, unless SEIDRA_EMBEDDED_WORKER switches it off."""
    settings = app.extensions["seidra.settings"]
    if not settings.embedded_worker:
        return None
    worker = Worker(
        app.extensions["seidra.database"], settings, engines.get(settings.engine), app.extensions["seidra.wake"]
    )
    worker.start()
    return worker
