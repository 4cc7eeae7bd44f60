"""The formats in JSON, YAML and text: what is read of them, that it comes back as it was, and which
one a file is."""

from __future__ import annotations

import base64
import io
import json
import time
from dataclasses import replace
from typing import Any

import pytest
from exchanged import (
    LONG,
    PROMPTS,
    TEXT_FORMATS,
    TEXTS,
    again,
    all_stored,
    changed,
    codes,
    foreign,
    incoming,
    read,
    stored,
    write,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from seidra.errors import Invalid
from seidra.exchange import formats
from seidra.exchange.formats import read_file
from seidra.exchange.found import FoundPersona


def png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (600, 300), "red").save(file, "PNG")
    return file.getvalue()


def data_url(kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(png()).decode()}"


def one(data: Any, name: str = "file.json") -> FoundPersona:
    file = read(data, name)
    assert len(file.entries) == 1
    return file.entries[0]


def fields(found: FoundPersona, *names: str) -> list[Any]:
    return [found.fields.get(name) for name in names]


SDNEXT = {
    "name": "Reference/Old/Ink",
    "description": "Of old",
    "prompt": "{prompt}, ink <lora:ink:0.8>",
    "negative": "blur",
    "extra": "Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, Size: 1024x768, CFG scale: 6.5,"
    " Seed: 9007199254740993, Model: xl, Clip skip: 2",
    "wildcards": "what=a,b; other=x",
    "preview": data_url(),
}
STYLES = [
    {"name": "sai-anime", "prompt": "anime {prompt} . x", "negative_prompt": "photo"},
    {"name": "only negative", "negative_prompt": "bad", "name_cn": "坏", "description": "d"},
]
PRESET = {
    "default_model": "juggernaut.safetensors",
    "default_loras": [
        [True, "None", 1.0],
        [True, "sd_xl_offset.safetensors", 0.1],
        [False, "off.safetensors", 0.5],
        ["old.safetensors", 0.25],
    ],
    "default_cfg_scale": 4.0,
    "default_sampler": "dpmpp_2m",
    "default_scheduler": "karras",
    "default_performance": "Speed",
    "default_overwrite_step": 30,
    "default_prompt": "",
    "default_prompt_negative": "",
    "default_styles": ["Fooocus V2", "SAI Anime"],
    "default_aspect_ratio": "1152*896",
    "checkpoint_downloads": {"juggernaut.safetensors": "https://example.com/j"},
}
SWARM = {
    "Old/Ink": {
        "author": "me",
        "title": "Old/Ink",
        "description": "Of old",
        "preview_image": data_url("jpeg"),
        "is_starred": True,
        "param_map": {
            "prompt": "{value}, ink",
            "negativeprompt": "blur",
            "model": "xl",
            "steps": "20",
            "cfgscale": "7.5",
            "seed": "9007199254740993",
            "width": "1024",
            "height": "768",
            "sampler": "dpmpp_2m",
            "scheduler": "karras",
            "loras": "ink,sea/salt",
            "loraweights": "1,0.5",
            "clipstopatlayer": "-2",
        },
    }
}
INVOKE = [{"name": "Ink", "positive_prompt": "{prompt}, ink", "negative_prompt": "blur"}]
TEXT = (
    "a cat, (ink:1.2) <lora:ink:0.8>\nNegative prompt: blur\nSteps: 20, Sampler: Euler a,"
    " CFG scale: 7, Seed: 42, Size: 512x768, Model hash: abc, Model: m, Version: v1.10.1"
)
CIVITAI = {
    "id": 1,
    "modelId": 2,
    "name": "v2",
    "trainedWords": ["ink wash, soft", "brush"],
    "baseModel": "SDXL 1.0",
    "description": "<p>Of <b>old</b></p><ul><li>one</li></ul>",
    "files": [{"name": "ink.safetensors", "hashes": {"AutoV2": "12AB"}}],
    "images": [{"url": "https://example.com/x.png"}],
    "model": {"name": "Ink", "type": "LORA", "nsfw": True},
}
NOTES = {
    "description": "Of old",
    "sd version": "SDXL",
    "activation text": "ink wash",
    "preferred weight": 0.8,
    "negative text": "photo",
    "notes": "soft",
}


# ---------------------------------------------------------------------------------------- reading


