"""What gunicorn does for SEIDRA beyond its settings: it starts without a file of its own, its
sockets outlive server processes, and it stops without loss."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from functools import cache
from importlib import import_module
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from gunicorn.sock import create_sockets
from gunicorn.util import import_app
from gunicorn.workers.gthread import ThreadWorker

from seidra import engines
from seidra.config import check_proxy_login, get_settings
from seidra.start.service import init_database

_log = logging.getLogger(__name__)

# Of glibc's malloc.h: from how many bytes on a piece of memory is mapped for itself, and given back
# when it is free; and how many pools the threads share.
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8


@cache
def prepare_start() -> None:
    """What must work before anything listens; raises StartError. Done once: a reload cannot end a
    running server."""
    _give_memory_back()
    check_proxy_login(get_settings())
    engines.check_setup(get_settings())
    init_database()


def _give_memory_back() -> None:
    """Have the server's processes give back what pictures and password hashes took, under glibc:
    left to itself it keeps such pieces, in up to eight pools a core, a tenth of a process."""
    set_option = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if set_option is not None:
        set_option(_M_MMAP_THRESHOLD, 1 << 20)
        set_option(_M_ARENA_MAX, 2)


class Gunicorn(BaseApplication):  # type: ignore[misc]
    """gunicorn with `seidra.gunicorn_settings` and nothing else: no file and no option of its own,
    so that it runs from anywhere."""

    def load_config(self) -> None:
        # When it starts, and not with this module: importing the settings prepares the start.
        for name, value in vars(import_module("seidra.gunicorn_settings")).items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Any:
        return import_app(self.cfg.wsgi_app)

    def run(self) -> None:
        try:
            WatchfulArbiter(self).run()
        except RuntimeError as error:
            sys.exit(f"Error: {error}")


class WatchfulArbiter(Arbiter):  # type: ignore[misc]
    """gunicorn's master, with a `flask worker` beside its server processes where an engine needs
    one."""

    def __init__(self, app: Gunicorn) -> None:
        super().__init__(app)
        self._worker = WorkerBeside() if _needs_worker_beside() else None

    def manage_workers(self) -> None:
        """Called at the start, and every second."""
        super().manage_workers()
        if self._worker is not None:
            self._worker.keep_running()

    def stop(self, graceful: bool = True) -> None:
        worker, self._worker = self._worker, None
        until = time.monotonic() + self.cfg.graceful_timeout
        if worker is not None:
            worker.ask_to_stop()
        super().stop(graceful)
        if worker is not None:
            worker.wait_or_kill(until)


class WorkerBeside:
    """A `flask worker --beside` of this process's own, begun anew when it ends by itself."""

    _PAUSE_S = 5.0
    """How long after a start the next one may be, at the earliest."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = float("-inf")

    def keep_running(self) -> None:
        """Start it, unless it runs, or has only just been started."""
        if self._process is not None and self._process.poll() is None:
            return
        now = time.monotonic()
        if now - self._started_at < self._PAUSE_S:
            return
        if self._process is not None:
            _log.warning("the worker beside the server ended; another one begins")
        self._started_at = now
        command = [sys.executable, "-m", "flask", "worker", "--beside", str(os.getpid())]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 (ours)

    def ask_to_stop(self) -> None:
        """Have it finish or leave the job in hand."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def wait_or_kill(self, until: float) -> None:
        """Wait for its end, to this moment of the monotonic clock at the longest."""
        if self._process is None:
            return
        try:
            self._process.wait(max(until - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _needs_worker_beside() -> bool:
    settings = get_settings()
    return settings.embedded_worker and bool(
        engines.with_own_worker(engines.read_setup(settings)).engines
    )


class QuietLogger(Logger):  # type: ignore[misc]
    """gunicorn's logger without its access log, which the app writes itself: configured by a dict,
    gunicorn gathers an access line's parts for each request even where nobody logs it (80 us)."""

    def access(self, *_: Any) -> None:
        """Nothing."""


class GracefulWorker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's gthread worker; when told to stop it also serves who is connected but not accepted
    yet."""

    stopping_since = 0.0
    seidra_worker: Any = None

    def init_signals(self) -> None:
        """From here on it hears the signals that were held back for it (`hold_signals`)."""
        super().init_signals()
        _release_signals()

    def handle_quit(self, sig: int, frame: Any) -> None:
        """Ctrl-C. gunicorn's own raises SystemExit wherever the process is: while it starts, that
        may be in the middle of starting a thread, which leaves a broken lock and a traceback."""
        if self.booted:
            super().handle_quit(sig, frame)
        else:
            self.handle_exit(sig, frame)

    def set_accept_enabled(self, enabled: bool) -> None:
        super().set_accept_enabled(enabled)
        if self.alive or enabled or self.stopping_since:
            return
        self.stopping_since = time.monotonic()
        if self.seidra_worker is not None:
            self.seidra_worker.retire()
        for listener in self.sockets:
            known = -1
            while known != self.nr_conns:
                known = self.nr_conns
                self.accept(listener)
            # The last one to close it has newcomers refused at once, instead of waiting for an end
            # without an answer.
            listener.close()


_STOPS = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


def hold_signals() -> None:
    """Hold back what stops a process until a server process to come has handlers of its own: in
    those of the master, which it has from the fork on, a signal would be lost, and the master would
    wait for it until it kills."""
    _watch_forks()
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)


@cache
def _watch_forks() -> None:
    os.register_at_fork(after_in_parent=_release_signals)


def _release_signals() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)


def open_sockets(server: Any) -> None:
    """Open one listening socket for each worker, in the master, so that a worker's end takes no
    connection along.

    Several sockets, because of a single one the kernel often gives all keep-alive connections to
    one worker. Unix sockets, systemd's sockets and those of an upgraded gunicorn are gunicorn's own
    to open.
    """
    given = "GUNICORN_FD" in os.environ or os.environ.get("LISTEN_PID") == str(os.getpid())
    (address, *others) = server.cfg.address
    if given or others or not isinstance(address, tuple):
        return
    try:
        # Without the option the kernel refuses a port that a second server, even a stranger's,
        # would share unnoticed.
        _bound_socket(address, shared=False).close()
        handles = [_bound_socket(address, shared=True).detach() for _ in range(server.cfg.workers)]
    except OSError as error:
        sys.exit(
            f"Error: SEIDRA_BIND {get_settings().bind} cannot be listened on: {error.strerror}."
        )
    server.LISTENERS = create_sockets(server.cfg, server.log, handles)


def _bound_socket(address: tuple[Any, ...], *, shared: bool) -> socket.socket:
    bound = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(address)
    except BaseException:
        bound.close()
        raise
    return bound


def assign_socket(server: Any, worker: Any) -> None:
    """Choose the socket of a worker to come: the one that none of the others listens on.

    Of n sockets only the n - 1 newest workers count: older ones are on their way out.
    """
    number = len(server.LISTENERS)
    newest = sorted(server.WORKERS.values(), key=lambda other: other.age)[
        max(len(server.WORKERS) - number + 1, 0) :
    ]
    taken = {other.seidra_slot for other in newest}
    worker.seidra_slot = min(set(range(number)) - taken, default=0)


def assign_core(server: Any, worker: Any) -> None:
    """Choose the core of a worker to come: the one that the fewest others have, or none where that
    cannot be said."""
    worker.seidra_core = None
    if get_settings().web_pinned and hasattr(os, "sched_getaffinity"):
        taken = Counter(other.seidra_core for other in server.WORKERS.values())
        worker.seidra_core = min(sorted(os.sched_getaffinity(0)), key=lambda core: taken[core])


def pin_to_core(worker: Any) -> None:
    """Keep this thread, and those that it starts from here on, on the worker's core.

    Threads that hand the interpreter to each other across cores wake one another through the
    kernel, again and again within a request: pinned, one process gives 2.2 times the lists a
    second, and two on two cores 1.05 to 1.15 times. Off by default: a pinned process cannot make
    way for another program on its core.
    """
    if worker.seidra_core is not None:
        try:
            os.sched_setaffinity(0, {worker.seidra_core})
        except OSError as error:
            # A sandbox may forbid it; then the kernel chooses, as it does elsewhere.
            _log.warning("server process not pinned to a core: %s", error.strerror)


def keep_own_socket(worker: Any) -> None:
    """In the new process: keep the worker's own socket, and close its copies of the others'."""
    own = worker.sockets[worker.seidra_slot]
    for listener in worker.sockets:
        if listener is not own:
            listener.close()
    worker.sockets = [own]
