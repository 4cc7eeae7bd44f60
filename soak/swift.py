"""OpenStack Swift as a server that speaks S3, and looks at signatures and the times in them: of
Debian's packages, on a folder and ports of its own. The tests and the soak start it."""

from __future__ import annotations

import os
import pwd
import shutil
import urllib.request
from collections.abc import Mapping
from pathlib import Path

PYTHON = "/usr/bin/python3"
"""Whose packages Debian's are."""

COMMANDS = (
    "swift-proxy-server",
    "swift-account-server",
    "swift-container-server",
    "swift-object-server",
    "memcached",
)
MISSING = [command for command in COMMANDS if shutil.which(command) is None]
REASON = (
    f"{', '.join(MISSING)} are not installed (apt-get install --no-install-recommends"
    " swift-proxy swift-account swift-container swift-object memcached)"
)

# The rings say that there is one copy of everything, on the one device. What /etc/swift says is
# another one's. The servers are children, so that the modules are loaded once.
PROGRAM = """
import os, signal, sys, traceback
from swift.common import utils
folder, *ports = sys.argv[1:]
utils.set_swift_dir(folder)
from swift.common import storage_policy
storage_policy.reload_storage_policies()
from swift.common.ring import RingBuilder
from swift.common.wsgi import run_wsgi

kinds = ("account", "container", "object", "proxy")
for kind, port in zip(kinds, ports):
    ring = RingBuilder(2, 1, 0)
    ring.add_dev({"id": 0, "region": 1, "zone": 1, "ip": "127.0.0.1", "port": int(port),
        "replication_ip": "127.0.0.1", "replication_port": int(port), "device": "one",
        "weight": 1.0, "meta": ""})
    ring.rebalance()
    ring.get_ring().save(f"{folder}/{kind}.ring.gz")
children = []

def stop(*_):
    for child in children:
        os.kill(child, signal.SIGKILL)
    os._exit(0)

signal.signal(signal.SIGTERM, stop)
for kind in kinds:
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        try:
            run_wsgi(f"{folder}/{kind}-server.conf", f"{kind}-server")
        except BaseException:
            traceback.print_exc()
        os._exit(1)
    children.append(child)
child, _ = os.wait()
children.remove(child)
stop()
"""

HASH = """
[swift-hash]
swift_hash_path_suffix = of-tests

[storage-policy:0]
name = one
default = yes
"""

DEFAULT = """
[DEFAULT]
bind_ip = {host}
bind_port = {port}
user = {user}
swift_dir = {folder}
workers = 0
log_level = ERROR
log_address = /dev/null
"""

STORE = """
devices = {folder}/devices
mount_check = false
disable_fallocate = true
fallocate_reserve = 0

[pipeline:main]
pipeline = {kind}-server

[app:{kind}-server]
use = egg:swift#{kind}
"""

PROXY = """
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck cache listing_formats bulk s3api tempauth slo dlo proxy-server

[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true

[filter:catch_errors]
use = egg:swift#catch_errors

[filter:gatekeeper]
use = egg:swift#gatekeeper

[filter:healthcheck]
use = egg:swift#healthcheck

[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{memcached}

[filter:listing_formats]
use = egg:swift#listing_formats

[filter:bulk]
use = egg:swift#bulk

[filter:s3api]
use = egg:swift#s3api
max_bucket_listing = {page}

[filter:tempauth]
use = egg:swift#tempauth
user_{account}_{name} = {secret} .admin

[filter:slo]
use = egg:swift#slo

[filter:dlo]
use = egg:swift#dlo
"""  # noqa: E501 (a pipeline is one line)


def write_settings(
    folder: Path,
    ports: tuple[int, int, int],
    cache_port: int,
    proxy: tuple[str, int],
    keys: Mapping[str, str],
    page: int,
) -> None:
    """Write everything that the servers read into a folder: stores and cache are reached on
    127.0.0.1, the proxy at its address. A list tells `page` objects at once."""
    user = pwd.getpwuid(os.getuid()).pw_name
    (folder / "devices" / "one").mkdir(parents=True)
    (folder / "swift.conf").write_text(HASH)
    for kind, port in zip(("account", "container", "object"), ports, strict=True):
        text = (DEFAULT.rstrip("\n") + STORE).format(
            host="127.0.0.1", port=port, user=user, folder=folder, kind=kind
        )
        (folder / f"{kind}-server.conf").write_text(text)
    account, name = keys["AWS_ACCESS_KEY_ID"].split(":")
    text = (DEFAULT + PROXY).format(
        host=proxy[0],
        port=proxy[1],
        user=user,
        folder=folder,
        memcached=cache_port,
        page=page,
        account=account,
        name=name,
        secret=keys["AWS_SECRET_ACCESS_KEY"],
    )
    (folder / "proxy-server.conf").write_text(text)


def cache_command(port: int) -> tuple[str, ...]:
    """The cache that the proxy asks."""
    user = pwd.getpwuid(os.getuid()).pw_name
    return ("memcached", "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-u", user)


def command(folder: Path, ports: tuple[int, int, int]) -> tuple[str, ...]:
    """The servers, all of them."""
    return (PYTHON, "-I", "-c", PROGRAM, str(folder), *map(str, ports))


def make_bucket(endpoint: str, keys: Mapping[str, str], name: str) -> None:
    """Make a bucket. Raises OSError where the server does not answer."""
    asked = urllib.request.Request(
        f"{endpoint}/auth/v1.0",
        headers={
            "X-Auth-User": keys["AWS_ACCESS_KEY_ID"],
            "X-Auth-Key": keys["AWS_SECRET_ACCESS_KEY"],
        },
    )
    with urllib.request.urlopen(asked, timeout=60) as answer:
        place, token = answer.headers["X-Storage-Url"], answer.headers["X-Auth-Token"]
    put = urllib.request.Request(f"{place}/{name}", method="PUT", headers={"X-Auth-Token": token})
    urllib.request.urlopen(put, timeout=60).close()