def test_sdnext() -> None:
    found = one(SDNEXT)
    assert fields(found, "name", "tags", "description", "style_prompt", "negative_prompt") == [
        "Ink",
        ["Reference/Old"],
        "Of old",
        "{prompt}, ink <lora:ink:0.8>",
        "blur",
    ]
    assert found.fields["generation_params"] == {
        "num_inference_steps": 20,
        "scheduler": "dpmpp_2m_karras",
        "width": 1024,
        "height": 768,
        "guidance_scale": 6.5,
        "seed": "9007199254740993",
        "model_name": "xl",
    }
    assert found.picture == png()
    assert found.extensions == {
        "sdnext": {"wildcards": "what=a,b; other=x", "extra": {"Clip skip": "2"}}
    }
    assert codes(found) == {"contains_wildcards"}
    assert read([SDNEXT, {"name": "B", "prompt": "b"}]).format == "sdnext"


def test_lists_of_styles() -> None:
    file = read(STYLES)
    assert file.format == "fooocus"
    first, second = file.entries
    assert fields(first, "name", "style_prompt", "negative_prompt") == [
        "sai-anime",
        "anime {prompt} . x",
        "photo",
    ]
    assert fields(second, "description", "style_prompt", "negative_prompt") == ["d", "", "bad"]
    assert second.extensions == {"fooocus": {"name_cn": "坏"}}
    assert codes(file) == set()
    assert codes(read(STYLES[:1])) == {"format_ambiguous"}
    pseudo = [{"name": "Fooocus V2", "prompt": ""}, *STYLES]
    assert len(read(pseudo).entries) == 2


def test_a_preset_of_fooocus() -> None:
    found = one(PRESET, "presets/juggernaut.json")
    assert fields(found, "name", "style_prompt", "negative_prompt") == [
        "juggernaut",
        "{prompt}",
        "",
    ]
    assert found.fields["loras"] == [
        {"name": "sd_xl_offset", "weight": 0.1},
        {"name": "off", "weight": 0.5, "enabled": False},
        {"name": "old", "weight": 0.25},
    ]
    assert found.fields["generation_params"] == {
        "width": 1152,
        "height": 896,
        "num_inference_steps": 30,
        "guidance_scale": 4.0,
        "model_name": "juggernaut.safetensors",
        "scheduler": "dpmpp_2m_karras",
    }
    kept = found.extensions["fooocus-preset"]
    assert kept["default_performance"] == "Speed"
    assert kept["checkpoint_downloads"] == PRESET["checkpoint_downloads"]
    assert codes(found) == {"no_prompt", "styles_kept"}


@pytest.mark.parametrize(
    ("key", "value"),
    [("default_overwrite_step", -1), ("default_cfg_scale", -1), ("default_model", "None")],
)
def test_what_a_preset_does_not_set(key: str, value: Any) -> None:
    params = one(PRESET | {key: value}).fields["generation_params"]
    assert len(params) == 5


def test_presets_of_swarmui() -> None:
    file = read(SWARM)
    assert file.format == "swarmui"
    [found] = file.entries
    assert found.entry == "Old/Ink"
    assert fields(found, "name", "tags", "is_favorite", "style_prompt", "negative_prompt") == [
        "Ink",
        ["Old"],
        True,
        "{prompt}, ink",
        "blur",
    ]
    assert found.fields["loras"] == [
        {"name": "ink", "weight": 1.0},
        {"name": "sea/salt", "weight": 0.5},
    ]
    assert found.fields["generation_params"] == {
        "model_name": "xl",
        "num_inference_steps": 20,
        "guidance_scale": 7.5,
        "seed": "9007199254740993",
        "width": 1024,
        "height": 768,
        "scheduler": "dpmpp_2m_karras",
    }
    assert found.picture == png()
    assert found.extensions["swarmui"]["param_map"] == {"clipstopatlayer": "-2"}


def test_the_other_forms_that_swarmui_takes() -> None:
    file = read([{"name": "Ink", "prompt": "{value} ink", "negativeprompt": "blur"}])
    assert file.format == "swarmui"
    assert fields(file.entries[0], "style_prompt", "negative_prompt") == ["{prompt} ink", "blur"]
    text = (
        "Ink:\n    prompt_prefix: old\n    prompt_suffix: 'ink, soft'\n    uc_prompt: blur\n"
        "no:\n  prompt: 'yes'\n"
    )
    file = read(text, "presets.yaml")
    assert file.format == "swarmui"
    first, second = file.entries
    assert fields(first, "name", "style_prompt", "negative_prompt") == [
        "Ink",
        "old {prompt} ink, soft",
        "blur",
    ]
    assert fields(second, "name", "style_prompt") == ["no", "yes"]
    assert first.original is not None
    assert first.original.decode().strip() == text[: text.index("no:")].strip()


