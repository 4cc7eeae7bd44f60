"""The text that pictures carry: what is written, and that no value says more than itself."""

from __future__ import annotations

import io
import json
import re
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from seidra.engines import infotext
from seidra.engines.base import Lora, RenderedImage, RenderRequest
from seidra.engines.infotext import Infotext

FULL = Infotext(
    prompt="a cat, (film grain:1.2)",
    negative_prompt="text, watermark",
    steps=25,
    sampler="DPM++ 2M",
    schedule="Karras",
    guidance_scale=7.0,
    seed=2**63 - 1,
    size=(768, 512),
    model="sd_xl_base_1.0",
    loras=(Lora("film-grain-xl", 0.8), Lora("ink", 1.0, 0.5)),
    more={"Denoising strength": "0.5"},
)


def test_a_full_text() -> None:
    text = infotext.write(FULL)
    assert text == (
        "a cat, (film grain:1.2) <lora:film-grain-xl:0.8><lora:ink:0.5:1>\n"
        "Negative prompt: text, watermark\n"
        "Steps: 25, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7,"
        " Seed: 9223372036854775807, Size: 768x512, Model: sd_xl_base_1.0,"
        " Denoising strength: 0.5, App: SEIDRA"
    )
    assert infotext.read(text) == FULL


def a1111_reads(text: str) -> tuple[str, str, dict[str, str]]:
    """A reader after A1111's: the prompts and the pairs. It knows nothing of ours."""
    pattern = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
    *lines, last = text.strip().split("\n")
    if len(pattern.findall(last)) < 3:
        lines.append(last)
        last = ""
    found, negative = {False: "", True: ""}, False
    for line in (line.strip() for line in lines):
        if line.startswith("Negative prompt:"):
            negative, line = True, line[16:].strip()
        found[negative] += ("" if found[negative] == "" else "\n") + line
    pairs = {}
    for key, value in pattern.findall(last):
        quoted = value[:1] == value[-1:] == '"' and len(value) > 1
        pairs[key] = json.loads(value) if quoted else value
    return found[False], found[True], pairs


@pytest.mark.parametrize(
    "name",
    [
        "m, Seed: 999",
        'm", Seed: 999, x: "',
        "m\nSteps: 1, Seed: 999, Size: 1x1",
        'm\\", Seed: 999',
        '"m", Seed: 999',
        "m\\",
        '"',
        '""',
        " m ",
        "m\u2028Seed: 999",
        "a:b",
    ],
)
def test_a_value_says_nothing_but_itself(name: str) -> None:
    info = replace(FULL, model=name, sampler=name, schedule=name, more={"Note": name})
    text = infotext.write(info)
    *_, pairs = a1111_reads(text)
    assert pairs["Seed"] == str(FULL.seed)
    assert pairs["Model"] == pairs["Sampler"] == pairs["Note"] == name
    assert infotext.read(text) == info
    assert len(text.splitlines()) == 3


def test_quotes_where_a1111_writes_them() -> None:
    info = Infotext("a", model="a:b", sampler="a,b", schedule="a b", more={"Note": "a\nb"})
    assert infotext.write(info) == (
        'a\nSampler: "a,b", Schedule type: a b, Seed: -1, Model: "a:b", Note: "a\\nb", App: SEIDRA'
    )


@pytest.mark.parametrize(
    "key", ["a, Seed", "Seed", "Model", "App", "Raw prompt", "x", "a:b", "a\nb"]
)
def test_a_key_says_nothing_but_itself(key: str) -> None:
    info = replace(FULL, more={key: "999"})
    assert infotext.write(info) == infotext.write(replace(FULL, more={}))


@pytest.mark.parametrize(
    ("prompt", "negative"),
    [
        ("a\nb", "c\nd"),
        ("", "c"),
        ("", ""),
        ("a\nSteps: 1, Seed: 2, Size: 3x3", "Steps: 1, Seed: 2, Size: 3x3"),
    ],
)
def test_prompts_that_others_read_too(prompt: str, negative: str) -> None:
    info = replace(FULL, prompt=prompt, negative_prompt=negative, loras=())
    text = infotext.write(info)
    assert a1111_reads(text)[:2] == (prompt, negative)
    assert "Raw" not in text
    assert infotext.read(text) == info


