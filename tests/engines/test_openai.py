"""The engine kind `openai`, against servers that behave as OpenAI's and LocalAI do; with
SEIDRA_TEST_OPENAI_URL (and _KEY, _MODEL, _DIALECT), the twin test also against a real one."""

from __future__ import annotations

import io
import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from fake_openai import KEY, FakeOpenai
from hypothesis import given
from hypothesis import strategies as st
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
from seidra.engines.openai import OpenaiEngine, _lawful_size
from seidra.errors import StartError

REAL = os.environ.get("SEIDRA_TEST_OPENAI_URL", "")
SECONDS = 20.0

REQUEST = RenderRequest(
    "a mermaid by the ocean", 42, 1024, 768, steps=20, model_name="gpt-image-2.5-flare"
)
LOCAL = replace(REQUEST, model_name="dreamshaper", width=256, height=256)


@pytest.fixture
def cloud() -> Iterator[FakeOpenai]:
    server = FakeOpenai()
    yield server
    server.close()


@pytest.fixture
def local() -> Iterator[FakeOpenai]:
    server = FakeOpenai("localai")
    yield server
    server.close()


def engine(fake: FakeOpenai, **options: Any) -> OpenaiEngine:
    settings = {"url": fake.url, "key": KEY, "dialect": fake.dialect, **options}
    return OpenaiEngine("cloud", Options(**settings))


def render(
    fake: FakeOpenai, request: RenderRequest, context: RenderContext | None = None, **options: Any
) -> list[RenderedImage]:
    return list(engine(fake, **options).render(request, context or RenderContext()))


def failure(
    fake: FakeOpenai, request: RenderRequest, context: RenderContext | None = None, **options: Any
) -> EngineError:
    with pytest.raises(EngineError) as caught:
        render(fake, request, context, **options)
    words = str(caught.value)
    assert words.endswith(".")
    assert words[0].isupper()
    for secret in (request.prompt, fake.origin, KEY, "sesame"):
        assert secret not in words
    return caught.value


def codes(image: RenderedImage) -> list[str]:
    return [warning["code"] for warning in image.metadata.get("warnings", ())]


def size(image: RenderedImage) -> tuple[int, int]:
    picture = Image.open(io.BytesIO(image.data))
    picture.load()
    assert picture.size == (image.width, image.height)
    return picture.size


# ------------------------------------------------------------------------------- OpenAI


def test_picture(cloud: FakeOpenai) -> None:
    [image] = render(cloud, replace(REQUEST, negative_prompt="blurry", loras=[Lora("ink")]))
    assert size(image) == (1024, 768)
    assert cloud.bodies == [
        {
            "model": "gpt-image-2.5-flare",
            "prompt": REQUEST.prompt,
            "n": 1,
            "size": "1024x768",
            "quality": "medium",
        }
    ]
    assert image.seed is None
    assert codes(image) == []
    assert set(image.dropped) == {
        "negative_prompt",
        "seed",
        "loras",
        "steps",
        "guidance_scale",
        "scheduler",
    }
    assert image.used == {
        "model": "gpt-image-2.5-flare",
        "width": 1024,
        "height": 768,
        "quality": "medium",
    }


def test_one_call_a_picture(cloud: FakeOpenai) -> None:
    request = replace(REQUEST, pictures=[Picture(1, 43), Picture(2, 44)])
    images = engine(cloud).render(request, RenderContext())
    for made, position in ((1, 1), (2, 2)):
        assert next(iter(images)).position == position
        assert len(cloud.bodies) == made
    assert {body["n"] for body in cloud.bodies} == {1}


def test_quality_map(cloud: FakeOpenai) -> None:
    for quality in ("draft", "standard", "high"):
        render(cloud, replace(REQUEST, quality=quality))
    assert [body["quality"] for body in cloud.bodies] == ["low", "medium", "high"]


