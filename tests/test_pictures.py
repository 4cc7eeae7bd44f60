"""What pictures say of how they were made, in each place where a program writes it. All fixtures
are made here."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tracemalloc
import zlib
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from seidra.errors import Invalid
from seidra.exchange import pictures
from seidra.exchange.found import FoundPersona, IncomingFile

A1111 = (
    "a lighthouse, <lora:ink:0.8>, dusk\nNegative prompt: text, blurry\n"
    "Steps: 30, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 6.5, Seed: 42,"
    " Size: 832x1216, Model: seaXL, Clip skip: 2"
)
WANTED = {
    "style_prompt": "a lighthouse, <lora:ink:0.8>, dusk",
    "negative_prompt": "text, blurry",
    "generation_params": {
        "width": 832,
        "height": 1216,
        "num_inference_steps": 30,
        "guidance_scale": 6.5,
        "seed": 42,
        "scheduler": "dpmpp_2m_karras",
        "model_name": "seaXL",
    },
}


def image(mode: str = "RGB", side: int = 24) -> Image.Image:
    made = Image.linear_gradient("L").resize((side, side)).convert(mode)
    if mode == "RGBA":
        made.putalpha(255)
    return made


def png(texts: dict[str, str] | None = None, mode: str = "RGB", **more: Any) -> bytes:
    """A PNG with text chunks: iTXt where Latin-1 does not hold one."""
    info = PngInfo()
    for key, text in (texts or {}).items():
        if text.isascii():
            info.add_text(key, text)
        else:
            info.add_itxt(key, text)
    file = io.BytesIO()
    image(mode).save(file, "PNG", pnginfo=info, **more)
    return file.getvalue()


def raw_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", len(body), kind) + body + struct.pack(">I", zlib.crc32(kind + body))


def png_with(*chunks: tuple[bytes, bytes], after: bool = False) -> bytes:
    """A PNG with raw chunks, before or after the picture."""
    whole = png()
    at = len(whole) - 12 if after else 33
    return whole[:at] + b"".join(raw_chunk(*chunk) for chunk in chunks) + whole[at:]


def tiff(entries: dict[int, bytes], *, order: str = "<", nested: bool = True) -> bytes:
    """EXIF with these tags, in the Exif directory or in the first one."""

    def directory(at: int, values: dict[int, tuple[int, bytes]]) -> bytes:
        head = struct.pack(f"{order}H", len(values))
        end = at + 2 + 12 * len(values) + 4
        tail = b""
        for tag, (kind, value) in sorted(values.items()):
            place = struct.pack(f"{order}I", end + len(tail)) if len(value) > 4 else value.ljust(4)
            head += struct.pack(f"{order}HHI", tag, kind, len(value)) + place
            tail += value if len(value) > 4 else b""
        return head + b"\0\0\0\0" + tail

    magic = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    values = {tag: (7 if tag > 0x9000 else 2, value) for tag, value in entries.items()}
    if not nested:
        return magic + directory(8, values)
    inner = 8 + 2 + 12 + 4
    first = struct.pack(f"{order}HHHII", 1, 0x8769, 4, 1, inner) + b"\0\0\0\0"
    return magic + first + directory(inner, values)


def with_exif(kind: str, exif: bytes) -> bytes:
    file = io.BytesIO()
    image().save(file, kind, exif=exif if kind == "WEBP" else b"Exif\0\0" + exif)
    return file.getvalue()


def comment(text: str, codec: str = "utf-16-be") -> bytes:
    return b"UNICODE\0" + text.encode(codec)


def found(data: bytes, name: str = "sea.png") -> FoundPersona:
    (entry,) = pictures.read(IncomingFile(name, data)).entries
    return entry


def tool(data: bytes) -> str:
    return pictures.read(IncomingFile("x", data)).tool


def codes(entry: FoundPersona) -> list[str]:
    return [remark.code for remark in entry.remarks]


def check(entry: FoundPersona) -> None:
    assert entry.error is None, entry.error
    assert {key: entry.fields.get(key) for key in WANTED} == WANTED


# ------------------------------------------------------------------------------------------- A1111


@pytest.mark.parametrize(
    "data",
    [
        png({"parameters": A1111}),
        png_with((b"zTXt", b"parameters\0\0" + zlib.compress(A1111.encode()))),
        png_with((b"iTXt", b"parameters\0\1\0en\0\0" + zlib.compress(A1111.encode()))),
        png_with((b"tEXt", b"parameters\0" + A1111.encode()), after=True),
        # Of two with one keyword the first counts.
        png_with((b"tEXt", b"parameters\0" + A1111.encode()), (b"tEXt", b"parameters\0other")),
        with_exif("JPEG", tiff({0x9286: comment(A1111)})),
        with_exif("JPEG", tiff({0x9286: comment(A1111, "utf-16-le")}, order=">")),
        with_exif("JPEG", tiff({0x9286: b"ASCII\0\0\0" + A1111.encode()})),
        with_exif("WEBP", tiff({0x9286: comment(A1111)}, order=">")),
        with_exif("WEBP", tiff({0x9286: b"UNICODE\0" + A1111.encode()})),
    ],
)
def test_a1111_in_each_container(data: bytes) -> None:
    entry = found(data)
    check(entry)
    assert entry.fields["name"] == "a lighthouse, dusk"
    assert entry.picture == data
    assert entry.original == A1111.encode()
    assert entry.extensions["picture"]["more"] == {"Clip skip": "2"}
    # The tag says the LoRA already.
    assert "loras" not in entry.fields
    assert tool(data) == "A1111"


def test_utf_8_is_read_where_latin_1_is_meant_to_be() -> None:
    text = "Élodie, 海 🌊\nSteps: 1, Sampler: Euler, CFG scale: 7, Seed: 1"
    raw = png_with((b"tEXt", b"parameters\0" + text.encode()))
    assert found(raw).fields["style_prompt"] == "Élodie, 海 🌊"
    latin = png_with((b"tEXt", b"parameters\0" + "Élodie".encode("latin-1")))
    assert found(latin).fields["style_prompt"] == "Élodie"
    assert found(png({"parameters": text})).fields["style_prompt"] == "Élodie, 海 🌊"
    for codec in ("utf-16-be", "utf-16-le"):
        exif = tiff({0x9286: comment(text, codec)})
        assert found(with_exif("JPEG", exif)).fields["style_prompt"] == "Élodie, 海 🌊"


def stealth(kind: str, text: str, mode: str = "RGBA", side: int = 96) -> bytes:
    body = gzip.compress(text.encode()) if kind.endswith("comp") else text.encode()
    bits = "".join(
        f"{byte:08b}"
        for byte in f"stealth_{kind}".encode() + struct.pack(">I", len(body) * 8) + body
    )
    picture = image(mode, side)
    pixels = picture.load()
    assert pixels is not None
    step = 1 if kind.startswith("png") else 3
    for n in range(0, len(bits), step):
        x, y = divmod(n // step, picture.height)
        old: Any = pixels[x, y]
        if step == 1:
            pixels[x, y] = (*old[:3], old[3] & ~1 | int(bits[n]))
        else:
            part = bits[n : n + 3].ljust(3, "0")
            new = tuple(old[i] & ~1 | int(part[i]) for i in range(3))
            pixels[x, y] = (*new, *old[3:])
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("kind", ["pnginfo", "pngcomp", "rgbinfo", "rgbcomp"])
def test_what_is_hidden_in_the_pixels(kind: str) -> None:
    check(found(stealth(kind, A1111)))
    if kind.startswith("rgb"):
        check(found(stealth(kind, A1111, "RGB")))


def test_what_is_hidden_is_bounded() -> None:
    bomb = stealth("pngcomp", "x" * 3_000_000, side=192)
    entry = found(bomb)
    assert entry.error is not None
    assert entry.error.code == "no_generation_data"
    # A length beyond what there is.
    data = stealth("pnginfo", "x")
    assert found(data).fields["name"] == "x"


# ------------------------------------------------------------------------------------------- others


def test_swarmui() -> None:
    values = {
        "sui_image_params": {
            "prompt": "a lighthouse, <lora:ink:0.8>, dusk", "negativeprompt": "text, blurry",
            "model": "seaXL", "seed": 42, "steps": 30, "cfgscale": 6.5, "width": 832,
            "height": 1216, "sampler": "dpmpp_2m", "scheduler": "karras",
            "loras": ["grain", "haze"], "loraweights": ["0.5"], "aspectratio": "2:3",
        },
        "sui_extra_data": {"date": "2026-01-31"},
    }  # fmt: skip
    text = json.dumps(values)
    for data in (
        png({"parameters": text}),
        with_exif("JPEG", tiff({0x9286: comment(text, "utf-16-le")})),
        with_exif("JPEG", tiff({0x9286: comment(text)})),
        with_exif("WEBP", tiff({0x0110: text.encode() + b"\0"}, nested=False)),
    ):
        entry = found(data)
        check(entry)
        assert tool(data) == "SwarmUI"
        assert [(each["name"], each["weight"]) for each in entry.fields["loras"]] == [
            ("grain", 0.5),
            ("haze", 1.0),
        ]
        assert entry.extensions["picture"]["more"]["sui_extra_data"] == {"date": "2026-01-31"}


def graph(**more: Any) -> dict[str, Any]:
    return {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "seaXL.safetensors"}},
        "2": {
            "class_type": "LoraLoader",
            "inputs": {
                "model": ["1", 0], "clip": ["1", 1], "lora_name": "ink.safetensors",
                "strength_model": 0.8, "strength_clip": 0.5,
            },
        },
        "9": {
            "class_type": "LoraLoaderModelOnly",
            "inputs": {
                "model": ["2", 0], "lora_name": "sub\\grain.safetensors", "strength_model": 1,
            },
        },
        "3": {"class_type": "CLIPTextEncode", "inputs": {"text": ["10", 0], "clip": ["2", 1]}},
        "10": {"class_type": "PrimitiveString", "inputs": {"value": "a lighthouse"}},
        "4": {"class_type": "CLIPTextEncode", "inputs": {"text": "text", "clip": ["2", 1]}},
        "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 832, "height": 1216}},
        "6": {
            "class_type": "KSampler",
            "inputs": {
                "model": ["9", 0], "positive": ["3", 0], "negative": ["4", 0],
                "latent_image": ["5", 0], "seed": 2**64 - 1, "steps": 30, "cfg": 6.5,
                "sampler_name": "dpmpp_2m", "scheduler": "karras", "denoise": 1.0,
            },
        },
        **more,
    }  # fmt: skip


def test_comfyui() -> None:
    raw = json.dumps(graph())
    for data in (
        png({"prompt": raw, "workflow": "{}"}),
        with_exif("WEBP", tiff({0x0110: f"prompt:{raw}".encode()}, nested=False)),
    ):
        entry = found(data)
        assert entry.error is None
        assert tool(data) == "ComfyUI"
        assert entry.fields["style_prompt"] == "a lighthouse"
        assert entry.fields["negative_prompt"] == "text"
        assert entry.fields["loras"] == [
            {"name": "ink", "weight": 0.8, "clip_weight": 0.5},
            {"name": "sub/grain", "weight": 1.0},
        ]
        params = entry.fields["generation_params"]
        assert (params["width"], params["height"]) == (832, 1216)
        assert params["scheduler"] == "dpmpp_2m_karras"
        assert params["model_name"] == "seaXL"
        # ComfyUI's seeds have one bit more.
        assert "seed" not in params
        assert "seed_large" in codes(entry)


def test_comfyui_with_a_node_for_each_thing() -> None:
    flux = {
        "s": {
            "class_type": "SamplerCustomAdvanced",
            "inputs": {
                "noise": ["n", 0], "guider": ["g", 0], "sampler": ["k", 0], "sigmas": ["b", 0],
                "latent_image": ["e", 0],
            },
        },
        "n": {"class_type": "RandomNoise", "inputs": {"noise_seed": 7}},
        "g": {"class_type": "BasicGuider", "inputs": {"model": ["u", 0], "conditioning": ["f", 0]}},
        "f": {"class_type": "FluxGuidance", "inputs": {"guidance": 3.5, "conditioning": ["t", 0]}},
        "t": {"class_type": "CLIPTextEncode", "inputs": {"text": "a boat", "clip": ["c", 0]}},
        "k": {"class_type": "KSamplerSelect", "inputs": {"sampler_name": "euler"}},
        "b": {"class_type": "BasicScheduler", "inputs": {"scheduler": "simple", "steps": 20}},
        "e": {"class_type": "EmptySD3LatentImage", "inputs": {"width": 1024, "height": 768}},
        "u": {"class_type": "UNETLoader", "inputs": {"unet_name": "flux1-dev.safetensors"}},
        "c": {"class_type": "DualCLIPLoader", "inputs": {}},
    }  # fmt: skip
    entry = found(png({"prompt": json.dumps(flux)}))
    assert entry.fields["style_prompt"] == "a boat"
    assert entry.fields["generation_params"] == {
        "width": 1024, "height": 768, "num_inference_steps": 20, "guidance_scale": 3.5, "seed": 7,
        "scheduler": "euler_simple", "model_name": "flux1-dev",
    }  # fmt: skip


def test_comfyui_takes_the_sampler_that_begins_with_nothing() -> None:
    second = {
        "class_type": "KSampler",
        "inputs": {"positive": ["4", 0], "latent_image": ["6", 0], "steps": 5, "model": ["1", 0]},
    }
    values = {"0": second, **graph()}
    entry = found(png({"prompt": json.dumps(values)}))
    assert entry.fields["style_prompt"] == "a lighthouse"
    assert "more_samplers" in codes(entry)


def test_comfyui_with_circles_and_oddities() -> None:
    values = graph()
    values["10"]["inputs"]["value"] = ["3", 0]
    values["1"] = {"class_type": "LoraLoader", "inputs": {"model": ["9", 0], "lora_name": 3}}
    values["5"]["inputs"]["width"] = ["5", 0]
    entry = found(png({"prompt": json.dumps(values)}))
    assert entry.fields["negative_prompt"] == "text"
    assert entry.fields["style_prompt"] == ""
    # ComfyUI writes NaN, which is no JSON.
    odd = json.dumps(graph(x={"class_type": "X", "inputs": {"a": float("nan")}}))
    assert "NaN" in odd
    assert found(png({"prompt": odd})).fields["style_prompt"] == "a lighthouse"
    for broken in ("{}", '{"1": 3}', '{"1": {"class_type": "KSampler"}}', "[" * 5_000):
        assert found(png({"prompt": broken})).error is not None
    chain = {
        str(n): {"class_type": "LoraLoader", "inputs": {"model": [str(n + 1), 0]}}
        for n in range(100, 6_000)
    }
    values = graph(**chain)
    values["6"]["inputs"]["model"] = ["100", 0]
    assert found(png({"prompt": json.dumps(values)})).error is None


def test_a_workflow_alone_is_said_to_be_one() -> None:
    entry = found(png({"workflow": json.dumps({"last_node_id": 3, "nodes": []})}))
    assert (entry.error and entry.error.code) == "no_prompt"
    assert "workflow_not_understood" in codes(entry)
    assert entry.original is not None


def test_fooocus() -> None:
    values = {
        "prompt": "a lighthouse, <lora:ink:0.8>, dusk", "negative_prompt": "text, blurry",
        "styles": "['Fooocus V2', 'sai-anime']", "steps": 30, "resolution": "(832, 1216)",
        "guidance_scale": 6.5, "base_model": "seaXL.safetensors", "sampler": "dpmpp_2m",
        "scheduler": "karras", "seed": "42", "lora_combined_1": "grain.safetensors : 0.25",
        "metadata_scheme": "fooocus", "version": "Fooocus v2.5.5", "loras": [["haze", 0.5, "ab"]],
    }  # fmt: skip
    text = json.dumps(values)
    for data in (
        png({"parameters": text, "fooocus_scheme": "fooocus"}),
        # In the first directory, and without the code.
        with_exif("JPEG", tiff({0x9286: text.encode(), 0x927C: b"fooocus"}, nested=False)),
        with_exif("WEBP", tiff({0x9286: text.encode(), 0x927C: b"fooocus"}, nested=False)),
    ):
        entry = found(data)
        check(entry)
        assert tool(data) == "Fooocus"
        assert {each["name"]: each["weight"] for each in entry.fields["loras"]} == {
            "haze": 0.5,
            "grain": 0.25,
        }
        assert {"python_literal", "styles_not_applied"} <= set(codes(entry))
        assert entry.extensions["picture"]["more"]["styles"] == ["Fooocus V2", "sai-anime"]


def test_a_python_literal_is_never_run(tmp_path: Any) -> None:
    mark = tmp_path / "run"
    evil = f"__import__('pathlib').Path({str(mark)!r}).touch()"
    values = {"prompt": "a", "base_model": "b", "styles": evil, "loras": "[" * 9_000}
    assert found(png({"parameters": json.dumps(values)})).fields["style_prompt"] == "a"
    assert not mark.exists()


def test_early_fooocus_and_its_children() -> None:
    old = {
        "Prompt": "a lighthouse", "Negative Prompt": "text", "Base Model": "seaXL.safetensors",
        "Resolution": "(832, 1216)", "Steps": 30, "Seed": 42, "Sampler": "dpmpp_2m",
        "Scheduler": "karras", "LoRA [ink.safetensors] weight": 0.8,
    }  # fmt: skip
    text = json.dumps(old)
    file = io.BytesIO()
    image().save(file, "JPEG", comment=text)
    for data in (png({"Comment": text}), file.getvalue()):
        entry = found(data)
        assert tool(data) == "Fooocus"
        assert entry.fields["generation_params"]["seed"] == 42
        assert entry.fields["generation_params"]["height"] == 1216
        assert entry.fields["loras"] == [{"name": "ink", "weight": 0.8}]
    ruined = {
        "Prompt": "a lighthouse", "Negative": "text", "steps": 30, "cfg": 6.5, "seed": 42,
        "base_model_name": "seaXL.safetensors", "loras": [["ab12", "0.8 - ink.safetensors"]],
        "sampler_name": "euler", "scheduler": "normal", "software": "RuinedFooocus",
    }  # fmt: skip
    entry = found(png({"parameters": json.dumps(ruined)}))
    assert entry.fields["negative_prompt"] == "text"
    assert entry.fields["loras"] == [{"name": "ink", "weight": 0.8}]
    assert entry.fields["generation_params"]["scheduler"] == "euler"


def test_a_comment_of_another_program_is_no_data() -> None:
    file = io.BytesIO()
    image().save(file, "JPEG", comment="Software: Snipaste")
    for data in (png({"Comment": "Created with GIMP"}), file.getvalue(), png(),
                 png({"Comment": '{"author": "me"}'}),
                 with_exif("JPEG", tiff({0x9286: b"ASCII\0\0\0Screenshot"}))):  # fmt: skip
        entry = found(data)
        assert (entry.error and entry.error.code) == "no_generation_data"
        assert entry.fields["name"] == "sea"
    unknown = found(png({"parameters": '{"made": "by nobody"}'}))
    assert "not_understood" in codes(unknown)


def test_invokeai_of_three_ages() -> None:
    new = {
        "positive_prompt": "a lighthouse", "negative_prompt": "text", "width": 832, "height": 1216,
        "seed": 42, "steps": 30, "cfg_scale": 6.5, "scheduler": "dpmpp_2m_k",
        "model": {"key": "k", "hash": "blake3:ab", "name": "seaXL", "base": "sdxl"},
        "loras": [{"model": {"name": "ink"}, "weight": 0.8}, {"lora": {"model_name": "g"}}],
        "app_version": "5.0",
    }  # fmt: skip
    entry = found(png({"invokeai_metadata": json.dumps(new), "invokeai_graph": "{}"}))
    assert entry.fields["loras"] == [{"name": "ink", "weight": 0.8}, {"name": "g", "weight": 1.0}]
    assert entry.fields["generation_params"] == WANTED["generation_params"]
    two = {
        "model_weights": "sd-1.5",
        "image": {
            "prompt": [{"prompt": "a lighthouse [text] [blur]", "weight": 1}], "steps": 30,
            "cfg_scale": 6.5, "seed": 42, "width": 832, "height": 1216, "sampler": "k_euler_a",
        },
    }  # fmt: skip
    entry = found(png({"sd-metadata": json.dumps(two)}))
    assert entry.fields["style_prompt"] == "a lighthouse"
    assert entry.fields["negative_prompt"] == "text, blur"
    assert entry.fields["generation_params"]["scheduler"] == "euler_a"
    assert entry.fields["generation_params"]["model_name"] == "sd-1.5"
    one = '"a lighthouse [text]" -s 30 -S 42 -W 832 -H 1216 -C 6.5 -A k_euler'
    entry = found(png({"Dream": one}))
    assert entry.fields["style_prompt"] == "a lighthouse"
    assert entry.fields["generation_params"] == {
        "width": 832, "height": 1216, "num_inference_steps": 30, "guidance_scale": 6.5,
        "seed": 42, "scheduler": "euler",
    }  # fmt: skip


def test_novelai_in_the_open_and_hidden() -> None:
    values = {
        "prompt": "a lighthouse", "uc": "text", "steps": 28, "scale": 5.0, "seed": 42,
        "sampler": "k_euler_ancestral", "width": 832, "height": 1216,
    }  # fmt: skip
    texts = {"Software": "NovelAI", "Source": "Diffusion V3", "Description": "a lighthouse",
             "Comment": json.dumps(values)}  # fmt: skip
    for data in (png(texts), stealth("pngcomp", json.dumps(texts))):
        entry = found(data)
        assert tool(data) == "NovelAI"
        assert entry.fields["negative_prompt"] == "text"
        assert entry.fields["generation_params"]["scheduler"] == "euler_a"
        assert entry.fields["generation_params"]["model_name"] == "Diffusion V3"
    four = values | {
        "v4_prompt": {"caption": {"base_caption": "sea", "char_captions": [{"char_caption": "x"}]}}
    }
    entry = found(png(texts | {"Comment": json.dumps(four)}))
    assert entry.fields["style_prompt"] == "sea | x"


def test_draw_things_and_easy_diffusion() -> None:
    values = {
        "c": "a <lighthouse>", "uc": "text", "seed": 42, "steps": 30, "scale": 6.5,
        "sampler": "Euler a", "size": "832x1216", "model": "sea.ckpt",
        "lora": [{"model": "ink.ckpt", "weight": 0.8}],
    }  # fmt: skip
    text = json.dumps(values).replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    xmp = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description><exif:UserComment>'
        f'<rdf:Alt><rdf:li xml:lang="x-default">{text}</rdf:li></rdf:Alt></exif:UserComment>'
        "</rdf:Description></rdf:RDF></x:xmpmeta>"
    )
    entry = found(png_with((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp.encode())))
    assert entry.fields["style_prompt"] == "a <lighthouse>"
    assert entry.fields["loras"] == [{"name": "ink", "weight": 0.8}]
    assert entry.fields["generation_params"]["width"] == 832
    labels = {"Prompt": "a lighthouse", "Negative Prompt": "text", "Seed": "42", "Steps": "30",
              "Guidance Scale": "6.5", "Sampler": "euler_a", "Width": "832", "Height": "1216",
              "Stable Diffusion model": "seaXL"}  # fmt: skip
    entry = found(png(labels))
    assert entry.fields["generation_params"] == WANTED["generation_params"] | {
        "scheduler": "euler_a"
    }
    keys = {"prompt": "a lighthouse", "num_inference_steps": 30, "seed": 42, "uc": 1}
    exif = tiff({0x9286: json.dumps(keys).encode()})
    assert found(with_exif("JPEG", exif)).fields["style_prompt"] == "a lighthouse"


# ---------------------------------------------------------------------------------- what is hostile


def refused(data: bytes) -> str:
    with pytest.raises(Invalid) as fault:
        pictures.read(IncomingFile("x.png", data))
    assert list(fault.value.errors or {}) == ["file"]
    (mistake,) = (fault.value.errors or {})["file"]
    return mistake.code  # type: ignore[attr-defined,no-any-return]


def test_half_a_picture_and_no_picture_are_refused() -> None:
    whole = png({"parameters": A1111})
    jpeg = with_exif("JPEG", tiff({0x9286: comment(A1111)}))
    webp = with_exif("WEBP", tiff({0x9286: comment(A1111)}))
    for data in (whole, jpeg, webp):
        for part in (12, 30, len(data) // 2, len(data) - 3):
            assert refused(data[:part]) in ("broken_picture", "not_a_picture")
    assert refused(b"GIF89a") == refused(b"") == refused(b"PK\3\4") == "not_a_picture"
    assert refused(whole[:8] + b"\xff\xff\xff\xff" + whole[12:]) == "broken_picture"
    assert refused(whole[:33] + b"\0" * 12 * 200_000 + whole[33:]) == "broken_picture"


def test_packed_and_plain_texts_are_bounded_in_memory() -> None:
    packed = zlib.compress(b"x" * 100_000_000, 9)
    bomb = png_with((b"zTXt", b"parameters\0\0" + packed))
    also = png_with((b"iTXt", b"parameters\0\1\0\0\0" + packed), (b"tEXt", b"Seed\0" + b"1"))
    plain = png_with((b"tEXt", b"parameters\0" + b"x" * 3_000_000))
    for data in (bomb, also, plain):
        tracemalloc.start()
        entry = found(data)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert "text_too_long" in codes(entry)
        assert peak < 16_000_000, peak
    many = png_with(*[(b"tEXt", b"k%d\0" % n + b"x" * 1_000_000) for n in range(12)])
    assert "text_too_long" in codes(found(many))


def test_broken_exif_and_texts_are_passed_over() -> None:
    for exif in (b"", b"II*\0", b"II*\0\xff\xff\xff\xff", tiff({0x9286: comment(A1111)})[:40],
                 b"MM\0*\0\0\0\x08\xff\xff"):  # fmt: skip
        entry = found(png_with((b"eXIf", exif)))
        assert (entry.error and entry.error.code) == "no_generation_data"
    for body in (b"", b"parameters", b"\0", b"parameters\0\0nothing packed"):
        assert found(png_with((b"zTXt", body), (b"iTXt", body), (b"tEXt", body))).error is not None
    # One directory that leads to itself.
    loop = struct.pack("<4sIHHHII", b"II*\0", 8, 1, 0x8769, 4, 1, 8)
    assert found(png_with((b"eXIf", loop + b"\0" * 4))).error is not None


def test_signed_pictures_and_what_stands_behind_them_are_told() -> None:
    signed = png_with((b"caBX", b"manifest"), (b"tEXt", b"parameters\0" + A1111.encode()))
    assert "c2pa_present" in codes(found(signed))
    both = png({"parameters": A1111}) + b"PK\3\4 a ZIP behind a picture"
    entry = found(both)
    check(entry)
    assert "trailing_data" in codes(entry)


def test_texts_that_nothing_can_hold_are_an_error_of_the_entry() -> None:
    text = json.dumps({"positive_prompt": "a\0b\ud800"})
    entry = found(png({"invokeai_metadata": text}))
    assert (entry.error and entry.error.code) == "text_unstorable"
    metadata = pictures.metadata_of(png({"invokeai_metadata": text}))
    assert metadata["prompt"] == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}"
    json.dumps(metadata).encode()


def test_texts_that_are_too_long_are_told_and_never_cut() -> None:
    text = "x" * 40_000 + "\nSteps: 1, Sampler: Euler, CFG scale: 7, Seed: 1"
    entry = found(png({"parameters": text}))
    assert (entry.error and entry.error.code) == "prompt_too_long"
    assert len(entry.fields["style_prompt"]) == 40_000
    metadata = pictures.metadata_of(png({"parameters": text}))
    assert metadata["prompt"] == ""
    assert metadata["remarks"][0]["code"] == "prompt_too_long"


def test_parameters_beyond_their_range_are_left_out_and_told() -> None:
    text = "a\nSteps: 500, Sampler: DDIM CFG++, CFG scale: 99, Seed: 1, Size: 4096x4096"
    entry = found(png({"parameters": text}))
    assert entry.error is None
    assert entry.fields["generation_params"] == {"seed": 1, "sampler": "DDIM CFG++"}
    assert codes(entry).count("parameter_left_out") == 4
    assert "sampler_unknown" in codes(entry)


def test_the_metadata_of_an_upload_has_the_form_of_ours() -> None:
    assert pictures.metadata_of(png({"parameters": A1111})) == {
        "prompt": "a lighthouse, dusk",
        "negative_prompt": "text, blurry",
        "seed": 42,
        "parameters": WANTED["generation_params"],
        "loras": [{"name": "ink", "weight": 0.8}],
        "model": "seaXL",
        "tool": "A1111",
    }
    assert pictures.metadata_of(png()) == {
        "prompt": "", "negative_prompt": "", "seed": None, "parameters": {}, "loras": [],
        "model": None,
    }  # fmt: skip