@pytest.mark.parametrize(
    ("prompt", "negative", "others_read"),
    [
        ("a\nNegative prompt: b", "c", ("a\n, Negative prompt: b", "c")),
        ("Negative prompt: b", "", (", Negative prompt: b", "")),
        ("a", "c\nNegative prompt: d", ("a", "c\nd")),
        ("a ", " c", ("a", "c")),
        ("a <lora:x", "", ("a <lora :x", "")),
        ("a\0b\ud800", "", ("ab", "")),
    ],
)
def test_prompts_that_others_read_nearly(
    prompt: str, negative: str, others_read: tuple[str, str]
) -> None:
    info = replace(FULL, prompt=prompt, negative_prompt=negative, loras=())
    text = infotext.write(info)
    assert a1111_reads(text)[:2] == others_read
    assert infotext.read(text) == info
    text.encode()


def test_loras_stand_there_once_and_whole() -> None:
    loras = (Lora("a", -0.5), Lora("no: tag>", 0.25, 2.0), Lora("b", 1.0, 0.0))
    info = replace(FULL, prompt="p,", loras=loras)
    text = infotext.write(info)
    prompt, _, pairs = a1111_reads(text)
    assert prompt == "p, <lora:a:-0.5><lora:b:0:1>"
    assert json.loads(pairs["More LoRAs"]) == [["no: tag>", 0.25, 2.0]]
    assert {lora.name: lora for lora in infotext.read(text).loras} == {
        lora.name: lora for lora in loras
    }


def test_what_is_not_known() -> None:
    for info in (Infotext("a"), Infotext("a", size=(1, 1)), Infotext()):
        text = infotext.write(info)
        assert "None" not in text
        assert infotext.read(text) == info
    assert "Seed: -1" in infotext.write(Infotext("a"))


def test_a_png_holds_it() -> None:
    info = replace(FULL, prompt="Élodie, 海 \N{ROBOT FACE}", model="m, \u2028x")
    chunks = PngInfo()
    chunks.add_text("parameters", infotext.write(info))
    file = io.BytesIO()
    Image.new("RGB", (1, 1)).save(file, "PNG", pnginfo=chunks)
    assert infotext.read(Image.open(file).text["parameters"]) == info  # type: ignore[attr-defined]