def test_templates_of_invokeai() -> None:
    found = one(INVOKE)
    assert read(INVOKE).format == "invokeai"
    assert fields(found, "name", "style_prompt", "negative_prompt") == [
        "Ink",
        "{prompt}, ink",
        "blur",
    ]
    own = [{"name": "Ink", "type": "default", "preset_data": {**INVOKE[0]}}]
    assert fields(one(own), "style_prompt", "negative_prompt") == ["{prompt}, ink", "blur"]


def test_a_pasted_text() -> None:
    found = one(TEXT, "pasted.txt")
    assert fields(found, "name", "style_prompt", "negative_prompt", "loras") == [
        "a cat, (ink:1.2)",
        "a cat, (ink:1.2) <lora:ink:0.8>",
        "blur",
        None,
    ]
    assert found.fields["generation_params"] == {
        "num_inference_steps": 20,
        "scheduler": "euler_a",
        "guidance_scale": 7.0,
        "seed": 42,
        "width": 512,
        "height": 768,
        "model_name": "m",
    }
    assert found.extensions == {"infotext": {"Model hash": "abc", "Version": "v1.10.1"}}
    assert found.original == TEXT.encode()
    # Without parameters it is a prompt, where its sender says so.
    assert read("just words", "x.txt", "infotext").entries[0].fields["style_prompt"] == "just words"
    long = one(TEXT.replace("a cat", "word " * 40 + "cat"))
    assert long.fields["name"] == ("word " * 12).strip()


def test_flux_in_forge_and_on_civitai() -> None:
    found = one(
        "a\nSteps: 20, Sampler: Undefined, CFG scale: 1, Distilled CFG Scale: 3.5, Seed: 1,"
        ' Civitai resources: [{"type": "lora", "weight": 0.8}], Model: flux'
    )
    assert found.fields["generation_params"] == {
        "num_inference_steps": 20,
        "guidance_scale": 3.5,
        "seed": 1,
        "model_name": "flux",
    }
    assert json.loads(found.extensions["infotext"]["Civitai resources"])[0]["weight"] == 0.8


def test_sidecars_of_loras() -> None:
    found = one(CIVITAI, "ink_v2.civitai.info")
    assert fields(found, "name", "style_prompt", "negative_prompt", "loras", "is_nsfw") == [
        "Ink v2",
        "ink wash, soft, brush",
        "",
        [{"name": "ink_v2", "weight": 1.0}],
        True,
    ]
    assert found.fields["description"] == "Of old\none"
    assert found.extensions["sidecar"]["hashes"] == {"AutoV2": "12AB"}
    assert found.picture is None
    found = one(NOTES, "ink.json")
    assert fields(found, "name", "style_prompt", "negative_prompt", "loras", "description") == [
        "ink",
        "ink wash",
        "photo",
        [{"name": "ink", "weight": 0.8}],
        "Of old\nsoft",
    ]
    assert one(NOTES | {"preferred weight": 0}).fields["loras"][0]["weight"] == 1.0
    assert one(NOTES | {"activation text": "", "negative text": ""}).error is None


def test_sidecars_of_other_models() -> None:
    model = one(CIVITAI | {"model": {"type": "Checkpoint"}}, "xl.civitai.info")
    assert model.fields["generation_params"] == {"model_name": "xl"}
    assert "loras" not in model.fields
    embedding = one(CIVITAI | {"model": {"type": "TextualInversion"}}, "x.civitai.info")
    assert "loras" not in embedding.fields
    assert codes(embedding) == {"kind_unknown"}


# -------------------------------------------------------------------------------- what is not taken


def test_parameters_that_break_their_rules_are_left_out_and_told() -> None:
    extra = "Steps: 500, Size: 4096x512, Seed: 18446744073709551615, Sampler: Euler, Model: m"
    found = one(SDNEXT | {"extra": extra})
    assert found.error is None
    assert found.fields["generation_params"] == {
        "height": 512,
        "scheduler": "euler",
        "model_name": "m",
    }
    assert {"parameter_left_out", "seed_large"} <= codes(found)
    assert found.extensions["sdnext"]["parameters"] == {
        "num_inference_steps": 500,
        "width": 4096,
        "seed": 18446744073709551615,
    }


