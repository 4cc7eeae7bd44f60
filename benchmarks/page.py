"""What the studio's page costs in Chromium: bytes, requests, times, script a frame, memory.

The budgets of `tests/browser` measure by these functions too. A `context` and a `page` are
Playwright's.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from benchmarks import servers
from seidra.database.sqlite.connect import open_connection
from seidra.folding import sort_key

PERSONAS = 10_000
"""So many has the account whose grid is measured."""

FORM, CARD = "input[name=password]", ".card"
"""What is waited for: the form of a door, the first card of the grid."""

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_ROUNDS = 5
_ACCOUNT = {"username": "page", "email": "page@example.com", "password": "moss-and-amber-42"}

# Notes, in the page itself, when what is waited for is there, and each shift of the layout.
_WATCH = """
globalThis.watched = { shift: 0, seen: {} };
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) watched.shift += entry.value;
}).observe({ type: "layout-shift", buffered: true });
const look = () => {
  for (const wanted of SELECTORS) {
    const found = wanted in watched.seen ? null : document.querySelector(wanted);
    if (found?.checkVisibility()) watched.seen[wanted] = performance.now();
  }
};
new MutationObserver(look).observe(document, { childList: true, subtree: true, attributes: true });
"""

# Scrolls by so many pixels a frame; resolves to the number of frames.
_SCROLL = """([step, frames]) => new Promise((done) => {
  let left = frames;
  const next = () => {
    if (!left-- || scrollY + innerHeight >= document.documentElement.scrollHeight - 1) {
      return done(frames - left - 1);
    }
    scrollBy(0, step);
    requestAnimationFrame(next);
  };
  requestAnimationFrame(next);
})"""

# Goes to a share of the height; resolves to the milliseconds until a card stands in the middle.
_JUMP = """(share) => new Promise((done) => {
  const began = performance.now();
  scrollTo(0, document.documentElement.scrollHeight * share);
  const look = () => {
    const found = document.elementsFromPoint(innerWidth / 2 + 60, innerHeight / 2);
    if (found.some((each) => each.closest(".card"))) done(performance.now() - began);
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
})"""


class FirstView(NamedTuple):
    """What opening a page cost, with nothing of it in the browser's cache."""

    milliseconds: float
    requests: int
    """without pictures"""
    sent_bytes: int
    """as they went over the wire, without pictures"""
    shift: float
    """of the layout, as Web Vitals count it"""


class Scrolling(NamedTuple):
    """What a grid cost that was scrolled from its beginning to its end."""

    script_ms: float
    """processor time of script a frame, at a reader's pace"""
    nodes: int
    """elements at the end"""
    heap_mb: float
    """of script, after a collection"""
    jump_ms: float
    """until a card stands where one jumped to: the median of several places"""


def first_view(browser: Any, origin: str, path: str, wanted: str, state: Any = None) -> FirstView:
    """Open a page in a new context, with the stored `state` of another one."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 860}, locale="en-GB", storage_state=state
    )
    try:
        context.add_init_script(_WATCH.replace("SELECTORS", f"[{wanted!r}]"))
        page = context.new_page()
        session = context.new_cdp_session(page)
        session.send("Network.enable")
        kinds: dict[str, str] = {}
        sizes: dict[str, int] = {}

        def begin(event: dict[str, Any]) -> None:
            kinds[event["requestId"]] = event.get("type", "Other")

        def end(event: dict[str, Any]) -> None:
            sizes[event["requestId"]] = event["encodedDataLength"]

        session.on("Network.requestWillBeSent", begin)
        session.on("Network.loadingFinished", end)
        page.goto(origin + path)
        # What still comes belongs to the view: lists, chips, the stream. Only then is it asked:
        # that compiles a script of Playwright in the page, which makes what is measured later.
        page.wait_for_timeout(1500)
        page.wait_for_function("wanted => watched.seen[wanted]", arg=wanted)
        seen = page.evaluate("watched")
        counted = [name for name, kind in kinds.items() if kind != "Image"]
        return FirstView(
            seen["seen"][wanted],
            len(counted),
            sum(sizes.get(name, 0) for name in counted),
            seen["shift"],
        )
    finally:
        context.close()


def first_views(browser: Any, origin: str, path: str, wanted: str, state: Any = None) -> FirstView:
    """Five of them: the median of each figure, of the requests and the shift the largest."""
    views = [first_view(browser, origin, path, wanted, state) for _ in range(_ROUNDS)]
    return FirstView(
        statistics.median(view.milliseconds for view in views),
        max(view.requests for view in views),
        round(statistics.median(view.sent_bytes for view in views)),
        max(view.shift for view in views),
    )


def scroll_through(context: Any, page: Any) -> Scrolling:
    """Scroll the grid of `page`, which is open at its beginning, to its end."""
    session = context.new_cdp_session(page)
    # The processor's time, not what other programs take meanwhile.
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def metrics() -> dict[str, float]:
        found = session.send("Performance.getMetrics")["metrics"]
        return {each["name"]: each["value"] for each in found}

    paces = []
    for _ in range(3):
        before = metrics()["ScriptDuration"]
        frames = page.evaluate(_SCROLL, [120, 150])
        paces.append((metrics()["ScriptDuration"] - before) * 1000 / frames)
    jumps = [page.evaluate(_JUMP, share) for share in (0.9, 0.35, 0.7, 0.15, 0.55)]
    page.evaluate("scrollTo(0, 0)")
    page.evaluate(_SCROLL, [1500, 100_000])
    page.wait_for_timeout(500)
    session.send("HeapProfiler.collectGarbage")
    return Scrolling(
        min(paces),
        page.evaluate("document.querySelectorAll('*').length"),
        metrics()["JSHeapUsedSize"] / 1e6,
        statistics.median(jumps),
    )


def fill(database: Path, count: int) -> None:
    """Give the owner of the first persona so many like it, under other names."""
    connection = open_connection(database)
    try:
        (row,) = connection.execute("SELECT * FROM personas ORDER BY id LIMIT 1").fetchall()
        first = dict(zip(row.keys(), row, strict=True))
        del first["id"]
        rows = [
            first
            | {"name": f"Persona {number}", "name_key": sort_key(f"Persona {number}")}
            | {"uid": str(uuid.uuid4())}
            for number in range(count - 1)
        ]
        names = ", ".join(first)
        values = ", ".join(f":{name}" for name in first)
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(f"INSERT INTO personas ({names}) VALUES ({values})", rows)
        connection.execute("COMMIT")
    finally:
        connection.close()


@contextmanager
def chromium() -> Iterator[Any]:
    """Chromium, driven by Playwright, or None where there is none of them."""
    found = shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        found = None
    if found is None:
        yield None
        return
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


def figures() -> dict[str, float]:
    """The page on loopback, before an account of 10,000 personas; {} without Chromium."""
    with chromium() as browser:
        if browser is None:
            print("(the page is left out: chromium is not installed)", end=" ", flush=True)
            return {}
        with tempfile.TemporaryDirectory() as folder, servers.alone(Path(folder)) as server:
            origin = f"http://127.0.0.1:{server.port}"
            body = orjson.dumps(_ACCOUNT)
            made = orjson.loads(server.post("/api/auth/register", "", body, 201))
            look = {"name": "First", "style_prompt": "moonlit wood", "tags": ["wood"]}
            server.post("/api/personas", made["access_token"], orjson.dumps(look), 201)
            fill(Path(folder) / "seidra.db", PERSONAS)
            form = first_views(browser, origin, "/login", FORM)
            context = browser.new_context(viewport={"width": 1280, "height": 860}, locale="en-GB")
            page = context.new_page()
            log_in(page, origin, _ACCOUNT)
            scrolled = scroll_through(context, page)
            grid = first_views(browser, origin, "/personas", CARD, context.storage_state())
            context.close()
    return {
        "page_form_ms": round(form.milliseconds),
        "page_grid_ms": round(grid.milliseconds),
        "page_form_requests": form.requests,
        "page_grid_requests": grid.requests,
        "page_form_kb": round(form.sent_bytes / 1000, 1),
        "page_grid_kb": round(grid.sent_bytes / 1000, 1),
        "page_shift": round(max(form.shift, grid.shift), 4),
        "page_script_ms_per_frame": round(scrolled.script_ms, 2),
        "page_nodes": scrolled.nodes,
        "page_heap_mb": round(scrolled.heap_mb, 1),
        "page_jump_ms": round(scrolled.jump_ms),
    }


def log_in(page: Any, origin: str, account: dict[str, str]) -> None:
    """Come in through the form; ends at the grid."""
    page.goto(f"{origin}/login")
    page.fill("input[name=username]", account["username"])
    page.fill("input[name=password]", account["password"])
    page.click("button[type=submit]")
    page.wait_for_selector(CARD)
