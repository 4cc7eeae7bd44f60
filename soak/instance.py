"""One instance in a folder of its own, and its real processes on a free port of 127.0.0.1."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from seidra.config import Settings
from soak.ports import free_port

ROOT = Path(__file__).resolve().parent.parent
PASSWORD = "a long phrase"
TINY = {"width": 64, "height": 64, "quality": "draft"}
Answer = tuple[int, Any]


class Instance:
    """Settings, a server and workers that share one database. `close` kills what still runs."""

    def __init__(self, folder: Path, **more: str) -> None:
        self.port = free_port()
        own = {
            "SEIDRA_DATABASE_URL": f"sqlite:////{str(folder / 'seidra.db').lstrip('/')}",
            "SEIDRA_BIND": f"127.0.0.1:{self.port}",
            "SEIDRA_LOG_LEVEL": "warning",
            "SEIDRA_RATE_LIMITS": "off",
            "SEIDRA_ARGON2_MEMORY_KIB": "8",
            "SEIDRA_ARGON2_TIME_COST": "1",
            "SEIDRA_ACCESS_TOKEN_SECONDS": "86400",
            "SEIDRA_MAX_QUEUED_JOBS": "100000",
        } | more
        kept = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("SEIDRA_", "FLASK_", "GUNICORN_"))
        }
        self.environment = (
            kept | {"PYTHONPATH": str(ROOT), "FLASK_APP": str(ROOT / "wsgi.py")} | own
        )
        self.settings = Settings.load(own)
        self.folder = folder
        self.log = folder / "soak.log"
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """Start Python with these arguments, in a process group of its own."""
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *command],
                cwd=self.folder,
                env=self.environment,
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.processes.append(process)
        return process

    def start_server(self) -> subprocess.Popen[bytes]:
        """gunicorn, as it is deployed, once it answers."""
        server = self.start("-m", "gunicorn", "-c", str(ROOT / "gunicorn.conf.py"))
        deadline = time.monotonic() + 60
        while not self._healthy():
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(
                    f"The server does not start; its log ends with:\n{self.log.read_text()[-3000:]}"
                )
            time.sleep(0.02)
        return server

    def start_worker(self) -> subprocess.Popen[bytes]:
        """`flask worker`."""
        return self.start("-m", "flask", "worker")

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """SIGKILL a process and all of its children at once."""
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self.processes.remove(process)

    def close(self) -> None:
        """Kill what still runs."""
        for process in list(self.processes):
            self.kill(process)

    def _healthy(self) -> bool:
        client = Client(self.port)
        try:
            return client.ask("GET", "/api/health")[0] == 200
        except LostAnswer:
            return False
        finally:
            client.close()


def children(process: subprocess.Popen[bytes]) -> list[int]:
    """The server processes below gunicorn's master."""
    return [
        int(pid)
        for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    ]


class LostAnswer(Exception):
    """The connection broke before the answer was there: the request may have been carried out, or
    not."""


class Client:
    """One kept connection with one user's token; a broken one is opened again at the next
    request."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.token = ""

    def ask(self, method: str, path: str, body: Any = None) -> Answer:
        """Status and JSON. Raises LostAnswer."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"}
        try:
            self._connection.request(
                method, path, None if body is None else json.dumps(body), headers
            )
            answer = self._connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text else None
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise LostAnswer(repr(error)) from error

    def register(self, name: str) -> int:
        """Make an account and use it; returns its id."""
        body = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
        status, token = self.ask("POST", "/api/auth/register", body)
        if status != 201:
            raise RuntimeError(f"{status} {token}")
        self.token = token["access_token"]
        user_id: int = token["user"]["id"]
        return user_id

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
