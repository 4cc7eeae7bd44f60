"""Character cards: V1, V2 and V3, as PNG, JSON and CHARX, and Pygmalion's.

A card says how somebody talks, and seldom how they look. What SEIDRA has of a persona stands in it
under `extensions.seidra`; of other cards the prompt comes from `extensions.sd_character_prompt`,
from what the picture says of how it was made, or, told as such, from the description. The card
itself is kept as it was: given back unedited it is the same bytes, and edited it is the same object
with what was changed laid over it.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from seidra import folding
from seidra.engines import infotext
from seidra.engines.base import Lora
from seidra.errors import Invalid
from seidra.exchange import archives, documents, pictures
from seidra.exchange.card_pictures import card_picture, with_texts
from seidra.exchange.carried import MAX_TEXT, read_carried
from seidra.exchange.drafts import MAX_TAG, Draft, text_of
from seidra.exchange.found import (
    FoundFile,
    FoundPersona,
    GivenPersona,
    IncomingFile,
    Remark,
    WrittenFile,
)
from seidra.exchange.given import changed, file_names, infotext_of, text, with_tags
from seidra.media.chunks import type_of
from seidra.prompts import fill, take_tags

PNG, JSON, CHARX = "card-png", "card-json", "charx"
FORMATS = (PNG, JSON, CHARX)
FORMAT = "card"
"""The format that a persona is said to come from: whatever the file was, the card is the same."""

SCHEMA = 1
"""The number of what stands under `extensions.seidra`."""

_V1 = ("name", "description", "personality", "scenario", "first_mes", "mes_example")
_V2 = (
    *("creator_notes", "system_prompt", "post_history_instructions"),
    *("creator", "character_version"),
)
_PYGMALION = {
    "char_name": "name",
    "char_persona": "description",
    "char_greeting": "first_mes",
    "world_scenario": "scenario",
    "example_dialogue": "mes_example",
}
_MAX_TAGS = 50
_LOOKS = 500
"""Characters of a description that stand in for a prompt."""

_ASSET = re.compile(r"embedd?ed://(.+)", re.IGNORECASE)
"""The specification of V3 writes it with one d too few."""

_OURS = (
    *("name", "description", "style_prompt", "negative_prompt", "loras", "generation_params"),
    *("tags", "is_favorite", "is_nsfw"),
)
"""The fields of a persona that stand under `extensions.seidra`."""


@dataclass(frozen=True, slots=True)
class _Card:
    """A card as it was found. `raw`: its JSON, verbatim; `picture`: what shows it."""

    value: dict[str, Any]
    raw: str
    format: str
    picture: bytes | None = None

    @property
    def data(self) -> dict[str, Any]:
        """What it says: V1 says it at the top."""
        data = self.value.get("data")
        return data if isinstance(data, dict) else self.value

    @property
    def extensions(self) -> dict[str, Any]:
        """Those of its data."""
        found = self.data.get("extensions")
        return found if isinstance(found, dict) else {}


# ------------------------------------------------------------------------------------------ reading


def recognise(file: IncomingFile) -> bool:
    """Whether a file is a card, or a lorebook by itself."""
    if archives.is_zip(file.data):
        return archives.has_member(file.data, "card.json")
    if type_of(file.data) == "image/png":
        return b"chara\0" in file.data.lower() or b"ccv3\0" in file.data.lower()
    document = file.document
    value = document.value if document is not None else None
    return isinstance(value, dict) and (_is_card(value) or _is_lorebook(value))


def _is_card(value: Mapping[str, Any]) -> bool:
    spec = value.get("spec")
    if isinstance(spec, str) and spec.startswith("chara_card"):
        return True
    return sum(key in value for key in _V1) >= 4 or {"char_name", "char_persona"} <= value.keys()


def _is_lorebook(value: Mapping[str, Any]) -> bool:
    return value.get("spec") == "lorebook_v3"


def read(file: IncomingFile) -> FoundFile:
    """The persona of a card. Raises Invalid for what is no whole file, and for a card that is no
    JSON of an object."""
    remarks: list[Remark] = []
    if archives.is_zip(file.data):
        card = _read_charx(file.data, remarks)
    elif type_of(file.data) is not None:
        card = _read_png(file.data, remarks)
    else:
        document = file.document
        if document is None or not isinstance(document.value, dict):
            raise file.fault or documents.broken("Is no card.")
        card = _Card(document.value, document.raw, JSON)
    entry = _entry(card, file.stem, file.name)
    tool = _tool(card)
    return FoundFile(FORMAT, tool, [replace(entry, remarks=(*remarks, *entry.remarks))])


def _tool(card: _Card) -> str:
    for name, title in (("seidra", "SEIDRA"), ("risuai", "RisuAI"), ("chub", "Chub")):
        if name in card.extensions:
            return title
    return "SillyTavern" if "fav" in card.extensions or "create_date" in card.value else ""


def _read_png(data: bytes, remarks: list[Remark]) -> _Card:
    carried = read_carried(data)
    remarks += carried.remarks
    for keyword in ("ccv3", "chara"):
        encoded = carried.text(keyword)
        if encoded:
            raw = _from_base64(encoded)
            return _Card(_object(raw), raw, PNG, data)
    raise documents.broken("The card in the picture is empty, or larger than is read.", "no_card")


def _from_base64(encoded: str) -> str:
    """The JSON in a chunk. Raises Invalid."""
    try:
        packed = "".join(encoded.split()).rstrip("=")
        return base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True).decode()
    except (binascii.Error, ValueError):
        # Some writers leave the encoding out.
        if encoded.lstrip().startswith("{"):
            return encoded
        raise documents.broken("The card in the picture is not base64 of UTF-8.") from None


def _object(raw: str) -> dict[str, Any]:
    value = documents.parse(raw).value
    if not isinstance(value, dict):
        raise documents.broken("The card is no JSON object.")
    return value


def _read_charx(data: bytes, remarks: list[Remark]) -> _Card:
    with archives.opened(data) as archive:
        try:
            raw = archive.read("card.json", MAX_TEXT).decode("utf-8-sig")
        except UnicodeDecodeError:
            raise documents.broken("card.json is not UTF-8.") from None
        card = _Card(_object(raw), raw, CHARX)
        picture = None
        path = _icon_path(card.data)
        if path is not None and path in archive.names:
            picture = archive.read(path, archives.MAX_UNPACKED)
            if type_of(picture) is None:
                picture = None
        others = len(archive.names) - 1 - (picture is not None)
        if others > 0:
            detail = f"{others} more files of the card are not kept: pictures, sounds, modules."
            remarks.append(Remark("assets_not_kept", detail))
    return replace(card, picture=picture)


def _icon_path(data: Mapping[str, Any]) -> str | None:
    """Where the picture of a card stands in its archive: the main icon, else the first."""
    assets = data.get("assets")
    icons = [
        asset
        for asset in (assets if isinstance(assets, list) else [])
        if isinstance(asset, dict) and asset.get("type") == "icon"
    ]
    icons.sort(key=lambda asset: asset.get("name") != "main")
    for asset in icons:
        found = _ASSET.fullmatch(text_of(asset.get("uri")))
        if found:
            return found[1]
    return None


def _entry(card: _Card, stem: str, locator: str = "") -> FoundPersona:
    if _is_lorebook(card.value):
        draft = Draft(FORMAT, locator, stem, card.raw)
        draft.name(stem, "Lorebook")
        draft.fail("lorebook_alone", "A lorebook by itself has nobody in it; import the card.")
        return draft.done()
    data = card.data
    if "char_name" in data:
        data = {ours: data.get(theirs) for theirs, ours in _PYGMALION.items()}
    name = text_of(data.get("name"))
    draft = Draft(FORMAT, locator, name or stem, card.raw)
    draft.picture = card.picture
    kept = card.extensions.get("seidra")
    ours = kept if isinstance(kept, dict) and kept.get("schema") == SCHEMA else None
    persona = ours.get("persona") if ours is not None else None
    known: Mapping[str, Any] = persona if isinstance(persona, dict) else {}
    draft.name(name, stem)
    notes = text_of(data.get("creator_notes"))
    about = text_of(data.get("description"))
    if known or not folding.is_blank(notes):
        draft.description(notes)
    else:
        draft.description(folding.cut_text(about, _LOOKS))
    draft.fields["tags"] = _tags(data.get("tags"), draft)
    if not draft.fields["tags"]:
        del draft.fields["tags"]
    _take_prompts(draft, card, known, name, about)
    for field in ("loras", "generation_params", "is_favorite", "is_nsfw"):
        if field in known:
            draft.fields[field] = known[field]
    about_it = {key: data.get(key) for key in ("creator", "character_version", "nickname")}
    draft.keep({k: v for k, v in about_it.items() if isinstance(v, str) and len(v) <= 500})
    done = draft.done()
    if ours is None:
        return done
    uid, more = ours.get("uid"), ours.get("extensions")
    return replace(
        done,
        uid=uid if isinstance(uid, str) else None,
        extensions=more if isinstance(more, dict) else {},
    )


def _take_prompts(
    draft: Draft, card: _Card, known: Mapping[str, Any], name: str, about: str
) -> None:
    """The prompts of a card, from the surest place that has them."""
    prompt = card.extensions.get("sd_character_prompt")
    if isinstance(prompt, dict):
        style, negative = (text_of(prompt.get(key)) for key in ("positive", "negative"))
        if not (folding.is_blank(style) and folding.is_blank(negative)):
            draft.prompts(style, negative)
            return
    if known:
        draft.prompts(text_of(known.get("style_prompt")), text_of(known.get("negative_prompt")))
        return
    if card.picture is not None and card.format == PNG:
        made = pictures.generation_in(read_carried(card.picture), card.picture)
        if made is not None and not folding.is_blank(made.prompt):
            pictures.fill_draft(draft, made)
            return
    looks = folding.cut_text(re.sub(r"\{\{char\}\}", lambda _: name, about), _LOOKS).strip()
    draft.prompts(looks, "")
    if looks:
        detail = (
            "The card says how somebody talks, and not how they look: the beginning of its"
            " description stands in as the style prompt."
        )
        draft.remark("no_prompt", detail, "style_prompt")


def _tags(value: Any, draft: Draft) -> list[str]:
    """The tags of a card, as many and as long as a persona's may be."""
    found: dict[str, str] = {}
    for tag in value if isinstance(value, list) else []:
        line = " ".join(tag.split()) if isinstance(tag, str) else ""
        if not folding.is_blank(line):
            short = folding.cut_text(line, MAX_TAG).strip()
            found.setdefault(folding.fold(short), short)
            if short != line:
                draft.remark("tag_shortened", f"The tag {short!r} was longer.", "tags")
    if len(found) > _MAX_TAGS:
        detail = f"It has {len(found)} tags; the first {_MAX_TAGS} stay."
        draft.remark("too_many_tags", detail, "tags")
    return list(found.values())[:_MAX_TAGS]


