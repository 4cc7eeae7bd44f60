"""Character cards: what is read of them, that they come back as they were, and what is hostile."""

from __future__ import annotations

import base64
import io
import json
import struct
import tracemalloc
import zipfile
from dataclasses import replace
from typing import Any

import pytest
from exchanged import PROMPTS, TEXTS, changed, codes, incoming, read, stored
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from test_pictures import A1111, png, png_with

from seidra import folding
from seidra.engines import infotext
from seidra.errors import Invalid
from seidra.exchange import archives, cards
from seidra.exchange.formats import WRITERS
from seidra.exchange.found import FoundPersona, GivenPersona

DATA = {
    "name": "Aria",
    "description": "{{char}} is a tall elf with silver hair. " + "She sails. " * 80,
    "personality": "calm",
    "scenario": "",
    "first_mes": "Hello 🌊\n{{user}}",
    "mes_example": "<START>",
    "creator_notes": "For slow evenings",
    "system_prompt": "",
    "post_history_instructions": "",
    "alternate_greetings": ["Hi"],
    "character_book": {"entries": [{"keys": ["sea"], "content": "wide", "id": "7"}]},
    "tags": ["elf", "Sea"],
    "creator": "me",
    "character_version": "2",
    "extensions": {"depth_prompt": {"depth": 4}, "fav": True},
}
LOOK = {"sd_character_prompt": {"positive": "tall elf, silver hair", "negative": "hat"}}


def v2(**data: Any) -> dict[str, Any]:
    return {"spec": "chara_card_v2", "spec_version": "2.0", "data": {**DATA, **data}}


def with_look(**data: Any) -> dict[str, Any]:
    return v2(extensions={**DATA["extensions"], **LOOK}, **data)  # type: ignore[dict-item]


def v3() -> dict[str, Any]:
    return with_look(group_only_greetings=[], nickname="Ari") | {
        "spec": "chara_card_v3", "spec_version": "3.0", "create_date": "x",
    }  # fmt: skip


def chunk(value: Any) -> bytes:
    return base64.b64encode(json.dumps(value).encode())


def card_png(value: Any, keyword: bytes = b"chara", *more: tuple[bytes, bytes]) -> bytes:
    return png_with((b"tEXt", keyword + b"\0" + chunk(value)), *more)


def charx(value: Any, members: dict[str, bytes] | None = None) -> bytes:
    return archives.pack({"card.json": json.dumps(value).encode(), **(members or {})})


def one(data: Any, name: str = "aria.json") -> FoundPersona:
    file = read(data, name)
    assert file.format == "card"
    (entry,) = file.entries
    return entry


def made(**fields: Any) -> GivenPersona:
    """A persona of our own."""
    whole = {
        "name": "Luna", "description": "Of the sea", "style_prompt": "{prompt}, <lora:ink:0.8>",
        "negative_prompt": "text", "loras": [{"name": "haze", "weight": 0.5, "enabled": True}],
        "generation_params": {"width": 832, "height": 1216, "seed": 2**60, "own": {"a": 1}},
        "tags": ["sea"], "is_favorite": True, "is_nsfw": False,
    }  # fmt: skip
    return GivenPersona(whole | fields, "019c13ec-9e00-7c3a-9d1f-5b0c8a7e4f21", 3)


# ------------------------------------------------------------------------------------------ reading


@pytest.mark.parametrize(
    "data",
    [
        with_look(),
        v3(),
        card_png(with_look()),
        card_png(with_look(), b"Chara"),
        card_png(v3(), b"ccv3"),
        # The one of V3 counts, wherever it stands.
        card_png(v2(name="Old"), b"chara", (b"tEXt", b"ccv3\0" + chunk(v3()))),
        charx(v3()),
    ],
)
def test_cards_of_each_age_and_form(data: Any) -> None:
    entry = one(data)
    assert entry.error is None
    assert entry.fields["name"] == "Aria"
    assert entry.fields["description"] == "For slow evenings"
    assert entry.fields["style_prompt"] == "tall elf, silver hair"
    assert entry.fields["negative_prompt"] == "hat"
    assert entry.fields["tags"] == ["elf", "Sea"]
    assert "is_favorite" not in entry.fields
    assert entry.original is not None
    assert json.loads(entry.original)["data"]["first_mes"] == DATA["first_mes"]
    if isinstance(data, bytes) and data.startswith(b"\x89PNG"):
        assert entry.picture == data


