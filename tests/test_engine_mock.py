"""The mock engine: real pictures, the same for the same request, whatever the persona says."""

from __future__ import annotations

import gc
import io
import os
import subprocess
import sys
import threading
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageFont, ImageStat

from seidra.engines import infotext, mock
from seidra.engines.base import (
    EngineError,
    Lora,
    Picture,
    RenderCancelled,
    RenderContext,
    RenderedImage,
    RenderRequest,
)
from seidra.engines.mock import MockEngine, lettering
from seidra.engines.mock.canvas import Canvas
from seidra.engines.mock.lettering import legible
from seidra.engines.mock.plan import make_plan
from seidra.media.inscribe import inscribe

PERSONA = RenderRequest(
    "portrait of a mermaid by the ocean, moon", 7, 256, 256, title="Marina", tags=["sea", "calm"]
)


def render(request: RenderRequest, context: RenderContext | None = None) -> bytes:
    [rendered] = MockEngine(name="mock").render(request, context or RenderContext())
    assert (rendered.mime_type, rendered.width, rendered.height) == (
        "image/png",
        request.width,
        request.height,
    )
    return stored(request, rendered)


def stored(request: RenderRequest, rendered: RenderedImage) -> bytes:
    """A picture's file, which says how it was made."""
    text = infotext.write(infotext.of_picture(request, rendered))
    return b"".join(inscribe(rendered.data, rendered.mime_type, text))