# ------------------------------------------------------------------------------------------ writing


def card_json(persona: GivenPersona) -> bytes:
    """The card of a persona, as JSON of V2, or of V3 where it came as one."""
    original = _original(persona)
    if original is not None and not _edited(persona, original):
        return original.raw.encode()
    return _dump(_card_of(persona, original))


def card_png(persona: GivenPersona) -> bytes:
    """The card of a persona in its picture: readable by SillyTavern and whoever else reads cards,
    and by whoever reads A1111's parameters or InvokeAI's."""
    card = _card_of(persona, _original(persona))
    three = card | {"spec": "chara_card_v3", "spec_version": "3.0"}
    if card.get("spec") == "chara_card_v3":
        card = card | {"spec": "chara_card_v2", "spec_version": "2.0"}
    three["data"] = {"group_only_greetings": [], **three["data"]}
    texts = {
        "chara": base64.b64encode(_dump(card)).decode(),
        "ccv3": base64.b64encode(_dump(three)).decode(),
        "parameters": infotext_text(persona),
        "invokeai_metadata": json.dumps(_invoke(persona), ensure_ascii=False),
    }
    return with_texts(card_picture(persona), texts)


def card_charx(persona: GivenPersona) -> bytes:
    """An archive with the card of a persona and its picture."""
    card = _card_of(persona, _original(persona))
    card |= {"spec": "chara_card_v3", "spec_version": "3.0"}
    path = "assets/icon/images/main.png"
    icon = {"type": "icon", "uri": f"embeded://{path}", "name": "main", "ext": "png"}
    card["data"] = {"group_only_greetings": [], **card["data"], "assets": [icon]}
    return archives.pack({"card.json": _dump(card), path: card_picture(persona)})


