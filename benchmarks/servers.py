"""Starting what is measured, each on a free port of 127.0.0.1, and stopping it by its own process
id."""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.data import ROOT, WORK, Sizes, environment
from soak.ports import free_port

_DEADLINE = 30.0
"""Seconds in which a server must answer."""
_JSON = "application/json"


class Server:
    """A running server: its port, and the seconds that it took until it answered `ready`. A context
    manager."""

    def __init__(
        self,
        name: str,
        command: list[str],
        variables: dict[str, str],
        port: int,
        ready: str = "/api/health",
    ) -> None:
        self.name, self.port, self._ready = name, port, ready
        # Nothing of the caller's settings, and no .env: the working folder is the benchmark's.
        kept = {k: v for k, v in os.environ.items() if not k.startswith("SEIDRA_")}
        self.log = WORK / f"{name}.log"
        began = time.monotonic()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=WORK,
                env=kept | {"PYTHONPATH": str(ROOT)} | variables,
                stdout=log,
                stderr=log,
            )
        try:
            self._await()
        except BaseException:
            self.stop()
            raise
        self.seconds = time.monotonic() - began

    def _await(self) -> None:
        deadline = time.monotonic() + _DEADLINE
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            try:
                connection.request("GET", self._ready)
                if connection.getresponse().status == 200:
                    return
            except OSError:
                time.sleep(0.005)
            finally:
                connection.close()
        raise RuntimeError(f"{self.name} did not start:\n{self.log.read_text()[-2000:]}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End it, gently first."""
        self.process.terminate()
        try:
            self.process.wait(35)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def workers_mb(self) -> list[float]:
        """The resident memory of each server process, without the one that only watches them, in MB
        (10**6 bytes)."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [_resident(int(child)) for child in children]

    def get(self, path: str, token: str) -> bytes:
        """The body of a GET."""
        return self._ask("GET", path, token, None, 200)

    def post(
        self, path: str, token: str, body: bytes, status: int, content_type: str = _JSON
    ) -> bytes:
        """The body of a POST's answer, which must have this status."""
        return self._ask("POST", path, token, body, status, content_type)

    def patch(self, path: str, token: str, body: bytes) -> bytes:
        """The body of a PATCH's answer."""
        return self._ask("PATCH", path, token, body, 200)

    def _ask(
        self,
        method: str,
        path: str,
        token: str,
        body: bytes | None,
        status: int,
        content_type: str = _JSON,
    ) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": content_type}
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        if response.status != status:
            raise RuntimeError(
                f"{self.name} answered {method} {path} with {response.status}: {answer[:500]!r}"
            )
        return answer


def seidra(sizes: Sizes, **changes: str) -> Server:
    """SEIDRA under gunicorn; `changes` are settings that differ: `web_workers="1"`."""
    port = free_port()
    variables = environment(sizes) | {
        f"SEIDRA_{name.upper()}": value for name, value in changes.items()
    }
    variables["SEIDRA_BIND"] = f"127.0.0.1:{port}"
    return Server(
        "seidra",
        [_program("gunicorn"), "--config", str(ROOT / "gunicorn.conf.py")],
        variables,
        port,
    )


def alone(folder: Path) -> Server:
    """SEIDRA under gunicorn on an empty instance in `folder`, where all have an account at once."""
    port = free_port()
    variables = {
        "SEIDRA_DATABASE_URL": f"sqlite:///{folder / 'seidra.db'}",
        "SEIDRA_BIND": f"127.0.0.1:{port}",
        "SEIDRA_LOG_LEVEL": "warning",
        "SEIDRA_RATE_LIMITS": "off",
        "SEIDRA_WEB_WORKERS": "2",
        "SEIDRA_WEB_THREADS": "4",
    }
    command = [_program("gunicorn"), "--config", str(ROOT / "gunicorn.conf.py")]
    return Server("page", command, variables, port)


def bare_flask(sizes: Sizes, listed: Path, created: Path) -> Server:
    """The floor: a Flask app that gives the bytes of these files, under SEIDRA's gunicorn
    settings."""
    port = free_port()
    variables = environment(sizes) | {"SEIDRA_BIND": f"127.0.0.1:{port}", "BARE_LIST": str(listed)}
    variables["BARE_CREATED"] = str(created)
    config = ROOT / "benchmarks" / "peers" / "bare.conf.py"
    return Server("bare_flask", [_program("gunicorn"), "--config", str(config)], variables, port)


def fastapi(sizes: Sizes) -> Server:
    """The FastAPI + SQLAlchemy service: 2 uvicorn workers."""
    port = free_port()
    variables = {
        "PEER_DATABASE_URL": f"sqlite:///{WORK / sizes.name / 'fastapi.db'}",
        "PEER_SECRET": environment(sizes)["SEIDRA_JWT_SECRET"],
    }
    command = [
        _program("uvicorn"),
        "benchmarks.peers.fastapi_app.main:app",
        "--workers",
        "2",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--log-level",
        "warning",
    ]
    return Server("fastapi", command, variables, port)


def soul(sizes: Sizes) -> Server:
    """soul-cli, which makes a REST service of any SQLite file, on the FastAPI service's rows: one
    process, no accounts.

    npm installs it into the work folder and compiles its SQLite, a minute the first time. Raises
    CalledProcessError.
    """
    port, here, folder = free_port(), ROOT / "benchmarks" / "peers" / "soul", WORK / "soul"
    folder.mkdir(exist_ok=True)
    shutil.copy(here / "package.json", folder)
    subprocess.run(
        ["npm", "install", "--silent", "--no-audit", "--no-fund"], cwd=folder, check=True
    )
    program = folder / "node_modules" / "soul-cli" / "src" / "server.js"
    command = [
        "node",
        "--require",
        str(here / "loopback.cjs"),
        str(program),
        "--database",
        str(WORK / sizes.name / "fastapi.db"),
        "--port",
        str(port),
    ]
    return Server("soul", command, {}, port, ready="/api/tables")


def _program(name: str) -> str:
    return str(Path(sys.executable).parent / name)


def _resident(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0
