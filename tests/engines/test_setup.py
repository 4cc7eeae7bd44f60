"""The operator's engines: what the file and the settings say, and how they are refused."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seidra.engines import setup
from seidra.engines.base import Options
from seidra.engines.setup import Configured, FileRead, Setup, read_engines
from seidra.errors import StartError

FOLDER = Path("/etc/seidra")
FULL = """
default = "studio"

[engines.studio]
kind = "comfyui"
title = "The studio upstairs"
url = "http://10.0.0.5:8188/"
token_file = "/run/secrets/comfy"
at_once = 2
turn_s = 90
timeout_s = 600
default_model = "sdxl-base"
workflow = "sdxl.json"
inputs = {prompt = ["6.text", "7.text"], seed = "3.seed"}

[engines.studio.models]
turbo = "sd_xl_turbo.safetensors"

[engines.studio.models.sdxl-base]
file = "sd_xl_base_1.0.safetensors"
family = "sdxl"

[engines.studio.models.flux]
family = "flux"
diffusion_model = "flux1-dev.safetensors"
text_encoders = ["clip_l.safetensors", "t5xxl.safetensors"]
vae = "ae.safetensors"

[engines.studio.loras.film-grain-xl]
file = "xl/film-grain-xl.safetensors"
weight = 0.8
trigger = "film grain"

[engines.cloud]
kind = "openai"
url = "https://api.openai.com/v1"
key_file = "keys/openai"
dialect = "openai"