def test_v1_and_pygmalion() -> None:
    flat = {key: DATA[key] for key in cards._V1}
    entry = one(flat)
    assert entry.fields["name"] == "Aria"
    assert entry.fields["style_prompt"].startswith("Aria is a tall elf")
    assert codes(entry) == {"no_prompt"}
    old = {"char_name": "Aria", "char_persona": "A tall elf", "char_greeting": "Hi",
           "world_scenario": "", "example_dialogue": ""}  # fmt: skip
    entry = one(old)
    assert (entry.fields["name"], entry.fields["style_prompt"]) == ("Aria", "A tall elf")


def test_the_prompt_of_the_picture_comes_before_the_description() -> None:
    picture = card_png(v2(), b"chara", (b"tEXt", b"parameters\0" + A1111.encode()))
    entry = one(picture)
    assert entry.fields["style_prompt"].startswith("a lighthouse")
    assert entry.fields["generation_params"]["seed"] == 42
    assert "no_prompt" not in codes(entry)


def test_a_card_without_any_word_of_looks_is_no_persona() -> None:
    entry = one(v2(description=" "))
    assert (entry.error and entry.error.code) == "no_prompt"


def test_a_lorebook_alone_is_refused_with_a_sentence() -> None:
    entry = one({"spec": "lorebook_v3", "data": {"entries": []}})
    assert (entry.error and entry.error.code) == "lorebook_alone"


def test_odd_cards() -> None:
    entry = one(with_look(tags=["x" * 60, 3, " ", "Elf", "elf", *map(str, range(70))], name=7))
    assert len(entry.fields["tags"]) == 50
    assert entry.fields["tags"][:2] == ["x" * 50, "Elf"]
    assert {"tag_shortened", "too_many_tags", "name_missing"} <= codes(entry)
    assert entry.fields["name"] == "aria"
    for value in (v2(extensions=None), v2(extensions=[]), v2(tags="elf", creator_notes=3),
                  {"spec": "chara_card_v2", "data": 3, "name": "A"}):  # fmt: skip
        one(value)


def test_the_picture_of_an_archive_is_its_main_icon() -> None:
    icons = [
        {"type": "icon", "uri": "embeded://assets/a.png", "name": "other", "ext": "png"},
        {"type": "icon", "uri": "embeded://assets/main.png", "name": "main", "ext": "png"},
        {"type": "icon", "uri": "https://pictures.example/x.png", "name": "far", "ext": "png"},
    ]
    card = v3()
    card["data"]["assets"] = icons
    main = png({"Comment": "main"})
    entry = one(charx(card, {"assets/a.png": png(), "assets/main.png": main}))
    assert entry.picture == main
    assert "assets_not_kept" in codes(entry)
    assert one(charx(card, {"assets/main.png": b"no picture"})).picture is None


# ------------------------------------------------------------------------------------------ writing


@pytest.mark.parametrize("form", cards.FORMATS)
def test_ours_comes_back_whole_from_each_form(form: str) -> None:
    persona = replace(made(), extensions={"a1111": {"Clip skip": "2"}}, picture=png())
    (file,) = WRITERS[form].write([persona])
    entry = one(file.data, file.name)
    assert entry.fields == persona.fields
    assert entry.uid == persona.uid
    assert entry.extensions == persona.extensions
    assert file.name.startswith("Luna")


_FIELDS = st.fixed_dictionaries(
    {
        "name": st.text(st.characters(min_codepoint=33, exclude_categories=("Cs", "Cc", "Z")),
                        min_size=1, max_size=40).filter(lambda text: not folding.is_blank(text)),
        "description": TEXTS,
        "style_prompt": PROMPTS,
        "negative_prompt": TEXTS,
        "is_favorite": st.booleans(),
    }
)  # fmt: skip


@settings(max_examples=60)
@given(_FIELDS, st.sampled_from(cards.FORMATS))
def test_any_persona_comes_back(fields: dict[str, Any], form: str) -> None:
    persona = made(**fields)
    (file,) = WRITERS[form].write([persona])
    entry = one(file.data, file.name)
    read_back = {key: entry.fields.get(key, "") for key in fields}
    wanted = dict(fields)
    if entry.error is not None:
        assert entry.error.code in ("no_prompt", "text_unstorable", "prompt_too_long")
        return
    if wanted["name"] != read_back["name"]:
        assert {"name_missing"} & codes(entry) or not wanted["name"].strip()
        read_back["name"] = wanted["name"]
    assert read_back == wanted
    again = stored(entry, read(file.data, file.name))
    (second,) = WRITERS[form].write([replace(again, uid=persona.uid, revision=persona.revision)])
    assert one(second.data).fields == entry.fields


