"""The engine kind `sdapi`, against servers that behave as A1111, Forge, SD.Next and
stable-diffusion.cpp do; with SEIDRA_TEST_SDAPI_URL, the twin tests also against a real one."""

from __future__ import annotations

import io
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from fake_sdapi import FakeSdapi
from PIL import Image

from seidra.engines.base import (
    FEATURES,
    EngineError,
    EngineUnavailable,
    Lora,
    Options,
    Picture,
    RenderCancelled,
    RenderContext,
    RenderDetached,
    RenderedImage,
    RenderRequest,
)
from seidra.engines.findings import check
from seidra.engines.received import read_picture
from seidra.engines.sdapi import SdapiEngine
from seidra.engines.sdapi.names import find_name, lora_tag, pick_sampler, plain_text

REAL = os.environ.get("SEIDRA_TEST_SDAPI_URL", "")
SECONDS = 20.0

REQUEST = RenderRequest(
    "a mermaid by the ocean",
    42,
    128,
    64,
    negative_prompt="blurry",
    steps=4,
    guidance_scale=6.5,
    scheduler="euler",
    model_name="",
)


@pytest.fixture(params=["forge"])
def fake(request: pytest.FixtureRequest) -> Iterator[FakeSdapi]:
    server = FakeSdapi(request.param)
    yield server
    server.close()


every_kind = pytest.mark.parametrize(
    "fake", ["forge", "nowebui", "old", "sdnext", "sdcpp", "sdcpp-old"], indirect=True
)


def engine(fake: FakeSdapi, **options: Any) -> SdapiEngine:
    return SdapiEngine("studio", Options(url=fake.url, **options))


