"""What a server process keeps in memory while it draws, calls every kind of engine and serves
thirty streams."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from conftest import wait_for
from fake_comfyui import FakeComfyUI
from fake_openai import FakeOpenai
from fake_sdapi import FakeSdapi
from test_events import Remote
from test_graceful import children
from test_start import GUNICORN, ROOT, Server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.sqlite_only("the driver of PostgreSQL is an extra, and takes its own"),
    pytest.mark.skipif(sys.platform != "linux", reason="What a process keeps is read in /proc."),
]

MOST = 80
"""MB that a server process may keep."""


def kept(process: int) -> float:
    """The resident memory of a process in MB (of 1,000,000 bytes)."""
    for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise AssertionError("no resident memory is told")


@pytest.fixture
def engines(tmp_path: Path) -> Iterator[Path]:
    """A file of engines: one of each kind that is called at a URL, and mock."""
    with (
        FakeComfyUI() as comfy,
        closing(FakeSdapi()) as forge,
        closing(FakeOpenai("localai")) as local,
    ):
        file = tmp_path / "engines.toml"
        file.write_text(
            f'default = "mock"\n'
            f'[engines.comfy]\nkind = "comfyui"\nurl = "{comfy.url}"\n'
            f'[engines.forge]\nkind = "sdapi"\nurl = "{forge.url}"\nat_once = 2\n'
            f'[engines.local]\nkind = "openai"\nurl = "{local.url}"\nat_once = 4\n'
            'dialect = "localai"\ndefault_model = "dreamshaper"\n'
        )
        yield file


def make(server: Server, engine: str, side: int = 768, count: int = 1, seed: int = 1) -> None:
    """Have a picture made, and wait for it."""
    body = {
        "prompt": "a castle by the sea",
        "engine": engine,
        "parameters": {"width": side, "height": side, "seed": seed},
        "count": count,
        "force": True,
    }
    job = f"/api/jobs/{server.json('POST', '/api/jobs', body, 202)['job_id']}"

    def final() -> dict[str, str] | None:
        shown: dict[str, str] = server.json("GET", job)
        return shown if shown["completed_at"] else None

    shown = wait_for(final)
    assert shown["status"] == "completed", (engine, shown["error_message"])


def test_a_server_process_stays_small_whatever_engines_there_are(
    tmp_path: Path, engines: Path
) -> None:
    # With what serving needs alone: the tools of development bring this package, which takes 5 MB.
    (tmp_path / "sitecustomize.py").write_text('import sys\nsys.modules["cryptography"] = None\n')
    settings = {
        "PYTHONPATH": f"{tmp_path}:{ROOT}",
        "SEIDRA_ENGINES": str(engines),
        "SEIDRA_WEB_WORKERS": "1",
        "SEIDRA_STREAMS_PER_USER": "30",
        # As much memory for a password as it really takes.
        "SEIDRA_ARGON2_MEMORY_KIB": "19456",
    }
    with ExitStack() as stack:
        server = stack.enter_context(Server(tmp_path, *GUNICORN, **settings)).ready()
        [process] = children(server.process, 1)
        server.register()
        assert server.picture(server.preview())
        for number in range(25):
            body = {"name": f"Luna {number}", "style_prompt": "moonlit ocean", "tags": ["sea"]}
            server.json("POST", "/api/personas", body, 201)
        for engine in ("comfy", "forge", "local"):
            make(server, engine, 512)
        for number in range(8):
            make(server, "mock", seed=number)
        make(server, "mock", 1024, count=2)
        for _ in range(30):
            stack.enter_context(Remote(server))

        def ask(times: int) -> None:
            for _ in range(times):
                assert server.call("GET", "/api/personas")[0] == 200

        with ThreadPoolExecutor(4) as people:
            list(people.map(ask, [100] * 4))
        # Each stream has looked.
        time.sleep(1)
        assert kept(process) < MOST
        server.stop()


def test_a_picture_brings_none_of_the_formats_that_nobody_uses() -> None:
    """The forty of Pillow, of which some load libraries of their own."""
    program = """
import io, sys
from seidra.engines.base import RenderContext, RenderRequest
from seidra.engines.mock import MockEngine
from seidra.engines.received import read_picture
from seidra.media.thumbnails import make_thumbnails
[picture] = MockEngine(name="mock").render(RenderRequest("sea", 1, 64, 64), RenderContext())
[small] = make_thumbnails(picture.data, [320]).pictures.values()
assert read_picture(small).mime_type == "image/webp"
print("PIL.WebPImagePlugin" in sys.modules, "PIL.TiffImagePlugin" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("True False\n", "")