def test_a_sampler_that_has_no_name_of_ours() -> None:
    found = one(SDNEXT | {"extra": "Sampler: res_2s, Schedule type: bong, Steps: 5"})
    assert found.fields["generation_params"] == {
        "num_inference_steps": 5,
        "sampler": "res_2s",
        "schedule": "bong",
    }
    assert "sampler_unknown" in codes(found)


def test_names() -> None:
    found = one(SDNEXT | {"name": "a\tb\n" + "👩🏽‍🚀" * 40})
    assert found.fields["name"].startswith("a b")
    assert len(found.fields["name"]) <= 100
    assert found.fields["name"].endswith("🚀")
    assert "name_shortened" in codes(found)
    found = one(SDNEXT | {"name": " \u200b"}, "stem.json")
    assert found.fields["name"] == "stem"
    assert "name_missing" in codes(found)


@pytest.mark.parametrize("key", ["prompt", "negative"])
def test_prompts_that_are_too_long(key: str) -> None:
    found = one(SDNEXT | {key: "x" * 16_001})
    assert found.error
    assert found.error.code == "prompt_too_long"
    assert found.error.field in ("style_prompt", "negative_prompt")


def test_no_prompt() -> None:
    file = read([{"name": "A", "prompt": " ", "negative_prompt": ""}, STYLES[0]])
    assert file.entries[0].error
    assert file.entries[0].error.code == "no_prompt"
    assert file.entries[1].error is None


def test_pictures_elsewhere_are_not_fetched() -> None:
    for url in ("https://example.com/x.png", "/Output/x.png", "data:text/html;base64,eA==", 7):
        found = one(SDNEXT | {"preview": url})
        assert found.picture is None
        assert found.extensions["sdnext"]["preview"] == url


def test_entries_longer_than_a_mebibyte() -> None:
    found = one(SDNEXT | {"more": "x" * 1024 * 1024})
    assert found.original is None
    assert "original_not_kept" in codes(found)


# ------------------------------------------------------------------------------- which format it is

FILES: list[tuple[str, Any]] = [
    ("sdnext", SDNEXT),
    ("fooocus", STYLES),
    ("fooocus-preset", PRESET),
    ("swarmui", SWARM),
    ("invokeai", INVOKE),
    ("infotext", TEXT),
    ("sidecar", CIVITAI),
    ("sidecar", NOTES),
    ("a1111", "name,prompt,negative_prompt\nA,a,b\n"),
    ("a1111", 'name,prompt,negative_prompt\nA,"a\nSteps: 1, Seed: 2, Size: 3x3",b\n'),
    ("swarmui", "A:\n  prompt: a\n"),
]


@pytest.mark.parametrize(("format", "data"), FILES)
@pytest.mark.parametrize("name", ["x", "x.png", "styles.csv", "x.json"])
def test_a_file_is_what_is_in_it(format: str, data: Any, name: str) -> None:
    assert read(data, name).format == format


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"words",
        b"\xff\xd8\xff\xe0binary",
        b"{}",
        b"[]",
        b"[1, 2]",
        b'{"a": 1}',
        b'"text"',
        b'[{"name": 1}]',
        b"a,b\n1,2\n",
        b"a: 1\n",
    ],
)
def test_what_is_none_of_them(data: bytes) -> None:
    with pytest.raises(Invalid) as refused:
        read_file(incoming(data))
    assert set(refused.value.errors or {}) <= {"file", "encoding"}


def test_a_format_that_is_unknown() -> None:
    with pytest.raises(Invalid) as refused:
        read(SDNEXT, format="docx")
    assert "sdnext" in (refused.value.errors or {})["format"][0]


@pytest.mark.parametrize("format", [*TEXT_FORMATS, "sidecar"])
@pytest.mark.parametrize(("_", "data"), FILES)
def test_another_format_can_be_said_and_does_no_harm(format: str, _: str, data: Any) -> None:
    try:
        file = read(data, "x", format)
    except Invalid as refused:
        assert refused.errors  # noqa: PT017 (it may be readable as that one too)
    else:
        assert all(found.fields["name"] for found in file.entries)


# ---------------------------------------------------------------------------------------- writing

JSON_FILES = [
    (format, data) for format, data in FILES if format in TEXT_FORMATS and not isinstance(data, str)
]
EDITS: dict[str, Any] = {
    "name": "Other",
    "style_prompt": "other {prompt}",
    "negative_prompt": "other",
    "description": "other",
    "loras": [{"name": "other", "weight": 0.5, "enabled": True}],
    "generation_params": {"width": 64, "height": 64, "num_inference_steps": 7},
    "is_favorite": False,
}


