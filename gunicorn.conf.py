"""gunicorn's settings for SEIDRA, with the reason for each."""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

from seidra import engines, logs
from seidra.config import settings
from seidra.database import init_database
from seidra.errors import StartError
from seidra.jobs.embedded import start_worker

try:
    # A wrong setting ends the start with its one sentence, before anything listens.
    engines.get(settings.engine)
    init_database()
    bind = settings.bind
except StartError as error:
    sys.exit(f"Error: {error.message}")

wsgi_app = "wsgi:app"

# Threads, because requests wait on SQLite and disk for microseconds only; a second process for the second core.
worker_class = "gthread"
workers = settings.web_workers
threads = settings.web_threads

# Without it the kernel often hands all keep-alive connections to one worker: 2,000 instead of 5,000 requests/s.
# A unix socket cannot be shared that way.
reuse_port = not bind.startswith("unix:")

# Longer than a reverse proxy keeps idle upstream connections (nginx: 60 s), so that it never writes into a closed one.
keepalive = 75

# A worker in hand finishes its requests and its job, or gives the job back, within this.
graceful_timeout = 30
timeout = 60

# The heartbeat file belongs into memory: on a slow disk it blocks the worker.
worker_tmp_dir = "/dev/shm" if sys.platform == "linux" else None  # noqa: S108 (memory, not a place for secrets)

# No control socket in the home directory: signals are enough, and a service may have no home.
control_socket_disable = True

# The app logs its requests itself, without query strings; gunicorn's own access log stays off.
logconfig_dict = logs.configuration(settings.log_level)
accesslog = None


def on_starting(server: Any) -> None:
    """With reuse_port the kernel would let a second server, even a stranger's, share the port unnoticed."""
    host, _, port = bind.rpartition(":")
    if not reuse_port or "GUNICORN_FD" in os.environ:
        return
    with socket.socket(socket.AF_INET6 if host.startswith("[") else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), int(port)))
        except OSError as error:
            sys.exit(f"Error: SEIDRA_BIND {bind} cannot be listened on: {error.strerror}.")


def when_ready(server: Any) -> None:
    """Say where to look."""
    base = f"http://{bind}" if not bind.startswith("unix:") else bind
    print(
        f"SEIDRA is ready.\n"
        f"  API             {base}/api\n"
        f"  Documentation   {base}/api/docs\n"
        f"  Make an account curl -X POST {base}/api/auth/register -H 'Content-Type: application/json' \\\n"
        f'                  -d \'{{"username": "alice", "email": "alice@example.com", "password": "a long phrase"}}\'\n'
        f"                  (the first account is the administrator)",
        file=sys.stderr,
        flush=True,
    )


def post_worker_init(worker: Any) -> None:
    """Each server process works off jobs too."""
    worker.seidra_worker = start_worker(worker.app.wsgi())


def worker_exit(server: Any, worker: Any) -> None:
    """Finish the job in hand, or give it back."""
    if getattr(worker, "seidra_worker", None) is not None:
        worker.seidra_worker.stop(grace=graceful_timeout - 5)
