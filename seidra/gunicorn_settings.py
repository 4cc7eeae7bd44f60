"""gunicorn's settings for SEIDRA, with the reason for each: of `flask serve`, and by
`gunicorn.conf.py` of `gunicorn` in the checkout."""

from __future__ import annotations

import os
import sys
import time
from importlib.metadata import version
from typing import Any

from seidra import server
from seidra.auth import first_account
from seidra.config import settings, settings_file
from seidra.database import open_database
from seidra.errors import StartError
from seidra.operations.workers import start_worker
from seidra.platform import metrics
from seidra.web import logs
from seidra.web.services import services_of

try:
    # A wrong setting ends the start with its one sentence, before anything listens.
    server.prepare_start()
    bind = settings.bind
except StartError as error:
    sys.exit(f"Error: {error.message}")

wsgi_app = "seidra:create_app()"

# gthread, with a stop that serves who waits. Requests wait on SQLite and disk for microseconds
# only, so that threads are for what does wait: password hashes, other people's connections,
# streams.
worker_class = "seidra.server.GracefulWorker"

# Measured on two cores, each process pinned to one (SEIDRA_WEB_PINNED): requests/s of a list of
# personas under 32 connections, taking turns, median of 5 ratios.
#   processes 1: 0.49, 2: 1, 4: 0.98; more than the cores only cost memory.
#   threads   2: 0.90, 4: 1, 8: 1.09, and the slowest of a hundred takes 10, 20 and 32 ms.
#   not pinned, as it is by default: 0.95, and one process alone 0.45 of itself.
# A single socket for both processes: 0.83, and from round to round anything from half to all of it.
workers = settings.web_workers
# A stream of events keeps a thread while it is open: so there are threads beside them, and no
# request waits for a stream. Those that are never needed are never begun.
threads = max(settings.web_threads, 2) + settings.streams

# Longer than a reverse proxy keeps idle upstream connections (nginx: 60 s), so that it never writes
# into a closed one.
keepalive = 75

# A worker in hand finishes its requests and its job, or gives the job back, within this.
graceful_timeout = 30
timeout = 60

# The heartbeat file belongs into memory: on a slow disk it blocks the worker.
worker_tmp_dir = "/dev/shm" if sys.platform == "linux" else None  # noqa: S108 (memory, not a place for secrets)

# No control socket in the home directory: signals are enough, and a service may have no home.
control_socket_disable = True

# A unix socket is for SEIDRA's account and its group, to which the proxy belongs; gunicorn's own
# default lets everybody in.
umask = 0o117

# A client's Remote_User must not pass for the Remote-User of a proxy (SEIDRA_AUTH_HEADER): a header
# with an underscore is dropped.
header_map = "drop"

# The app logs its requests itself, without query strings; gunicorn's own access log stays off.
logconfig_dict = logs.logging_configuration(settings.log_level)
accesslog = None
logger_class = "seidra.server.QuietLogger"


def on_starting(arbiter: Any) -> None:
    """One socket for each server process, owned by the master: a reload resets no connection."""
    server.open_sockets(arbiter)
    # No other server counts there now.
    metrics.clear_counts(settings)


def nworkers_changed(arbiter: Any, new: int, old: int | None) -> None:
    """SIGTTOU cannot take away the last process of a socket: its connections would wait for
    ever."""
    if new < len(arbiter.LISTENERS):
        arbiter.num_workers = len(arbiter.LISTENERS)


def pre_fork(arbiter: Any, worker: Any) -> None:
    """Each process has a socket and a core of its own, and hears every signal."""
    server.assign_socket(arbiter, worker)
    server.assign_core(arbiter, worker)
    server.hold_signals()


def post_fork(arbiter: Any, worker: Any) -> None:
    """Each process has a socket of its own."""
    server.keep_own_socket(worker)


def when_ready(arbiter: Any) -> None:
    """Say where to look."""
    print(_banner(), file=sys.stderr, flush=True)


def _banner() -> str:
    """What a person needs to know of a server that has just started."""
    socket_path = bind.removeprefix("unix:") if bind.startswith("unix:") else None
    # To a socket one speaks through curl, and a browser only through the proxy in front of it.
    curl = f"curl --unix-socket {socket_path}" if socket_path else "curl"
    here = "http://localhost" if socket_path else f"http://{bind}"
    base = settings.public_url or (None if socket_path else here)
    lines = [
        "SEIDRA is ready.",
        f"  Version         {version('seidra')}",
        f"  Settings        {settings_file() or 'the environment alone: there is no file .env'}",
    ]
    if base:
        opened = f"Open {base}/ in your browser." if _on_desktop() else f"{base}/"
        lines += [f"  Studio          {opened}"]
        lines += [f"  API             {base}/api", f"  Documentation   {base}/api/docs"]
    if socket_path:
        lines.append(f"  Try it          {curl} {here}/api/health")
    link, missing = _setup_state()
    if link:
        lines += [f"  First account   {link}"]
    elif settings.registration == "open":
        lines += [
            f"  Make an account {curl} -X POST {here}/api/auth/register"
            " -H 'Content-Type: application/json' \\",
            '                  -d \'{"username": "alice", "email": "alice@example.com",'
            ' "password": "a long phrase"}\'',
        ]
    else:
        lines.append("  Make an account flask users create alice alice@example.com")
    if missing:
        lines.append("                  (the first account is the administrator)")
    return "\n".join(lines)


def _on_desktop() -> bool:
    """Whether who reads this sits at a terminal of a desktop, and not of a machine far away."""
    shown = sys.platform == "darwin" or {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys()
    return bool(shown) and "SSH_CONNECTION" not in os.environ and sys.stderr.isatty()


def _setup_state() -> tuple[str | None, bool]:
    """Where the first account is made with the setup token, if it takes one; and whether there is
    none yet."""
    database = open_database(settings)
    try:
        link = first_account.setup_link(database.connection, settings)
        return link, first_account.is_missing(database.connection)
    finally:
        # Nothing opened here may live on into a forked server process.
        database.close()


def post_worker_init(worker: Any) -> None:
    """Each server process works off jobs too; its streams of events end when it stops, or when its
    parent is gone."""
    app = worker.app.wsgi()
    worker.seidra_worker = start_worker(app)
    # After the worker has started: pictures are made on whichever core is free.
    server.pin_to_core(worker)
    services_of(app).streams.stopping = lambda: not worker.alive or worker.ppid != os.getppid()


def worker_exit(arbiter: Any, worker: Any) -> None:
    """Finish the job in hand, or give it back, before gunicorn's patience ends."""
    if worker.seidra_worker is not None:
        began = worker.stopping_since or time.monotonic()
        worker.seidra_worker.stop(grace=max(began + graceful_timeout - 5 - time.monotonic(), 1))