@pytest.mark.parametrize(("format", "data"), JSON_FILES)
def test_what_was_not_edited_gives_the_same_bytes(format: str, data: Any) -> None:
    file = read(data)
    written = write(all_stored(file), format)
    for found in file.entries:
        assert found.original
        assert any(found.original in one.data for one in written)
    if format in ("sdnext", "fooocus-preset"):
        assert written[0].data == incoming(data).data


@pytest.mark.parametrize(("format", "data"), JSON_FILES)
@pytest.mark.parametrize("field", EDITS)
def test_an_edit_changes_what_it_means_and_nothing_else(format: str, data: Any, field: str) -> None:
    file = read(data)
    [persona, *_] = all_stored(file)
    before = json.loads(file.entries[0].original or b"")
    [written] = write([changed(persona, **{field: EDITS[field]})], format)
    after = json.loads(written.data)
    if isinstance(data, list):
        after = after[0]
    elif format == "swarmui":
        [after] = after.values()
        before, after = before | before.pop("param_map"), after | after.pop("param_map")
    differing = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    assert differing <= HELD[format].get(field, set()), differing
    if HELD[format].get(field):
        assert differing


HELD: dict[str, dict[str, set[str]]] = {
    "sdnext": {
        "name": {"name"},
        "style_prompt": {"prompt"},
        "negative_prompt": {"negative"},
        "description": {"description"},
        "loras": {"prompt"},
        "generation_params": {"extra"},
    },
    "fooocus": {
        "name": {"name"},
        "style_prompt": {"prompt"},
        "negative_prompt": {"negative_prompt"},
        "loras": {"prompt"},
    },
    "fooocus-preset": {
        "style_prompt": {"default_prompt"},
        "negative_prompt": {"default_prompt_negative"},
        "loras": {"default_loras"},
        "generation_params": {
            *("default_model", "default_cfg_scale", "default_sampler", "default_scheduler"),
            *("default_overwrite_step", "default_aspect_ratio"),
        },
    },
    "swarmui": {
        "name": {"title"},
        "style_prompt": {"prompt"},
        "negative_prompt": {"negativeprompt"},
        "description": {"description"},
        "loras": {"loras", "loraweights"},
        "generation_params": {
            *("model", "steps", "cfgscale", "seed", "width", "height", "sampler", "scheduler"),
            "aspectratio",
        },
        "is_favorite": {"is_starred"},
    },
    "invokeai": {
        "name": {"name"},
        "style_prompt": {"positive_prompt"},
        "negative_prompt": {"negative_prompt"},
        "loras": {"positive_prompt"},
    },
}


def full() -> Any:
    """A persona that has everything."""
    return foreign(
        changed(
            stored(one(SDNEXT), read(SDNEXT)),
            name="Élodie",
            description="Of the sea",
            style_prompt="{prompt}, sea",
            negative_prompt="text",
            loras=[{"name": "ink", "weight": 0.8, "enabled": True}],
            generation_params={
                "width": 768,
                "height": 512,
                "num_inference_steps": 30,
                "guidance_scale": 6.5,
                "scheduler": "dpmpp_2m_karras",
                "seed": 2**63 - 1,
                "model_name": "xl",
            },
            is_favorite=True,
        )
    )


def test_a_persona_of_ours_for_sdnext() -> None:
    [written] = write([full()], "sdnext")
    assert written.name == "Élodie.json"
    style = json.loads(written.data)
    assert style.pop("preview").startswith("data:image/jpeg;base64,/9j/")
    assert style == {
        "name": "Élodie",
        "description": "Of the sea",
        "prompt": "{prompt}, sea <lora:ink:0.8>",
        "negative": "text",
        "extra": "Steps: 30, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 6.5,"
        " Seed: 9223372036854775807, Size: 768x512, Model: xl",
    }
    assert again([written])[0].fields["generation_params"] == {
        **full().fields["generation_params"],
        "seed": str(2**63 - 1),
    }


def test_a_persona_of_ours_for_a_list_and_for_invokeai() -> None:
    wanted = [
        {"name": "Élodie", "prompt": "{prompt}, sea <lora:ink:0.8>", "negative_prompt": "text"}
    ]
    for format in ("fooocus", "invokeai"):
        [written] = write([full()], format)
        assert json.loads(written.data) == wanted
        assert not written.data.startswith(b"\xef")


