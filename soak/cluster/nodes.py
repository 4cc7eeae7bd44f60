"""The nodes of SEIDRA: gunicorn on two machines, `flask worker` on four."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from soak.cluster.machines import Machine
from soak.cluster.network import ADDRESSES, Network
from soak.cluster.services import (
    DATABASE_URL,
    MEDIA_URL,
    REDIS_URL,
    S3_KEYS,
    WEB_NODES,
    WEB_PORT,
)
from soak.instance import ROOT

WORK_NODES = ("work1", "work2", "work3", "work4")
LEASE_SECONDS = 8
AT_ONCE = 6
"""Jobs in hand over all nodes. Those of a lost node take their places for as long as a lease."""

_ENGINES = f"""
default = "mock"
[engines.mock]
kind = "mock"
at_once = {AT_ONCE}
"""


class Nodes:
    """Settings that all nodes share, and the machines. Each has a data folder of its own."""

    def __init__(self, network: Network, folder: Path, accounts: int) -> None:
        (folder / "engines.toml").write_text(_ENGINES)
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("SEIDRA_", "FLASK_", "GUNICORN_", "AWS_"))
        }
        self._shared = (
            kept
            | S3_KEYS
            | {
                "PYTHONPATH": str(ROOT),
                "FLASK_APP": str(ROOT / "wsgi.py"),
                "SEIDRA_DATABASE_URL": DATABASE_URL,
                "SEIDRA_MEDIA_URL": MEDIA_URL,
                "SEIDRA_RATE_STORAGE": REDIS_URL,
                "SEIDRA_RATE_GENERAL": "1000000/minute",
                "SEIDRA_RATE_PREVIEW": "1000000/minute",
                # Nobody can register once more, whichever node is asked.
                "SEIDRA_RATE_REGISTER": f"{accounts}/hour",
                "SEIDRA_JWT_SECRET": "one-secret-for-all-of-the-nodes-here",
                "SEIDRA_TRUSTED_PROXIES": "1",
                "SEIDRA_X_ACCEL_REDIRECT": "/protected",
                "SEIDRA_REGISTRATION": "open",
                "SEIDRA_ENGINES": str(folder / "engines.toml"),
                "SEIDRA_EMBEDDED_WORKER": "false",
                "SEIDRA_WEB_WORKERS": "1",
                "SEIDRA_STREAM_SECONDS": "20",
                "SEIDRA_JOB_LEASE_SECONDS": str(LEASE_SECONDS),
                # A node may be lost more often here than an engine ever fails.
                "SEIDRA_JOB_MAX_ATTEMPTS": "20",
                "SEIDRA_MAX_QUEUED_JOBS": "100000",
                "SEIDRA_ACCESS_TOKEN_SECONDS": "86400",
                "SEIDRA_ARGON2_MEMORY_KIB": "8",
                "SEIDRA_ARGON2_TIME_COST": "1",
                "SEIDRA_LOG_LEVEL": "warning",
            }
        )
        self._folder = folder
        gunicorn = ("-m", "gunicorn", "-c", str(ROOT / "gunicorn.conf.py"))
        self.web = [self._machine(network, name, *gunicorn) for name in WEB_NODES]
        self.work = [self._machine(network, name, "-m", "flask", "worker") for name in WORK_NODES]

    @property
    def all(self) -> list[Machine]:
        """Every one of them."""
        return [*self.web, *self.work]

    def environment(self, name: str) -> dict[str, str]:
        """The settings of a node."""
        data = self._folder / name
        data.mkdir(exist_ok=True)
        return self._shared | {
            "SEIDRA_DATA_DIR": str(data),
            "SEIDRA_BIND": f"{ADDRESSES[name]}:{WEB_PORT}",
        }

    def flask(self, name: str, *words: str, **more: str) -> tuple[int, str]:
        """Run a command of flask's on a node, with more variables; its code and what it said."""
        machine = next(machine for machine in self.all if machine.name == name)
        command = machine.network.inside(name, sys.executable, "-m", "flask", *words)
        done = subprocess.run(
            command,
            cwd=self._folder,
            env=self.environment(name) | more,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        return done.returncode, done.stdout + done.stderr

    def _machine(self, network: Network, name: str, *words: str) -> Machine:
        return Machine(
            network, name, (sys.executable, *words), self._folder, self.environment(name)
        )