def picture(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    assert (image.format, image.mode) == ("PNG", "RGB")
    return image


def difference(first: RenderRequest, second: RenderRequest) -> float:
    """The mean difference of two renders, 0 to 255, over all pixels and channels."""
    images = [picture(render(request)) for request in (first, second)]
    return sum(ImageStat.Stat(ImageChops.difference(*images)).mean) / 3


def test_a_drawing_is_gone_from_memory_when_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only when Python looks for circles of references, which may be many pictures later."""
    drawn: list[weakref.ref[Canvas]] = []

    class Watched(Canvas):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            drawn.append(weakref.ref(self))

    monkeypatch.setattr(mock, "Canvas", Watched)
    gc.disable()
    try:
        render(PERSONA)
        assert [canvas() for canvas in drawn] == [None]
    finally:
        gc.enable()


def chunk_kinds(data: bytes) -> list[bytes]:
    kinds, at = [], 8
    while at < len(data):
        kinds.append(data[at + 4 : at + 8])
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    return kinds


@pytest.mark.slow
def test_same_bytes_in_every_process() -> None:
    script = (
        "import hashlib, sys; sys.path[:0] = sys.argv[1:]; import test_engine_mock as t;"
        "print(hashlib.sha256(t.render(t.PERSONA)).hexdigest())"
    )
    here = Path(__file__).parent
    command = [sys.executable, "-c", script, str(here), str(here.parent)]
    hashes = {
        subprocess.run(
            command,
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            timeout=60,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(hashes) == 1


def test_same_bytes_in_threads_at_the_same_time() -> None:
    results: list[bytes] = []
    threads = [threading.Thread(target=lambda: results.append(render(PERSONA))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [render(PERSONA)] * 4


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 8},
        {"prompt": "a desert nomad, dunes at sunset"},
        {"prompt": "quiet words that no table knows", "title": "Otto", "tags": []},
        {"negative_prompt": "ocean, sea, moon"},
        {"model_name": "another-model"},
        {"lora_models": ["ink"]},
        {"scheduler": "euler"},
    ],
    ids=lambda change: "+".join(change),
)
def test_another_request_is_clearly_another_picture(change: dict[str, Any]) -> None:
    assert difference(PERSONA, replace(PERSONA, **change)) > 12


@pytest.mark.parametrize("change", [{"guidance_scale": 15.0}, {"steps": 100}, {"quality": "high"}])
def test_refining_keeps_the_composition(change: dict[str, Any]) -> None:
    assert 0 < difference(PERSONA, replace(PERSONA, **change)) < 30


def test_guidance_makes_bolder() -> None:
    def saturation(guidance: float) -> float:
        image = picture(render(replace(PERSONA, guidance_scale=guidance)))
        return ImageStat.Stat(image.convert("HSV")).mean[1]

    assert saturation(14) > saturation(1) + 10


def test_words_choose_and_negative_words_refuse() -> None:
    def metadata(prompt: str, negative: str = "", seed: int = 1) -> Any:
        request = RenderRequest(prompt, seed, 64, 64, negative_prompt=negative)
        return next(iter(MockEngine().render(request, RenderContext()))).metadata

    assert metadata("a desert of dunes") | {"figure": None} == {
        "engine": "mock",
        "motif": "desert",
        "palette": "dune",
        "figure": None,
    }
    assert metadata("月")["motif"] == "cosmos"
    for seed in range(20):
        refused = metadata("a desert of dunes, or a forest", "desert, portrait", seed)
        assert (refused["motif"], refused["palette"], refused["figure"]) == (
            "forest",
            "moss",
            False,
        )


@pytest.mark.parametrize("size", [(64, 64), (2048, 64), (64, 2048), (513, 777)])
@pytest.mark.parametrize("quality", ["draft", "standard", "high", "no such quality"])
def test_exact_size(size: tuple[int, int], quality: str) -> None:
    request = replace(PERSONA, width=size[0], height=size[1], quality=quality)
    assert picture(render(request)).size == size


@pytest.mark.parametrize(
    "prompt",
    [
        "mountain",
        "ocean",
        "desert",
        "forest",
        "city",
        "synthwave",
        "space",
        "rose",
        "fire",
        "abstract",
        "geometric",
        "crystal",
        "silk",
        "woman",
        "aurora arctic",
        "snow alps",
        "rain street",
        "sun beach",
        "cloud hill",
        "fairy tree",
    ],
)
@pytest.mark.parametrize("size", [(64, 64), (333, 96), (96, 333)])
def test_every_scene_at_odd_sizes(prompt: str, size: tuple[int, int]) -> None:
    image = picture(render(RenderRequest(prompt, 3, *size, title="Name", tags=["tag"])))
    assert image.size == size
    assert max(ImageStat.Stat(image).stddev) > 4


@pytest.mark.parametrize("size", [(63, 64), (64, 2049), (0, 64), (-1, 64)])
def test_wrong_size_is_permanent(size: tuple[int, int]) -> None:
    with pytest.raises(EngineError, match="between 64 and 2048") as error:
        render(replace(PERSONA, width=size[0], height=size[1]))
    assert error.value.permanent


def test_text_chunks_say_how_it_was_made() -> None:
    loras = [Lora("ink"), Lora("film", 0.8, 0.5)]
    data = render(replace(PERSONA, negative_prompt="blurry", loras=loras, width=64, height=64))
    assert picture(data).info == {
        "parameters": "portrait of a mermaid by the ocean, moon <lora:ink:1><lora:film:0.5:0.8>\n"
        "Negative prompt: blurry\n"
        "Steps: 25, Sampler: DDIM, Schedule type: Automatic, CFG scale: 7.5, Seed: 7, Size: 64x64,"
        " Model: sdxl-base, App: SEIDRA",
        "Software": "SEIDRA mock engine",
    }
    assert b"iTXt" not in chunk_kinds(data)
    assert b"tIME" not in chunk_kinds(data)


def test_no_model_says_another_seed() -> None:
    request = replace(PERSONA, model_name="m, Seed: 999", width=64, height=64)
    said = infotext.read(picture(render(request)).info["parameters"])
    assert (said.model, said.seed) == ("m, Seed: 999", 7)


def test_each_picture_says_its_own_seed() -> None:
    request = replace(
        PERSONA, width=64, height=64, pictures=(Picture(0, 7), Picture(1, 8), Picture(2, 2**63 - 1))
    )
    said = [
        infotext.read(picture(stored(request, image)).info["parameters"]).seed
        for image in MockEngine().render(request, RenderContext())
    ]
    assert said == [7, 8, 2**63 - 1]


@pytest.mark.parametrize("prompt", ["月の海、静かな夜", "a mermaid 🧜‍♀️", "tale of Łódź"])
def test_text_outside_latin_1(prompt: str) -> None:
    data = render(RenderRequest(prompt, 1, 64, 64))
    parameters = picture(data).info["parameters"]
    assert parameters.startswith(prompt + "\nSteps: 25, ")
    assert chunk_kinds(data).count(b"iTXt") == 1


@pytest.mark.parametrize("prompt", ["", "\0nul\0", "\ud800 lone surrogate", "word " * 2000])
def test_odd_prompts(prompt: str) -> None:
    assert (
        "Steps: 25" in picture(render(RenderRequest(prompt, 2**53 - 1, 64, 64))).info["parameters"]
    )


@pytest.mark.parametrize(
    ("title", "tags"),
    [
        ("", []),
        ("月" * 100, ["海", "🌊"]),
        ("W" * 100, ["a very long tag indeed " * 5] * 50),
        ("Zoë 月 Łaska", [f"tag{i}" for i in range(50)]),
        ("line\nbreak\ttab", [" ", ""]),
    ],
)
@pytest.mark.parametrize("size", [(96, 96), (400, 120), (100, 500)])
def test_odd_titles_and_tags(title: str, tags: list[str], size: tuple[int, int]) -> None:
    image = picture(render(replace(PERSONA, width=size[0], height=size[1], title=title, tags=tags)))
    assert image.size == size


def test_long_type_is_shrunk_or_cut_to_its_room() -> None:
    for room in (40, 200, 900):
        assert lettering.fitted("W" * 100, 60, 30, room).width <= room
        line = lettering.tag_line(["a very long tag indeed"] * 50, 12, room)
        assert line is not None
        assert line.width <= room


def test_type_is_what_the_face_can_show() -> None:
    assert legible("Zoë\u0308  月 Łaska\n🧜 Straße – ok") == "Zoe Laska Strasse ok"
    assert legible("月詠") == ""


def test_the_bitmap_face_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Pillow was built without FreeType, its default face is a bitmap of one size, for
    Latin-1."""
    monkeypatch.setattr(lettering, "typeface", lambda size: ImageFont.load_default_imagefont())
    lettering._shows.cache_clear()
    try:
        assert legible("Zoë 月 Łaska") == "Zoe Laska"
        assert lettering.fitted("W" * 100, 60, 30, 200).width <= 200
        assert picture(render(replace(PERSONA, title="Name " * 30))).size == (256, 256)
    finally:
        lettering._shows.cache_clear()


def test_progress_rises_to_one() -> None:
    seen: list[float] = []
    render(PERSONA, RenderContext(on_progress=seen.append))
    assert seen == sorted(seen)
    assert len(seen) > 8
    assert (seen[0] > 0, seen[-1]) == (True, 1.0)


def test_cancel_from_another_thread() -> None:
    reached, cancelled = threading.Event(), threading.Event()
    seen: list[float] = []

    def on_progress(fraction: float) -> None:
        seen.append(fraction)
        reached.set()
        assert cancelled.wait(120)

    context = RenderContext(on_progress)

    def cancel() -> None:
        assert reached.wait(120)
        context.cancel()
        cancelled.set()

    thread = threading.Thread(target=cancel)
    thread.start()
    with pytest.raises(RenderCancelled):
        render(PERSONA, context)
    thread.join()
    assert len(seen) == 1


def test_what_requests_came_to_tell_later_leaves_the_pictures_of_before() -> None:
    """A field that is new must stand in `_LATER`, or every preview would change."""
    digest = make_plan(RenderRequest("moonlit ocean", 7, width=64, height=64)).digest
    assert digest == "17fe98b63b73655445b5ed7fa9a3fe11d03b88744035bf1760577df1eb238db2"
