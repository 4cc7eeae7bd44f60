"""Files that were made to cost much: time grows with their length, memory has a limit, and each is
read or refused with a word for why."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from exchanged import codes, read
from PIL import Image

from seidra.errors import Invalid, Mistake, Unavailable
from seidra.exchange import carried, documents
from seidra.exchange.found import FoundFile
from seidra.exchange.own import Library
from seidra.media import thumbnails
from seidra.prompts import take_tags

MEBIBYTE = 1 << 20


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", len(body), kind) + body + struct.pack(">I", zlib.crc32(kind + body))


def picture(chunks: bytes = b"") -> bytes:
    """A small PNG with these chunks behind its head."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "teal").save(file, "PNG")
    data = file.getvalue()
    return data[:33] + chunks + data[33:]


def saying(keyword: str, text: Any) -> bytes:
    text = text if isinstance(text, str) else json.dumps(text, separators=(",", ":"))
    return picture(chunk(b"tEXt", f"{keyword}\0{text}".encode()))


def packed(kind: bytes, keyword: bytes, text: bytes) -> bytes:
    head = b"\0\1\0\0\0" if kind == b"iTXt" else b"\0\0"
    return chunk(kind, keyword + head + zlib.compress(text, 9))


def persona(**more: Any) -> dict[str, Any]:
    fields = {"name": "Luna", "style_prompt": "sea"}
    return {"format": "seidra", "schema": 1, "revision": 1, "persona": fields, **more}


def library(
    personas: bytes, media: bytes = b"", members: dict[str, bytes] | None = None, **how: Any
) -> bytes:
    lists = {"personas.jsonl": personas, "media.jsonl": media}
    manifest = {
        "format": "seidra-library",
        "schema": 1,
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in lists.items()},
    }
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **{"compression": zipfile.ZIP_DEFLATED, **how}) as archive:
        for name, data in {**lists, **(members or {})}.items():
            archive.writestr(name, data)
        archive.writestr("manifest.json", json.dumps(manifest))
    return file.getvalue()


def damaged(data: bytes, member: bytes) -> bytes:
    """An archive in which the packed bytes of a member are others."""
    at = data.index(member) + len(member)
    return data[: at + 14] + b"\xff" * 40 + data[at + 54 :]


def card_archive(**how: Any) -> bytes:
    file = io.BytesIO()
    words = " ".join(hashlib.sha256(bytes([n])).hexdigest() for n in range(40))
    with zipfile.ZipFile(file, "w", **how) as archive:
        archive.writestr("card.json", json.dumps({"spec": "chara_card_v2", "x": words}))
    return file.getvalue()


def members_alone(count: int) -> bytes:
    """An archive that is nothing but a list of members."""
    head = b"PK\3\4" + b"\0" * 26
    one = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", 20, 3, 20, *[0] * 8, 7, *[0] * 6)
    listed = b"".join(one + b"%07d" % n for n in range(count))
    sizes = (count, count, len(listed), len(head))
    long = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, *sizes)
    place = struct.pack("<4sLQL", b"PK\6\7", 0, len(head) + len(listed), 1)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 2**32 - 1, 2**32 - 1, 0)
    return head + listed + long + place + end


def graph(inputs: dict[str, Any], **nodes: Any) -> dict[str, Any]:
    """A graph of ComfyUI, whose sampler is conditioned by a node with these inputs."""
    link = ["c", 0]
    sampler = {"latent_image": link, "positive": link, "negative": link}
    return {"s": {"class_type": "S", "inputs": sampler}, "c": {"inputs": inputs}, **nodes}


def refusal(data: bytes, name: str = "file") -> str:
    with pytest.raises(Invalid) as caught:
        read(data, name)
    (sentence,) = caught.value.errors["file"] if caught.value.errors else [""]
    assert isinstance(sentence, Mistake)
    return sentence.code