# Texts of others.
FOREIGN: list[tuple[str, Infotext]] = [
    ("just words", Infotext("just words")),
    ("a\nNegative prompt: b\nc", Infotext("a", "b\nc")),
    (
        "a <lora:x:0.5>\nNegative prompt: b\nSteps: 20, Sampler: Euler a, CFG scale: 7.5, Seed: 42,"
        ' Size: 512x768, Model hash: abc, Model: m, Lora hashes: "x: 12, y: 34", Version: v1.10.1',
        Infotext(
            "a",
            "b",
            20,
            "Euler a",
            "",
            7.5,
            42,
            (512, 768),
            "m",
            (Lora("x", 0.5),),
            {"Model hash": "abc", "Lora hashes": "x: 12, y: 34", "Version": "v1.10.1"},
        ),
    ),
    # stable-diffusion.cpp writes numbers so
    (
        "a\nSteps: 4, CFG scale: 5.000000, Seed: 1, Size: 64x64, Model: , Steps: 5",
        Infotext("a", "", 5, "", "", 5.0, 1, (64, 64)),
    ),
    (
        "a\nSteps: few, CFG scale: , Seed: 1, Size: big",
        Infotext("a", seed=1, more={"Steps": "few", "CFG scale": "", "Size": "big"}),
    ),
    ("", Infotext()),
    # SD.Next: templates between, an empty negative prompt, no sampler, words of its own
    (
        "a, sea\nNegative prompt: \nSteps: 20, Size: 64x64, Scheduler: EulerDiscreteScheduler,"
        " CLiP-skip: 2, App: SD.Next, Seed: 1",
        Infotext(
            "a, sea",
            "",
            20,
            seed=1,
            size=(64, 64),
            more={
                "Scheduler": "EulerDiscreteScheduler",
                "CLiP-skip": "2",
                "App": "SD.Next",
            },
        ),
    ),
    (
        "a, sea\nNegative prompt: b\nTemplate: a, __w__\nand\nNegative template: c\n"
        "Steps: 20, Seed: 1, Size: 64x64",
        Infotext(
            "a, sea",
            "b",
            20,
            seed=1,
            size=(64, 64),
            more={"Template": "a, __w__\nand", "Negative template": "c"},
        ),
    ),
    (
        "a\nTemplate: b\nSteps: 20, Seed: 1, Size: 64x64, App: SD.Next",
        Infotext("a", steps=20, seed=1, size=(64, 64), more={"Template": "b", "App": "SD.Next"}),
    ),
    # A prompt's own line, which A1111 reads as one
    (
        "a\nTemplate: b\nSteps: 20, Seed: 1, Size: 64x64",
        Infotext("a\nTemplate: b", steps=20, seed=1, size=(64, 64)),
    ),
    # SD.Next in its early days
    (
        "a\nNegative prompt: b, c:1, Steps: 20, Sampler: Euler, Seed: 1, Size: 64x64",
        Infotext("a", "b, c:1", 20, "Euler", seed=1, size=(64, 64)),
    ),
    # Dynamic Prompts in A1111
    (
        "a\nNegative prompt: b\nSteps: 20, Seed: 1, Size: 64x64\nTemplate:{x|a}\n"
        "__y__\nNegative Template:c",
        Infotext(
            "a",
            "b",
            20,
            seed=1,
            size=(64, 64),
            more={"Template": "{x|a}\n__y__", "Negative template": "c"},
        ),
    ),
    # Fooocus, in its scheme a1111: the prompt is that of the styles, resolved
    (
        "a, cinematic\nNegative prompt: b, blur\nSteps: 30, Sampler: DPM++ 2M SDE, Seed: 1,"
        ' Size: 64x64, CFG scale: 4, Raw prompt: "a <lora:z:1>, c", Raw negative prompt: b,'
        " Styles: \"['Fooocus V2', 'SAI']\", Performance: Speed,"
        ' Lora weights: "x y: 0.1, z: -0.5", Version: Fooocus v2.5.5',
        Infotext(
            "a, c",
            "b",
            30,
            "DPM++ 2M SDE",
            "",
            4.0,
            1,
            (64, 64),
            loras=(Lora("z", 1.0), Lora("x y", 0.1), Lora("z", -0.5)),
            more={
                "Styles": "['Fooocus V2', 'SAI']",
                "Performance": "Speed",
                "Version": "Fooocus v2.5.5",
            },
        ),
    ),
    # Civitai, on its site: colons and JSON without quotation marks
    (
        "a\nSteps: 25, Sampler: Undefined, Seed: 1, Size: 64x64, Created Date:"
        ' 2025-03-15T18:17:42.7Z, Civitai resources: [{"type":"lora","weight":0.8}],'
        ' Civitai metadata: {"a":{"b":"c, d: e]"}}, Clip skip: 2',
        Infotext(
            "a",
            "",
            25,
            "Undefined",
            seed=1,
            size=(64, 64),
            more={
                "Created Date": "2025-03-15T18:17:42.7Z",
                "Civitai resources": '[{"type":"lora","weight":0.8}]',
                "Civitai metadata": '{"a":{"b":"c, d: e]"}}',
                "Clip skip": "2",
            },
        ),
    ),
    # stable-diffusion.cpp: what it was asked for as JSON, and one key twice
    (
        "a\nSteps: 4, CFG scale: 5.000000, Seed: 1, Size: 64x64, TE: t5, TE: clip, Model: ,"
        ' SDCPP: {"schema":"sdcpp.image.params/v1","n":[1,2]}',
        Infotext(
            "a",
            "",
            4,
            "",
            "",
            5.0,
            1,
            (64, 64),
            more={"TE": "clip", "SDCPP": '{"schema":"sdcpp.image.params/v1","n":[1,2]}'},
        ),
    ),
    # What begins as JSON and is none is read as ever
    (
        "a\nSteps: 4, Seed: 1, Note: [x, Size: 64x64",
        Infotext("a", "", 4, seed=1, size=(64, 64), more={"Note": "[x"}),
    ),
]


