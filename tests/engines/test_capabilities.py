"""What each kind can do, as docs/engines.md says it."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from fake_comfyui import FakeComfyUI
from fake_openai import KEY, FakeOpenai
from fake_sdapi import FakeSdapi

from seidra.engines import diffusers, make
from seidra.engines.base import FEATURES, Lora, Options, RenderContext, RenderRequest
from seidra.engines.setup import Configured, FileRead, read_engines

PAGE = Path(__file__).resolve().parents[2] / "docs/engines.md"


def _of_comfyui() -> frozenset[str]:
    found = []
    for new in (True, False):
        with FakeComfyUI(new=new) as server:
            found.append(_features("comfyui", url=server.url))
    assert found[0] == found[1]
    return found[0]


def _of_sdapi(program: str) -> frozenset[str]:
    server = FakeSdapi(program)
    try:
        return _features("sdapi", url=server.url)
    finally:
        server.close()


def _of_openai(dialect: str) -> frozenset[str]:
    server = FakeOpenai(dialect)
    try:
        return _features("openai", url=server.url, key=KEY, dialect=dialect)
    finally:
        server.close()


def _features(kind: str, url: str = "", key: str = "", dialect: str = "") -> frozenset[str]:
    options = Options(url=url, key=key, dialect=dialect)
    return make("studio", Configured(kind, options)).probe().features


COLUMNS: dict[str, Callable[[], frozenset[str]]] = {
    "mock": lambda: _features("mock"),
    "comfyui": _of_comfyui,
    "forge": lambda: _of_sdapi("forge"),
    "sdnext": lambda: _of_sdapi("sdnext"),
    "sdcpp": lambda: _of_sdapi("sdcpp"),
    "openai": lambda: _of_openai("openai"),
    "localai": lambda: _of_openai("localai"),
    # What its `probe` answers (test_diffusers.py), which needs torch installed.
    "diffusers": lambda: diffusers.FEATURES,
}


def table() -> str:
    """The rows of the page's table, as the engines themselves say it."""
    can = {name: features() for name, features in COLUMNS.items()}
    rows = []
    for feature in sorted(FEATURES):
        answers = ("yes" if feature in features else "" for features in can.values())
        rows.append(f"| `{feature}` | {' | '.join(answers)} |\n")
    return "".join(rows)


def test_the_page_says_what_each_can() -> None:
    page = PAGE.read_text(encoding="utf-8")
    head = f"| | {' | '.join(COLUMNS)} |\n|---|{'---|' * len(COLUMNS)}\n"
    found = re.search(re.escape(head) + r"((?:\|.*\|\n)+)", page)
    assert found
    assert found[1] == table()


# ------------------------------------------------------------------------------ what is dropped

FIELDS = {
    "negative_prompt": "negative_prompt",
    "seed": "seed",
    "steps": "steps",
    "guidance_scale": "guidance",
    "scheduler": None,
    "loras": "loras",
    "loras.weight": "lora_weights",
    "loras.clip_weight": None,
    "images": None,
}
"""What a request may hold, and the capability that stands for it."""

SEPARATE = {
    "flux": {
        "diffusion_model": "flux1-dev.safetensors",
        "text_encoders": ["clip_l.safetensors", "t5xxl_fp16.safetensors"],
        "vae": "ae.safetensors",
        "family": "flux",
    },
    "qwen": {
        "diffusion_model": "qwen_image.safetensors",
        "text_encoders": ["qwen_2.5_vl_7b.safetensors"],
        "vae": "qwen_image_vae.safetensors",
        "family": "qwen",
    },
    "zimage": {
        "diffusion_model": "z_image_turbo.safetensors",
        "text_encoders": ["qwen_3_4b.safetensors"],
        "vae": "ae.safetensors",
        "family": "zimage",
    },
}