def test_a_persona_of_ours_for_a_preset_of_fooocus() -> None:
    [written] = write([full()], "fooocus-preset")
    assert json.loads(written.data) == {
        "default_prompt": "sea",
        "default_prompt_negative": "text",
        "default_loras": [[True, "ink.safetensors", 0.8]],
        "default_model": "xl",
        "default_cfg_scale": 6.5,
        "default_sampler": "dpmpp_2m",
        "default_scheduler": "karras",
        "default_overwrite_step": 30,
        "default_aspect_ratio": "768*512",
    }
    [written] = write(
        [changed(full(), loras=[{"name": f"l{n}"} for n in range(7)])], "fooocus-preset"
    )
    assert len(json.loads(written.data)["default_loras"]) == 5


def test_a_persona_of_ours_for_swarmui() -> None:
    [written] = write([full()], "swarmui")
    [(name, preset)] = json.loads(written.data).items()
    assert name == preset["title"] == "Élodie"
    assert preset["is_starred"] is True
    assert preset["preview_image"].startswith("data:image/jpeg;base64,/9j/")
    assert preset["param_map"] == {
        "prompt": "{value}, sea",
        "negativeprompt": "text",
        "loras": "ink",
        "loraweights": "0.8",
        "sampler": "dpmpp_2m",
        "scheduler": "karras",
        "model": "xl",
        "steps": "30",
        "cfgscale": "6.5",
        "seed": "9223372036854775807",
        "width": "768",
        "height": "512",
        "aspectratio": "Custom",
    }


def test_a_persona_of_ours_as_a_text() -> None:
    [written] = write([full()], "infotext")
    assert written.data.decode() == (
        "sea <lora:ink:0.8>\nNegative prompt: text\nSteps: 30, Sampler: DPM++ 2M, Schedule type:"
        " Karras, CFG scale: 6.5, Seed: 9223372036854775807, Size: 768x512, Model: xl, App: SEIDRA"
    )
    # What came as a text goes as it came, while it was not edited.
    found = one(TEXT)
    [written] = write([stored(found, read(TEXT))], "infotext")
    assert written.data == TEXT.encode()
    edited = changed(stored(found, read(TEXT)), negative_prompt="other")
    [written] = write([edited], "infotext")
    assert b"Negative prompt: other\n" in written.data
    assert b"Model hash: abc" in written.data


def test_names_of_files() -> None:
    names = ["a/b", "A?B", "con", "..", "a b", "x" * 300, "海" * 300]
    written = write([changed(full(), name=name) for name in names], "infotext")
    assert [file.name for file in written][:5] == [
        "a b.txt",
        "A B (2).txt",
        "con_.txt",
        "persona.txt",
        "a b (3).txt",
    ]
    assert all(len(file.name.encode()) <= 255 for file in written)


def test_names_that_come_again() -> None:
    [written] = write([full(), full()], "swarmui")
    assert list(json.loads(written.data)) == ["Élodie", "Élodie (2)"]


@pytest.mark.parametrize("format", TEXT_FORMATS)
def test_nothing_to_write(format: str) -> None:
    for file in write([], format):
        assert not again([file], format)


# ------------------------------------------------------------------------------------- properties

LINES = TEXTS.map(lambda text: f"{text}n")
STYLE_ENTRIES = st.lists(
    st.builds(
        lambda name, prompt, negative, more: {
            "name": name,
            "prompt": prompt,
            "negative_prompt": negative,
            **({"more": more} if more else {}),
        },
        LINES,
        PROMPTS,
        TEXTS,
        TEXTS,
    ),
    min_size=1,
    max_size=3,
)
SDNEXT_ENTRIES = st.builds(
    lambda name, prompt, negative, extra: {
        "name": name,
        "prompt": prompt,
        "negative": negative,
        "extra": extra,
    },
    LINES,
    PROMPTS,
    TEXTS,
    st.sampled_from(["", "Steps: 5", SDNEXT["extra"], "Sampler: x, Schedule type: y", ", :"]),
)
PRESETS = st.builds(
    lambda prompt, negative, loras: {
        "default_prompt": prompt,
        "default_prompt_negative": negative,
        "default_loras": [[True, name, 0.5] for name in loras],
    },
    TEXTS,
    TEXTS,
    st.lists(LINES, max_size=3),
)
SWARMS = st.dictionaries(
    LINES,
    st.builds(
        lambda prompt, negative, description, steps: {
            "title": "x",
            "description": description,
            "param_map": {"prompt": prompt, "negativeprompt": negative, "steps": str(steps)},
        },
        PROMPTS,
        TEXTS,
        TEXTS,
        st.integers(1, 150),
    ),
    min_size=1,
    max_size=3,
)
INFOTEXTS = st.builds(
    lambda prompt, negative: (
        f"{prompt}\nNegative prompt: {negative}\nSteps: 5, Seed: 1, Size: 64x64"
    ),
    PROMPTS,
    PROMPTS,
)


