"""What plays in Chromium: the browser, a server of its own for each test, and a page that remembers
what the console complained of. Any error of the console, or breach of the policy, fails the test
that it happens in."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from conftest import PASSWORD
from test_start import GUNICORN, Server

from benchmarks.page import FLAGS as QUIET

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect
Axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe

FLAGS = [
    *QUIET,
    # Names that stand for this machine, so that a page comes from an address that is no loopback.
    "--host-resolver-rules=MAP *.lan 127.0.0.1",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, once for all tests of a module."""
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("chromium is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of its own, on an empty instance."""
    with Server(tmp_path_factory.mktemp("server"), *GUNICORN) as running:
        yield running.ready()


class Studio:
    """A page at a server: opens paths, and remembers what the console complained of, and what was
    asked of any other server. `origin` is where the page is opened where that is not the server."""

    def __init__(self, browser: Any, server: Server, origin: str = "", **options: Any) -> None:
        self.server = server
        self.origin = origin or f"http://127.0.0.1:{server.port}"
        self.complaints: list[str] = []
        self.allowed: list[str] = []
        shape = {"viewport": {"width": 1280, "height": 860}, "locale": "en-GB"}
        self.context = browser.new_context(**(shape | options))
        self.page = self.add_page()

    def add_page(self) -> Any:
        page = self.context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._see)
        return page

    def _hear(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.text} {message.location.get('url')}")

    def _see(self, request: Any) -> None:
        # What the studio needs is all on its server: it works where the network ends there.
        server = urlsplit(self.origin).netloc
        if request.url.startswith("http") and urlsplit(request.url).netloc != server:
            self.complaints.append(f"asked elsewhere: {request.url}")

    def check(self) -> None:
        """Raise for what the console complained of, but for what the test provoked."""
        left = [text for text in self.complaints if not any(word in text for word in self.allowed)]
        assert not left, left

    def open(self, path: str) -> Any:
        self.page.goto(self.origin + path)
        return self.page

    def login(self, name: str = "alice") -> Any:
        """Come in through the page, as an account that is there."""
        page = self.open("/login")
        page.fill("input[name=username]", name)
        page.fill("input[name=password]", PASSWORD)
        page.click("button[type=submit]")
        page.wait_for_selector(".card, .empty-state")
        return page

    def register(self, name: str = "alice") -> Any:
        """Make an account through the page; ends at the personas, with the example there."""
        page = self.open("/register")
        page.fill("input[name=email]", f"{name}@example.com")
        page.fill("input[name=username]", name)
        page.fill("input[name=password]", PASSWORD)
        page.click("button[type=submit]")
        page.wait_for_selector(".card")
        return page


@pytest.fixture
def studio(browser: Any, server: Server) -> Iterator[Studio]:
    """The page of an empty instance."""
    studio = Studio(browser, server, color_scheme="dark")
    yield studio
    studio.context.close()
    studio.check()


def preview_card(page: Any) -> None:
    """Preview the only persona, and wait until its picture is on the card."""
    page.click(".card-play")
    page.wait_for_selector(".card img")


def persona(number: int) -> dict[str, Any]:
    """A persona as a list answers it."""
    return {
        "id": number + 1_000_000,
        "name": f"Persona {number}",
        "tags": ["people"],
        "is_mine": True,
        "visibility": "private",
        "is_favorite": False,
        "is_nsfw": False,
        "cover": None,
        "version": 1,
    }


def findings(page: Any) -> list[str]:
    """What axe finds by WCAG 2.2 AA, in words."""
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
    results = Axe().run(page, options={"runOnly": {"type": "tag", "values": tags}})
    return [
        f"{rule['id']}: {node['target']} {node['failureSummary']}"
        for rule in results.response["violations"]
        for node in rule["nodes"]
    ]