class Line(RenderContext):
    """A context that keeps what it was told."""

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        super().__init__(
            on_progress=self._progress,
            on_remember=lambda state: self.told.append(("remember", dict(state))),
            state=state,
            on_submit=lambda: self.told.append(("submit", None)),
            on_frame=lambda data: self.frames.append(data),
        )
        self.told: list[tuple[str, Any]] = []
        self.progress: list[float] = []
        self.frames: list[bytes] = []
        self.changed = threading.Condition()

    def _progress(self, fraction: float) -> None:
        with self.changed:
            self.progress.append(fraction)
            self.changed.notify_all()

    def until(self, true: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(true, SECONDS), "the engine never told that"


def render(
    fake: FakeSdapi,
    request: RenderRequest = REQUEST,
    line: RenderContext | None = None,
    **options: Any,
) -> list[RenderedImage]:
    return list(engine(fake, **options).render(request, line or RenderContext()))


def failure(fake: FakeSdapi, request: RenderRequest = REQUEST, **options: Any) -> EngineError:
    with pytest.raises(EngineError) as caught:
        render(fake, request, **options)
    words = str(caught.value)
    assert words.endswith(".")
    assert words[0].isupper()
    for secret in (request.prompt, request.negative_prompt, fake.url, str(fake.port), "sesame"):
        assert not secret or secret not in words
    return caught.value


class Rendering:
    """A render in a thread of its own."""

    def __init__(self, fake: FakeSdapi, request: RenderRequest = REQUEST, **options: Any) -> None:
        self.line = Line(options.pop("state", None))
        self._pool = ThreadPoolExecutor(1)
        self._future = self._pool.submit(render, fake, request, self.line, **options)

    def result(self) -> list[RenderedImage]:
        self._pool.shutdown(wait=False)
        return self._future.result(SECONDS)

    @property
    def over(self) -> bool:
        return self._future.done()


def codes(image: RenderedImage) -> list[str]:
    return [warning["code"] for warning in image.metadata.get("warnings", ())]


def decoded(image: RenderedImage) -> Image.Image:
    picture = Image.open(io.BytesIO(image.data))
    picture.load()
    return picture


# ------------------------------------------------------------------------------- a plain picture


@every_kind
def test_picture(fake: FakeSdapi) -> None:
    [image] = render(fake)
    assert decoded(image).size == (image.width, image.height) == (128, 64)
    assert (image.mime_type, image.seed, image.position) == ("image/png", 42, 0)
    assert codes(image) == []
    [body] = fake.bodies
    assert (body["prompt"], body["negative_prompt"]) == (REQUEST.prompt, REQUEST.negative_prompt)
    assert (body["steps"], body["cfg_scale"], body["seed"]) == (4, 6.5, 42)
    assert image.used["steps"] == 4
    assert image.used["sampler"].lower() == "euler"
    assert image.metadata["engine"] == "studio"


@every_kind
def test_pictures_are_as_if_made_alone(fake: FakeSdapi) -> None:
    pictures = [Picture(0, 42), Picture(2, 44)]
    both = render(fake, replace(REQUEST, pictures=pictures))
    assert [(image.position, image.seed) for image in both] == [(0, 42), (2, 44)]
    [alone] = render(fake, replace(REQUEST, seed=44))
    assert decoded(both[1]).tobytes() == decoded(alone).tobytes()
    assert decoded(both[0]).tobytes() != decoded(alone).tobytes()


def test_each_picture_is_handed_out_as_it_is_made(fake: FakeSdapi) -> None:
    request = replace(REQUEST, pictures=[Picture(k, 42 + k) for k in range(3)])
    images = engine(fake).render(request, RenderContext())
    for made in (1, 2, 3):
        next(iter(images))
        assert len(fake.bodies) == made


def test_order_of_a_safe_start(fake: FakeSdapi) -> None:
    line = Line()
    render(fake, replace(REQUEST, pictures=[Picture(0, 1), Picture(1, 2)]), line)
    assert [word for word, _ in line.told] == ["remember", "submit", "remember"]
    ids = [state["task"] for word, state in line.told if word == "remember"]
    assert ids == [body["force_task_id"] for body in fake.bodies]
    assert len(set(ids)) == 2


def test_a_lost_claim_sends_nothing(fake: FakeSdapi) -> None:
    def lost(state: dict[str, Any]) -> None:
        raise RenderDetached

    with pytest.raises(RenderDetached):
        list(engine(fake).render(REQUEST, RenderContext(on_remember=lost)))
    assert fake.bodies == []


def test_progress_steps_and_frames(fake: FakeSdapi) -> None:
    fake.pause(2)
    rendering = Rendering(fake, replace(REQUEST, pictures=[Picture(0, 1), Picture(1, 2)]))
    rendering.line.until(lambda: rendering.line.progress[-1:] == [0.25])
    assert rendering.line.step == (2, 4)
    assert Image.open(io.BytesIO(rendering.line.frames[0])).size == (64, 64)
    fake.pause(4)
    rendering.line.until(lambda: rendering.line.progress[-1:] == [0.75])
    assert len(rendering.line.frames) == len(set(rendering.line.frames))
    fake.resume()
    rendering.result()
    assert rendering.line.progress[-1] == 1.0
    assert rendering.line.progress == sorted(rendering.line.progress)


@pytest.mark.parametrize("fake", ["nowebui", "sdnext"], indirect=True)
def test_progress_without_ids(fake: FakeSdapi) -> None:
    fake.pause(2)
    rendering = Rendering(fake)
    rendering.line.until(lambda: rendering.line.progress[-1:] == [pytest.approx(0.51)])
    assert rendering.line.step == (2, 4)
    fake.resume()
    rendering.result()


def test_quality_changes_the_steps(fake: FakeSdapi) -> None:
    steps = {}
    for quality in ("draft", "standard", "high"):
        [image] = render(fake, replace(REQUEST, quality=quality, steps=5))
        steps[quality] = image.used["steps"]
    render(fake, replace(REQUEST, quality="draft", steps=1))
    render(fake, replace(REQUEST, quality="high", steps=150))
    assert steps == {"draft": 2, "standard": 5, "high": 8}
    assert [body["steps"] for body in fake.bodies] == [2, 5, 8, 1, 150]


# ------------------------------------------------------------------------------- what it can


@every_kind
def test_probe(fake: FakeSdapi) -> None:
    found = engine(fake).probe()
    assert found.features <= FEATURES
    assert {"loras", "seed", "negative_prompt"} <= found.features
    watched = not fake.kind.startswith("sdcpp")
    assert ("progress" in found.features) == ("cancel_running" in found.features) == watched
    with_ids = fake.kind in ("forge", "old")
    assert ("own_id" in found.features) == ("cancel_queued" in found.features) == with_ids
    assert set(found.loras) == {"film-grain-xl", "ink"}
    assert {"ddim", "euler", "dpmpp_2m_karras"} <= set(found.schedulers)
    assert found.seed_max == 2**53 - 1
    if watched:
        assert set(found.models) == {"sd_xl_base_1.0", "sub_dream"}
        assert found.loras["film-grain-xl"].family == "sdxl"
    assert found.sizes.multiple == (8 if watched else 64)


def test_probe_knows_the_operators_names(fake: FakeSdapi) -> None:
    found = engine(
        fake,
        models={"base": {"file": "SD_XL_base_1.0", "family": "sdxl"}, "gone": {"file": "gone"}},
        loras={"grain": {"file": "xl/film-grain-xl.safetensors"}},
    ).probe()
    assert found.models["base"].file == "sd_xl_base_1.0.safetensors [31e35c80fc]"
    assert found.models["base"].family == "sdxl"
    assert "gone" not in found.models
    assert found.loras["grain"].file == "film-grain-xl"


def test_all_known_schedulers_are_taken_as_they_are(fake: FakeSdapi) -> None:
    asked = engine(fake)
    for scheduler in asked.probe().schedulers:
        request = replace(REQUEST, scheduler=scheduler, steps=1)
        [image] = asked.render(request, RenderContext())
        assert codes(image) == [], scheduler


def test_probe_of_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(EngineUnavailable, match="refuses connections"):
        SdapiEngine("studio", Options(url=url)).probe()


def test_probe_of_a_server_that_hangs(fake: FakeSdapi) -> None:
    fake.deaf.set()
    start = time.monotonic()
    with pytest.raises(EngineUnavailable):
        engine(fake).probe()
    assert time.monotonic() - start < 5


def test_probe_of_something_else() -> None:
    fake = FakeSdapi("nothing of the kind")
    fake.get = lambda path, query: None  # type: ignore[method-assign]
    try:
        with pytest.raises(EngineError) as caught:
            engine(fake).probe()
        assert (caught.value.code, caught.value.permanent) == ("engine_api", True)
    finally:
        fake.close()


# ------------------------------------------------------------------------------- what it lacks


@every_kind
@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"model_name": "nope"}, "unknown_model"),
        ({"loras": [Lora("nope")]}, "unknown_lora"),
        ({"scheduler": "nope"}, "unknown_scheduler"),
    ],
)
def test_missing_is_found_before_sending(
    fake: FakeSdapi, change: dict[str, Any], code: str
) -> None:
    error = failure(fake, replace(REQUEST, **change))
    assert (error.code, error.permanent) == (code, True)
    assert "nope" in str(error)
    assert fake.bodies == []


