"""Reload, stop and restart of a real gunicorn under steady requests and previews: no failed
request, no lost job."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from conftest import ENGINE, environment, wait_for
from stored import open_rows, rows
from test_start import GUNICORN, Server, variables

from seidra.config import Settings

pytestmark = pytest.mark.slow

PREVIEW = {"width": 64, "height": 64, "quality": "draft"}


class Load:
    """Steady requests of a few clients, half of them on kept connections: reads, writes and
    previews.

    `failed` lists every request without an answer below 500; `made` and `jobs` what was answered as
    done.
    """

    def __init__(self, port: int, token: str) -> None:
        self.port, self.token = port, token
        self.failed: list[str] = []
        self.made: list[int] = []
        self.jobs: list[str] = []
        self.answered = 0
        self._done = threading.Event()
        self._threads = [
            threading.Thread(target=self._client, args=(kept,))
            for kept in (True, True, False, False)
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join(60)

    def more(self, number: int) -> None:
        """Wait until this many requests more are answered."""
        wanted = self.answered + number
        wait_for(lambda: self.answered >= wanted or self.failed, 60)

    def _client(self, kept: bool) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        persona: int | None = None
        for turn in count():
            if self._done.is_set():
                break
            method, path, body = "GET", "/api/personas", None
            if turn % 4 == 0:
                method, body = (
                    "POST",
                    {"name": "Luna", "style_prompt": "sea", "generation_params": PREVIEW},
                )
            elif turn % 16 == 1 and persona is not None:
                method, path = "POST", f"/api/personas/{persona}/preview"
            try:
                status, answer = self._ask(connection, method, path, body)
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(f"{method} {path}, kept {kept}: {error!r}")
                break
            self.answered += 1
            if status == 201:
                persona = answer["id"]
                self.made.append(answer["id"])
            elif status == 202:
                self.jobs.append(answer["job_id"])
            elif status != 200:
                self.failed.append(f"{method} {path}: {status} {answer}")
            if not kept:
                connection.close()
        connection.close()

    def _ask(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: Any
    ) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def check_nothing_is_lost(folder: Path, load: Load) -> None:
    """Every answered write is in the database, and each job ends completed with one picture."""
    assert len(load.made) > 5
    assert load.jobs
    with open_rows(Settings.load(environment(folder / "instance"))) as connection:

        def column(statement: str) -> list[Any]:
            return [row[0] for row in connection.execute(statement)]

        wait_for(lambda: set(column("SELECT status FROM generation_jobs")) == {"completed"}, 60)
        assert set(load.made) == set(column("SELECT id FROM personas"))
        assert set(load.jobs) == set(column("SELECT id FROM generation_jobs"))
        assert sorted(load.jobs) == sorted(column("SELECT job_id FROM media_items"))
        if ENGINE == "sqlite":
            assert column("PRAGMA integrity_check") == ["ok"]


def children(
    process: subprocess.Popen[bytes], number: int, but: frozenset[int] | set[int] = frozenset()
) -> set[int]:
    """The server processes below gunicorn's master, once there are as many and none of these."""

    def found() -> set[int] | None:
        pids = {
            int(pid)
            for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        }
        return pids if len(pids) == number and not pids & but else None

    return set(wait_for(found, 60))


def status(pid: int, field: str) -> str:
    """A field of a process's status, as the kernel tells it."""
    return re.findall(rf"^{field}:\s+(\S+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)[
        0
    ]


def test_reloads_under_load_fail_no_request_and_lose_no_job(tmp_path: Path) -> None:
    with Server(tmp_path, *GUNICORN) as server:
        server.ready().register()
        processes = children(server.process, 2)
        with Load(server.port, server.token) as load:
            load.more(30)
            for _ in range(2):
                server.process.send_signal(signal.SIGHUP)
                load.more(20)
                processes = children(server.process, 2, but=processes)
            load.more(30)
        assert load.failed == []
        check_nothing_is_lost(tmp_path, load)
        # A process may go at any time; the connections that wait for it are its successor's.
        os.kill(min(processes), signal.SIGKILL)
        for _ in range(8):
            assert server.call("GET", "/api/health")[0] == 200
        server.process.send_signal(signal.SIGTTOU)
        for _ in range(8):
            assert server.call("GET", "/api/health")[0] == 200
        assert "Traceback" not in server.stop()


def test_a_stop_answers_all_who_are_connected(tmp_path: Path) -> None:
    with Server(tmp_path, *GUNICORN, SEIDRA_WEB_WORKERS="1", SEIDRA_WEB_THREADS="1") as server:
        server.ready().register()
        job = server.preview()
        (worker,) = children(server.process, 1)
        # While the process stands still, clients connect and ask; they have not been accepted when
        # the stop comes.
        os.kill(worker, signal.SIGSTOP)
        wait_for(lambda: status(worker, "State") == "T")
        waiting = [
            http.client.HTTPConnection("127.0.0.1", server.port, timeout=60) for _ in range(6)
        ]
        try:
            for connection in waiting:
                connection.request(
                    "GET", "/api/personas", headers={"Authorization": f"Bearer {server.token}"}
                )
            server.process.terminate()
            wait_for(lambda: int(status(worker, "ShdPnd"), 16) >> (signal.SIGTERM - 1) & 1)
        finally:
            os.kill(worker, signal.SIGCONT)
        for connection in waiting:
            answer = connection.getresponse()
            assert answer.status == 200
            assert len(json.loads(answer.read())) == 1
            connection.close()
        assert server.process.wait(60) == 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port))
    instance = Settings.load(environment(tmp_path / "instance"))
    ((state, attempts),) = rows(instance, "SELECT status, attempts FROM generation_jobs")
    # Finished, or given back; a job that was given back has not cost an attempt.
    assert (state, attempts) in (("completed", 1), ("queued", 0))
    with Server(tmp_path, *GUNICORN) as server:
        server.ready().login()
        assert server.picture(job)
        server.stop()


# Becomes gunicorn, as systemd would start it: with the socket as descriptor 3.
ACTIVATED = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


@contextmanager
def activated(folder: Path, listener: socket.socket) -> Iterator[Callable[[], None]]:
    """A gunicorn on a socket that somebody else keeps; gives the function that restarts it."""
    env = variables(folder / "instance", SEIDRA_LOG_LEVEL="info")
    log = (folder / "activated.log").open("wb")

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", ACTIVATED, str(listener.fileno()), *GUNICORN],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[listener.fileno()],
        )

    processes = [start()]

    def restart() -> None:
        processes[-1].terminate()
        assert processes[-1].wait(60) == 0
        processes.append(start())

    try:
        yield restart
    finally:
        for process in processes:
            process.terminate()
            assert process.wait(60) == 0
        log.close()


def test_a_restart_under_load_on_a_socket_of_systemd_fails_no_request_and_loses_no_job(
    tmp_path: Path,
) -> None:
    with (
        socket.create_server(("127.0.0.1", 0), backlog=128) as listener,
        activated(tmp_path, listener) as restart,
    ):
        server = Server.__new__(Server)
        server.folder = tmp_path
        server.port, server.token = listener.getsockname()[1], ""
        server.register()
        with Load(server.port, server.token) as load:
            load.more(40)
            restart()
            load.more(40)
        assert load.failed == []
        check_nothing_is_lost(tmp_path, load)
    log = (tmp_path / "activated.log").read_text()
    assert "Traceback" not in log
    assert log.count("Starting gunicorn") == 2
