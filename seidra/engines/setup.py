"""Which engines there are: the operator's word, from a TOML file or from three settings for one.

```toml
default = "studio"                  # or "auto": the least busy of those that can
mock = true                         # false: no drawn pictures beside the real ones

[engines.studio]
kind = "comfyui"
url = "http://10.0.0.5:8188"
key_file = "/run/secrets/comfy"     # token_file means the same
at_once = 1                         # jobs at a time, over all processes
workflow = "sdxl.json"              # one's own graph, in API format, beside this file
inputs = {prompt = ["6.text"], seed = ["3.seed"]}

[engines.studio.models.sdxl-base]   # our name, and the engine's
file = "sd_xl_base_1.0.safetensors"
family = "sdxl"
```

Errors are whole sentences that name the file, the engine and the rule. None shows a URL or a key:
the one may hold a password, and the other is one.
"""

from __future__ import annotations

import difflib
import errno
import json
import os
import re
import stat
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from seidra.engines.base import Options
from seidra.engines.findings import FAMILIES
from seidra.errors import StartError

MOCK, AUTO = "mock", "auto"
REMOTE = ("comfyui", "sdapi", "openai")
"""The kinds that are called at a URL."""
KINDS = (*REMOTE, "diffusers", MOCK)
DIALECTS: Mapping[str, Sequence[str]] = {
    "openai": ("openai", "localai"),
    "sdapi": ("a1111", "forge", "sdnext", "sdcpp"),
}
NO_TURNS = frozenset({MOCK, "openai"})
"""The kinds for which loading another model costs nothing."""

ENGINES, ENGINE, URL, KEY_FILE = (
    "SEIDRA_ENGINES",
    "SEIDRA_ENGINE",
    "SEIDRA_ENGINE_URL",
    "SEIDRA_ENGINE_KEY_FILE",
)
_DRAWN_AT_ONCE = 2
"""How many pictures `mock` draws at a time: as many as the server processes of the defaults."""
_MAX_FILE = 1 << 20
_MAX_KEY = 4096
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,49}")
_TOP_KEYS = ("default", "mock", "engines")
_ENGINE_KEYS = (
    *("kind", "title", "url", "key_file", "token_file", "at_once", "turn_s", "timeout_s"),
    *("dialect", "default_model", "models", "loras", "workflow", "inputs", "extra"),
)
_MODEL_KEYS = ("file", "family", "title", "diffusion_model", "text_encoders", "vae")
_LORA_KEYS = ("file", "family", "title", "weight", "trigger")


class FileRead(NamedTuple):
    """A file's bytes, and its permissions as `stat` has them."""

    data: bytes
    mode: int


ReadFile = Callable[[Path], FileRead]
"""Reads a file whole. Raises OSError."""


class Configured(NamedTuple):
    """An engine as the operator set it up: its kind, and how."""

    kind: str
    options: Options


@dataclass(frozen=True, slots=True)
class Setup:
    """Every engine by its name, the one that is the default (or "auto"), and sentences for the
    operator."""

    engines: Mapping[str, Configured]
    default: str
    warnings: Sequence[str] = field(default=())


def read_file(path: Path) -> FileRead:
    """Read a file of the operator's, of a MiB at most. Raises OSError."""
    with path.open("rb") as file:
        data = file.read(_MAX_FILE + 1)
        if len(data) > _MAX_FILE:
            raise OSError(errno.EFBIG, "it has more than a MiB")
        return FileRead(data, os.fstat(file.fileno()).st_mode)


def read_engines(values: Mapping[str, str], read: ReadFile = read_file) -> Setup:
    """The engines that the settings name: SEIDRA_ENGINES, or SEIDRA_ENGINE with SEIDRA_ENGINE_URL
    and SEIDRA_ENGINE_KEY_FILE; none of them: `mock`. Raises StartError."""
    given = {
        name: values[name].strip() for name in (ENGINES, ENGINE, URL, KEY_FILE) if name in values
    }
    given = {name: text for name, text in given.items() if text}
    if ENGINES not in given:
        return _read_one(given, read)
    others = [name for name in (ENGINE, URL, KEY_FILE) if name in given]
    if others:
        raise StartError(
            f"{ENGINES} and {others[0]} are both set; the file says everything: unset the other."
        )
    path = _path(given[ENGINES], Path.cwd(), ENGINES)
    return _read_text(_text(ENGINES, path, read), path, read)


# --------------------------------------------------------------------------------- one, by settings