BLANKS = " " * 100_000
LONG: dict[str, Callable[[], bytes | str]] = {
    "infotext": lambda: f"x\nSteps: 1, Sampler: b, Seed: a{BLANKS}b",
    "infotext of a picture": lambda: saying("parameters", f"x\nSteps: 1, Aa: b, Bb: c{BLANKS}d"),
    "prompt of InvokeAI 1": lambda: saying("Dream", f'"a{BLANKS}b" -s50'),
    "XMP": lambda: saying("XML:com.adobe.xmp", f"<exif:UserComment>{BLANKS}"),
    "XMP without ends": lambda: saying("XML:com.adobe.xmp", "<exif:UserComment " * 100_000),
    "LoRA of Fooocus": lambda: saying(
        "parameters", {"base_model": "m", "prompt": "p", "lora 1": f"a{BLANKS}b"}
    ),
    "LoRA of RuinedFooocus": lambda: saying(
        "parameters", {"software": "RuinedFooocus", "prompt": "p", "loras": [[f"1-a{BLANKS}b\n"]]}
    ),
    "graph of many texts": lambda: saying(
        "prompt",
        graph(
            {f"i{n}": [str(n), 0] for n in range(30_000)},
            **{str(n): {"inputs": {"text": f"t{n}"}} for n in range(30_000)},
        ),
    ),
    "graph of many lists": lambda: saying("prompt", graph({f"{n:x}": [] for n in range(180_000)})),
    "tags of LoRAs": lambda: saying("parameters", "words <lora:a> " * 130_000),
    "heading": lambda: b"name,prompt\n" + b"(" * MEBIBYTE + b")" * MEBIBYTE + b",\na,b\n",
    "headings above many rows": lambda: (
        b"name,prompt\n" + b"heading,\n" * 60_000 + b"".join(b"%d,b\n" % n for n in range(5_000))
    ),
    "fill bytes of a JPEG": lambda: b"\xff\xd8" + b"\xff" * (30 * MEBIBYTE),
    "EXIFs": lambda: picture(
        chunk(
            b"eXIf",
            b"II*\0\x08\0\0\0"
            + struct.pack("<H", 500)
            + struct.pack("<HHII", 0x9000, 7, 2**31, 0) * 500,
        )
        * 4_000
    ),
    "packed texts": lambda: picture(packed(b"zTXt", b"k", b"a" * (2 * MEBIBYTE + 1)) * 4_000),
    "HTML": lambda: json.dumps(
        {"modelId": 1, "trainedWords": ["w"], "files": [], "description": "<" * 300_000}
    ),
    "brackets": lambda: b"[" * (16 * MEBIBYTE),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", LONG)
def test_time_grows_with_the_length(kind: str) -> None:
    data = LONG[kind]()
    began = time.process_time()
    try:
        found: FoundFile | None = read(data, "file")
    except Invalid:
        found = None
    assert time.process_time() - began < 6
    assert found is None or found.entries


def test_headings_that_are_too_many_are_told_and_not_kept_with_every_row() -> None:
    found = read(b"name,prompt\n" + b"heading,\n" * 5_000 + b"a,b\nc,d\n", "styles.csv")
    first, second = found.entries
    assert "headings_not_kept" in codes(first)
    assert "headings_not_kept" not in codes(second)
    kept = first.extensions["a1111"]["headings"]["rows"]
    assert kept == ["heading"] * (4_096 // len("heading"))
    assert "5000 rows without prompts" in next(
        remark.detail for remark in found.remarks if remark.code == "group_from_heading"
    )


def test_tags_of_loras_are_taken_from_long_texts_as_from_short_ones() -> None:
    text, loras = take_tags("one, <lora:a:0.5>, two <lora:b> three " * 1_000)
    short, _ = take_tags("one, <lora:a:0.5>, two <lora:b> three " * 3)
    assert len(loras) == 2_000
    assert short == "one, two three one, two three one, two three "
    assert text == "one, two three " * 1_000


ID = str(UUID(int=1, version=4))


def line(size: int, data: bytes) -> bytes:
    about: dict[str, Any] = {
        "id": ID,
        "persona_uid": None,
        "file_type": "image",
        "mime_type": "image/png",
        "width": 8,
        "height": 8,
        "file_size": size,
        "metadata": {},
        "tags": [],
        "is_favorite": False,
        "is_nsfw": False,
        "nsfw_tags": [],
        **dict.fromkeys(("created_at", "updated_at"), "2026-01-01T00:00:00.000000Z"),
        "file": f"media/{ID}.png",
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    return json.dumps(about).encode()


def bomb_picture() -> bytes:
    data = picture() + b"\0" * (20 * MEBIBYTE)
    return library(json.dumps(persona()).encode(), line(len(data), data), {f"media/{ID}.png": data})


def many_lists(count: int) -> bytes:
    return json.dumps(persona(extensions=0)).encode()[:-2] + b"[" + b"[]," * count + b"[]]}"


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "a list of members and nothing else": (lambda: members_alone(100_000), "too_many_members"),
    "a library's picture packed a thousand times": (bomb_picture, "packed_too_much"),
    "a library's lists of more than a gibibyte": (
        lambda: library(b"\n").replace(*_claim(b"\n")),
        "too_large_unpacked",
    ),
    "a library's line of a million lists": (lambda: library(many_lists(1_000_001)), "too_large"),
    "a persona of a million lists": (lambda: many_lists(1_000_001), "too_large"),
    "a persona of two million members": (
        lambda: (
            json.dumps(persona(extensions=0)).encode()[:-2]
            + b"{"
            + b",".join(b'"%x":1' % n for n in range(2_000_001))
            + b"}}"
        ),
        "too_large",
    ),
    "a library damaged, packed by BZIP2": (
        lambda: damaged(
            library(json.dumps(persona()).encode(), compression=zipfile.ZIP_BZIP2),
            b"personas.jsonl",
        ),
        "damaged",
    ),
    "a library damaged, packed by LZMA": (
        lambda: damaged(
            library(json.dumps(persona()).encode() * 9, compression=zipfile.ZIP_LZMA),
            b"personas.jsonl",
        ),
        "damaged",
    ),
    "a card damaged, packed by LZMA": (
        lambda: damaged(card_archive(compression=zipfile.ZIP_LZMA), b"card.json"),
        "broken_archive",
    ),
    "a text of 3 MiB with parameters": (
        lambda: b"x" * (3 * MEBIBYTE) + b"\nSteps: 1, Sampler: b, Seed: 3",
        "format_unknown",
    ),
}


def _claim(data: bytes) -> tuple[bytes, bytes]:
    """What stands of a member's size in a directory, and what says more."""
    real = struct.pack("<L", zlib.crc32(data))
    whole = library(data)
    at = whole.index(b"PK\1\2")
    entry = whole[at : at + 46]
    assert real in entry
    return entry, entry[:24] + struct.pack("<L", 2**31) + entry[28:]


@pytest.mark.slow
@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_refused_and_how_much_it_takes(kind: str) -> None:
    make, code = REFUSED[kind]
    data = make()
    tracemalloc.start()
    try:
        assert refusal(data) == code
        assert tracemalloc.get_traced_memory()[1] < len(data) * 4 + 32 * MEBIBYTE
    finally:
        tracemalloc.stop()


def test_a_library_of_empty_lines_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seidra.exchange.own._LINES", 1_000)
    assert refusal(library(b"\n" * 1_001)) == "too_many"
    assert not read(library(b"\n" * 1_000)).entries


@pytest.mark.slow
def test_the_personas_of_a_library_are_read_one_at_a_time() -> None:
    filler = {"seidra": "x" * 200_000}
    lines = b"\n".join(json.dumps(persona(extensions=filler)).encode() for _ in range(200))
    data = library(lines)
    tracemalloc.start()
    try:
        entries = read(data).entries
        assert len(entries) == 200
        assert sum(1 for entry in entries if entry.fields["name"] == "Luna") == 200
        assert tracemalloc.get_traced_memory()[1] < len(lines) / 4
    finally:
        tracemalloc.stop()
    assert entries[-1].fields["style_prompt"] == "sea"
    assert Library(io.BytesIO(data)).manifest["schema"] == 1


def test_lines_of_personas_may_have_many_lists_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "_MAX_CONTAINERS", 10)
    assert len(read(b"\n".join([json.dumps(persona()).encode()] * 20)).entries) == 20


def test_the_number_of_a_character_is_no_number() -> None:
    long = saying("XML:com.adobe.xmp", f"<exif:UserComment>&#{'9' * 10_000};</")
    assert [entry.error.code for entry in read(long).entries if entry.error] == [
        "no_generation_data"
    ]


def test_a_header_of_csv_that_breaks_its_rules_is_no_header() -> None:
    assert refusal(b'"name,prompt\rx"\n') == "format_unknown"


def test_texts_beyond_what_is_unpacked_are_told() -> None:
    body = packed(b"zTXt", b"k", b"a" * (2 * MEBIBYTE + 1)) * 20
    found = carried.read_carried(picture(body + packed(b"zTXt", b"parameters", b"a")))
    assert {remark.code for remark in found.remarks} == {"text_too_long"}
    assert found.texts == {}


def test_who_gets_no_turn_to_decode_is_told_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thumbnails, "_PATIENCE", 0.01)
    with thumbnails.decoder_turn(), thumbnails.decoder_turn(), pytest.raises(Unavailable):
        read(picture())


def test_a_file_is_what_it_begins_as_whatever_it_is_beside_and_called() -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as members:
        members.writestr("card.json", json.dumps({"spec": "chara_card_v2", "data": {"name": "x"}}))
    both = saying("parameters", "moon\nSteps: 20, Sampler: Euler, Seed: 7") + archive.getvalue()
    for name in ("both.zip", "both.png", "both.html"):
        found = read(both, name)
        [entry] = found.entries
        assert (found.format, entry.fields["style_prompt"]) == ("picture", "moon")
    for data in (b"<html><script>alert(1)</script></html>", b"<svg xmlns='x'/>", both[1:]):
        with pytest.raises(Invalid):
            read(data, "picture.png")
