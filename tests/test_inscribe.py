"""How a picture was made, in its file: any reader of ours finds it, no pixel changes, and what an
engine wrote stays."""

from __future__ import annotations

import io
import struct
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from conftest import Person
from fake_comfyui import FakeComfyUI
from fake_openai import FakeOpenai
from fake_sdapi import FakeSdapi
from flask import Flask
from PIL import Image, PngImagePlugin

from seidra import engines as kinds
from seidra.engines import infotext
from seidra.exchange.carried import read_carried
from seidra.media.bare import bare_picture
from seidra.media.inscribe import inscribe
from seidra.operations.workers import make_worker
from seidra.web.services import services_of

ASCII = 'sea, "calm" <lora:ink:0.8>\nNegative prompt: boats\nSteps: 20, Seed: 7, Model: "a, b"'
WORDS = {"ascii": ASCII, "latin": ASCII + " é", "all": ASCII + " 海 🌊"}
TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}


def encoded(
    form: str, mode: str = "RGB", size: tuple[int, int] = (33, 20), **more: object
) -> bytes:
    """A picture that is not the same everywhere."""
    image = Image.linear_gradient("L").resize(size).convert(mode)
    if mode == "RGBA":
        image.putalpha(Image.radial_gradient("L").resize(size))
    file = io.BytesIO()
    image.save(file, form, **more)
    return file.getvalue()


PICTURES = {
    "png": ("PNG", encoded("PNG")),
    "jpeg": ("JPEG", encoded("JPEG")),
    "webp": ("WEBP", encoded("WEBP")),
    "webp, odd": ("WEBP", encoded("WEBP", size=(31, 17))),
    "webp, alpha": ("WEBP", encoded("WEBP", "RGBA")),
    "webp, lossless": ("WEBP", encoded("WEBP", lossless=True)),
    "webp, lossless, alpha": ("WEBP", encoded("WEBP", "RGBA", lossless=True)),
    "webp, extended": ("WEBP", encoded("WEBP", icc_profile=b"x" * 130)),
}


def pixels(data: bytes) -> tuple[str, tuple[int, int], bytes]:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return image.mode, image.size, image.tobytes()


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
@pytest.mark.parametrize(("form", "data"), PICTURES.values(), ids=PICTURES)
def test_a_picture_tells_how_it_was_made(form: str, data: bytes, words: str) -> None:
    written = b"".join(inscribe(data, TYPES[form], words))
    assert pixels(written) == pixels(data)
    carried = read_carried(written)
    told = carried.texts.get("parameters") or next(iter(carried.exif.values()))
    assert told == words
    # Once: what tells something already stays as it is.
    assert inscribe(written, TYPES[form], "other words") == [written]
    # And whoever wants to tell nothing can leave it out.
    assert pixels(bare_picture(written, TYPES[form])) == pixels(data)
    assert b"Negative" not in bare_picture(written, TYPES[form])


def test_what_an_engine_wrote_stays() -> None:
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("prompt", '{"3": {}}')
    comfy = encoded("PNG", pnginfo=chunks)
    carried = read_carried(b"".join(inscribe(comfy, "image/png", ASCII)))
    assert (carried.texts["prompt"], carried.texts["parameters"]) == ('{"3": {}}', ASCII)
    for zipped in (False, True):
        chunks = PngImagePlugin.PngInfo()
        chunks.add_text("parameters", "its own", zip=zipped)
        own = encoded("PNG", pnginfo=chunks)
        assert inscribe(own, "image/png", ASCII) == [own]


@pytest.mark.parametrize("form", TYPES)
def test_what_has_no_room_or_is_no_whole_picture_stays_as_it_is(form: str) -> None:
    data = encoded(form)
    for cut in range(len(data) - 1, 0, -7):
        b"".join(inscribe(data[:cut], TYPES[form], ASCII))
    assert inscribe(b"", TYPES[form], ASCII) == [b""]
    empty = b"RIFF\4\0\0\0WEBP"
    assert inscribe(empty, TYPES[form], ASCII) == [empty]
    assert inscribe(data, "image/gif", ASCII) == [data]
    if form == "JPEG":
        assert inscribe(data, TYPES[form], "海" * 40_000) == [data]


def test_a_large_picture_is_held_once() -> None:
    body = struct.pack(">I4s", 20_000_000, b"IDAT") + bytes(20_000_004)
    data = encoded("PNG")[:33] + body + encoded("PNG")[-12:]
    tracemalloc.start()
    try:
        pieces = inscribe(data, "image/png", ASCII)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
    assert (len(pieces), sum(map(len, pieces)) > len(data)) == (3, True)


# --------------------------------------------------------------------------------- of every engine

LORA = {"name": "ink", "weight": 0.8}


@pytest.fixture(params=["comfyui", "sdapi", "openai", "mock"])
def served(
    request: pytest.FixtureRequest, make_app: Callable[..., Flask], tmp_path: Path
) -> Iterator[tuple[str, Flask]]:
    """An instance before an engine of each kind, by its name, the pictures of which tell nothing by
    themselves."""
    kind = request.param
    with ExitStack() as stack:
        comfy = stack.enter_context(FakeComfyUI())
        comfy.folders["loras"].append("ink.safetensors")
        forge, local = FakeSdapi(), FakeOpenai("localai")
        stack.callback(forge.close)
        stack.callback(local.close)
        file = tmp_path / "engines.toml"
        file.write_text(
            'default = "auto"\n'
            f'[engines.comfyui]\nkind = "comfyui"\nurl = "{comfy.url}"\n'
            'default_model = "sd15.safetensors"\n'
            f'[engines.sdapi]\nkind = "sdapi"\nurl = "{forge.url}"\n'
            f'[engines.openai]\nkind = "openai"\nurl = "{local.url}"\ndialect = "localai"\n'
            'default_model = "dreamshaper"\n'
        )
        yield kind, make_app(engines=str(file))


def test_pictures_of_every_engine_tell_other_tools_how_they_were_made(
    served: tuple[str, Flask],
) -> None:
    kind, app = served
    alice, parts = Person(app, "alice"), services_of(app)
    engine = kinds.make(kind, parts.setup.engines[kind])
    body = {
        "prompt": 'a pier, "quoted"',
        "negative_prompt": "boats, people",
        "engine": kind,
        "seed": 77,
        "count": 2,
        "parameters": {"width": 256, "height": 256, "num_inference_steps": 4},
        "loras": [LORA],
        "force": True,
    }
    job = alice.post("/api/jobs", json=body).get_json()["job_id"]
    while make_worker(parts.settings, parts.database, [engine], threading.Event()).work_one():
        pass
    shown = alice.get(f"/api/jobs/{job}").get_json()
    assert shown["status"] == "completed", shown["error_message"]
    for number, result in enumerate(shown["results"]):
        data = alice.client.get(result["url"], buffered=True).data
        item = alice.get(f"/api/media/{result['media_id']}").get_json()
        assert item["file_size"] == len(data)
        text = read_carried(data).texts["parameters"]
        told = infotext.read(text)
        assert (told.prompt, told.negative_prompt) == (body["prompt"], body["negative_prompt"])
        assert (told.seed, told.size) == (77 + number, (256, 256))
        # LoRAs are none of what LocalAI is told; a drawing has them without weights.
        wanted = [] if kind == "openai" else ["ink"]
        assert [lora.name for lora in told.loras] == wanted
        assert text.count("<lora:") == len(wanted)
