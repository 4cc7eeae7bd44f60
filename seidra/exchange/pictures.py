"""Pictures with generation data: a persona of one, and the metadata of an upload.

Read are PNG, JPEG and WebP as A1111, Forge, SD.Next, SwarmUI, ComfyUI, Fooocus, RuinedFooocus,
InvokeAI, NovelAI, Draw Things, Easy Diffusion and SEIDRA write them, and what is hidden in the last
bits of their pixels. Where each has it is said in formats.md, A7.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import Any

from seidra.engines import infotext
from seidra.errors import Invalid
from seidra.exchange import comfy, documents
from seidra.exchange.carried import MAKER_NOTE, USER_COMMENT, Carried, hidden_text, read_carried
from seidra.exchange.drafts import Draft, model_name, parameters_of, shortened
from seidra.exchange.found import FoundFile, IncomingFile, Remark
from seidra.exchange.generation import (
    Generation,
    fold_key,
    from_mapping,
    literal,
    lora,
    loras_of,
    size_of,
    text_value,
)
from seidra.folding import cut_text, is_blank
from seidra.media.chunks import type_of
from seidra.prompts import MAX_COMPOSED, MAX_NEGATIVE_PROMPT, LoraEntry, join_loras, take_tags

FORMAT = "picture"

_NAME = 60
"""Characters of a prompt that call a persona."""

_MAX_MORE = 16 * 1024
"""Characters of what has no field that are kept beside it; all of it is in the picture."""

_MODEL_TAG, _MAKE_TAG = 0x0110, 0x010F
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_XMP_COMMENT = re.compile(r"<exif:UserComment\b")
_XMP_LIST = ("<rdf:Alt", "<rdf:li")
_WEIGHT = re.compile(r"-?[0-9.]+")
_LABELLED_LORA = re.compile(r"LoRA \[(.+)\] weight")
_RUINED_LORA = re.compile(r"\s*(-?[0-9.]+)\s*-")
_BRACKETS = re.compile(r"\[([^\[\]]*)\]")
_DREAM = re.compile(r'"((?:\\.|[^"\\])*)"\s*(.*)', re.DOTALL)
_DREAM_SWITCH = re.compile(r"-(\w)\s*([^\s-]\S*)")
_DREAM_WORDS = {
    "s": "num_inference_steps",
    "S": "seed",
    "W": "width",
    "H": "height",
    "C": "guidance_scale",
    "A": "sampler",
}


def recognise(file: IncomingFile) -> bool:
    """Whether a file is a picture of a type that is read; a card is one too, and asked first."""
    return type_of(file.data) is not None


def read(file: IncomingFile) -> FoundFile:
    """The persona of a picture. Raises Invalid for what is no whole picture."""
    carried = read_carried(file.data)
    made = generation_in(carried, file.data)
    stem = file.stem
    draft = Draft(FORMAT, file.name, stem, made.raw if made else "")
    draft.picture = file.data
    for remark in carried.remarks:
        draft.remark(remark.code, remark.detail, remark.field)
    if made is None:
        draft.name(stem, "Picture")
        draft.fail("no_generation_data", "Nothing in the picture says how it was made.")
    else:
        draft.name(name_of(made) or stem, "Picture")
        fill_draft(draft, made)
    tool = made.tool if made else ""
    return FoundFile(FORMAT, tool, [draft.done()])


def name_of(made: Generation) -> str:
    """What a persona is called by its prompt: "" where there is none."""
    words = " ".join(take_tags(made.prompt)[0].split())
    return "" if is_blank(words) else cut_text(words, _NAME).strip(" ,.")


def fill_draft(draft: Draft, made: Generation) -> None:
    """What was found, as fields of a persona."""
    draft.prompts(made.prompt, made.negative_prompt)
    told = {entry["name"] for entry in take_tags(made.prompt)[1]}
    draft.loras(entry for entry in made.loras if entry["name"] not in told)
    draft.parameters({**made.parameters, "model_name": _model_of(made)})
    for remark in made.remarks:
        draft.remark(remark.code, remark.detail, remark.field)
    if len(repr(made.more)) <= _MAX_MORE:
        draft.keep({"tool": made.tool, "more": made.more})
    else:
        draft.keep({"tool": made.tool})
        kept = ", ".join(shortened(key) for key in list(made.more)[:10])
        detail = f"It says more than is kept beside the persona: {kept}. The picture has it all."
        draft.remark("more_not_kept", detail)


def _model_of(made: Generation) -> str:
    model = made.parameters.get("model_name")
    return model_name(model) if isinstance(model, str) else ""


def metadata_of(data: bytes) -> dict[str, Any]:
    """The metadata that a picture of one's own has in the form of those that SEIDRA makes, with
    `tool`, and `remarks` of what was not understood. Raises Invalid for what is no whole
    picture."""
    carried = read_carried(data)
    made = generation_in(carried, data)
    draft = Draft(FORMAT, "", "", "")
    for remark in carried.remarks:
        draft.remark(remark.code, remark.detail)
    metadata: dict[str, Any] = {"prompt": "", "negative_prompt": "", "seed": None}
    if made is not None:
        fill_draft(draft, made)
    found = draft.done()
    params = dict(found.fields.get("generation_params", {}))
    tags: list[LoraEntry] = []
    for field, limit in (("prompt", MAX_COMPOSED), ("negative_prompt", MAX_NEGATIVE_PROMPT)):
        text = getattr(made, field) if made is not None else ""
        if len(text) > limit:
            draft.remark(
                "prompt_too_long", f"Has {len(text):,} characters, and is left out.", field
            )
            continue
        text, entries = take_tags(_UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text))
        metadata[field] = text
        tags += entries
    metadata |= {
        "seed": params.get("seed"),
        "parameters": params,
        "loras": _storable(join_loras(found.fields.get("loras", []), tags)),
        "model": params.get("model_name"),
    }
    if made is not None:
        metadata["tool"] = made.tool
    remarks = draft.done().remarks
    skipped = ("no_prompt", "contains_wildcards")
    if told := [_shown(remark) for remark in remarks if remark.code not in skipped]:
        metadata["remarks"] = told[:20]
    return metadata


def _storable(loras: list[LoraEntry]) -> list[LoraEntry]:
    return [lora for lora in loras if not _UNSTORABLE.search(lora["name"])][:50]


def _shown(remark: Remark) -> dict[str, str]:
    detail = _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", remark.detail)
    return {"code": remark.code, "field": remark.field, "detail": detail}


# --------------------------------------------------------------------------- where a picture has it


def generation_in(carried: Carried, data: bytes) -> Generation | None:
    """What a picture says of how it was made; None for nothing. What is hidden in its pixels counts
    where nothing stands in the open."""
    for find in _FINDERS:
        made = find(carried)
        if made is not None:
            return made
    hidden = hidden_text(data)
    if not hidden:
        return None
    values = _json(hidden)
    if isinstance(values, dict) and "Comment" in values:
        texts = {key: value for key, value in values.items() if isinstance(value, str)}
        return _novelai(Carried(carried.mime_type, texts))
    return from_text(hidden, sure=True)


def _parameters(carried: Carried) -> Generation | None:
    """A1111's place, which most programs use."""
    if text := carried.text("parameters"):
        return from_text(text, sure=True)
    return None