def fields_of(entries: Any) -> list[dict[str, Any]]:
    return [dict(found.fields) for found in entries]


@given(
    st.one_of(
        STYLE_ENTRIES.map(lambda value: ("fooocus", value)),
        STYLE_ENTRIES.map(
            lambda value: (
                "invokeai",
                [
                    {"name": v["name"], "positive_prompt": v["prompt"], "negative_prompt": "n"}
                    for v in value
                ],
            )
        ),
        SDNEXT_ENTRIES.map(lambda value: ("sdnext", value)),
        PRESETS.map(lambda value: ("fooocus-preset", value)),
        SWARMS.map(lambda value: ("swarmui", value)),
        INFOTEXTS.map(lambda value: ("infotext", value)),
    ),
)
@settings(deadline=None, max_examples=200)
def test_reading_what_was_written_gives_what_was_read(case: tuple[str, Any]) -> None:
    format, data = case
    file = read(data, "n.json", format)
    written = write(all_stored(file), format)
    once = again(written, format)
    wanted = fields_of(file.entries)
    if format == "fooocus-preset":
        # Its name is that of the file, which may have to be another.
        wanted = [entry | {"name": once[0].fields["name"]} for entry in wanted]
    assert fields_of(once) == wanted
    for found in file.entries:
        assert found.original is not None
        assert any(found.original in one.data for one in written)


@given(st.sampled_from(TEXT_FORMATS), LINES, PROMPTS, TEXTS)
@settings(deadline=None, max_examples=200)
def test_the_prompts_of_ours_can_be_read_again(
    format: str, name: str, prompt: str, negative: str
) -> None:
    """A persona from elsewhere, without what a target does otherwise on purpose."""
    if format in ("infotext", "fooocus-preset"):
        # They fill in the place for what is asked for, and LoRAs stand behind.
        for taken in ("{prompt}", "<lora:ink:0.8>"):
            prompt, negative = prompt.replace(taken, ""), negative.replace(taken, "")
    if format == "swarmui":
        prompt, negative = prompt.replace("{value}", ""), negative.replace("{value}", "")
    if format == "a1111":
        name = name.lstrip("#")
    edits = {"name": name, "style_prompt": prompt, "negative_prompt": negative, "loras": []}
    persona = replace(changed(full(), **edits), picture=None)
    [found] = again(write([persona], format), format)
    assert found.fields["style_prompt"] == prompt
    assert found.fields["negative_prompt"] == negative


@pytest.mark.parametrize("format", TEXT_FORMATS)
def test_the_longest_texts(format: str) -> None:
    persona = changed(full(), style_prompt="=1+1", negative_prompt=LONG.strip(), loras=[])
    [found] = again(write([persona], format), format)
    assert found.fields["style_prompt"] == "=1+1"
    assert found.fields["negative_prompt"] == LONG.strip()


# ---------------------------------------------------------------------------------------- hostile


@pytest.mark.parametrize(
    "text",
    [
        "[" * 10_000,
        "[" * 10_000 + "]" * 10_000,
        '{"a":' * 10_000 + "1" + "}" * 10_000,
        '[{"name": "A", "prompt": "a", "more": ' + "[" * 31 + "]" * 31 + "}]",
        "[" * 2_000_000,
        "A:\n  prompt: a\n  more: " + "[" * 40 + "]" * 40,
    ],
    ids=["open", "lists", "objects", "33 levels", "many", "yaml"],
)
def test_what_is_nested_too_deep(text: str) -> None:
    before = time.process_time()
    with pytest.raises(Invalid) as refused:
        read(text)
    assert "nested" in str(refused.value.errors) or "lists and objects" in str(refused.value.errors)
    assert time.process_time() - before < 5


def test_32_levels_are_read() -> None:
    more: Any = []
    for _ in range(29):
        more = [more]
    assert read([STYLES[0] | {"more": more}]).entries[0].error is None