@dataclass(slots=True)
class CardWriter:
    """Writes a card for each persona, in one of the three forms."""

    FORMAT: str
    ending: str
    mime_type: str
    make: Callable[[GivenPersona], bytes]

    def write(self, personas: Sequence[GivenPersona], /) -> list[WrittenFile]:
        """A file for each persona, called by its name."""
        names = file_names([text(persona.fields, "name") for persona in personas], self.ending)
        return [
            WrittenFile(name, self.mime_type, self.make(persona))
            for name, persona in zip(names, personas, strict=True)
        ]

    def lost(self, persona: GivenPersona, /) -> list[Remark]:
        """What a card does not carry: everything that SEIDRA has stands in it, but a picture in
        JSON, and the other files of the archive that it came in."""
        return lost(persona, self.FORMAT)


WRITERS = (
    CardWriter(PNG, ".png", "image/png", card_png),
    CardWriter(JSON, ".json", "application/json", card_json),
    CardWriter(CHARX, ".charx", "application/zip", card_charx),
)


def lost(persona: GivenPersona, target: str) -> list[Remark]:
    """What a card in one of the forms does not carry of a persona."""
    remarks = []
    if target == JSON and persona.picture is not None:
        remarks.append(Remark("not_carried", "Card JSON: no place for its picture.", "picture"))
    if target in (PNG, CHARX):
        if persona.picture is None:
            detail = "It has no picture: a plain one is drawn."
            remarks.append(Remark("picture_drawn", detail, "picture"))
        elif type_of(persona.picture) != "image/png":
            detail = "Its picture is no PNG: it is encoded anew, without loss."
            remarks.append(Remark("picture_encoded", detail, "picture"))
    original = _original(persona)
    assets = original.data.get("assets") if original is not None else None
    if isinstance(assets, list):
        others = [
            asset
            for asset in assets
            if isinstance(asset, dict) and _ASSET.match(text_of(asset.get("uri")))
        ]
        if len(others) > 1 and target == CHARX:
            detail = "The other files of the archive that it came in were not kept."
            remarks.append(Remark("not_carried", detail, "assets"))
    return remarks