def test_orders_in_a_prompt_are_taken_out(cloud: FakeOpenai) -> None:
    prompt = '<sd_cpp_extra_args>{"seed": 1}</sd_cpp_extra_args>a <lora:ink:1>fox'
    render(cloud, replace(REQUEST, prompt=prompt))
    assert cloud.bodies[0]["prompt"] == "a fox"


@pytest.mark.parametrize(
    ("model", "asked", "made"),
    [
        ("gpt-image-2.5-flare", (770, 770), (768, 768)),
        ("gpt-image-2.5-flare", (2048, 64), (2048, 688)),
        ("gpt-image-2.5-flare", (64, 2048), (688, 2048)),
        ("gpt-image-1.5", (768, 768), (1024, 1024)),
        ("gpt-image-1.5", (1024, 768), (1536, 1024)),
        ("gpt-image-1.5", (512, 2048), (1024, 1536)),
    ],
)
def test_sizes(
    cloud: FakeOpenai, model: str, asked: tuple[int, int], made: tuple[int, int]
) -> None:
    request = replace(REQUEST, model_name=model, width=asked[0], height=asked[1])
    [image] = render(cloud, request)
    assert size(image) == made
    assert codes(image) == ["size_changed"]


def test_sizes_of_the_operators_word(cloud: FakeOpenai) -> None:
    models = {"ours": {"file": "gpt-image-2.5-flare"}}
    extra = {"sizes": ["512x512", "nonsense", "768x512"]}
    [image] = render(cloud, replace(REQUEST, model_name="ours"), models=models, extra=extra)
    assert size(image) == (768, 512)
    assert image.used["model"] == "gpt-image-2.5-flare"


@given(st.integers(64, 5000), st.integers(64, 5000))
def test_every_size_becomes_a_lawful_one(width: int, height: int) -> None:
    wide, high = _lawful_size(width, height)
    long, short = max(wide, high), min(wide, high)
    assert wide % 16 == high % 16 == 0
    assert long <= 3 * short
    assert long <= 3840
    assert short <= 2160
    assert (wide >= high) == (width >= height) or wide == high


@pytest.mark.parametrize(
    ("fault", "code", "permanent"),
    [
        ({"status": 400, "code": "content_policy_violation"}, "prompt_refused", True),
        ({"status": 400}, "engine_refused", True),
        ({"status": 401}, "engine_key", True),
        ({"status": 403}, "engine_key", True),
        ({"status": 404}, "unknown_model", True),
        ({"status": 429}, "engine_busy", False),
        ({"status": 429, "code": "insufficient_quota"}, "engine_quota", True),
        ({"status": 500}, "engine_failed", False),
        ({"status": 503}, "engine_failed", False),
        # Paid for, and of no use: not ordered again by itself.
        ({"empty": True}, "nonsense", True),
        ({"half": True}, "nonsense", True),
        ({"black": True}, "black_picture", True),
        ({"body": b"{"}, "nonsense", True),
        ({"body": b"[]"}, "nonsense", True),
        ({"body": b'{"data": [{"b64_json": 1}]}'}, "nonsense", True),
        ({"size": 70_000_000}, "nonsense", True),
    ],
)
def test_failures_are_sentences(
    cloud: FakeOpenai, fault: dict[str, Any], code: str, permanent: bool
) -> None:
    cloud.fault = fault
    context = RenderContext()
    error = failure(cloud, REQUEST, context)
    assert (error.code, error.permanent) == (code, permanent)
    assert not isinstance(error, EngineUnavailable)
    assert len(cloud.bodies) == 1
    assert context.state == {"sent": False}


def test_a_refused_prompt(cloud: FakeOpenai) -> None:
    error = failure(cloud, replace(REQUEST, prompt="something forbidden"))
    assert (error.code, error.permanent) == ("prompt_refused", True)


def test_a_busy_provider_says_how_long(cloud: FakeOpenai) -> None:
    cloud.fault = {"status": 429, "retry_after": "20"}
    assert "20 seconds" in str(failure(cloud, REQUEST))


