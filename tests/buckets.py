"""A server that speaks S3, in a process of its own; of a package, and without signatures."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import obstore
from conftest import wait_for
from obstore.store import S3Store

from soak.ports import free_port

KEYS = {"AWS_ACCESS_KEY_ID": "seidra:tests", "AWS_SECRET_ACCESS_KEY": "a-secret-of-tests"}
SECRET = "0123456789abcdef" * 2


class BucketServer:
    """Where the server is. Each test has a bucket of its own."""

    def __init__(self, port: int) -> None:
        self.endpoint = f"http://127.0.0.1:{port}"
        self._made = 0

    def make_bucket(self) -> str:
        """A new bucket's name."""
        self._made += 1
        name = f"bucket-{self._made}"
        # The region of the server's own is said by leaving it out.
        request = urllib.request.Request(
            f"{self.endpoint}/{name}", data=b"", method="PUT", headers={"Content-Type": ""}
        )
        urllib.request.urlopen(request, timeout=60).close()
        return name

    def url(self, bucket: str, prefix: str = "seidra") -> str:
        """What SEIDRA_MEDIA_URL says of a bucket."""
        return f"s3://{bucket}/{prefix}?endpoint={self.endpoint}"

    def store(self, bucket: str) -> S3Store:
        """The bucket itself."""
        return S3Store(
            bucket,
            endpoint=self.endpoint,
            region="us-east-1",
            access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
            client_options={"allow_http": True},
        )


def names(store: S3Store) -> list[str]:
    """What lies in a bucket."""
    return sorted(about["path"] for page in obstore.list(store) for about in page)


@contextmanager
def bucket_server(folder: Path) -> Iterator[BucketServer]:
    """A running server, which logs into a folder."""
    port, log = free_port(), folder / "log"
    with open(log, "wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    server = BucketServer(port)

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            urllib.request.urlopen(f"{server.endpoint}/moto-api/", timeout=5).close()
        except OSError:
            return False
        return True

    try:
        wait_for(answers)
        yield server
    finally:
        process.terminate()
        process.wait(60)