@pytest.mark.parametrize(("text", "info"), FOREIGN)
def test_texts_of_others(text: str, info: Infotext) -> None:
    assert infotext.read(text) == info


@pytest.mark.parametrize(
    "text",
    [
        "a" * 200_000,
        "aa: " * 50_000,
        'aa: "' * 40_000,
        'aa: "\\' * 40_000,
        "\n" * 200_000,
        "aa: [1, " * 30_000,
        "aa: " + "[" * 200_000,
        "Template: a\n" * 20_000,
        "Template: a, b: c, dd: e, ff: g\n" * 8_000,
        "Negative prompt: a" + "," * 200_000 + " Steps: 1, x",
        "a\nxx: 1, yy: 2, zz: 3, Lora weights: " + json.dumps("a" * 100_000 + ": ,"),
    ],
    ids=[
        *("word", "keys", "quotes", "escapes", "lines", "lists", "nested", "templates"),
        *("templates with pairs", "commas", "weights"),
    ],
)
def test_long_texts_take_little_time(text: str) -> None:
    before = time.process_time()
    infotext.read(text)
    assert time.process_time() - before < 2


# -------------------------------------------------------------------------------- of a real picture

REQUEST = RenderRequest(
    "a",
    7,
    768,
    512,
    "text",
    steps=30,
    scheduler="dpmpp_2m_karras",
    model_name="sdxl-base",
    loras=[Lora("x", 0.5)],
)
IMAGE = RenderedImage(b"", "image/png", 760, 512, seed=9)


def test_what_was_used_goes_before_what_was_asked_for() -> None:
    asked = infotext.of_picture(REQUEST, IMAGE)
    assert asked == Infotext(
        "a", "text", 30, "DPM++ 2M", "Karras", 7.5, 9, (760, 512), "sdxl-base", (Lora("x", 0.5),)
    )
    used = {"model": "sd_xl.safetensors", "sampler": "euler_ancestral", "schedule": "normal"}
    made = infotext.of_picture(REQUEST, replace(IMAGE, used={**used, "steps": 15}))
    assert made == replace(
        asked, model="sd_xl.safetensors", sampler="Euler a", schedule="Automatic", steps=15
    )


@pytest.mark.parametrize(
    ("used", "pair"),
    [
        ({"sampler": "res_multistep", "schedule": "beta57"}, ("res_multistep", "beta57")),
        ({"sampler": "ddim", "schedule": "normal"}, ("ddim", "normal")),
        ({"sampler": "DPM++ 2M", "schedule": "Automatic"}, ("DPM++ 2M", "Karras")),
        ({}, ("DPM++ 2M", "Karras")),
    ],
)
def test_samplers_by_the_names_that_a1111_has(used: dict[str, Any], pair: tuple[str, str]) -> None:
    info = infotext.of_picture(REQUEST, replace(IMAGE, used=used))
    assert (info.sampler, info.schedule) == pair


def test_a_sampler_of_the_engines_own() -> None:
    request = replace(REQUEST, parameters={"sampler": "res_2s", "schedule": "bong"})
    info = infotext.of_picture(request, IMAGE)
    assert (info.sampler, info.schedule) == ("res_2s", "bong")


def test_nothing_is_told_that_was_dropped() -> None:
    dropped = ("negative_prompt", "loras", "seed", "steps", "guidance_scale", "scheduler")
    image = replace(IMAGE, seed=None, dropped=dropped)
    assert infotext.of_picture(REQUEST, image) == Infotext("a", size=(760, 512), model="sdxl-base")


# -------------------------------------------------------------------------------------- properties