@pytest.mark.parametrize("make", [v2, with_look, v3, lambda: {k: DATA[k] for k in cards._V1}])
@pytest.mark.parametrize("indent", [None, 4])
def test_an_unedited_card_is_the_same_bytes(make: Any, indent: int | None) -> None:
    data = json.dumps(make(), indent=indent, ensure_ascii=indent is None).encode()
    file = read(data, "aria.json")
    persona = stored(file.entries[0], file)
    assert WRITERS["card-json"].write([persona])[0].data == data
    # What is no part of how it looks, or came from elsewhere, changes nothing.
    assert WRITERS["card-json"].write([replace(persona, revision=9)])[0].data == data


def test_an_edited_card_is_laid_over_the_original() -> None:
    file = read(json.dumps(v3()), "aria.json")
    persona = changed(stored(file.entries[0], file), style_prompt="a sailor", name="Mira")
    card = json.loads(WRITERS["card-json"].write([persona])[0].data)
    data = card["data"]
    assert data["name"] == card["name"] == "Mira"
    assert data["extensions"]["sd_character_prompt"] == {"positive": "a sailor", "negative": "hat"}
    assert data["extensions"]["depth_prompt"] == {"depth": 4}
    for kept in ("character_book", "first_mes", "creator_notes", "tags", "alternate_greetings"):
        assert data[kept] == DATA[kept]
    assert (card["spec"], card["create_date"], data["nickname"]) == ("chara_card_v3", "x", "Ari")
    assert one(json.dumps(card)).fields["style_prompt"] == "a sailor"


def test_an_edited_v1_becomes_v2_and_keeps_its_top() -> None:
    flat = {key: DATA[key] for key in cards._V1} | {"own": 1}
    file = read(json.dumps(flat), "aria.json")
    persona = changed(stored(file.entries[0], file), style_prompt="a sailor")
    card = json.loads(WRITERS["card-json"].write([persona])[0].data)
    assert card["spec"] == "chara_card_v2"
    assert card["data"]["first_mes"] == card["first_mes"] == DATA["first_mes"]
    assert card["own"] == 1


def texts_in(data: bytes) -> dict[str, str]:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return dict(image.text)  # type: ignore[attr-defined]


def test_a_picture_keeps_its_pixels_and_everybody_reads_it() -> None:
    picture = png({"parameters": "old", "prompt": "{}", "workflow": "{}", "chara": "old"})
    (file,) = WRITERS["card-png"].write([replace(made(), picture=picture)])
    with Image.open(io.BytesIO(file.data)) as new, Image.open(io.BytesIO(picture)) as old:
        assert new.tobytes() == old.tobytes()
    texts = texts_in(file.data)
    # A graph of ComfyUI would be loaded there, and be the wrong one.
    assert texts.keys() == {"chara", "ccv3", "parameters", "invokeai_metadata"}
    two, three = (json.loads(base64.b64decode(texts[key])) for key in ("chara", "ccv3"))
    assert (two["spec"], two["spec_version"]) == ("chara_card_v2", "2.0")
    assert (three["spec"], three["spec_version"]) == ("chara_card_v3", "3.0")
    for card in (two, three):
        assert card["name"] == card["data"]["name"] == "Luna"
        assert card["data"]["extensions"]["sd_character_prompt"]["negative"] == "text"
        assert card["data"]["extensions"]["seidra"]["persona"]["tags"] == ["sea"]
    assert three["data"]["group_only_greetings"] == []
    info = infotext.read(texts["parameters"])
    assert {one.name: one.weight for one in info.loras} == {"ink": 0.8, "haze": 0.5}
    assert (info.size, info.seed, info.negative_prompt) == ((832, 1216), 2**60, "text")
    assert json.loads(texts["invokeai_metadata"])["width"] == 832
    # All of it stands before the picture, where every reader looks.
    assert file.data.index(b"ccv3") < file.data.index(b"IDAT")


def test_what_has_no_png_gets_one_and_it_is_told() -> None:
    jpeg = io.BytesIO()
    Image.new("RGB", (64, 32), "red").save(jpeg, "JPEG")
    writer = WRITERS["card-png"]
    for picture, code, size in (
        (None, "picture_drawn", (512, 768)),
        (jpeg.getvalue(), "picture_encoded", (64, 32)),
    ):
        persona = replace(made(), picture=picture)
        assert [remark.code for remark in writer.lost(persona)] == [code]
        data = writer.write([persona])[0].data
        with Image.open(io.BytesIO(data)) as image:
            assert (image.format, image.size) == ("PNG", size)
        # The same persona is the same file.
        assert writer.write([persona])[0].data == data
    assert writer.lost(replace(made(), picture=png())) == []
    assert WRITERS["card-json"].lost(made()) == []
    assert [r.field for r in WRITERS["card-json"].lost(replace(made(), picture=png()))] == [
        "picture"
    ]