def infotext_text(persona: GivenPersona) -> str:
    """A persona as A1111 writes a picture's parameters, with a tag for each LoRA."""
    prompt, tags = take_tags(fill(with_tags(persona), ""))
    negative = fill(text(persona.fields, "negative_prompt"), "")
    info = infotext_of(persona)
    told = {one.name for one in info.loras}
    more = [
        Lora(tag["name"], tag.get("weight", 1.0), tag.get("clip_weight"))
        for tag in tags
        if tag["name"] not in told and tag.get("weight") != 0
    ]
    return infotext.write(
        replace(info, prompt=prompt, negative_prompt=negative, loras=(*info.loras, *more))
    )


def _invoke(persona: GivenPersona) -> dict[str, Any]:
    """What InvokeAI recalls; models and LoRAs it only knows by keys of its own."""
    info = infotext_of(persona)
    params = persona.fields.get("generation_params") or {}
    values = {
        "positive_prompt": take_tags(fill(text(persona.fields, "style_prompt"), ""))[0],
        "negative_prompt": text(persona.fields, "negative_prompt"),
        "width": info.size[0] if info.size else None,
        "height": info.size[1] if info.size else None,
        "seed": info.seed,
        "steps": info.steps,
        "cfg_scale": info.guidance_scale,
        "scheduler": params.get("scheduler"),
    }
    return {key: value for key, value in values.items() if value is not None}


def _dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")


def _original(persona: GivenPersona) -> _Card | None:
    """The card that a persona came as."""
    source = persona.source
    if source is None or source.format != FORMAT or source.original is None:
        return None
    raw = source.original.decode(errors="replace")
    try:
        return _Card(_object(raw), raw, JSON)
    except Invalid:
        return None


