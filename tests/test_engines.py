"""The border to what renders: how engines are made, and how a render is ended from outside."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from seidra import create_app, engines
from seidra.config import Settings
from seidra.engines import setup
from seidra.engines.base import (
    Options,
    RenderCancelled,
    RenderContext,
    RenderDetached,
)
from seidra.engines.setup import REMOTE, Configured
from seidra.errors import StartError
from seidra.web.services import services_of

# --------------------------------------------------------------------------------- how it is made

URL = "http://127.0.0.1:9"


@pytest.mark.parametrize("kind", engines.KINDS)
def test_every_kind_can_be_made_and_says_its_name(kind: str) -> None:
    options = Options(url=URL if kind in REMOTE else "")
    engine = engines.make("studio", Configured(kind, options))
    assert (engine.kind, engine.name, engine.options) == (kind, "studio", options)


def test_every_kind_of_the_file_has_a_module() -> None:
    assert set(setup.KINDS) == set(engines.KINDS)
    with pytest.raises(StartError, match="'studio' is of the kind 'plain', which this"):
        engines.make("studio", Configured("plain", Options()))


def test_without_any_setting_there_is_the_mock(settings: Settings) -> None:
    found = engines.check_setup(settings)
    assert (list(found.engines), found.default) == (["mock"], "mock")


def test_a_real_engine_is_the_default_with_the_mock_beside_it(settings: Settings) -> None:
    chosen = dataclasses.replace(settings, engine="comfyui", engine_url=URL)
    found = engines.check_setup(chosen)
    assert (list(found.engines), found.default) == (["comfyui", "mock"], "comfyui")
    app = create_app(chosen)
    assert services_of(app).setup == found
    services_of(app).database.close()


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"engine": "comfi"}, "^SEIDRA_ENGINE names no kind of engine: 'comfi' "),
        ({"engine": "comfyui"}, "^SEIDRA_ENGINE_URL must be set"),
        ({"engine_url": URL}, "^SEIDRA_ENGINE_URL is set, but 'mock'"),
        ({"engines": "/nowhere.toml"}, "^SEIDRA_ENGINES: /nowhere.toml cannot be read"),
    ],
)
def test_a_wrong_engine_stops_the_start_in_one_sentence(
    settings: Settings, changes: dict[str, str], rule: str
) -> None:
    with pytest.raises(StartError, match=rule) as caught:
        create_app(dataclasses.replace(settings, **changes))
    assert "\n" not in caught.value.message


def test_a_wrong_workflow_in_the_file_stops_the_start(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "own.json").write_text(
        '{"6": {"class_type": "CLIPTextEncode", "inputs": {"text": ""}}}'
    )
    file = tmp_path / "engines.toml"
    file.write_text(
        f'[engines.a]\nkind = "comfyui"\nurl = "{URL}"\nworkflow = "own.json"\n'
        'inputs = {prompt = ["6.text"], colour = ["6.text"]}\n'
    )
    with pytest.raises(StartError, match="colour"):
        create_app(dataclasses.replace(settings, engines=str(file)))


def test_where_an_engine_is_called_is_no_part_of_how_the_settings_read() -> None:
    loaded = Settings.load({"SEIDRA_ENGINE": "sdapi", "SEIDRA_ENGINE_URL": "http://a:hunter2@b"})
    assert "hunter2" not in repr(loaded)


# --------------------------------------------------------------------------------- how it is ended


@pytest.mark.parametrize(
    ("end", "raised", "told"),
    [
        (RenderContext.cancel, RenderCancelled, ["early", "late"]),
        (RenderContext.detach, RenderDetached, []),
    ],
)
def test_a_cancelled_render_tells_the_server_and_one_that_is_left_does_not(
    end: Callable[[RenderContext], None], raised: type[Exception], told: list[str]
) -> None:
    context, heard = RenderContext(), list[str]()
    context.on_cancel(lambda: heard.append("early"))
    assert not context.cancelled
    end(context)
    context.on_cancel(lambda: heard.append("late"))
    assert context.cancelled is bool(told)
    assert heard == told
    for call in (lambda: context.report(0.5), lambda: context.wait(60), context.raise_if_ended):
        with pytest.raises(raised):
            call()
    # What comes first is what counts.
    context.detach()
    context.cancel()
    assert heard == told
    with pytest.raises(raised):
        context.raise_if_ended()