def test_a_name_that_may_mean_two(fake: FakeSdapi) -> None:
    fake.models.append({**fake.models[1], "title": "old/Dream.ckpt", "model_name": "old_Dream"})
    error = failure(fake, replace(REQUEST, model_name="dream"))
    assert error.code == "ambiguous_model"
    assert "old/Dream.ckpt" in str(error)
    assert "sub/dream.safetensors" in str(error)


def test_a_lora_put_there_while_the_job_waited(fake: FakeSdapi) -> None:
    fake.on_disk.append({"name": "new", "alias": "new", "path": "/new.safetensors", "metadata": {}})
    asked = engine(fake)
    asked.probe()
    [image] = asked.render(replace(REQUEST, loras=[Lora("new", 0.5)]), RenderContext())
    assert image.used["loras"] == [{"name": "new", "weight": 0.5}]


@pytest.mark.parametrize("name", ["sd_xl_base_1.0", "SD_XL_BASE_1.0.safetensors", "31e35c80fc"])
def test_model_by_any_of_its_names(fake: FakeSdapi, name: str) -> None:
    fake.loaded = fake.models[1]
    [image] = render(fake, replace(REQUEST, model_name=name))
    assert image.used["model"] == "sd_xl_base_1.0"
    assert fake.bodies[0]["override_settings_restore_afterwards"] is False


def test_a_shared_server_gets_its_model_back(fake: FakeSdapi) -> None:
    render(fake, replace(REQUEST, model_name="sub_dream"), extra={"shared": True})
    assert fake.bodies[0]["override_settings_restore_afterwards"] is True


@pytest.mark.parametrize("fake", ["forge", "nowebui", "sdnext"], indirect=True)
def test_another_model_that_rendered_fails_the_job(fake: FakeSdapi) -> None:
    asked = engine(fake)
    asked.probe()
    dream = fake.models.pop()
    error = None
    try:
        list(asked.render(replace(REQUEST, model_name="sub_dream"), RenderContext()))
    except EngineError as caught:
        error = caught
    assert error is not None
    assert (error.code, error.permanent) == ("model_changed", True)
    assert dream["title"] not in str(error)


@pytest.mark.parametrize("fake", ["sdnext"], indirect=True)
def test_a_model_without_a_hash_is_known_by_its_title(fake: FakeSdapi) -> None:
    for model in fake.models:
        model["hash"] = ""
    asked = engine(fake)
    [image] = asked.render(replace(REQUEST, model_name="sub_dream"), RenderContext())
    assert image.used["model"] == fake.models[1]["title"]
    fake.models.pop()
    fake.loaded = fake.models[0]
    with pytest.raises(EngineError) as caught:
        list(asked.render(replace(REQUEST, model_name="sub_dream"), RenderContext()))
    assert caught.value.code == "model_changed"


@pytest.mark.parametrize("fake", ["forge", "nowebui", "sdnext"], indirect=True)
def test_a_lora_left_out_fails_the_job(fake: FakeSdapi) -> None:
    asked = engine(fake)
    asked.probe()
    fake.loras.pop()
    with pytest.raises(EngineError) as caught:
        list(asked.render(replace(REQUEST, loras=[Lora("ink")]), RenderContext()))
    assert (caught.value.code, caught.value.permanent) == ("lora_dropped", True)
    assert "'ink'" in str(caught.value)


def test_hashes_switched_off_are_no_lost_lora(fake: FakeSdapi) -> None:
    fake.hashes = False
    [image] = render(fake, replace(REQUEST, loras=[Lora("ink")]))
    assert codes(image) == ["loras_untold"]


def test_no_word_about_loras_is_no_lost_lora(fake: FakeSdapi) -> None:
    fake.fault = {"no_info": True}
    [image] = render(fake, replace(REQUEST, loras=[Lora("ink")]))
    assert codes(image) == ["loras_untold"]


