"""What the page may cost; beyond it is a failure. `benchmarks/page.py` measures, and says what.

What script costs is the processor's time. Times of the clock are the median of several rounds, and
the best of three such tries counts. On a machine whose processors others hold meanwhile, which a
loop of known work tells, no clock can say what the page costs: what is beyond is told and skipped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest
from conftest import PASSWORD
from played import browser, preview_card
from test_start import GUNICORN, Server

from benchmarks import page as measure

T = TypeVar("T")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with an account of 10,000 personas."""
    folder = tmp_path_factory.mktemp("large")
    with Server(folder, *GUNICORN) as running:
        running.ready().register()
        look = {"name": "First", "style_prompt": "moonlit wood", "tags": ["wood"]}
        running.json("POST", "/api/personas", look, 201)
        measure.fill(folder / "instance" / "seidra.db", measure.PERSONAS)
        yield running


@pytest.fixture(scope="module")
def grid(browser: Any, large: Server) -> Iterator[tuple[Any, Any]]:
    """A context that is logged in, and its page at the beginning of the grid."""
    context = browser.new_context(viewport={"width": 1280, "height": 860}, locale="en-GB")
    page = context.new_page()
    account = {"username": "alice", "password": PASSWORD}
    measure.log_in(page, f"http://127.0.0.1:{large.port}", account)
    yield context, page
    context.close()


def slowdown() -> float:
    """How many times longer work takes here than the processor works on it: 1 where nobody else is
    at work."""
    began, worked = time.perf_counter(), time.thread_time()
    while time.thread_time() - worked < 0.1:
        pass
    return (time.perf_counter() - began) / (time.thread_time() - worked)


def best(once: Callable[[], T], cost: Callable[[T], float]) -> tuple[T, bool]:
    """The cheapest of three tries, or the first that costs 1 or less; and whether the machine was
    quiet at one of them."""
    tries: list[T] = []
    quiet = False
    for _ in range(3):
        before = slowdown()
        tries.append(once())
        quiet = quiet or max(before, slowdown()) < 1.3
        if cost(tries[-1]) <= 1:
            break
    return min(tries, key=cost), quiet


def hold_time(took: float, within: float, *, quiet: bool) -> None:
    """Fail for milliseconds beyond the budget; skip where others held the processors throughout."""
    if took > within and not quiet:
        pytest.skip(f"{took:.0f} ms instead of {within}, on a machine that others keep busy")
    assert took <= within


def test_the_form_stands_in_400_ms(browser: Any, large: Server) -> None:
    origin = f"http://127.0.0.1:{large.port}"
    found, quiet = best(
        lambda: measure.first_views(browser, origin, "/login", measure.FORM),
        lambda view: view.milliseconds / 400,
    )
    assert found.requests <= 20
    assert found.shift <= 0.02
    hold_time(found.milliseconds, 400, quiet=quiet)


def test_the_grid_of_ten_thousand_stands_in_1200_ms(
    browser: Any, large: Server, grid: tuple[Any, Any]
) -> None:
    origin = f"http://127.0.0.1:{large.port}"
    state = grid[0].storage_state()
    found, quiet = best(
        lambda: measure.first_views(browser, origin, "/personas", measure.CARD, state),
        lambda view: view.milliseconds / 1200,
    )
    assert found.requests <= 20
    assert found.shift <= 0.02
    hold_time(found.milliseconds, 1200, quiet=quiet)


def test_scrolling_through_ten_thousand_is_light(grid: tuple[Any, Any]) -> None:
    context, page = grid

    def once() -> measure.Scrolling:
        page.evaluate("scrollTo(0, 0)")
        page.wait_for_selector("[aria-posinset='1'] .card")
        return measure.scroll_through(context, page)

    found, quiet = best(once, lambda cost: cost.jump_ms / 500)
    assert found.script_ms <= 8
    assert found.nodes <= 1500
    assert found.heap_mb <= 30
    # It was the whole grid, and there was something to measure.
    assert page.locator(f"[aria-posinset='{measure.PERSONAS}']").count() == 1
    assert found.script_ms > 0.01
    assert found.heap_mb > 1
    hold_time(found.jump_ms, 500, quiet=quiet)


def test_pictures_shift_nothing(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    with Server(tmp_path_factory.mktemp("server"), *GUNICORN) as running:
        running.ready().register()
        job = running.preview()
        running.picture(job)
        context = browser.new_context(viewport={"width": 1280, "height": 860}, locale="en-GB")
        origin = f"http://127.0.0.1:{running.port}"
        measure.log_in(context.new_page(), origin, {"username": "alice", "password": PASSWORD})
        state = context.storage_state()
        context.close()
        views = {
            path: measure.first_view(browser, origin, path, wanted, state)
            for path, wanted in (
                ("/personas", ".card img"),
                ("/gallery", ".shot img"),
                ("/personas/1", ".strip img"),
                ("/jobs", ".job img"),
                ("/create", ".create"),
                ("/settings", ".columns"),
            )
        }
    assert {path: view.shift for path, view in views.items() if view.shift > 0.02} == {}
    assert {path: view.requests for path, view in views.items() if view.requests > 20} == {}
