"""The kind `diffusers` as far as it goes without torch: the folder, the settings, and that no
server process serves it. The real thing is in tests/diffusers/."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import wait_for
from test_start import GUNICORN, Server

from seidra import engines
from seidra.config import Settings
from seidra.engines import diffusers
from seidra.engines.base import (
    EngineError,
    EngineUnavailable,
    Lora,
    Model,
    Options,
    RenderContext,
    RenderRequest,
)
from seidra.engines.diffusers import DiffusersEngine, shelf
from seidra.engines.setup import Configured
from seidra.errors import StartError


def write_head(path: Path, tensors: dict[str, Any]) -> None:
    """A .safetensors file that is all head."""
    head = json.dumps(tensors).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(head)) + head)


def write_folder(path: Path, kind: str, width: int = 768) -> None:
    (path / "unet").mkdir(parents=True)
    (path / shelf.INDEX).write_text(json.dumps({"_class_name": kind}))
    (path / "unet" / "config.json").write_text(json.dumps({"cross_attention_dim": width}))


CROSS = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
LORA = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight"


def tensor(*shape: int) -> dict[str, Any]:
    return {"dtype": "F16", "shape": list(shape), "data_offsets": [0, 0]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_folder(tmp_path / "painter", "StableDiffusionPipeline")
    write_folder(tmp_path / "xl" / "large", "StableDiffusionXLPipeline", 2048)
    write_folder(tmp_path / "configs" / "sd1", "StableDiffusionPipeline")
    clip = {"cond_stage_model.transformer.x": tensor(1)}
    write_head(tmp_path / "old.safetensors", {**clip, CROSS: tensor(320, 768)})
    write_head(tmp_path / "two.safetensors", {**clip, CROSS: tensor(320, 1024)})
    write_head(tmp_path / "loras" / "grain.safetensors", {LORA: tensor(8, 2048)})
    about = {"__metadata__": {"ss_base_model_version": "sd_v1"}}
    write_head(tmp_path / "loras" / "ink" / "wash.safetensors", about)
    (tmp_path / "danger.ckpt").write_bytes(b"\x80\x04")
    (tmp_path / "notes.txt").write_text("")
    return tmp_path


def engine(folder: Path, **options: Any) -> DiffusersEngine:
    return DiffusersEngine("here", Options(models_dir=str(folder), **options))


def test_models_are_folders_and_single_files_and_nothing_pickled(folder: Path) -> None:
    assert shelf.find_models(folder) == {
        "painter": Model("painter", "sd1"),
        "xl/large": Model("xl/large", "sdxl"),
        "old": Model("old.safetensors", "sd1"),
        "two": Model("two.safetensors", "sd2"),
    }


def test_loras_tell_what_they_are_made_for(folder: Path) -> None:
    assert shelf.find_loras(folder) == {
        "grain": Model("grain.safetensors", "sdxl"),
        "ink/wash": Model("ink/wash.safetensors", "sd1"),
    }


@pytest.mark.parametrize(
    "data",
    [b"", b"1234", b"\xff" * 16, struct.pack("<Q", 4) + b"<htm", struct.pack("<Q", 2) + b"[]"],
)
def test_a_damaged_head_is_an_unknown_family(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.safetensors").write_bytes(data)
    assert shelf.find_models(tmp_path) == {"x": Model("x.safetensors", None)}


def test_a_probe_says_what_lies_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diffusers, "_installed_version", lambda: "0.42.1")
    mapped = {"mine": {"file": "xl/large", "family": "flux"}, "gone": {"file": "nowhere"}}
    can = engine(folder, models=mapped, loras={"fine": {"file": "grain"}}).probe()
    assert can.models["mine"] == Model("xl/large", "flux")
    assert "gone" not in can.models
    assert can.loras["fine"] == Model("grain.safetensors", "sdxl")
    assert {"euler", "ddim", "dpmpp_2m_karras"} <= set(can.schedulers)
    assert (can.version, can.features, can.cuts_prompts) == ("0.42.1", diffusers.FEATURES, True)


def test_without_the_libraries_it_is_away_and_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diffusers.util, "find_spec", lambda name: None)
    for call in (engine(folder).probe, lambda: list(engine(folder).render(ask(), RenderContext()))):
        with pytest.raises(EngineUnavailable, match=r"pip install 'seidra\[diffusers\]'"):
            call()


def ask(**fields: Any) -> RenderRequest:
    asked = {"model_name": "painter", "scheduler": "euler", **fields}
    return RenderRequest("a cat", 7, **asked)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"model_name": "nowhere"}, "unknown_model"),
        ({"loras": [Lora("nowhere")]}, "unknown_lora"),
        ({"scheduler": "ddim_karras"}, "unknown_scheduler"),
        ({"scheduler": "res_multistep"}, "unknown_scheduler"),
        ({"model_name": "two"}, "model_config_missing"),
    ],
)
def test_what_is_not_there_fails_before_any_process_begins(
    folder: Path, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], code: str
) -> None:
    monkeypatch.setattr(diffusers, "_installed_version", lambda: "0.42.1")
    with pytest.raises(EngineError) as caught:
        list(engine(folder).render(ask(**fields), RenderContext()))
    assert (caught.value.code, caught.value.permanent) == (code, True)


def test_an_order_rounds_sizes_and_scales_steps(folder: Path) -> None:
    order, used = engine(folder)._order(
        ask(width=770, height=65, steps=20, quality="draft", loras=[Lora("grain", 0.5, 0.25)])
    )
    assert (order.width, order.height, order.steps) == (768, 64, 10)
    [lora] = order.loras
    assert (lora.weight, lora.clip_weight) == (0.5, 0.25)
    assert Path(lora.path) == folder / "loras" / "grain.safetensors"
    assert used["loras"] == [{"name": "grain", "weight": 0.5}]
    single, _ = engine(folder)._order(ask(model_name="old"))
    assert Path(single.config) == folder / "configs" / "sd1"


@pytest.mark.parametrize(
    ("extra", "rule"),
    [
        ({"device": "tpu"}, "device must be"),
        ({"dtype": "int8"}, "dtype must be"),
        ({"threads": -1}, "threads must be"),
        ({"threads": True}, "threads must be"),
        ({"offload": 1}, "offload must be"),
        ({"gpu": 1}, "no setting 'gpu'"),
    ],
)
def test_a_wrong_setting_stops_the_start(extra: dict[str, Any], rule: str) -> None:
    with pytest.raises(StartError, match=rule):
        engines.make("here", Configured("diffusers", Options(extra=extra)))


def test_its_folder_is_that_of_the_settings(settings: Settings) -> None:
    chosen = dataclasses.replace(settings, engine="diffusers")
    setup = engines.check_setup(chosen)
    assert setup.default == "diffusers"
    assert setup.engines["diffusers"].options.models_dir == str(settings.models_dir)
    assert list(engines.without_own_worker(setup).engines) == ["mock"]


@pytest.mark.slow
def test_no_process_but_the_one_that_renders_imports_torch(folder: Path) -> None:
    """Stand-ins that end whoever imports them."""
    poison = folder / "poison"
    for name in ("torch", "diffusers", "transformers", "peft"):
        (poison / name).mkdir(parents=True)
        (poison / name / "__init__.py").write_text("import os; os._exit(7)")
    script = (
        "from seidra.engines import make; from seidra.engines.base import *\n"
        "from seidra.engines.setup import Configured; from seidra.engines import diffusers\n"
        "diffusers.metadata.version = lambda name: '1'\n"
        f"engine = make('here', Configured('diffusers', Options(models_dir={str(folder)!r})))\n"
        "print(sorted(engine.probe().models))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": f"{poison}:{Path(__file__).parents[2]}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "painter" in done.stdout


@pytest.mark.slow
def test_a_server_process_serves_the_others_alone_and_stays_small(tmp_path: Path) -> None:
    with Server(tmp_path, *GUNICORN, SEIDRA_ENGINE="diffusers", SEIDRA_WEB_WORKERS="1") as server:
        server.ready().register()

        def served() -> dict[str, str]:
            return {one["name"]: one["status"] for one in server.json("GET", "/api/engines")}

        wait_for(lambda: served()["mock"] == "ready")
        assert served()["diffusers"] == "no_worker"
        for child in _children(server.process.pid):
            maps = Path(f"/proc/{child}/maps").read_text()
            assert "libtorch" not in maps
            [kilobytes] = re.findall(
                r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{child}/status").read_text(), re.MULTILINE
            )
            assert int(kilobytes) < 80_000


SERVE = ("-m", "flask", "serve")


@pytest.mark.slow
def test_serving_keeps_a_worker_beside_that_ends_with_it(tmp_path: Path) -> None:
    with Server(tmp_path, *SERVE, SEIDRA_ENGINE="diffusers", SEIDRA_WEB_WORKERS="1") as server:
        server.ready().register()
        first = wait_for(lambda: _beside(server.process.pid))
        # It looks at the engine, which is there where the libraries are.
        wait_for(
            lambda: server.json("GET", "/api/engines")[0]["status"] in ("unreachable", "ready")
        )
        os.kill(first, signal.SIGKILL)
        second = wait_for(lambda: _beside(server.process.pid, but=first))
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 0
        assert not Path(f"/proc/{second}").exists()


@pytest.mark.slow
def test_the_worker_beside_ends_when_the_server_is_killed(tmp_path: Path) -> None:
    with Server(tmp_path, *SERVE, SEIDRA_ENGINE="diffusers", SEIDRA_WEB_WORKERS="1") as server:
        server.ready()
        beside = wait_for(lambda: _beside(server.process.pid))
        server.process.kill()
        wait_for(lambda: not Path(f"/proc/{beside}").exists())


@pytest.mark.slow
@pytest.mark.parametrize(
    "more", [{}, {"SEIDRA_ENGINE": "diffusers", "SEIDRA_EMBEDDED_WORKER": "0"}]
)
def test_no_worker_stands_beside_where_none_is_needed(tmp_path: Path, more: dict[str, str]) -> None:
    with Server(tmp_path, *SERVE, SEIDRA_WEB_WORKERS="1", **more) as server:
        server.ready()
        assert _beside(server.process.pid) is None


def _beside(pid: int, but: int | None = None) -> int | None:
    """The worker beside a server, other than `but`."""
    for child in _children(pid):
        if child != but and b"--beside" in Path(f"/proc/{child}/cmdline").read_bytes():
            return child
    return None


def _children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    assert listed
    return [int(child) for child in listed]
