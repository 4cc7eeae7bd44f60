"""A picture of 20 MB on its way from each kind of engine's server to the file: held once."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import fake_openai
import fake_sdapi
import pytest
from fake_comfyui import FakeComfyUI
from fake_openai import FakeOpenai
from fake_sdapi import FakeSdapi
from PIL import Image

SIDE = 2600

PROGRAM = """
import sys, tracemalloc
from seidra import engines
from seidra.config import Settings
from seidra.engines.base import RenderContext, RenderRequest
from seidra.engines.setup import read_engines
from seidra.files import open_files
from seidra.jobs.results import prepare_picture

file, folder = sys.argv[1:]
configured = read_engines({"SEIDRA_ENGINES": file}).engines["it"]
settings = Settings.load({"SEIDRA_DATABASE_URL": f"sqlite:///{folder}/seidra.db"})
for made in (settings.media_dir, settings.tmp_dir):
    made.mkdir(parents=True)
engine, files = engines.make("it", configured), open_files(settings)
engine.probe()
request = RenderRequest("sea", 1, 512, 512, model_name="", job_id="0" * 32)
tracemalloc.start()
for image in engine.render(request, RenderContext()):
    picture = prepare_picture("00000000-0000-4000-8000-000000000000", "claim", image, "Steps: 20")
    files.put(picture.key, picture.pieces, image.mime_type)
    print(len(image.data), picture.size, tracemalloc.get_traced_memory()[1])
"""


@pytest.fixture(scope="module")
def large() -> bytes:
    """A picture of 20 MB."""
    file = io.BytesIO()
    noise = os.urandom(SIDE) * 3 * SIDE
    Image.frombytes("RGB", (SIDE, SIDE), noise).save(file, "PNG", compress_level=0)
    return file.getvalue()


@pytest.fixture(
    params=["comfyui", "comfyui, old", "forge", "sdnext", "sdcpp", "openai", "openai, url"]
)
def file(
    request: pytest.FixtureRequest,
    large: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Path]:
    """A file of engines that names one of each kind, whose picture is that."""
    kind: str = request.param
    with ExitStack() as stack:
        if kind.startswith("comfyui"):
            comfy = stack.enter_context(FakeComfyUI(new=kind == "comfyui"))
            comfy.paint = lambda *_: large
            lines = f'kind = "comfyui"\nurl = "{comfy.url}"\ndefault_model = "sd15.safetensors"\n'
        elif kind.startswith("openai"):
            monkeypatch.setattr(fake_openai, "png", lambda *_: large)
            local = FakeOpenai("localai")
            stack.callback(local.close)
            if "url" in kind:
                local.fault = {"url": local.keep("/one.png", large)}
            lines = f'kind = "openai"\nurl = "{local.url}"\ndialect = "localai"\n'
            lines += 'default_model = "dreamshaper"\n'
        else:
            monkeypatch.setattr(fake_sdapi, "png", lambda *_: large)
            forge = FakeSdapi(kind)
            stack.callback(forge.close)
            lines = f'kind = "sdapi"\nurl = "{forge.url}"\n'
        written = tmp_path / "engines.toml"
        written.write_text(f'default = "it"\n[engines.it]\n{lines}')
        yield written


@pytest.mark.slow
def test_a_picture_is_held_once_from_its_server_to_its_file(file: Path, large: bytes) -> None:
    root = str(Path(__file__).resolve().parents[2])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(file), str(file.parent / "instance")],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": root},
    )
    assert done.stderr == ""
    length, stored, most = map(int, done.stdout.split())
    assert length == len(large) > 20_000_000
    assert stored > length
    assert most < length * 1.4, most