def test_an_unknown_model(cloud: FakeOpenai) -> None:
    assert failure(cloud, replace(REQUEST, model_name="dall-e-3")).code == "unknown_model"
    assert failure(cloud, replace(REQUEST, model_name="")).code == "unknown_model"
    assert len(cloud.bodies) == 1
    [image] = render(cloud, replace(REQUEST, model_name=""), default_model="gpt-image-2.5-flare")
    assert image.used["model"] == "gpt-image-2.5-flare"


def test_a_prompt_that_is_too_long(cloud: FakeOpenai) -> None:
    assert failure(cloud, replace(REQUEST, prompt="x" * 32_001)).code == "prompt_too_long"
    assert cloud.bodies == []


# ------------------------------------------------------------------------------- lost answers


class Line(RenderContext):
    """A context that keeps the order of what it was told."""

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        super().__init__(
            on_remember=lambda state: self.told.append(state["sent"]),
            on_submit=lambda: self.told.append("submit"),
            state=state,
        )
        self.told: list[object] = []


def test_sending_is_remembered_before_it_happens(cloud: FakeOpenai) -> None:
    line = Line()
    request = replace(REQUEST, pictures=[Picture(0, 1), Picture(1, 2)])
    render(cloud, request, line)
    # The last one stays in mind until its job is complete: a crash before that is told.
    assert line.told == [True, "submit", False, True]

    def lost(state: dict[str, Any]) -> None:
        raise RenderDetached

    with pytest.raises(RenderDetached):
        render(cloud, REQUEST, RenderContext(on_remember=lost))
    assert len(cloud.bodies) == 2


def test_a_lost_answer_is_tried_once_more_and_told(cloud: FakeOpenai) -> None:
    cloud.fault = {"close": True}
    line = Line()
    error = failure(cloud, REQUEST, line)
    assert (error.code, error.permanent) == ("engine_lost", False)
    assert "may have been billed" in str(error)
    assert len(cloud.bodies) == 1
    request = replace(REQUEST, pictures=[Picture(0, 1), Picture(1, 2)])
    images = render(cloud, request, Line(line.state))
    assert [codes(image) for image in images] == [["maybe_billed"], []]


def test_a_second_lost_answer_ends_the_job(cloud: FakeOpenai) -> None:
    cloud.fault = {"close": True}
    error = failure(cloud, REQUEST, Line({"sent": True}))
    assert (error.code, error.permanent) == ("engine_lost", True)
    assert "for the second time" in str(error)


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    away = OpenaiEngine("cloud", Options(url=url))
    line = Line()
    with pytest.raises(EngineUnavailable):
        list(away.render(REQUEST, line))
    assert line.state == {"sent": False}
    with pytest.raises(EngineUnavailable):
        away.probe()
    assert away.abandon({"sent": True})


def test_silence(cloud: FakeOpenai) -> None:
    cloud.hold.clear()
    error = failure(cloud, REQUEST, timeout_s=1)
    assert (error.code, error.permanent) == ("engine_lost", False)
    assert "said nothing for 1 seconds" in str(error)


@pytest.mark.parametrize("leave", ["cancel", "detach"])
def test_leaving_hangs_up_at_once(local: FakeOpenai, leave: str) -> None:
    local.hold.clear()
    line = Line()
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(render, local, LOCAL, line)
        local.until_asked(1)
        start = time.monotonic()
        getattr(line, leave)()
        with pytest.raises(RenderCancelled if leave == "cancel" else RenderDetached):
            future.result(SECONDS)
        assert time.monotonic() - start < 1
    assert local.hung_up.wait(SECONDS)
    assert line.state == {"sent": True}


# ------------------------------------------------------------------------------- LocalAI