def _edited(persona: GivenPersona, original: _Card) -> set[str]:
    """The fields in which a persona differs from the card that it came as. What the card's picture
    said counts as the card's."""
    found = _entry(original, persona.source.entry if persona.source else "")
    fields = dict(found.fields)
    if any(remark.code == "no_prompt" for remark in found.remarks) and "loras" not in fields:
        # The prompt came out of the picture then, or out of the description.
        made = _of_picture(persona)
        if made is not None:
            fields |= made
    edited = changed(persona, replace(found, fields=fields))
    if _folded(persona.fields.get("tags")) != _folded(fields.get("tags")):
        edited.add("tags")
    if bool(persona.fields.get("is_nsfw")) != bool(fields.get("is_nsfw")):
        edited.add("is_nsfw")
    return edited


def _of_picture(persona: GivenPersona) -> dict[str, Any] | None:
    """The fields that a persona's picture says, where its style is the picture's."""
    if persona.picture is None or type_of(persona.picture) != "image/png":
        return None
    try:
        made = pictures.generation_in(read_carried(persona.picture), persona.picture)
    except Invalid:
        return None
    if made is None or made.prompt != text(persona.fields, "style_prompt"):
        return None
    draft = Draft(FORMAT, "", "", "")
    pictures.fill_draft(draft, made)
    return draft.fields


def _folded(tags: Any) -> list[str]:
    return sorted(folding.fold(tag) for tag in tags or ())


def _card_of(persona: GivenPersona, original: _Card | None) -> dict[str, Any]:
    """The whole card of a persona: what was edited is laid over the one that it came as."""
    fields = persona.fields
    edited = set(_OURS) if original is None else _edited(persona, original)
    value: dict[str, Any] = {} if original is None else json.loads(json.dumps(original.value))
    base = _blank() if original is None else _data_of(value)
    if "name" in edited:
        base["name"] = text(fields, "name")
    if "description" in edited:
        base["creator_notes"] = text(fields, "description")
    if "tags" in edited:
        base["tags"] = list(fields.get("tags") or ())
    extensions = base.get("extensions")
    extensions = dict(extensions) if isinstance(extensions, dict) else {}
    if edited & {"style_prompt", "negative_prompt"} or "sd_character_prompt" in extensions:
        old = extensions.get("sd_character_prompt")
        extensions["sd_character_prompt"] = {
            **(old if isinstance(old, dict) else {}),
            "positive": text(fields, "style_prompt"),
            "negative": text(fields, "negative_prompt"),
        }
    extensions["seidra"] = _seidra(persona)
    base["extensions"] = extensions
    spec = value.get("spec")
    if not (isinstance(spec, str) and spec.startswith("chara_card") and "data" in value):
        value |= {"spec": "chara_card_v2", "spec_version": "2.0"}
    # Some readers look at what V1 has at the top, and at nothing else.
    doubles = {key: base[key] for key in (*_V1, "tags") if key in base}
    return {**value, **doubles, "data": base}


def _data_of(value: dict[str, Any]) -> dict[str, Any]:
    """The data of a card of any age as V2 has it."""
    data = value.get("data")
    if isinstance(data, dict):
        return data
    if "char_name" in value:
        return _blank() | {ours: text_of(value.get(key)) for key, ours in _PYGMALION.items()}
    return _blank() | {key: part for key, part in value.items() if key in (*_V1, *_V2, "tags")}


def _blank() -> dict[str, Any]:
    """The data of a card that says nothing: V2 wants all of it."""
    texts = dict.fromkeys((*_V1, *_V2), "")
    return {**texts, "alternate_greetings": [], "tags": [], "extensions": {}}


def _seidra(persona: GivenPersona) -> dict[str, Any]:
    source = persona.source
    told = (
        {
            "format": source.format,
            "tool": source.tool,
            "file": source.file,
            "entry": source.entry,
        }
        if source is not None
        else None
    )
    return {
        "schema": SCHEMA,
        "uid": persona.uid,
        "revision": persona.revision,
        "persona": {key: persona.fields[key] for key in _OURS if key in persona.fields},
        "source": told,
        "extensions": dict(persona.extensions),
    }