def _user_comment(carried: Carried) -> Generation | None:
    """The same of JPEG and WebP; the text of a camera's software is none."""
    for tag in (USER_COMMENT, _MODEL_TAG):
        if made := from_text(carried.exif.get(tag, ""), sure=MAKER_NOTE in carried.exif):
            return made
    return None


def _invoke(carried: Carried) -> Generation | None:
    if raw := carried.text("invokeai_metadata"):
        values = _json(raw)
        return _invoke_metadata(values, raw) if isinstance(values, dict) else None
    if raw := carried.text("sd-metadata"):
        values = _json(raw)
        image = values.get("image") if isinstance(values, dict) else None
        if isinstance(values, dict) and isinstance(image, dict):
            prompt = image.get("prompt")
            if isinstance(prompt, list):
                prompt = " ".join(
                    text_value(part.get("prompt")) for part in prompt if isinstance(part, dict)
                )
            model = values.get("model_weights")
            words = {**image, "model": model, "prompt": ""}
            return _old_invoke(text_value(prompt), words, raw)
    if raw := carried.text("Dream"):
        found = _DREAM.match(raw)
        if found:
            words = {_DREAM_WORDS.get(key, key): v for key, v in _DREAM_SWITCH.findall(found[2])}
            return _old_invoke(found[1].replace('\\"', '"'), words, raw)
    return None