def test_local_picture(local: FakeOpenai) -> None:
    request = replace(LOCAL, negative_prompt="blurry", quality="high", loras=[Lora("ink")])
    [image] = render(local, request)
    [body] = local.bodies
    assert body == {
        "model": "dreamshaper",
        "prompt": "a mermaid by the ocean|blurry",
        "n": 1,
        "size": "256x256",
        "response_format": "b64_json",
        "step": 30,
        "seed": 42,
    }
    assert local.fetched == []
    assert image.seed == 42
    assert set(image.dropped) == {"loras", "guidance_scale", "scheduler"}
    assert image.used["steps"] == 30


def test_bars_of_a_prompt_split_nothing(local: FakeOpenai) -> None:
    request = replace(LOCAL, prompt="a fox|cat {red|blue}", negative_prompt="dog|wolf")
    render(local, request)
    assert local.prompts == [("a fox/cat {red/blue}", "dog/wolf")]
    render(local, replace(request, negative_prompt=""))
    assert local.prompts[1] == ("a fox/cat {red/blue}", "")


def test_local_pictures_are_as_if_made_alone(local: FakeOpenai) -> None:
    both = render(local, replace(LOCAL, pictures=[Picture(0, 42), Picture(1, 43)]))
    [alone] = render(local, replace(LOCAL, seed=43))
    assert both[1].data == alone.data
    assert both[0].data != alone.data


def test_local_seeds_have_31_bits(local: FakeOpenai) -> None:
    [image] = render(local, replace(LOCAL, seed=2**31 + 7))
    assert image.seed == local.bodies[0]["seed"] == 7
    assert codes(image) == ["seed_reduced"]


def test_local_failures_may_be_tried_again(local: FakeOpenai) -> None:
    for fault in ({"half": True}, {"close": True}, {"body": b"{"}):
        local.fault = fault
        line = Line({"sent": True})
        error = failure(local, LOCAL, line)
        assert not error.permanent
        assert "billed" not in str(error)
    [image] = render(local, LOCAL, Line({"sent": True}))
    assert codes(image) == []


def test_a_url_of_its_own_is_fetched(local: FakeOpenai) -> None:
    data = io.BytesIO()
    Image.new("RGB", (256, 256), "red").save(data, "PNG")
    local.fault = {"url": local.keep("/generated-images/x.png", data.getvalue())}
    [image] = render(local, LOCAL)
    assert image.data == data.getvalue()
    assert local.fetched == ["/generated-images/x.png"]


def test_no_other_url_is_fetched(local: FakeOpenai) -> None:
    other = FakeOpenai("localai")
    try:
        data = io.BytesIO()
        Image.new("RGB", (64, 64), "red").save(data, "PNG")
        target = other.keep("/generated-images/1.png", data.getvalue())
        addresses = [
            target,
            target.replace("127.0.0.1", "localhost"),
            target.replace("http:", "https:"),
            f"http://user@{target.removeprefix('http://')}",
            f"//{target.removeprefix('http://')}",
            "file:///etc/passwd",
            "http://[",
            f"{local.origin}/elsewhere",
            f"{local.origin}/gone.png",
            "/x\r\nHost: evil",
            "",
        ]
        for address in addresses:
            local.fault = {"url": address}
            failure(local, LOCAL)
        assert other.fetched == local.fetched == []
    finally:
        other.close()


def test_a_url_answer_is_bounded(local: FakeOpenai) -> None:
    address = local.keep("/generated-images/big.png", bytes(50 * 1024 * 1024))
    local.fault = {"url": address}
    assert failure(local, LOCAL).code == "nonsense"


# ------------------------------------------------------------------------------- what it can


def test_probe(cloud: FakeOpenai, local: FakeOpenai) -> None:
    found = engine(cloud).probe()
    assert set(found.models) == {"gpt-image-1.5", "gpt-image-2.5-flare"}
    assert found.features == {"sizes"}
    assert found.sizes.multiple == 16
    assert not found.sizes.fixed
    found = engine(local).probe()
    assert set(found.models) == {"dreamshaper", "flux.1-dev"}
    assert found.features <= FEATURES
    assert {"seed", "negative_prompt", "steps"} <= found.features
    assert found.seed_max == 2**31 - 1