def _read_one(given: Mapping[str, str], read: ReadFile) -> Setup:
    kind = given.get(ENGINE, MOCK)
    if kind not in KINDS:
        raise StartError(f"{ENGINE} names no kind of engine: {_unknown(kind, KINDS)}.")
    if kind not in REMOTE:
        for name in (URL, KEY_FILE):
            if name in given:
                raise StartError(f"{name} is set, but {kind!r} ({ENGINE}) is not called at a URL.")
        options = _options(kind)
        return Setup({kind: Configured(kind, options), **_mock_beside(kind)}, kind)
    if URL not in given:
        raise StartError(f"{URL} must be set: {kind!r} ({ENGINE}) is called there.")
    warnings: list[str] = []
    url = _url(given[URL], URL)
    key = _key(given[KEY_FILE], Path.cwd(), KEY_FILE, read, warnings) if KEY_FILE in given else ""
    options = _options(kind, url=url, key=key)
    return Setup({kind: Configured(kind, options), **_mock_beside(kind)}, kind, tuple(warnings))


def _options(kind: str, **more: Any) -> Options:
    at_once = _DRAWN_AT_ONCE if kind == MOCK else 1
    return Options(**{"turn_s": 0 if kind in NO_TURNS else 60, "at_once": at_once, **more})


def _mock_beside(kind: str) -> dict[str, Configured]:
    return {} if kind == MOCK else {MOCK: Configured(MOCK, _options(MOCK))}


# ------------------------------------------------------------------------------- several, by a file


def _read_text(text: str, path: Path, read: ReadFile) -> Setup:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # Its message tells a place and a rule, and a name where one stands there twice.
        raise StartError(f"{ENGINES}: {path} is not TOML: {error}.") from None
    _check_keys(document, _TOP_KEYS, f"{ENGINES}: {path}")
    tables = document.get("engines", {})
    if not isinstance(tables, dict) or not all(isinstance(of, dict) for of in tables.values()):
        raise StartError(f"{ENGINES}: {path}: engines must be tables, such as [engines.studio].")
    warnings: list[str] = []
    engines: dict[str, Configured] = {}
    folded: dict[str, str] = {}
    for name, table in tables.items():
        section = _Section(name, table, path, read, warnings)
        _check_name(section, folded.setdefault(name.casefold(), name))
        engines[name] = _read_engine(section)
    if _switch(document, path) and MOCK not in engines:
        engines[MOCK] = Configured(MOCK, _options(MOCK))
    if not engines:
        raise StartError(f"{ENGINES}: {path} names no engine, and switches mock off.")
    return Setup(engines, _default(document, engines, path), tuple(warnings))


def _switch(document: Mapping[str, Any], path: Path) -> bool:
    mock = document.get("mock", True)
    if not isinstance(mock, bool):
        raise StartError(f"{ENGINES}: {path}: mock must be true or false.")
    return mock


def _default(document: Mapping[str, Any], engines: Mapping[str, Configured], path: Path) -> str:
    default = document.get("default")
    if default is None:
        real = [name for name, engine in engines.items() if engine.kind != MOCK]
        if len(real) > 1:
            raise StartError(
                f"{ENGINES}: {path}: default must name one of the engines, or be {AUTO!r}:"
                f" {', '.join(real)}."
            )
        return (real or list(engines))[0]
    if default != AUTO and (not isinstance(default, str) or default not in engines):
        hint = _unknown(str(default), [*engines, AUTO])
        raise StartError(f"{ENGINES}: {path}: default names no engine: {hint}.")
    return str(default)