def _old_invoke(prompt: str, values: dict[str, Any], raw: str) -> Generation:
    """InvokeAI 1 and 2, whose prompts hold the negative one in brackets."""
    made = from_mapping("InvokeAI", raw, values)
    # In turns what stands between the brackets and in them.
    *parts, last = _BRACKETS.split(prompt)
    made.negative_prompt = ", ".join(parts[1::2])
    made.prompt = "".join([*(part.rstrip() for part in parts[::2]), last])
    return made


def _novelai(carried: Carried) -> Generation | None:
    raw = carried.text("Comment")
    if "NovelAI" not in carried.text("Software") and '"uc"' not in raw:
        return None
    values = _json(raw)
    if not isinstance(values, dict):
        return None
    made = from_mapping("NovelAI", raw, values)
    prompt, negative = (_captions(values.get(key)) for key in ("v4_prompt", "v4_negative_prompt"))
    made.prompt = prompt or made.prompt or carried.text("Description")
    made.negative_prompt = negative or made.negative_prompt
    source = carried.text("Source")
    if source:
        made.parameters.setdefault("model_name", source)
    return made


def _captions(value: Any) -> str:
    """The prompt of NovelAI 4: what the picture shows, and each person in it."""
    caption = value.get("caption") if isinstance(value, dict) else None
    if not isinstance(caption, dict):
        return ""
    people = caption.get("char_captions")
    texts = [text_value(caption.get("base_caption"))]
    for person in people if isinstance(people, list) else []:
        if isinstance(person, dict):
            texts.append(text_value(person.get("char_caption")))
    return " | ".join(text for text in texts if text)


def _comfy(carried: Carried) -> Generation | None:
    """Of a PNG, or of the EXIF of a WebP, whose texts begin with their keywords."""
    raw = carried.text("prompt")
    workflow = carried.text("workflow")
    for text in carried.exif.values():
        raw = raw or text.removeprefix("prompt:") * text.startswith("prompt:")
        workflow = workflow or text.removeprefix("workflow:") * text.startswith("workflow:")
    values = _json(raw)
    if comfy.is_graph(values):
        return comfy.read_graph(values, raw)
    if workflow and _json(workflow) is not None:
        made = Generation("ComfyUI", workflow)
        detail = "It has a workflow of ComfyUI as the page draws it, from which nothing is read."
        made.remarks.append(Remark("workflow_not_understood", detail))
        return made
    return None


def _comment(carried: Carried) -> Generation | None:
    """Early Fooocus: JSON in a comment, of PNG or JPEG. Other programs leave their names there."""
    for text in (carried.text("Comment"), *carried.comments):
        if text.lstrip().startswith("{") and (made := from_text(text)):
            return made
    return None


def _easy_diffusion(carried: Carried) -> Generation | None:
    texts = {fold_key(key): key for key in carried.texts}
    if "prompt" not in texts or not {"seed", "steps", "numinferencesteps"} & texts.keys():
        return None
    raw = "\n".join(f"{key}: {text}" for key, text in carried.texts.items())
    return from_mapping("Easy Diffusion", raw, carried.texts, _SAMPLER_ALONE)


def _draw_things(carried: Carried) -> Generation | None:
    """XMP, of which no more than the one text is read, without a parser of XML."""
    return from_text(_xmp_comment(carried.xmp))