def test_names_of_files_stand_beside_each_other() -> None:
    files = WRITERS["card-json"].write([made(), made(name="luna"), made(name="a/b:c")])
    assert len({file.name.lower() for file in files}) == 3
    assert not any("/" in file.name for file in files)


# ---------------------------------------------------------------------------------- what is hostile


def refused(data: bytes) -> str:
    with pytest.raises(Invalid) as fault:
        read(data, "x")
    (mistake,) = (fault.value.errors or {})["file"]
    return mistake.code  # type: ignore[attr-defined,no-any-return]


def zipped(members: dict[str, bytes], **more: Any) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data, **more)
    return file.getvalue()


CARD = json.dumps(v3()).encode()


def test_archives_that_lead_elsewhere_or_are_too_much() -> None:
    for path in ("/etc/passwd", "../x", "a/../../x", "..\\x", "C:\\x"):
        assert refused(zipped({"card.json": CARD, path: b"x"})) == "path_outside"
    many = {f"a/{n}": b"" for n in range(1_000)}
    assert refused(zipped({"card.json": CARD, **many})) == "too_many_members"
    assert refused(zipped({"card.json": CARD, "a": b"\0" * 20_000_000})) == "packed_too_much"
    huge = zipped({"card.json": CARD, "a": b"x"})
    at = huge.rfind(b"PK\1\2")
    claimed = huge[: at + 24] + struct.pack("<I", 200_000_000) + huge[at + 28 :]
    assert refused(claimed) == "too_large_unpacked"
    assert refused(zipped({"card.json": b"{" + b" " * 3_000_000 + b"}"})) == "packed_too_much"
    noise = json.dumps({"a": [base64.b85encode(bytes([n % 256] * 9)).decode() for n in range(10)]})
    big = zipped({"card.json": (noise * 40_000).encode()[:3_000_000]}, compress_type=0)
    assert refused(big) == "member_too_large"
    locked = bytearray(zipped({"card.json": CARD}))
    locked[locked.rfind(b"PK\1\2") + 8] |= 1
    assert refused(bytes(locked)) == "encrypted"


def test_halves_of_archives_and_others_archives() -> None:
    whole = zipped({"card.json": CARD})
    for part in (len(whole) // 2, len(whole) - 10, 40):
        assert refused(whole[:part]) == "broken_archive"
    broken = whole.replace(whole[60:64], b"\xff\xff\xff\xff", 1)
    assert refused(broken) == "broken_archive"
    assert refused(zipped({"other.json": b"{}"})) == "format_unknown"


def test_a_directory_of_a_million_members_is_not_read() -> None:
    entry = b"PK\1\2" + b"\0" * 42
    count = 300_000
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 9, 9, count * len(entry), 0, 0)
    data = b"PK\3\4card.json" + entry * count + end
    tracemalloc.start()
    assert refused(data) == "too_many_members"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4_000_000, peak
    end64 = b"PK\6\7" + b"\0" * 16 + struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 1, 1, 46, 0, 0)
    assert refused(b"PK\3\4card.json" + entry + end64) == "too_many_members"


def test_broken_cards_in_pictures() -> None:
    for text in (b"", b"not base64!", base64.b64encode(b"\xff\xfe"), base64.b64encode(b"[1]"),
                 base64.b64encode(b'{"a": '), base64.b64encode(b"[" * 10_000)):  # fmt: skip
        assert refused(png_with((b"tEXt", b"chara\0" + text)))
    deep = b'{"data": ' + b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b"}"
    assert refused(png_with((b"tEXt", b"chara\0" + base64.b64encode(deep)))) == "too_deep"
    large = card_png(v2(first_mes="x" * 3_000_000))
    assert refused(large) == "no_card"
    assert refused(card_png(v2())[:-20]) == "broken_picture"


def test_a_card_with_a_zip_behind_it_is_read_as_a_picture() -> None:
    both = card_png(with_look()) + zipped({"card.json": b"{}"})
    entry = one(both)
    assert entry.fields["name"] == "Aria"
    assert "trailing_data" in codes(entry)


def test_an_address_in_a_card_is_never_called(monkeypatch: pytest.MonkeyPatch) -> None:
    def called(*_: Any, **__: Any) -> None:
        raise AssertionError

    monkeypatch.setattr("socket.socket.connect", called)
    card = v3()
    card["data"]["assets"] = [
        {"type": "icon", "uri": "http://127.0.0.1:1/x.png", "name": "main", "ext": "png"}
    ]
    card["avatar"] = "http://127.0.0.1:1/x.png"
    assert one(card).picture is None
    assert one(charx(card)).picture is None
    assert incoming(card).document is not None