_TRICKY = st.lists(
    st.sampled_from(
        [
            *("a", " ", ",", ":", "\n", '"', "\\", "\r", "\u2028", "\0", "\ud800"),
            *("Negative prompt:", "Seed: 9", "Steps: 1, Size: 1x1", "App: SEIDRA"),
            *("Template:", "Negative template:", "App: SD.Next", "[1, ", "{}"),
            *("<lora:", ">", "<lora:z:1>"),
        ]
    ),
    max_size=8,
).map("".join)
_TEXT = st.one_of(st.text(max_size=20), _TRICKY)
_LORAS = st.lists(
    st.builds(Lora, _TEXT, st.floats(-10, 10).filter(bool), st.none() | st.floats(-10, 10)),
    max_size=3,
    unique_by=lambda lora: lora.name,
)
_INFO = st.builds(
    Infotext,
    _TEXT,
    _TEXT,
    st.none() | st.integers(1, 150),
    _TEXT,
    _TEXT,
    st.none() | st.floats(0, 30),
    st.none() | st.integers(0, 2**64 - 1),
    st.none() | st.tuples(st.integers(64, 4096), st.integers(64, 4096)),
    _TEXT,
    _LORAS.map(tuple),
    st.dictionaries(
        st.sampled_from(["Engine", "Clip skip", "VAE/x-y", "é_1", "Template", "Negative template"]),
        _TEXT,
        max_size=2,
    ),
)


def _same(info: Infotext) -> Infotext:
    """Without what cannot differ: the order of LoRAs, and a text encoder's weight like the
    model's."""
    loras = [
        replace(lora, clip_weight=None if lora.clip_weight == lora.weight else lora.clip_weight)
        for lora in info.loras
    ]
    return replace(info, loras=tuple(sorted(loras, key=lambda lora: lora.name)), more={**info.more})


@given(_INFO)
# Lines that SD.Next, and Dynamic Prompts, would mean their templates by.
@example(Infotext(negative_prompt="\nTemplate:0"))
@example(Infotext("a\nTemplate: b", "c\nNegative Template: d\nNegative template: e"))
@example(Infotext("aa: b, cc: d, ee: f\nTemplate: x", "c"))
@example(Infotext("a", "c\naa: b, cc: d, ee: f\nTemplate: x"))
@example(Infotext("Template: b", "Template: c", more={"Template": "d\ne"}))
@example(Infotext("a, App: SD.Next\nTemplate: b", "c\nTemplate: App: SEIDRA"))
def test_reading_gives_what_was_written(info: Infotext) -> None:
    text = infotext.write(info)
    text.encode()
    assert _same(infotext.read(text)) == _same(info)
    assert infotext.write(infotext.read(text)) == infotext.write(
        replace(info, loras=infotext.read(text).loras, more=infotext.read(text).more)
    )


@pytest.mark.slow
@given(_INFO.filter(lambda info: info.seed is not None and info.size is not None))
def test_other_readers_find_the_seed(info: Infotext) -> None:
    *_, pairs = a1111_reads(infotext.write(info))
    assert pairs["Seed"] == str(info.seed)
    assert pairs["App"] == "SEIDRA"


def test_the_tags_of_a_prompt_can_be_had_too() -> None:
    reading = infotext.read_whole("a <lora:x:0.5>, b\nSteps: 1, Seed: 2, Size: 3x3")
    assert reading.prompt == "a <lora:x:0.5>, b"
    assert reading.info.prompt == "a, b"
    assert reading.has_parameters
    assert not infotext.read_whole("a\nb: c, dd: e").has_parameters
    # Of ours the whole prompt stands beside, without the tags.
    ours = infotext.read_whole(infotext.write(replace(FULL, prompt="a ")))
    assert ours.prompt == ours.info.prompt == "a "
    assert [lora.name for lora in ours.info.loras] == ["film-grain-xl", "ink"]


def test_a_line_of_parameters_alone() -> None:
    assert infotext.read_parameters("Steps: 20") == Infotext(steps=20)
    assert infotext.read_parameters("") == Infotext()
    info = replace(FULL, prompt="", negative_prompt="", loras=())
    line = infotext.write_parameters(info)
    assert infotext.read_parameters(line) == info
    assert infotext.write_parameters(Infotext()) == ""


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    infotext.read(text)