def test_a_sampler_replaced_is_told(fake: FakeSdapi) -> None:
    asked = engine(fake)
    asked._stock = replace(_stock(asked), foreign={"samplers": ["Restart"], "schedules": []})
    [image] = asked.render(replace(REQUEST, scheduler="Restart"), RenderContext())
    assert codes(image) == ["sampler_changed"]
    assert image.used["sampler"] == "DPM++ 2M"


def _stock(asked: SdapiEngine) -> Any:
    asked.probe()
    return asked._stock


@pytest.mark.parametrize("fake", ["sdnext"], indirect=True)
def test_a_sampler_that_sdnext_refuses(fake: FakeSdapi) -> None:
    asked = engine(fake)
    asked._stock = replace(_stock(asked), foreign={"samplers": ["Restart"], "schedules": []})
    with pytest.raises(EngineError) as caught:
        list(asked.render(replace(REQUEST, scheduler="Restart"), RenderContext()))
    assert (caught.value.code, caught.value.permanent) == ("unknown_scheduler", True)


@every_kind
def test_sizes_are_those_of_the_picture(fake: FakeSdapi) -> None:
    [image] = render(fake, replace(REQUEST, width=130, height=65))
    assert decoded(image).size == (image.width, image.height)
    assert (image.used["width"], image.used["height"]) == (image.width, image.height)
    assert (image.width, image.height) == (128, 64)
    assert codes(image) == ["size_changed"]
    assert "of 130x65" in image.metadata["warnings"][0]["detail"]


@pytest.mark.parametrize("fake", ["sdcpp"], indirect=True)
def test_sdcpp_is_sent_what_the_check_promises(fake: FakeSdapi) -> None:
    """By itself it would round up."""
    asked = replace(REQUEST, width=200, height=64)
    [image] = render(fake, asked)
    assert (image.width, image.height) == (fake.bodies[0]["width"], 64) == (192, 64)
    promised = [one for one in check(asked, engine(fake).probe()) if one.code == "size_rounded"]
    assert [list(one.suggestions) for one in promised] == [["192x64"]]


def test_seed_beyond_what_it_takes(fake: FakeSdapi) -> None:
    [image] = render(fake, replace(REQUEST, seed=2**53 + 6))
    assert image.seed == fake.bodies[0]["seed"] == 6
    assert codes(image) == ["seed_reduced"]
    [image] = render(fake, replace(REQUEST, seed=2**53 - 1))
    assert image.seed == 2**53 - 1


# ------------------------------------------------------------------------------- prompts and LoRAs


def test_loras_are_written_once_each(fake: FakeSdapi) -> None:
    loras = [Lora("film-grain-xl", 0.8), Lora("ink", -1.25, clip_weight=0.5)]
    [image] = render(fake, replace(REQUEST, prompt="a fox <lora:ink:9> in snow", loras=loras))
    assert fake.bodies[0]["prompt"] == (
        "a fox  in snow <lora:film-grain-xl:0.8> <lora:ink:0.5:unet=-1.25>"
    )
    assert [lora["name"] for lora in image.used["loras"]] == ["film-grain-xl", "ink"]


@pytest.mark.parametrize("fake", ["sdcpp"], indirect=True)
def test_sdcpp_gets_loras_beside_the_prompt(fake: FakeSdapi) -> None:
    loras = [Lora("ink", 0.7, clip_weight=0.5)]
    [image] = render(fake, replace(REQUEST, loras=loras))
    assert fake.bodies[0]["lora"] == [{"path": "/models/Lora/ink.safetensors", "multiplier": 0.7}]
    assert "lora" not in fake.bodies[0]["prompt"]
    assert image.dropped == ["loras.clip_weight"]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("a <b> c < d: e > f", "a <b> c < d: e > f"),
        ("a <lora:ink:1>b", "a b"),
        ("<hypernet:x:1> <lyco:y>", " "),
        ("<lo<x:y>ra:ink:1>", ""),
        ('<sd_cpp_extra_args>{"seed": 1}</sd_cpp_extra_args>a', "a"),
        ("<sd_cpp_<sd_cpp_extra_args>\n</sd_cpp_extra_args>extra_args>{}", "{}"),
        ("<lora:open", "<lora:open"),
    ],
)
def test_orders_in_a_prompt(text: str, plain: str) -> None:
    assert plain_text(text) == plain
    assert plain_text(plain) == plain


def test_names_that_no_tag_can_hold() -> None:
    assert [lora_tag(name, 1, None) for name in ("a:b", "a>b", "a=b", "")] == [None] * 4
    assert lora_tag("a", 1, 1) == "<lora:a:1>"


def picked(dialect: Any, scheduler: str, names: list[str], schedules: list[str]) -> Any:
    foreign = {"samplers": names, "schedules": schedules}
    return pick_sampler(dialect, replace(REQUEST, scheduler=scheduler), foreign)


