"""PostgreSQL, the server of S3, Redis and nginx, each on a machine of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psycopg

from soak import swift
from soak.cluster.machines import Machine
from soak.cluster.network import ADDRESSES, Network
from soak.instance import ROOT

PASSWORD = "of-the-soak-alone"
DATABASE_URL = f"postgresql://seidra:{PASSWORD}@{ADDRESSES['db']}:5432/seidra"
REDIS_URL = f"redis://{ADDRESSES['redis']}:6379"
S3_PORT = 9000
S3_ENDPOINT = f"http://{ADDRESSES['s3']}:{S3_PORT}"
BUCKET = "soak"
MEDIA_URL = f"s3://{BUCKET}/media?endpoint={S3_ENDPOINT}"
S3_KEYS = {"AWS_ACCESS_KEY_ID": "seidra:soak", "AWS_SECRET_ACCESS_KEY": "a-secret-of-the-soak"}
WEB_PORT = 8000
WEB_NODES = ("web1", "web2")
FRONT = (ADDRESSES["front"], 80)
"""Where clients come in."""

_CACHE_PORT, _STORE_PORTS = 11211, (6201, 6202, 6203)
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"


def postgresql_programs() -> Path | None:
    """The folder of the newest PostgreSQL that Debian has installed."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return max(found, key=lambda path: int(path.parent.name), default=None)


def missing() -> list[str]:
    """What has to be installed, by the names of Debian's packages."""
    wanted = {"iproute2": "ip", "redis-server": "redis-server", "nginx": "nginx"}
    found = [package for package, name in wanted.items() if shutil.which(name, path=_PATH) is None]
    if postgresql_programs() is None:
        found.append("postgresql")
    if swift.MISSING:
        found += ["swift-proxy", "swift-account", "swift-container", "swift-object", "memcached"]
    return found