def _dropped(kind: str, model: str, **options: Any) -> tuple[set[str], frozenset[str]]:
    """The fields that an engine drops of a request that holds all of them, and its features."""
    engine = make("studio", Configured(kind, Options(**options)))
    told = {"num_inference_steps": 4, "guidance_scale": 5.0, "scheduler": "euler"}
    request = RenderRequest(
        "a cat",
        7,
        width=1024,
        height=1024,
        negative_prompt="blurred",
        steps=4,
        guidance_scale=5.0,
        scheduler="euler",
        model_name=model,
        loras=[Lora("film-grain-xl", 0.5, 0.25)],
        images={"face": b"a picture"},
        parameters={**told, "model_name": model},
    )
    [image] = engine.render(request, RenderContext())
    # A LoRA that is not used at all has no weights either.
    gone = set(image.dropped)
    if "loras" in gone:
        gone |= {"loras.weight", "loras.clip_weight"}
    return {field.partition(".face")[0] for field in gone}, engine.probe().features


def _comfyui_drops(model: str) -> tuple[set[str], frozenset[str]]:
    with FakeComfyUI() as server:
        return _dropped("comfyui", model, url=server.url, models=SEPARATE)


def _sdapi_drops(program: str, model: str) -> tuple[set[str], frozenset[str]]:
    with closing(FakeSdapi(program)) as server:
        return _dropped("sdapi", model, url=server.url)


def _openai_drops(dialect: str, model: str) -> tuple[set[str], frozenset[str]]:
    with closing(FakeOpenai(dialect)) as server:
        return _dropped("openai", model, url=server.url, key=KEY, dialect=dialect)


DROPS: dict[str, Callable[[], tuple[set[str], frozenset[str]]]] = {
    "mock": lambda: _dropped("mock", "any"),
    "comfyui": lambda: _comfyui_drops("sd15"),
    "comfyui: Flux": lambda: _comfyui_drops("flux"),
    "comfyui: Qwen-Image": lambda: _comfyui_drops("qwen"),
    "comfyui: Z-Image": lambda: _comfyui_drops("zimage"),
    "forge": lambda: _sdapi_drops("forge", "sd_xl_base_1.0"),
    "sdnext": lambda: _sdapi_drops("sdnext", "sd_xl_base_1.0"),
    "sdcpp": lambda: _sdapi_drops("sdcpp", "toy"),
    "openai": lambda: _openai_drops("openai", "gpt-image-2.5-flare"),
    "localai": lambda: _openai_drops("localai", "dreamshaper"),
    "diffusers": lambda: ({"images"}, diffusers.FEATURES),
}


def test_the_page_says_what_is_dropped_where() -> None:
    page = PAGE.read_text(encoding="utf-8")
    head = f"| | {' | '.join(DROPS)} |\n|---|{'---|' * len(DROPS)}\n"
    found = re.search(re.escape(head) + r"((?:\|.*\|\n)+)", page)
    assert found
    drops = {name: dropped() for name, dropped in DROPS.items()}
    rows = ""
    for field in FIELDS:
        cells = ("dropped" if field in gone else "" for gone, _ in drops.values())
        rows += f"| `{field}` | {' | '.join(cells)} |\n"
    assert found[1] == rows
    for name, (gone, features) in drops.items():
        assert gone <= FIELDS.keys(), name
        for field, feature in FIELDS.items():
            # What an engine cannot do is told beforehand by the check, and afterwards by the job.
            if feature is not None and feature not in features:
                assert field in gone, (name, field)


def test_the_file_of_the_page_is_a_good_one() -> None:
    [text] = re.findall(r"```toml\n(default.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)

    def read(path: Path) -> FileRead:
        return FileRead(text.encode() if path.suffix == ".toml" else b"sk-key", 0o100600)

    found = read_engines({"SEIDRA_ENGINES": "/etc/seidra/engines.toml"}, read)
    assert (list(found.engines), found.default) == (["studio", "local", "mock"], "studio")
    for name, configured in found.engines.items():
        make(name, configured)
