"""The border to what renders: how engines are made, and how a render is ended from outside."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from seidra import create_app, engines, parsers
from seidra.config import Settings, setting, variables_of
from seidra.engines.base import (
    Engine,
    RenderCancelled,
    RenderContext,
    RenderDetached,
    RenderedImage,
    RenderRequest,
)
from seidra.errors import StartError


@dataclass(kw_only=True, eq=False)
class Easel(Engine):
    """An engine with settings."""

    kind = "easel"
    at_once: int = setting(parsers.integer(1, 9), 2, "How many it paints at a time.")
    url: str | None = setting(parsers.public_url, None, "Where it stands.")

    def render(self, request: RenderRequest, context: RenderContext) -> list[RenderedImage]:
        raise NotImplementedError


@pytest.fixture
def easel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "KINDS", {**engines.KINDS, "easel": (__name__, "Easel")})


def selected(**variables: str) -> Any:
    """The engine that an environment selects."""
    return engines.make_selected(Settings.load({"SEIDRA_ENGINE": "easel", **variables}))


# ----------------------------------------------------------------------------------- how it is made


@pytest.mark.parametrize("kind", engines.KINDS)
def test_every_kind_can_be_made_and_says_its_name(kind: str) -> None:
    engine = engines.make(kind, "studio")
    assert (engine.kind, engine.name) == (kind, "studio")
    for variable, field in variables_of(type(engine)).items():
        assert field.metadata["doc"].endswith("."), variable


@pytest.mark.usefixtures("easel")
def test_an_engine_has_the_settings_that_it_declares() -> None:
    assert (selected().name, selected().at_once, selected().url) == ("easel", 2, None)
    engine = selected(SEIDRA_EASEL_AT_ONCE="3", SEIDRA_EASEL_URL="http://10.0.0.5:8188/")
    assert (engine.at_once, engine.url) == (3, "http://10.0.0.5:8188")


@pytest.mark.usefixtures("easel")
def test_a_bad_setting_of_the_engine_stops_the_start_and_names_the_variable(
    settings: Settings,
) -> None:
    rule = "^SEIDRA_EASEL_AT_ONCE must be a whole number from 1 to 9.$"
    with pytest.raises(StartError, match=rule):
        selected(SEIDRA_EASEL_AT_ONCE="0")
    url = f"sqlite:////{settings.database_path}"
    variables = {"SEIDRA_DATABASE_URL": url, "SEIDRA_EASEL_AT_ONCE": "many"}
    with pytest.raises(StartError, match=rule):
        create_app(Settings.load({"SEIDRA_ENGINE": "easel", **variables}))


@pytest.mark.usefixtures("easel")
def test_a_misspelt_setting_of_the_engine_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        selected(SEIDRA_EASEL_AT_ONE="3")
    assert "SEIDRA_EASEL_AT_ONE is unknown and has no effect; did you mean" in caplog.text
    assert "SEIDRA_EASEL_AT_ONCE?" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        selected(SEIDRA_EASEL_AT_ONCE="3")
        assert caplog.text == ""
        Settings.load({"SEIDRA_EASEL_AT_ONCE": "3"})
    assert "SEIDRA_EASEL_AT_ONCE is unknown" in caplog.text


@pytest.mark.usefixtures("easel")
def test_what_an_engine_is_told_is_no_part_of_how_the_settings_read() -> None:
    loaded = Settings.load({"SEIDRA_ENGINE": "easel", "SEIDRA_EASEL_URL": "http://a:hunter2@b"})
    assert "hunter2" not in repr(loaded)


def test_an_unknown_kind_names_those_that_there_are() -> None:
    with pytest.raises(
        StartError, match=r"^SEIDRA_ENGINE names no engine: 'abacus'; there is .*\bmock\b"
    ):
        engines.make("abacus", "abacus")


# ---------------------------------------------------------------------------------- how it is ended


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
    assert not context.over
    end(context)
    context.on_cancel(lambda: heard.append("late"))
    assert context.over
    assert heard == told
    for call in (lambda: context.report(0.5), lambda: context.wait(60), context.raise_if_over):
        with pytest.raises(raised):
            call()
    # What comes first is what counts.
    context.detach()
    context.cancel()
    assert heard == told
    with pytest.raises(raised):
        context.raise_if_over()