def test_numbers_that_are_none() -> None:
    text = '[{"name": "A", "prompt": "a", "x": NaN, "y": -Infinity, "z": 1e999, "n": %s}]'
    found = one(text % ("9" * 5000))
    assert found.extensions["fooocus"]["x"] == "NaN"
    assert found.extensions["fooocus"]["y"] == "-Infinity"
    assert found.extensions["fooocus"]["z"] == "1e999"
    assert found.extensions["fooocus"]["n"] == "9" * 5000
    assert "number_kept_as_text" in codes(found)


@pytest.mark.parametrize(("format", "data"), [f for f in FILES if not isinstance(f[1], str)])
def test_half_files(format: str, data: Any) -> None:
    text = incoming(data).data
    for end in (1, len(text) // 3, len(text) // 2, len(text) - 1):
        with pytest.raises(Invalid) as refused:
            read_file(incoming(text[:end]))
        assert list(refused.value.errors or {}) == ["file"]


def test_too_many_entries() -> None:
    entry = '{"name": "A%d", "prompt": "a", "negative_prompt": ""}'
    with pytest.raises(Invalid) as refused:
        read("[" + ",".join(entry % number for number in range(20_001)) + "]")
    assert "20,000" in str(refused.value.errors)
    members = ",".join(f'"n{number}": {{"param_map": {{}}}}' for number in range(20_001))
    with pytest.raises(Invalid):
        read("{" + members + "}")
    with pytest.raises(Invalid):
        read("".join(f"n{number}:\n  prompt: a\n" for number in range(20_001)))


def test_a_yaml_that_makes_much_of_little() -> None:
    laughs = "a: &a\n  prompt: x\nb: &b [*a, *a]\nc: [*b, *b]\n"
    with pytest.raises(Invalid) as refused:
        read(laughs)
    assert "references" in str(refused.value.errors)
    with pytest.raises(Invalid):
        read("A:\n  prompt: !!python/object:os.system [x\n")


def test_texts_that_cannot_be_stored() -> None:
    for text in ('"a\\u0000b"', '"\\ud800"'):
        for entry in (f'"prompt": {text}', f'"prompt": "a", "more": [{{"x": {text}}}]'):
            found = one(f'[{{"name": "A", {entry}}}]')
            assert found.error
            assert found.error.code == "text_unstorable"
            assert not found.extensions


@pytest.mark.parametrize(
    "value",
    [
        {"name": ["x"], "prompt": {"a": 1}, "negative": 7, "extra": [], "preview": {}},
        [{"name": None, "prompt": None, "negative_prompt": []}],
        [{"name": "A", "prompt": "a", "self": 1, "": 2, "format": 3}],
        {"x": {"param_map": {"prompt": 1, "loras": [], "steps": {}, "seed": "x" * 99}}},
        {"default_model": 1, "default_prompt": [], "default_loras": [[], [1], [1, 2], "x"]},
        {"default_styles": {}, "default_loras": {}, "default_aspect_ratio": 7},
        {"modelId": "x", "trainedWords": [1, None], "files": {}, "model": 7, "description": []},
        {"activation text": 7, "preferred weight": "x", "negative text": {}},
        [{"name": "A", "preset_data": {"positive_prompt": 1, "negative_prompt": "n"}}],
    ],
)
def test_values_of_other_types(value: Any) -> None:
    file = read(value)
    for found in file.entries:
        assert isinstance(found.fields["name"], str)
        assert isinstance(found.fields["style_prompt"], str)


@given(st.binary(max_size=200) | TEXTS.map(str.encode))
@settings(deadline=None, max_examples=200)
def test_any_file_is_read_or_refused(data: bytes) -> None:
    for format in ("auto", *TEXT_FORMATS, "sidecar"):
        try:
            read_file(incoming(data), format)
        except Invalid as refused:
            assert refused.errors  # noqa: PT017 (it may be readable)


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["name", "prompt", "negative", "negative_prompt", "param_map", "extra", "loras"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(_JSON)
@settings(deadline=None, max_examples=200)
def test_any_json_is_read_or_refused(value: Any) -> None:
    for format in ("auto", *TEXT_FORMATS, "sidecar"):
        try:
            file = read(json.dumps(value), "x", format)
        except Invalid:
            continue
        formats.lost(
            "fooocus", [stored(found, file) for found in file.entries if found.error is None]
        )