def test_probe_with_the_operators_names(cloud: FakeOpenai) -> None:
    models = {"pictures": {"file": "gpt-image-1.5"}, "gone": {"file": "gone"}}
    assert engine(cloud, models=models).probe().models["pictures"].file == "gpt-image-1.5"
    assert "gone" not in engine(cloud, models=models).probe().models
    cloud.models = ["gpt-image-1.5"]
    assert (1536, 1024) in engine(cloud).probe().sizes.fixed
    cloud.lists_models = False
    assert set(engine(cloud, models=models).probe().models) == {"pictures", "gone"}


def test_probe_with_a_wrong_key(cloud: FakeOpenai) -> None:
    with pytest.raises(EngineError) as caught:
        engine(cloud, key="wrong").probe()
    assert (caught.value.code, caught.value.permanent) == ("engine_key", True)


def test_the_url_may_end_before_v1(cloud: FakeOpenai) -> None:
    assert len(render(cloud, REQUEST, url=cloud.origin)) == 1
    assert engine(cloud, url=f"{cloud.origin}/").probe().models


def test_an_unknown_dialect(cloud: FakeOpenai) -> None:
    with pytest.raises(StartError, match="localai, openai"):
        engine(cloud, dialect="midjourney")


# ------------------------------------------------------------------------------- the referee


def test_openais_sdk_accepts_our_bodies_and_talks_to_the_fake(cloud: FakeOpenai) -> None:
    openai = pytest.importorskip("openai", reason="openai is not installed")
    pydantic = pytest.importorskip("pydantic", reason="pydantic is not installed")
    from openai.types.image_generate_params import ImageGenerateParamsNonStreaming

    referee = pydantic.TypeAdapter(ImageGenerateParamsNonStreaming)
    for quality in ("draft", "standard", "high"):
        render(cloud, replace(REQUEST, quality=quality, negative_prompt="blurry"))
    for body in cloud.bodies:
        referee.validate_python(body, strict=True, extra="forbid")
    for wrong in ({"seed": 1}, {"quality": "best"}):
        with pytest.raises(pydantic.ValidationError):
            referee.validate_python({**cloud.bodies[0], **wrong}, strict=True, extra="forbid")

    with openai.OpenAI(base_url=cloud.url, api_key=KEY, max_retries=0) as client:
        made = client.images.generate(model="gpt-image-2.5-flare", prompt="a fox", size="512x512")
        assert made.data[0].b64_json
        assert "gpt-image-1.5" in [model.id for model in client.models.list()]
        with pytest.raises(openai.BadRequestError):
            client.images.generate(model="gpt-image-1.5", prompt="forbidden", size="1024x1024")


# ------------------------------------------------------------------------------- twins


@pytest.fixture(params=["fake", "real"])
def twin(request: pytest.FixtureRequest) -> Iterator[OpenaiEngine]:
    if request.param == "real":
        if not REAL:
            pytest.skip("SEIDRA_TEST_OPENAI_URL names no server")
        yield OpenaiEngine(
            "real",
            Options(
                url=REAL,
                key=os.environ.get("SEIDRA_TEST_OPENAI_KEY", ""),
                dialect=os.environ.get("SEIDRA_TEST_OPENAI_DIALECT", "openai"),
                default_model=os.environ.get("SEIDRA_TEST_OPENAI_MODEL", ""),
            ),
        )
        return
    server = FakeOpenai()
    yield engine(server, default_model="gpt-image-2.5-flare")
    server.close()


def test_twin_picture(twin: OpenaiEngine) -> None:
    twin.probe()
    request = replace(REQUEST, model_name="", width=1024, height=1024, quality="draft")
    [image] = twin.render(request, RenderContext())
    assert size(image) == (1024, 1024)
    with pytest.raises(EngineError) as caught:
        list(twin.render(replace(request, model_name="nope-nope"), RenderContext()))
    assert caught.value.permanent
