"""`flask serve`, `flask worker` and `flask run`.

The commands are flask's plugins (setup.cfg, flask.commands), so that they run without making the
app: `flask db status` must work on a database that the app would refuse or migrate.
"""

from __future__ import annotations

import logging.config
import os
import signal
import sys
import threading
from types import FrameType
from typing import Any

import click
from flask.cli import ScriptInfo, run_command
from flask.helpers import get_debug_flag
from werkzeug.serving import is_running_from_reloader

from seidra import engines
from seidra.cli.groups import CheckedCommand
from seidra.config import Settings, get_settings
from seidra.database import DatabaseService, init_database
from seidra.files import open_files
from seidra.operations.workers import make_whole_worker, start_worker
from seidra.platform import metrics
from seidra.web import logs

_LOOK_S = 1.0
"""How soon a worker notices that the process that started it is gone."""


@click.command(cls=CheckedCommand)
def serve() -> None:
    """Serve with gunicorn on SEIDRA_BIND, with a worker in each server process, and a process of
    its own for engines that need one; the settings say the rest."""
    # Not before: the other commands do without gunicorn.
    from seidra.server import Gunicorn

    Gunicorn(prog="flask serve").run()


@click.command(cls=CheckedCommand)
@click.option(
    "--grace",
    default=25.0,
    type=click.FloatRange(0),
    help="Seconds a stop waits for the job in hand.",
)
@click.option(
    "--beside",
    type=int,
    metavar="PID",
    help="Serve only the engines that no server process serves, and end with the process of this"
    " number, which started it. `flask serve` begins one itself where there are such engines.",
)
def worker(grace: float, beside: int | None) -> None:
    """Work off jobs until SIGTERM or SIGINT; the job in hand is finished, or given back."""
    settings = get_settings()
    _prepare_worker(settings)
    with DatabaseService(settings) as service:
        stop, wake = threading.Event(), threading.Event()

        def ask_to_stop(number: int, frame: FrameType | None) -> None:
            stop.set()

        signal.signal(signal.SIGTERM, ask_to_stop)
        signal.signal(signal.SIGINT, ask_to_stop)
        setup = engines.read_setup(settings)
        served = setup if beside is None else engines.with_own_worker(setup)
        running = make_whole_worker(settings, service.database, served, wake)
        running.start()
        while not stop.wait(_LOOK_S) and beside in (None, os.getppid()):
            pass
        running.stop(grace)


def _prepare_worker(settings: Settings) -> None:
    logging.config.dictConfig(logs.logging_configuration(settings.log_level))
    engines.check_setup(settings)
    init_database(settings)
    open_files(settings).check()


@click.command("run", cls=CheckedCommand, params=run_command.params, help=run_command.help)
@click.pass_context
def run(ctx: click.Context, /, **options: Any) -> None:
    """Flask's own `run`, with the embedded worker beside the server."""
    reload = get_debug_flag() if options.get("reload") is None else options["reload"]
    embedded = None
    # Without a handler Python dies of the signal, and the worker below would not give back its job.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    if not reload or is_running_from_reloader():
        # With the reloader, the parent process only watches files.
        metrics.clear_counts(get_settings())
        embedded = start_worker(ctx.ensure_object(ScriptInfo).load_app())
    try:
        ctx.invoke(run_command, **options)
    finally:
        if embedded is not None:
            embedded.stop(grace=5)