def _xmp_comment(xmp: str) -> str:
    """The text of the comment, of the list's first one where it is a list; "" for none."""
    found = _XMP_COMMENT.search(xmp)
    start = xmp.find(">", found.end()) + 1 if found else 0
    for tag in _XMP_LIST:
        behind = start + len(xmp[start:]) - len(xmp[start:].lstrip())
        if start and xmp.startswith(tag, behind):
            start = xmp.find(">", behind) + 1
    end = xmp.find("<", start)
    if not start or end < 0:
        return ""
    text = xmp[start:end].strip()
    try:
        return html.unescape(text)
    except ValueError:
        return text  # A character's number of thousands of digits.


_FINDERS: tuple[Callable[[Carried], Generation | None], ...] = (
    _parameters,
    _invoke,
    _novelai,
    _comfy,
    _user_comment,
    _draw_things,
    _easy_diffusion,
    _comment,
)


# ------------------------------------------------------------------------------------ what it says


def from_text(text: str, *, sure: bool = False) -> Generation | None:
    """What a text says: A1111's, or the JSON of another program. `sure`: by where it stands it is
    such a text, and else only one that has parameters."""
    text = text.strip("\0")
    if is_blank(text):
        return None
    values = _json(text)
    if isinstance(values, dict):
        made = _from_json(values, text)
        if made is None and sure:
            made = Generation("", text, more={"keys": [shortened(key) for key in values][:50]})
            detail = "It has data of a program that is not known."
            made.remarks.append(Remark("not_understood", detail))
        return made
    reading = infotext.read_whole(text)
    if not (sure or reading.has_parameters):
        return None
    info = reading.info
    made = Generation(_infotext_tool(text, info), text, reading.prompt, info.negative_prompt)
    made.parameters = {k: v for k, v in parameters_of(info).items() if v not in (None, "")}
    made.loras = loras_of(lora(one.name, one.weight, one.clip_weight) for one in info.loras)
    made.more = dict(info.more)
    return made


def _infotext_tool(text: str, info: infotext.Infotext) -> str:
    version = info.more.get("Version", "")
    if "Fooocus" in version:
        return "Fooocus"
    if "SDCPP" in info.more or "stable-diffusion.cpp" in version:
        return "stable-diffusion.cpp"
    if info.more.get("App") == "SD.Next":
        return "SD.Next"
    if any(key.startswith("Civitai") for key in info.more):
        return "Civitai"
    if re.search(r"(^|, )App: SEIDRA$", text):
        return "SEIDRA"
    return "Forge" if version.startswith("f") else "A1111"


def _json(text: str) -> Any:
    """The value of a JSON text; None for what is none."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return documents.parse(text).value
    except Invalid:
        return None


def _from_json(values: dict[str, Any], raw: str) -> Generation | None:
    """What an object says, by the keys that tell whose it is."""
    keys = {fold_key(key) for key in values}
    if isinstance(values.get("sui_image_params"), dict):
        return _swarm(values, raw)
    if comfy.is_graph(values):
        return comfy.read_graph(values, raw)
    if "basemodelname" in keys or text_value(values.get("software")) == "RuinedFooocus":
        return _ruined_fooocus(values, raw)
    if "basemodel" in keys and "prompt" in keys:
        return _fooocus(values, raw)
    if "positive_prompt" in values:
        return _invoke_metadata(values, raw)
    if "c" in values and ("uc" in values or "sampler" in values):
        return _draw_things_json(values, raw)
    if "prompt" in values and "uc" in values:
        return from_mapping("NovelAI", raw, values)
    if "prompt" in values and keys & {"numinferencesteps", "usestablediffusionmodel"}:
        return from_mapping("Easy Diffusion", raw, values, _SAMPLER_ALONE)
    return None


_SAMPLER_ALONE = {"scheduler": "sampler"}
"""Of programs whose scheduler is the sampler and all."""


def _swarm(values: dict[str, Any], raw: str) -> Generation:
    params = values["sui_image_params"]
    made = from_mapping("SwarmUI", raw, params, {"cfgscale": "guidance_scale"})
    names, weights = (_texts(params.get(key)) for key in ("loras", "loraweights"))
    weights += ["1"] * (len(names) - len(weights))
    made.loras = loras_of(map(lora, names, weights))
    for key in ("loras", "loraweights"):
        made.more.pop(key, None)
    made.more |= {key: value for key, value in values.items() if key != "sui_image_params"}
    return made


def _texts(value: Any) -> list[Any]:
    """A list, or the parts of a text with commas."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return list(value) if isinstance(value, list) else []