def test_samplers_by_kind() -> None:
    a1111 = (["DPM++ 2M", "DDIM", "Euler"], ["Automatic", "Uniform", "Karras"])
    assert picked("a1111", "dpmpp_2m", *a1111) == ("DPM++ 2M", "Uniform")
    assert picked("a1111", "dpmpp_2m_karras", *a1111) == ("DPM++ 2M", "Karras")
    assert picked("a1111", "ddim", *a1111) == ("DDIM", "Automatic")
    assert picked("a1111", "dpmpp_2m_beta", *a1111) is None
    assert picked("a1111", "lms", *a1111) is None
    assert picked("a1111", "DDIM", *a1111) == ("DDIM", "Automatic")
    assert picked("a1111", "dpmpp_2m", ["DPM++ 2M"], ["Normal"]) == ("DPM++ 2M", "Normal")
    old = (["DPM++ 2M", "DPM++ 2M Karras"], [])
    assert picked("a1111", "dpmpp_2m_karras", *old) == ("DPM++ 2M Karras", "Automatic")
    assert picked("a1111", "dpmpp_2m", *old) == ("DPM++ 2M", "Automatic")
    assert picked("a1111", "dpmpp_2m_exponential", *old) is None
    assert picked("sdnext", "dpmpp_2m_beta", ["DPM++ 2M"], []) == ("DPM++ 2M", "betas")
    assert picked("sdnext", "dpmpp_2m", ["DPM++ 2M"], []) == ("DPM++ 2M", "default")
    assert picked("sdnext", "Euler FlowMatch", ["Euler FlowMatch"], []) == (
        "Euler FlowMatch",
        "default",
    )
    assert picked("sdcpp", "lcm", ["lcm"], ["lcm"]) == ("lcm", "lcm")
    assert picked("sdcpp", "euler", ["euler"], ["discrete"]) == ("euler", "discrete")


def test_another_tools_pair_goes_through_where_it_is_listed(fake: FakeSdapi) -> None:
    pair = {"sampler": "DPM++ SDE", "schedule": "Simple"}
    [image] = render(fake, replace(REQUEST, scheduler="ddim", parameters=pair))
    assert (image.used["sampler"], image.used["schedule"]) == ("DPM++ SDE", "Simple")
    pair = {"sampler": "Restart", "schedule": "Simple"}
    [image] = render(fake, replace(REQUEST, scheduler="ddim", parameters=pair))
    assert image.used["sampler"] == "DDIM"


def test_found_names() -> None:
    listed = {"a/Ink.safetensors": (), "b/ink.ckpt": ("deadbeef",), "Fox": ()}
    assert find_name("a/Ink.safetensors", listed) == ["a/Ink.safetensors"]
    assert find_name("deadbeef", listed) == ["b/ink.ckpt"]
    assert find_name("INK", listed) == ["a/Ink.safetensors", "b/ink.ckpt"]
    assert find_name("a\\INK", listed) == ["a/Ink.safetensors"]
    assert find_name("c\\fox.sft", listed) == ["Fox"]
    assert find_name("wolf", listed) == []


# ------------------------------------------------------------------------------- odd answers


@every_kind
@pytest.mark.parametrize("fault", ["no_info", "grid"])
def test_odd_answers_that_hold_a_picture(fake: FakeSdapi, fault: str) -> None:
    fake.fault = {fault: True}
    [image] = render(fake)
    told = fault == "grid" or fake.kind.startswith("sdcpp")
    if fault == "grid" and fake.kind == "sdcpp-old":
        # Without `info`, nothing tells a grid from a picture.
        return
    assert (image.width, image.height) == (128, 64)
    assert image.seed == (42 if told else None)