[engines.card]
kind = "diffusers"
extra = {device = "cuda:1"}
"""
GRAPH = {
    "3": {"class_type": "KSampler", "inputs": {}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {}},
}
FILES: dict[str, tuple[str, int]] = {
    "/run/secrets/comfy": ("  comfy-secret\n", 0o100400),
    "/etc/seidra/keys/openai": ("sk-secret\n", 0o100600),
    "/etc/seidra/sdxl.json": (json.dumps(GRAPH), 0o100644),
    "/etc/seidra/other.json": ('{"nodes": [], "links": []}', 0o100644),
    "/etc/seidra/bare.json": ('{"1": {"inputs": {}}}', 0o100644),
    "/etc/seidra/open": ("open-secret", 0o100604),
    "/etc/seidra/group": ("group-secret", 0o100640),
    "/etc/seidra/two": ("first\nsecond\n", 0o100600),
    "/etc/seidra/empty": ("\n", 0o100600),
}


def read(text: str, **more: str) -> Setup:
    return read_engines({"SEIDRA_ENGINES": "/etc/seidra/engines.toml"}, files(text, **more))


def files(text: str, **more: str) -> setup.ReadFile:
    known = FILES | {"/etc/seidra/engines.toml": (text, 0o100644)}
    known |= {f"/etc/seidra/{name}": (content, 0o100644) for name, content in more.items()}

    def read_file(path: Path) -> FileRead:
        if str(path) not in known:
            raise FileNotFoundError(2, "No such file or directory")
        content, mode = known[str(path)]
        return FileRead(content.encode("utf-8", "surrogateescape"), mode)

    return read_file


def test_a_full_file() -> None:
    found = read(FULL)
    assert (found.default, found.warnings) == ("studio", ())
    assert list(found.engines) == ["studio", "cloud", "card", "mock"]
    kind, options = found.engines["studio"]
    assert kind == "comfyui"
    assert options == Options(
        url="http://10.0.0.5:8188",
        key="comfy-secret",
        at_once=2,
        turn_s=90,
        timeout_s=600,
        default_model="sdxl-base",
        models={
            "turbo": {"file": "sd_xl_turbo.safetensors"},
            "sdxl-base": {"file": "sd_xl_base_1.0.safetensors", "family": "sdxl"},
            "flux": {
                "family": "flux",
                "diffusion_model": "flux1-dev.safetensors",
                "text_encoders": ["clip_l.safetensors", "t5xxl.safetensors"],
                "vae": "ae.safetensors",
            },
        },
        loras={
            "film-grain-xl": {
                "file": "xl/film-grain-xl.safetensors",
                "weight": 0.8,
                "trigger": "film grain",
            }
        },
        workflow=GRAPH,
        inputs={"prompt": ("6.text", "7.text"), "seed": ("3.seed",)},
        extra={"title": "The studio upstairs"},
    )
    cloud = found.engines["cloud"]
    assert (cloud.options.key, cloud.options.turn_s, cloud.options.at_once) == ("sk-secret", 0, 1)
    assert found.engines["card"] == ("diffusers", Options(extra={"device": "cuda:1"}))
    assert found.engines["mock"] == ("mock", Options(turn_s=0, at_once=2))
    assert "secret" not in repr(found)


ONE = '[engines.a]\nkind = "comfyui"\nurl = "http://a:1"\n'
TWO = ONE + '[engines.b]\nkind = "diffusers"\n'


@pytest.mark.parametrize(
    ("text", "names", "default"),
    [
        ("", ["mock"], "mock"),
        (ONE, ["a", "mock"], "a"),
        ("mock = false\n" + ONE, ["a"], "a"),
        ('default = "mock"\n' + ONE, ["a", "mock"], "mock"),
        ('default = "auto"\n' + TWO, ["a", "b", "mock"], "auto"),
        ('default = "b"\n' + TWO, ["a", "b", "mock"], "b"),
        ('[engines.mock]\nkind = "mock"\nat_once = 2', ["mock"], "mock"),
        ('[engines.quick]\nkind = "mock"', ["quick", "mock"], "quick"),
        ("\ufeff" + ONE, ["a", "mock"], "a"),
    ],
)
def test_defaults_and_mock(text: str, names: list[str], default: str) -> None:
    found = read(text)
    assert (list(found.engines), found.default) == (names, default)


# A file, and what its error says.
REFUSED = [
    ("engines = 1", "engines must be tables"),
    ("[engines]\na = 1", "engines must be tables"),
    ("x = ", "is not TOML"),
    (ONE + ONE, "is not TOML"),
    ("engine = 1", "there is no setting 'engine' (did you mean 'engines'?)"),
    ('mock = "no"', "mock must be true or false"),
    ("mock = false", "names no engine"),
    (TWO, "default must name one of the engines, or be 'auto': a, b"),
    ('default = "c"\n' + TWO, "default names no engine: 'c' (there is a, b, mock, auto)"),
    ("default = 1\n" + ONE, "default names no engine"),
    ('default = "mock"\nmock = false\n' + ONE, "default names no engine: 'mock'"),
    (ONE + '[engines.A]\nkind = "mock"', "engine 'A': there is 'a' already"),
    ('[engines.auto]\nkind = "mock"', "no engine may be called 'auto'"),
    ('[engines.mock]\nkind = "diffusers"', "engine 'mock': no engine but one of the kind 'mock'"),
    ('[engines.Mock]\nkind = "comfyui"', "no engine but one of the kind 'mock'"),
    ('[engines."a b"]\nkind = "mock"', "a name has 1 to 50"),
    (f'[engines.{"a" * 51}]\nkind = "mock"', "a name has 1 to 50"),
    ("[engines.a]", "kind must be one of the known: there is comfyui, sdapi"),
    ('[engines.a]\nkind = "comfy"', "'comfy' (did you mean 'comfyui'?)"),
    ('[engines.a]\nkind = "comfyui"', "url must be there"),
    ('[engines.a]\nkind = "mock"\nurl = "http://a"', "'mock' is not called at a url"),
    ('[engines.a]\nkind = "diffusers"\nkey_file = "empty"', "'diffusers' takes no key"),
    (ONE + "at_once = 0", "at_once must be a whole number from 1 to 64"),
    (ONE + "at_once = 65", "at_once must be a whole number from 1 to 64"),
    (ONE + "at_once = true", "at_once must be a whole number"),
    (ONE + "turn_s = -1", "turn_s must be a whole number from 0 to 3600"),
    (ONE + "turn_s = 3601", "turn_s must be a whole number from 0 to 3600"),
    (ONE + "timeout_s = 1.5", "timeout_s must be a whole number"),
    (ONE + "timeout = 60", "there is no setting 'timeout' (did you mean 'timeout_s'?)"),
    (ONE + 'key = "sk-secret"', "there is no setting 'key'"),
    (ONE + 'dialect = "openai"', "'comfyui' has none"),
    (
        '[engines.a]\nkind = "openai"\nurl = "http://a"\ndialect = "local"',
        "did you mean 'localai'?",
    ),
    (ONE + 'key_file = "gone"', "key_file: /etc/seidra/gone cannot be read: No such file"),
    (ONE + 'key_file = "two"', "/etc/seidra/two must hold the key, on one line"),
    (ONE + 'key_file = "empty"', "/etc/seidra/empty must hold the key"),
    (ONE + 'key_file = ""', "key_file must be a text"),
    (ONE + 'key_file = "~nobody-here/x"', "home of a user who does not exist"),
    (ONE + 'key_file = "open"\ntoken_file = "open"', "leave one out"),
    (ONE + 'title = "a\\nb"', "title must be a text of one line"),
    (ONE + "models = 1", "models must be a table of tables"),
    (ONE + "models = {a = 1}", "models.a must be a table"),
    (ONE + "models = {a = {}}", "models.a: file must say"),
    (ONE + 'models = {a = {file = ""}}', "models.a: file must be a text"),
    (ONE + 'models = {a = {file = "x", famly = "sdxl"}}', "did you mean 'family'?"),
    (ONE + 'models = {a = {file = "x", family = "sdx"}}', "did you mean 'sdxl'?"),
    (ONE + 'models = {a = {diffusion_model = "x", text_encoders = "y"}}', "must list files"),
    (ONE + 'loras = {a = {file = "x", weight = 11}}', "loras.a: weight must be a number"),
    (ONE + 'loras = {a = {file = "x", weight = 0}}', "from -10 to 10, and not 0"),
    (ONE + 'workflow = "gone.json"', "workflow: /etc/seidra/gone.json cannot be read"),
    (ONE + 'workflow = "open"', "workflow: /etc/seidra/open is not JSON"),
    (ONE + 'workflow = "other.json"', "is not in API format"),
    (ONE + 'workflow = "bare.json"', "is not in API format"),
    (ONE + 'inputs = {seed = ["3.seed"]}', "there is no workflow"),
    (ONE + 'workflow = "sdxl.json"\ninputs = {seed = ["4.seed"]}', "no node for '4.seed'"),
    (ONE + 'workflow = "sdxl.json"\ninputs = {seed = []}', "inputs.seed must list places"),
    (TWO + 'workflow = "sdxl.json"', "engine 'b': only a 'comfyui' takes a workflow"),
    (ONE + "extra = 1", "extra must be a table"),
]


@pytest.mark.parametrize(("text", "says"), REFUSED)
def test_what_is_refused(text: str, says: str) -> None:
    with pytest.raises(StartError) as caught:
        read(text)
    message = caught.value.message
    assert says in message
    assert message.startswith("SEIDRA_ENGINES: /etc/seidra/engines.toml")
    assert message.endswith(".")
    assert "secret" not in message


# A URL, and whether it will do.
URLS = [
    ("http://127.0.0.1:8188", True),
    ("https://api.openai.com/v1/", True),
    ("http://[::1]:7860/sd", True),
    ("http://studio", True),
    ("ftp://a", False),
    ("a:8188", False),
    ("http://", False),
    ("http://a?x=1", False),
    ("http://a#x", False),
    ("http://a:99999", False),
    ("http://a:0", False),
    ("http://a b", False),
    ("http://[::1", False),
    ("http://user:hunter2@a", False),
    ("http://user@a", False),
    ("http://@a", False),
]


@pytest.mark.parametrize(("url", "good"), URLS)
def test_urls(url: str, good: bool) -> None:
    single = {"SEIDRA_ENGINE": "sdapi", "SEIDRA_ENGINE_URL": url}
    text = f'[engines.a]\nkind = "sdapi"\nurl = "{url}"'
    if good:
        assert read(text).engines["a"].options.url == url.rstrip("/")
        assert read_engines(single, files("")).engines["sdapi"].options.url == url.rstrip("/")
        return
    with pytest.raises(StartError, match=r"engine 'a': url must") as caught:
        read(text)
    with pytest.raises(StartError, match=r"^SEIDRA_ENGINE_URL must") as alone:
        read_engines(single, files(""))
    for error in (caught, alone):
        assert "hunter2" not in error.value.message
        assert url not in error.value.message.partition(", such as")[0]


def test_a_key_that_others_can_read_is_told() -> None:
    [warning] = read(ONE + 'key_file = "open"').warnings
    assert "engine 'a': key_file: /etc/seidra/open can be read by everybody" in warning
    assert "open-secret" not in warning
    assert read(ONE + 'key_file = "group"').warnings == ()


# --------------------------------------------------------------------------------- one, by settings


def test_nothing_set_is_mock() -> None:
    for values in ({}, {"SEIDRA_ENGINE": "mock"}, {"SEIDRA_ENGINE": " ", "SEIDRA_ENGINES": ""}):
        found = read_engines(values, files(""))
        assert found == Setup({"mock": Configured("mock", Options(turn_s=0, at_once=2))}, "mock")


def test_one_engine_and_mock_beside_it() -> None:
    values = {
        "SEIDRA_ENGINE": "comfyui",
        "SEIDRA_ENGINE_URL": "http://127.0.0.1:8188",
        "SEIDRA_ENGINE_KEY_FILE": "/etc/seidra/open",
    }
    found = read_engines(values, files(""))
    assert list(found.engines) == ["comfyui", "mock"]
    assert found.default == "comfyui"
    assert found.engines["comfyui"] == (
        "comfyui",
        Options(url="http://127.0.0.1:8188", key="open-secret"),
    )
    assert found.warnings[0].startswith("SEIDRA_ENGINE_KEY_FILE: /etc/seidra/open")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (
            {"SEIDRA_ENGINE": "comfi"},
            "SEIDRA_ENGINE names no kind of engine: 'comfi' (did you mean",
        ),
        ({"SEIDRA_ENGINE": "comfyui"}, "SEIDRA_ENGINE_URL must be set"),
        ({"SEIDRA_ENGINE_URL": "http://a"}, "SEIDRA_ENGINE_URL is set, but 'mock'"),
        (
            {"SEIDRA_ENGINE": "diffusers", "SEIDRA_ENGINE_KEY_FILE": "x"},
            "SEIDRA_ENGINE_KEY_FILE is",
        ),
        ({"SEIDRA_ENGINES": "/x", "SEIDRA_ENGINE": "mock"}, "SEIDRA_ENGINE are both set"),
        ({"SEIDRA_ENGINES": "/x", "SEIDRA_ENGINE_URL": "y"}, "SEIDRA_ENGINE_URL are both set"),
        ({"SEIDRA_ENGINES": "/etc/gone.toml"}, "SEIDRA_ENGINES: /etc/gone.toml cannot be read: No"),
        (
            {
                "SEIDRA_ENGINE": "openai",
                "SEIDRA_ENGINE_URL": "http://a",
                "SEIDRA_ENGINE_KEY_FILE": "/x",
            },
            "SEIDRA_ENGINE_KEY_FILE: /x cannot be read",
        ),
    ],
)
def test_settings_that_are_refused(values: dict[str, str], says: str) -> None:
    with pytest.raises(StartError) as caught:
        read_engines(values, files(""))
    assert says in caught.value.message


def test_real_files(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("real-secret\n")
    key.chmod(0o604)
    (tmp_path / "graph.json").write_text(json.dumps(GRAPH))
    path = tmp_path / "engines.toml"
    path.write_text(ONE + 'key_file = "key"\nworkflow = "graph.json"\n')
    found = read_engines({"SEIDRA_ENGINES": str(path)})
    assert found.engines["a"].options.key == "real-secret"
    assert found.engines["a"].options.workflow == GRAPH
    assert len(found.warnings) == 1
    key.chmod(0o600)
    assert read_engines({"SEIDRA_ENGINES": str(path)}).warnings == ()
    path.write_bytes(b"\xff")
    with pytest.raises(StartError, match="is not UTF-8"):
        read_engines({"SEIDRA_ENGINES": str(path)})
    path.write_text("#" * (1 << 20) + ONE)
    with pytest.raises(StartError, match="more than a MiB"):
        read_engines({"SEIDRA_ENGINES": str(path)})
    with pytest.raises(StartError, match="cannot be read: Is a directory"):
        read_engines({"SEIDRA_ENGINES": str(tmp_path)})


# -------------------------------------------------------------------------------------- properties

_VALUES: Any = st.recursive(
    st.one_of(st.booleans(), st.integers(), st.text(max_size=5), st.sampled_from(["mock", "gone"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=4), inner, max_size=2)
    ),
    max_leaves=4,
)


def as_toml(value: Any) -> str:
    if isinstance(value, dict):
        pairs = (f"{json.dumps(key)} = {as_toml(inner)}" for key, inner in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    return json.dumps(value)


@given(st.sampled_from(setup._ENGINE_KEYS), _VALUES)
def test_any_value_is_taken_or_refused(key: str, value: Any) -> None:
    kind = "" if key == "kind" else 'kind = "mock"\n'
    with contextlib.suppress(StartError):
        read(f"[engines.a]\n{kind}{key} = {as_toml(value)}\n")