class _Section:
    """The table of one engine, and how its errors begin."""

    def __init__(
        self, name: str, table: Mapping[str, Any], path: Path, read: ReadFile, warnings: list[str]
    ) -> None:
        self.name = name
        self.table = table
        self.path = path
        self.read = read
        self.warnings = warnings
        self.where = f"{ENGINES}: {path}: engine {name!r}"

    def error(self, rule: str) -> StartError:
        return StartError(f"{self.where}: {rule}.")

    def text(self, key: str, default: str = "") -> str:
        """A text of one line that is not blank; `default` where the key is not there."""
        if key not in self.table:
            return default
        value = self.table[key]
        if not isinstance(value, str) or not value.strip() or not value.isprintable():
            raise self.error(f"{key} must be a text of one line")
        return value.strip()

    def whole(self, key: str, low: int, high: int, default: int) -> int:
        value = self.table.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.error(f"{key} must be a whole number from {low} to {high}")
        return value

    def tables(self, key: str, known: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """A map of tables with these keys; a text in place of a table is its `file`."""
        value = self.table.get(key, {})
        if not isinstance(value, dict):
            raise self.error(f"{key} must be a table of tables")
        found: dict[str, Mapping[str, Any]] = {}
        for name, entry in value.items():
            if isinstance(entry, str):
                entry = {"file": entry}
            if not isinstance(entry, dict) or not 1 <= len(name) <= 200:
                raise self.error(f"{key}.{name[:50]} must be a table, such as {{file = ...}}")
            where = f"{self.where}: {key}.{name}"
            _check_keys(entry, known, where)
            _check_entry(entry, where)
            found[name] = entry
        return found


def _check_name(section: _Section, first: str) -> None:
    name, kind = section.name, section.table.get("kind")
    if not _NAME.fullmatch(name):
        raise section.error("a name has 1 to 50 letters, digits and . _ -, a letter or digit first")
    if first != name:
        raise section.error(f"there is {first!r} already, and case makes no difference")
    if name.casefold() == AUTO:
        raise section.error(
            f"no engine may be called {AUTO!r}, which stands for the least busy one"
        )
    if name.casefold() == MOCK and kind != MOCK:
        raise section.error(f"no engine but one of the kind {MOCK!r} may be called so")


def _read_engine(section: _Section) -> Configured:
    _check_keys(section.table, _ENGINE_KEYS, section.where)
    kind = section.text("kind")
    if kind not in KINDS:
        rule = _unknown(kind, KINDS) if kind else f"there is {', '.join(KINDS)}"
        raise section.error(f"kind must be one of the known: {rule}")
    workflow = _workflow(section, kind)
    options = Options(
        url=_url_of(section, kind),
        key=_key_of(section, kind),
        at_once=section.whole("at_once", 1, 64, 1),
        turn_s=section.whole("turn_s", 0, 3600, 0 if kind in NO_TURNS else 60),
        timeout_s=section.whole("timeout_s", 10, 86_400, 1800),
        dialect=_dialect(section, kind),
        default_model=section.text("default_model"),
        models=section.tables("models", _MODEL_KEYS),
        loras=section.tables("loras", _LORA_KEYS),
        workflow=workflow,
        inputs=_inputs(section, workflow),
        extra=_extra(section),
    )
    return Configured(kind, options)


def _url_of(section: _Section, kind: str) -> str:
    url = section.text("url")
    if kind not in REMOTE:
        if url:
            raise section.error(f"{kind!r} is not called at a url")
        return ""
    if not url:
        raise section.error(f"url must be there: {kind!r} is called at one")
    return _url(url, f"{section.where}: url")


def _key_of(section: _Section, kind: str) -> str:
    named = [key for key in ("key_file", "token_file") if key in section.table]
    if len(named) > 1:
        raise section.error("key_file and token_file mean the same; leave one out")
    if not named:
        return ""
    if kind not in REMOTE:
        raise section.error(f"{kind!r} takes no key")
    where = f"{section.where}: {named[0]}"
    return _key(section.text(named[0]), section.path.parent, where, section.read, section.warnings)


def _dialect(section: _Section, kind: str) -> str:
    dialect, known = section.text("dialect"), DIALECTS.get(kind, ())
    if dialect and dialect not in known:
        rule = _unknown(dialect, known) if known else f"{kind!r} has none"
        raise section.error(f"dialect must be one of its kind's: {rule}")
    return dialect


def _workflow(section: _Section, kind: str) -> dict[str, Any] | None:
    """One's own graph: {node: {class_type, inputs}}."""
    if "workflow" not in section.table:
        return None
    if kind != "comfyui":
        raise section.error("only a 'comfyui' takes a workflow")
    path = _path(section.text("workflow"), section.path.parent, f"{section.where}: workflow")
    try:
        graph = json.loads(_text(f"{section.where}: workflow", path, section.read))
    except (ValueError, RecursionError):
        raise section.error(f"workflow: {path} is not JSON") from None
    nodes = graph.values() if isinstance(graph, dict) else ()
    if not nodes or not all(isinstance(node, dict) and "class_type" in node for node in nodes):
        raise section.error(
            f"workflow: {path} is not in API format; in ComfyUI it is exported with 'Export (API)'"
        )
    return dict(graph)


def _inputs(section: _Section, workflow: Mapping[str, Any] | None) -> dict[str, Sequence[str]]:
    """Where the workflow takes what: {"seed": ["3.seed"]}, each a node and one of its inputs."""
    value = section.table.get("inputs", {})
    if not isinstance(value, dict):
        raise section.error('inputs must be a table, such as {prompt = ["6.text"]}')
    if value and workflow is None:
        raise section.error("inputs say where a workflow takes what, and there is no workflow")
    found: dict[str, Sequence[str]] = {}
    for name, places in value.items():
        places = [places] if isinstance(places, str) else places
        if not isinstance(places, list) or not places:
            raise section.error(f'inputs.{name} must list places, such as ["6.text"]')
        for place in places:
            node = place.rpartition(".")[0] if isinstance(place, str) else ""
            if node not in (workflow or {}):
                raise section.error(f"inputs.{name}: the workflow has no node for {place!r}")
        found[name] = tuple(places)
    return found


def _extra(section: _Section) -> dict[str, Any]:
    """What only its kind knows, and the title."""
    extra = section.table.get("extra", {})
    if not isinstance(extra, dict):
        raise section.error("extra must be a table")
    title = section.text("title")
    return {**extra, "title": title} if title else dict(extra)


# ------------------------------------------------------------------------------------------- parts


def _check_keys(table: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for key in table:
        if key not in known:
            raise StartError(f"{where}: there is no setting {_unknown(key, known)}.")


def _check_entry(entry: Mapping[str, Any], where: str) -> None:
    """The map of one model or LoRA."""
    for key, value in entry.items():
        if key == "weight":
            good = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not good or not -10 <= value <= 10 or value == 0:
                raise StartError(f"{where}: weight must be a number from -10 to 10, and not 0.")
        elif key == "text_encoders":
            if not isinstance(value, list) or not all(isinstance(of, str) and of for of in value):
                raise StartError(f"{where}: text_encoders must list files.")
        elif not isinstance(value, str) or not value:
            raise StartError(f"{where}: {key} must be a text.")
    if entry.get("family", "sdxl") not in FAMILIES:
        raise StartError(f"{where}: family is no known one: {_unknown(entry['family'], FAMILIES)}.")
    if not {"file", "diffusion_model"} & entry.keys():
        raise StartError(f"{where}: file must say what the engine calls it.")


def _url(text: str, where: str) -> str:
    """An http(s) URL, its last slash cut off."""
    rule = f"{where} must be an http(s) URL without query, such as http://127.0.0.1:8188."
    try:
        parts = urlsplit(text)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise StartError(rule) from None
    if parts.username is not None or parts.password is not None:
        raise StartError(f"{where} must hold no name and password; give them in a key file.")
    if not valid or not re.fullmatch(r"[^\s?#\\]+", text) or not text.isprintable():
        raise StartError(rule)
    return text.rstrip("/")


def _key(text: str, folder: Path, where: str, read: ReadFile, warnings: list[str]) -> str:
    """The secret in a file: its only line."""
    path = _path(text, folder, where)
    try:
        data, mode = read(path)
    except OSError as error:
        raise StartError(f"{where}: {path} cannot be read: {error.strerror}.") from None
    try:
        key = data.decode().strip()
    except UnicodeDecodeError:
        key = ""
    if not 1 <= len(key) <= _MAX_KEY or not key.isprintable() or not key.isascii():
        raise StartError(f"{where}: {path} must hold the key, on one line of plain characters.")
    if stat.S_IMODE(mode) & 0o007:
        warnings.append(f"{where}: {path} can be read by everybody on this machine; chmod 600.")
    return key


def _path(text: str, folder: Path, where: str) -> Path:
    """A path, relative to `folder`."""
    try:
        return folder / Path(text).expanduser()
    except RuntimeError:
        raise StartError(f"{where} begins with the home of a user who does not exist.") from None


def _text(where: str, path: Path, read: ReadFile) -> str:
    try:
        return read(path).data.decode("utf-8-sig")
    except OSError as error:
        raise StartError(f"{where}: {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise StartError(f"{where}: {path} is not UTF-8.") from None


def _unknown(name: str, known: Iterable[str]) -> str:
    """A name that is none of the known ones, with the nearest of them, or all."""
    names = list(known)
    close = difflib.get_close_matches(name.casefold(), names, 1)
    hint = f"did you mean {close[0]!r}?" if close else f"there is {', '.join(names)}"
    return f"{name[:50]!r} ({hint})"