@every_kind
@pytest.mark.parametrize(
    ("fault", "code", "permanent"),
    [
        ({"empty": True}, "nonsense", False),
        ({"half": True}, "nonsense", False),
        ({"black": True}, "black_picture", True),
        ({"body": b"{"}, "nonsense", False),
        ({"body": b'{"images": NaN}'}, "nonsense", False),
        ({"body": b"[]"}, "nonsense", False),
        ({"body": b'{"images": ["!!"], "info": ""}'}, "nonsense", False),
        ({"body": b'{"images": [{}], "info": {}}'}, "nonsense", False),
        ({"size": 70_000_000}, "nonsense", False),
        ({"raise": "OutOfMemoryError"}, "out_of_memory", False),
        ({"raise": "NansException"}, "black_picture", True),
        ({"raise": "ZeroDivisionError"}, "engine_failed", False),
        ({"raise": "a mermaid by the ocean"}, "engine_failed", False),
        ({"close": True}, "engine_lost", False),
        ({"status": 502}, "engine_lost", False),
        ({"status": 429}, "engine_busy", False),
        ({"status": 403}, "engine_key", True),
        ({"status": 400}, "engine_refused", True),
    ],
)
def test_failures_are_sentences(
    fake: FakeSdapi, fault: dict[str, Any], code: str, permanent: bool
) -> None:
    fake.fault = fault
    error = failure(fake)
    assert (error.code, error.permanent) == (code, permanent)
    assert not isinstance(error, EngineUnavailable)
    assert len(fake.bodies) == 1


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_half_a_picture_is_broken(kind: str) -> None:
    out = io.BytesIO()
    Image.effect_noise((64, 64), 50).convert("RGB").save(out, kind)
    whole = out.getvalue()
    assert (read_picture(whole).width, read_picture(whole).mime_type) == (
        64,
        f"image/{kind.lower()}",
    )
    with pytest.raises(EngineError) as caught:
        read_picture(whole[: len(whole) * 2 // 3])
    assert caught.value.code == "nonsense"


def test_a_picture_of_too_many_pixels_is_not_decoded() -> None:
    out = io.BytesIO()
    Image.new("1", (9000, 9000)).save(out, "PNG")
    with pytest.raises(EngineError, match="too many pixels"):
        read_picture(out.getvalue())


def test_a_file_of_another_kind_is_broken() -> None:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(out, "BMP")
    with pytest.raises(EngineError, match="broken"):
        read_picture(out.getvalue())


@every_kind
def test_a_failure_does_not_hold_up_the_next(fake: FakeSdapi) -> None:
    asked = engine(fake)
    fake.fault = {"raise": "OutOfMemoryError"}
    line = Line()
    with pytest.raises(EngineError):
        list(asked.render(REQUEST, line))
    again = Line(line.state)
    start = time.monotonic()
    [_] = asked.render(REQUEST, again)
    assert time.monotonic() - start < 5
    assert len(fake.bodies) == 2


@pytest.mark.parametrize("fake", ["nowebui", "sdnext"], indirect=True)
def test_an_answered_failure_is_over_without_ids(fake: FakeSdapi) -> None:
    """The next attempt does not wait for what others render."""
    fake.fault = {"raise": "OutOfMemoryError"}
    line = Line()
    with pytest.raises(EngineError):
        render(fake, line=line)
    assert line.state["sent"] is False
    fake.fault = {"close": True}
    with pytest.raises(EngineError):
        render(fake, line=line)
    assert line.state["sent"] is True


def test_fields_that_are_refused_are_named(fake: FakeSdapi) -> None:
    error = failure(fake, replace(REQUEST, guidance_scale=float("nan")))
    assert (error.code, error.permanent) == ("engine_refused", True)
    assert "(cfg_scale)" in str(error)


@pytest.mark.parametrize("key", ["open:sesame", "sesame"])
def test_key(key: str) -> None:
    expected = "Basic b3BlbjpzZXNhbWU=" if ":" in key else "Bearer sesame"
    fake = FakeSdapi(key=expected)
    try:
        error = failure(fake)
        assert (error.code, error.permanent) == ("engine_key", True)
        assert len(render(fake, key=key)) == 1
        assert "sesame" not in repr(Options(url=fake.url, key=key))
    finally:
        fake.close()


def test_an_engine_that_is_away_is_sent_nothing() -> None:
    fake = FakeSdapi()
    asked = engine(fake)
    asked.probe()
    fake.close()
    line = Line()
    with pytest.raises(EngineUnavailable):
        list(asked.render(REQUEST, line))


@pytest.mark.parametrize("fake", ["forge", "sdnext", "sdcpp"], indirect=True)
def test_silence_ends_a_render(fake: FakeSdapi) -> None:
    fake.pause()
    error = failure(fake, timeout_s=1)
    assert (error.code, error.permanent) == ("engine_silent", False)
    if fake.kind != "sdcpp":
        fake.until(lambda: len(fake.interrupts) == 1)


# ------------------------------------------------------------------------------- cancel and leave


@pytest.mark.parametrize("fake", ["forge", "nowebui", "sdnext"], indirect=True)
def test_cancel_stops_what_runs(fake: FakeSdapi) -> None:
    fake.pause(1)
    rendering = Rendering(fake)
    fake.until(lambda: fake.step == 1)
    rendering.line.cancel()
    with pytest.raises(RenderCancelled):
        rendering.result()
    assert len(fake.interrupts) == 1
    assert fake.rendered == []
    assert not fake.running


def test_a_cancel_that_is_lost_is_repeated(fake: FakeSdapi) -> None:
    fake.lose_interrupts = 2
    fake.pause(1)
    rendering = Rendering(fake)
    fake.until(lambda: fake.step == 1)
    rendering.line.cancel()
    with pytest.raises(RenderCancelled):
        rendering.result()
    assert len(fake.interrupts) == 1
    assert fake.rendered == []


def others_render(fake: FakeSdapi) -> threading.Thread:
    """Somebody else's picture, begun before ours."""
    body = {**OTHERS, "force_task_id": "others"}
    thread = threading.Thread(target=fake.txt2img, args=(body,), daemon=True)
    thread.start()
    fake.until(lambda: fake.running in ("others", OTHERS["prompt"]))
    return thread


OTHERS = {
    "prompt": "others",
    "negative_prompt": "",
    "steps": 3,
    "width": 64,
    "height": 64,
    "seed": 1,
    "sampler_name": "Euler",
}


def test_cancel_of_a_queued_one_never_hits_another(fake: FakeSdapi) -> None:
    fake.pause(1)
    others_render(fake)
    rendering = Rendering(fake)
    fake.until(lambda: len(fake.pending) == 1)
    rendering.line.cancel()
    # Two looks at least, while the other one runs.
    assert not threading.Event().wait(1.2)
    assert fake.interrupts == []
    assert not rendering.over
    fake.pause(2)
    with pytest.raises(RenderCancelled):
        rendering.result()
    ours = fake.bodies[1]["force_task_id"]
    assert fake.interrupts == [ours]
    assert fake.rendered == ["others"]


@pytest.mark.parametrize("fake", ["nowebui", "sdnext", "sdcpp"], indirect=True)
def test_cancel_without_ids_leaves_others_alone(fake: FakeSdapi) -> None:
    fake.pause(1)
    others_render(fake)
    rendering = Rendering(fake)
    fake.until(lambda: len(fake.bodies) == 2)
    rendering.line.cancel()
    with pytest.raises(RenderCancelled):
        rendering.result()
    assert fake.interrupts == []
    fake.resume()
    fake.until(lambda: len(fake.rendered) == 2)


def test_what_comes_after_a_cancel_is_thrown_away(fake: FakeSdapi) -> None:
    fake.pause(3)
    made: list[RenderedImage] = []
    line = Line()

    def run() -> None:
        made.extend(engine(fake).render(REQUEST, line))

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(run)
        fake.until(lambda: fake.step == 3)
        line.cancel()
        with pytest.raises(RenderCancelled):
            future.result(SECONDS)
    assert made == []


def test_an_answer_that_comes_with_the_cancel_is_thrown_away(fake: FakeSdapi) -> None:
    class Deaf(Line):
        """Wakes nobody, so that the answer is there when the render next looks."""

        def on_end(self, hook: Callable[[], None]) -> None:
            pass

    fake.pause(3)
    line = Deaf()
    made: list[RenderedImage] = []
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(lambda: made.extend(engine(fake).render(REQUEST, line)))
        fake.until(lambda: fake.step == 3)
        line.cancel()
        fake.resume()
        with pytest.raises(RenderCancelled):
            future.result(SECONDS)
    assert len(fake.rendered) == 1
    assert made == []


@pytest.mark.parametrize("fake", ["forge", "nowebui", "sdnext", "sdcpp"], indirect=True)
def test_leaving_stops_nothing_and_the_next_attempt_waits(fake: FakeSdapi) -> None:
    fake.pause(1)
    first = Rendering(fake)
    fake.until(lambda: fake.step == 1)
    start = time.monotonic()
    first.line.detach()
    with pytest.raises(RenderDetached):
        first.result()
    assert time.monotonic() - start < 1
    assert fake.interrupts == []
    assert fake.running
    second = Rendering(fake, state=first.line.state)
    if fake.kind == "sdcpp":
        # It tells nothing of what runs: the second one waits in its line.
        fake.until(lambda: len(fake.bodies) == 2)
    else:
        assert not threading.Event().wait(0.8)
        assert len(fake.bodies) == 1
    fake.resume()
    [image] = second.result()
    assert image.seed == 42
    assert len(fake.bodies) == len(fake.rendered) == 2


def test_leaving_does_not_wait_for_a_server_that_hangs(fake: FakeSdapi) -> None:
    fake.pause(1)
    rendering = Rendering(fake)
    fake.until(lambda: fake.step == 1)
    fake.deaf.set()
    # A look is under way by now, and is not answered.
    assert not threading.Event().wait(0.7)
    start = time.monotonic()
    rendering.line.detach()
    with pytest.raises(RenderDetached):
        rendering.result()
    assert time.monotonic() - start < 1
    fake.deaf.clear()


@pytest.mark.parametrize("fake", ["forge", "nowebui", "sdnext", "sdcpp"], indirect=True)
def test_a_restart_of_the_server(fake: FakeSdapi) -> None:
    fake.pause(1)
    first = Rendering(fake)
    fake.until(lambda: fake.step == 1)
    fake.restart()
    with pytest.raises(EngineError) as caught:
        first.result()
    assert caught.value.code == "engine_lost"
    assert not isinstance(caught.value, EngineUnavailable)
    fake.resume()
    [image] = Rendering(fake, state=first.line.state).result()
    assert image.seed == 42
    assert len(fake.bodies) == 2


def test_state_remembered_but_never_sent(fake: FakeSdapi) -> None:
    [_] = render(fake, line=Line({"task": "seidra-never-sent", "sent": True}))
    assert len(fake.bodies) == 1


def test_a_cancel_while_it_waits_for_an_earlier_attempt(fake: FakeSdapi) -> None:
    fake.pause(1)
    first = Rendering(fake)
    fake.until(lambda: fake.step == 1)
    first.line.detach()
    with pytest.raises(RenderDetached):
        first.result()
    second = Rendering(fake, state=first.line.state)
    second.line.cancel()
    with pytest.raises(RenderCancelled):
        second.result()
    fake.until(lambda: not fake.running)
    assert fake.interrupts == [fake.bodies[0]["force_task_id"]]


def test_abandon(fake: FakeSdapi) -> None:
    asked = engine(fake)
    assert asked.abandon({})
    assert asked.abandon({"task": "seidra-unknown", "sent": True})
    fake.pause(1)
    others_render(fake)
    rendering = Rendering(fake)
    fake.until(lambda: len(fake.pending) == 1)
    rendering.line.detach()
    with pytest.raises(RenderDetached):
        rendering.result()
    state = rendering.line.state
    assert not asked.abandon(state)
    assert fake.interrupts == []
    fake.pause(2)
    fake.until(lambda: fake.running == state["task"])
    assert not asked.abandon(state)
    fake.until(lambda: not fake.running)
    assert asked.abandon(state)
    assert fake.interrupts == [state["task"]]
    assert fake.rendered == ["others"]


def test_abandon_of_a_task_that_failed(fake: FakeSdapi) -> None:
    """It is called active for ever."""
    fake.fault = {"raise": "ZeroDivisionError"}
    line = Line()
    with pytest.raises(EngineError):
        render(fake, line=line)
    assert fake.current == line.state["task"]
    assert engine(fake).abandon(line.state)
    assert fake.interrupts == []


@pytest.mark.parametrize("fake", ["nowebui", "sdnext", "sdcpp"], indirect=True)
def test_abandon_without_ids(fake: FakeSdapi) -> None:
    asked = engine(fake)
    fake.pause(1)
    others_render(fake)
    assert asked.abandon({"task": "", "sent": True}) == (fake.kind == "sdcpp")
    fake.resume()
    fake.until(lambda: not fake.running)
    assert asked.abandon({"task": "", "sent": True})
    assert fake.interrupts == []


def test_abandon_of_a_server_that_is_away() -> None:
    fake = FakeSdapi()
    asked = engine(fake)
    asked.probe()
    fake.close()
    with pytest.raises(EngineUnavailable):
        asked.abandon({"task": "seidra-x", "sent": True})


# ------------------------------------------------------------------------------- the referee


def test_a_third_partys_client_is_content_with_the_fake(fake: FakeSdapi) -> None:
    webuiapi = pytest.importorskip("webuiapi", reason="webuiapi is not installed")
    client = webuiapi.WebUIApi(port=fake.port)
    result = client.txt2img(
        prompt="a fox", seed=7, sampler_name="Euler", width=64, height=64, steps=3, n_iter=2
    )
    assert [image.size for image in result.images] == [(64, 64)] * 2
    assert result.info["all_seeds"] == [7, 8]
    assert client.get_progress()["progress"] == 0
    assert {lora["name"] for lora in client.get_loras()} == {"film-grain-xl", "ink"}
    assert client.interrupt() == {}


# ------------------------------------------------------------------------------- twins


@pytest.fixture(params=["fake", "real"])
def twin(request: pytest.FixtureRequest) -> Iterator[SdapiEngine]:
    if request.param == "real":
        if not REAL:
            pytest.skip("SEIDRA_TEST_SDAPI_URL names no server")
        yield SdapiEngine("real", Options(url=REAL))
        return
    server = FakeSdapi()
    yield engine(server)
    server.close()


def test_twin_picture(twin: SdapiEngine) -> None:
    found = twin.probe()
    assert found.models
    [name, *_] = found.models
    request = replace(REQUEST, model_name=name, pictures=[Picture(0, 42), Picture(1, 43)])
    first, second = twin.render(request, RenderContext())
    assert decoded(first).size == (first.width, first.height)
    assert first.seed == 42
    assert second.seed == 43
    [alone] = twin.render(replace(request, seed=43, pictures=()), RenderContext())
    assert decoded(alone).tobytes() == decoded(second).tobytes()


def test_twin_missing(twin: SdapiEngine) -> None:
    for change in ({"model_name": "nope-nope"}, {"loras": [Lora("nope-nope")]}):
        with pytest.raises(EngineError) as caught:
            list(twin.render(replace(REQUEST, **change), RenderContext()))
        assert caught.value.permanent


def test_twin_cancel(twin: SdapiEngine) -> None:
    line = Line()
    with ThreadPoolExecutor(1) as pool:
        request = replace(REQUEST, steps=150, width=512, height=512)
        future = pool.submit(lambda: list(twin.render(request, line)))
        line.cancel()
        with pytest.raises(RenderCancelled):
            future.result(120)
    until = time.monotonic() + 60
    while not twin.abandon({"sent": True, **line.state}):
        assert time.monotonic() < until
        time.sleep(0.5)