def _fooocus(values: dict[str, Any], raw: str) -> Generation:
    """Of 2.2 on by keys, of early ones by labels."""
    made = from_mapping("Fooocus", raw, values)
    found = []
    loras = values.get("loras")
    if isinstance(loras, str):
        loras = literal(loras, made)
    for entry in loras if isinstance(loras, (list, tuple)) else []:
        if isinstance(entry, (list, tuple)) and len(entry) >= 2:
            found.append(lora(entry[0], entry[1]))
    for key, value in values.items():
        pair = _old_lora(value) if isinstance(value, str) else None
        named = _LABELLED_LORA.fullmatch(key)
        if pair and fold_key(key).startswith("lora"):
            found.append(lora(*pair))
        elif named:
            found.append(lora(named[1], value))
    made.loras = loras_of({each["name"]: each for each in found if each}.values())
    styles = values.get("styles")
    parsed = literal(styles, made) if isinstance(styles, str) else styles
    if isinstance(parsed, list) and parsed:
        made.more["styles"] = parsed
        detail = "Styles of Fooocus are named, and not written out: their texts are Fooocus's own."
        made.remarks.append(Remark("styles_not_applied", detail, "style_prompt"))
    return made


def _old_lora(text: str) -> tuple[str, str] | None:
    """Name and weight of "a name: 0.5"; None for what is no such text."""
    name, _, weight = (part.strip() for part in text.rpartition(":"))
    return (name, weight) if name and _WEIGHT.fullmatch(weight) else None


def _ruined_fooocus(values: dict[str, Any], raw: str) -> Generation:
    made = from_mapping("RuinedFooocus", raw, values)
    found = []
    for entry in _texts(values.get("loras")):
        parts = entry if isinstance(entry, list) else [entry]
        for part in parts:
            pair = _RUINED_LORA.match(part) if isinstance(part, str) else None
            if pair is not None:
                found.append(lora(part[pair.end() :].strip(), pair[1]))
    made.loras = loras_of(found)
    return made


def _invoke_metadata(values: dict[str, Any], raw: str) -> Generation:
    made = from_mapping("InvokeAI", raw, values, _SAMPLER_ALONE)
    model = values.get("model")
    if isinstance(model, dict):
        made.parameters["model_name"] = text_value(model.get("name") or model.get("model_name"))
    guidance = values.get("guidance")
    if isinstance(guidance, (int, float)) and not isinstance(guidance, bool):
        # Flux: beside it the CFG scale is 1.
        made.parameters["guidance_scale"] = guidance
    loras = values.get("loras")
    for entry in loras if isinstance(loras, list) else []:
        if isinstance(entry, dict):
            of = entry.get("model", entry.get("lora"))
            name = of.get("name") or of.get("model_name") if isinstance(of, dict) else None
            made.loras += loras_of([lora(name, entry.get("weight"))])
    return made


def _draw_things_json(values: dict[str, Any], raw: str) -> Generation:
    made = from_mapping("Draw Things", raw, values, {"c": "prompt", "uc": "negative_prompt"})
    for entry in _texts(values.get("lora")):
        if isinstance(entry, dict):
            made.loras += loras_of([lora(entry.get("model"), entry.get("weight"))])
    size = size_of(values.get("size"))
    if size:
        made.parameters |= {"width": size[0], "height": size[1]}
    return made
