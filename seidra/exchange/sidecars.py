"""What stands beside the file of a LoRA: `.civitai.info` of Civitai Helper, and A1111's own JSON
(formats.md, A10). A persona with that LoRA comes of it: its weight, its trigger words, and what it
asks to avoid. Nothing is fetched."""

from __future__ import annotations

from typing import Any

from seidra.exchange.documents import Document, Part
from seidra.exchange.drafts import Draft, model_name, number_of, text_of, text_of_html
from seidra.exchange.found import FoundFile, FoundPersona, IncomingFile

FORMAT = "sidecar"

_LORAS = frozenset({"lora", "locon", "dora", "lycoris"})
_CIVITAI = "Civitai"


_MAX_MARKUP = 32_000
"""Characters of a description in HTML; broken markup makes its parser look again and again."""


def recognise(file: IncomingFile) -> bool:
    """Whether it has the keys of either."""
    return file.document is not None and (_is_civitai(file.document) or _is_a1111(file.document))


def _is_civitai(document: Document) -> bool:
    value = document.value
    return isinstance(value, dict) and "modelId" in value and {"trainedWords", "files"} <= {*value}


def _is_a1111(document: Document) -> bool:
    value = document.value
    if not isinstance(value, dict):
        return False
    return "activation text" in value or {"preferred weight", "sd version"} <= value.keys()


def read(file: IncomingFile) -> FoundFile:
    """The persona of a LoRA, which has the name of the file that it stands beside."""
    document = file.json
    part = Part(None, document.value, document.raw, document.odd)
    stem = model_name(file.stem.removesuffix(".civitai"))
    if _is_civitai(document):
        return FoundFile(FORMAT, _CIVITAI, [_civitai(part, file.name, stem)])
    return FoundFile(FORMAT, "A1111", [_a1111(part, file.name, stem)])


def _civitai(part: Part, locator: str, stem: str) -> FoundPersona:
    info = part.value if isinstance(part.value, dict) else {}
    model = info.get("model")
    model = model if isinstance(model, dict) else {}
    draft = Draft(FORMAT, locator, stem, part.raw)
    draft.odd_numbers(part)
    title = text_of(model.get("name"))
    version = text_of(info.get("name"))
    draft.name(f"{title} {version}".strip() if title else stem, stem)
    words = info.get("trainedWords")
    words = [word for word in words if isinstance(word, str)] if isinstance(words, list) else []
    draft.prompts(", ".join(words), "", alone=True)
    kind = text_of(model.get("type"))
    if kind.casefold() in _LORAS or not kind:
        draft.loras([{"name": stem, "weight": 1.0}])
    elif kind.casefold() == "checkpoint":
        draft.parameters({"model_name": stem})
    else:
        detail = f"It is about a {kind}, of which only the trigger words are taken."
        draft.remark("kind_unknown", detail)
    markup = text_of(info.get("description"))
    if len(markup) > _MAX_MARKUP:
        detail = f"It has {len(markup):,} characters of HTML; the first {_MAX_MARKUP:,} are read."
        draft.remark("description_shortened", detail, "description")
    draft.description(text_of_html(markup[:_MAX_MARKUP]))
    if model.get("nsfw") is True:
        draft.fields["is_nsfw"] = True
    draft.keep({key: info.get(key) for key in ("id", "modelId", "baseModel", "downloadUrl")})
    draft.keep({"hashes": _hashes(info.get("files"))})
    return draft.done()


def _hashes(files: Any) -> dict[str, Any]:
    """The hashes of the first file, by which the LoRA can be found again."""
    first = files[0] if isinstance(files, list) and files else None
    hashes = first.get("hashes") if isinstance(first, dict) else None
    return hashes if isinstance(hashes, dict) else {}


def _a1111(part: Part, locator: str, stem: str) -> FoundPersona:
    notes = part.value if isinstance(part.value, dict) else {}
    draft = Draft(FORMAT, locator, stem, part.raw)
    draft.odd_numbers(part)
    draft.name(stem, "LoRA")
    draft.prompts(
        text_of(notes.get("activation text")), text_of(notes.get("negative text")), alone=True
    )
    # 0 is its word for the weight that the settings say.
    draft.loras([{"name": stem, "weight": number_of(notes.get("preferred weight")) or 1.0}])
    texts = (text_of(notes.get("description")), text_of(notes.get("notes")))
    draft.description("\n".join(text for text in texts if text))
    known = {"activation text", "preferred weight", "negative text", "description", "notes"}
    draft.keep({key: value for key, value in notes.items() if key not in known})
    return draft.done()