def wait_for(what: str, holds: Callable[[], bool], machine: Machine, seconds: float = 60) -> None:
    """Wait until something holds of a machine. Raises RuntimeError."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise RuntimeError(
                f"{what} of {machine.name} is not there after {seconds:.0f} s:\n{machine.tail()}"
            )
        time.sleep(0.1)


def listens(address: str, port: int) -> bool:
    """Whether somebody takes connections there."""
    with socket.socket() as tried:
        tried.settimeout(1)
        return tried.connect_ex((address, port)) == 0


class Postgresql(Machine):
    """A server as Debian has it: what is committed is on the disk. `start` returns at once,
    `ready` waits."""

    def __init__(self, network: Network, folder: Path) -> None:
        programs = postgresql_programs()
        if programs is None:
            raise RuntimeError("PostgreSQL is not installed")
        self._programs = programs
        self._data = folder / "db" / "data"
        account = pwd.getpwnam("postgres")
        (folder / "db").mkdir()
        os.chown(folder / "db", account.pw_uid, account.pw_gid)
        # By a socket in its folder, which is no matter of networks.
        self._place = f"host={folder / 'db'} user=postgres dbname=postgres"
        self._run_as = {
            "user": account.pw_uid,
            "group": account.pw_gid,
            "extra_groups": list[int](),
        }
        settings = (
            *(f"listen_addresses={ADDRESSES['db']}", f"unix_socket_directories={folder / 'db'}"),
            *("max_connections=300", "shared_buffers=128MB"),
        )
        options = [word for setting in settings for word in ("-c", setting)]
        as_postgres = ("setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups")
        super().__init__(
            network,
            "db",
            (*as_postgres, str(programs / "postgres"), "-D", str(self._data), *options),
            folder / "db",
        )

    def make(self) -> None:
        """Make an empty database with an owner who is no superuser, as the docs say to; start."""
        made = subprocess.run(
            [
                *(str(self._programs / "initdb"), "-D", str(self._data), "-U", "postgres"),
                *("-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"),
            ],
            cwd=self.folder,
            env={"PATH": _PATH, "LC_ALL": "C.UTF-8", "TZ": "UTC"},
            capture_output=True,
            text=True,
            check=False,
            **self._run_as,  # type: ignore[call-overload]
        )
        if made.returncode != 0:
            raise RuntimeError(made.stdout + made.stderr)
        with (self._data / "pg_hba.conf").open("a") as rules:
            rules.write("host all all 10.77.0.0/24 scram-sha-256\n")
        self.start()
        wait_for("PostgreSQL", self.ready, self)
        with psycopg.connect(self._place, autocommit=True) as owner:
            owner.execute(f"CREATE ROLE seidra LOGIN PASSWORD '{PASSWORD}'")  # type: ignore[arg-type]
            owner.execute(
                "CREATE DATABASE seidra OWNER seidra TEMPLATE template0 ENCODING UTF8"
                " LOCALE 'C.UTF-8'"
            )

    def ready(self) -> bool:
        """Whether it takes connections."""
        try:
            psycopg.connect(self._place).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop_fast(self) -> None:
        """`pg_ctl stop -m fast`: whoever is connected is told and cut off."""
        self.end(signal.SIGINT)

    def crash(self) -> None:
        """SIGKILL: nobody is told, and nothing is tidied up."""
        self.end(signal.SIGKILL)


def redis(network: Network, folder: Path) -> Machine:
    """Redis, which keeps nothing."""
    command = ("redis-server", "--bind", ADDRESSES["redis"], "--protected-mode", "no")
    return Machine(network, "redis", (*command, "--save", "", "--dir", str(folder)), folder)


def s3(network: Network, folder: Path) -> Machine:
    """Swift and the cache that it asks, as one program."""
    place = folder / "s3"
    swift.write_settings(
        place, _STORE_PORTS, _CACHE_PORT, (ADDRESSES["s3"], S3_PORT), S3_KEYS, page=1000
    )
    cache = " ".join(swift.cache_command(_CACHE_PORT))
    servers = swift.command(place, _STORE_PORTS)
    return Machine(network, "s3", ("sh", "-c", f'{cache} & exec "$@"', "s3", *servers), folder)


def make_bucket() -> bool:
    """Make the bucket, if the server answers."""
    try:
        swift.make_bucket(S3_ENDPOINT, S3_KEYS, BUCKET)
    except OSError:
        return False
    return True


_MAIN = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/main.error.log;
user root;
events {{ worker_connections 1024; }}
http {{
    include /etc/nginx/mime.types;
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/seidra.conf;
}}
"""


def front(network: Network, folder: Path) -> Machine:
    """nginx with deploy/nginx.conf, changed as docs/scaling.md says for several nodes. That each
    answer says which node gave it is the soak's own."""
    place = folder / "front"
    place.mkdir()
    conf = (ROOT / "deploy" / "nginx.conf").read_text()
    patience = "max_fails=2 fail_timeout=5s"
    nodes = "".join(f"    server {ADDRESSES[node]}:{WEB_PORT} {patience};\n" for node in WEB_NODES)
    for old, new in (
        ("    server 127.0.0.1:8000;\n", nodes),
        ("proxy_connect_timeout 5s;", "proxy_connect_timeout 2s;"),
        ("proxy_read_timeout 60s;", "proxy_read_timeout 20s;"),
        ("proxy_read_timeout 75s;", "proxy_read_timeout 20s;"),
        ("#S3 ", ""),
        ("proxy_pass http://127.0.0.1:9000/;", f"proxy_pass {S3_ENDPOINT}/;"),
        ("    listen [::]:80;\n", ""),
        ("/var/log/nginx/", f"{place}/"),
        (
            "    server_tokens off;\n",
            "    server_tokens off;\n    add_header X-Node $upstream_addr always;\n",
        ),
    ):
        if old not in conf:
            raise RuntimeError(f"deploy/nginx.conf has no {old!r}")
        conf = conf.replace(old, new)
    (place / "seidra.conf").write_text(conf)
    (place / "nginx.conf").write_text(_MAIN.format(folder=place))
    program = shutil.which("nginx", path=_PATH) or "nginx"
    options = ("-p", str(place), "-e", str(place / "main.error.log"), "-c", f"{place}/nginx.conf")
    return Machine(network, "front", (program, *options), folder)
