"""The studio in Firefox, driven by WebDriver BiDi, which it speaks itself: from the first account
to the first picture, with no word of complaint on the console."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import PASSWORD, wait_for
from played import server
from test_start import Server
from websockets.sync.client import ClientConnection, connect

from soak.ports import free_port

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")

pytestmark = pytest.mark.skipif(
    FIREFOX is None, reason="firefox is not installed (apt-get install firefox-esr)"
)

# Until the selector finds something; rejects after a minute.
SEEN = """
const seen = async (selector) => {
  for (let tries = 0; tries < 600; tries++) {
    const found = document.querySelector(selector);
    if (found?.checkVisibility()) return found;
    await new Promise((go) => setTimeout(go, 100));
  }
  throw new Error(`${selector} is not seen`);
};
"""


class Firefox:
    """One window of Firefox, and what its console complained of."""

    def __init__(self, connection: ClientConnection) -> None:
        self._socket = connection
        self._commands = 0
        self.complaints: list[str] = []
        self.command("session.new", capabilities={})
        self.command("session.subscribe", events=["log.entryAdded"])
        tree = self.command("browsingContext.getTree")
        self._window = tree["contexts"][0]["context"]

    def command(self, method: str, **parameters: Any) -> Any:
        """Send a command; returns its result. Raises for an error."""
        self._commands += 1
        sent = {"id": self._commands, "method": method, "params": parameters}
        self._socket.send(json.dumps(sent))
        while True:
            heard = json.loads(self._socket.recv(timeout=120))
            if heard.get("method") == "log.entryAdded":
                entry = heard["params"]
                if entry["level"] in ("warn", "error"):
                    self.complaints.append(str(entry["text"]))
            elif heard.get("id") == self._commands:
                assert heard["type"] == "success", heard
                return heard["result"]

    def open(self, address: str) -> None:
        self.command("browsingContext.navigate", context=self._window, url=address, wait="complete")

    def run(self, script: str) -> Any:
        """Run an async function's body in the page, which may ask for `seen(selector)`; returns the
        text or number that it gives."""
        answer = self.command(
            "script.evaluate",
            expression=f"(async () => {{ {SEEN} {script} }})()",
            target={"context": self._window},
            awaitPromise=True,
        )
        assert answer["type"] == "success", answer
        return answer["result"].get("value")


@pytest.fixture
def firefox(tmp_path: Path) -> Iterator[Firefox]:
    """Firefox without a screen, with a profile of its own."""
    assert FIREFOX is not None
    port, profile = free_port(), tmp_path / "profile"
    profile.mkdir()
    arguments = ["--headless", "--no-remote", "--profile", str(profile)]
    process = subprocess.Popen(
        [FIREFOX, *arguments, "--remote-debugging-port", str(port), "about:blank"],
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def listening() -> bool:
        assert process.poll() is None, "firefox ended"
        with socket.socket() as found:
            return found.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_for(listening, 60)
        address = f"ws://127.0.0.1:{port}/session"
        with connect(address, max_size=None, proxy=None) as connection:
            yield Firefox(connection)
    finally:
        process.terminate()
        process.wait(60)


def test_firefox_goes_from_the_first_account_to_the_picture(
    firefox: Firefox, server: Server
) -> None:
    firefox.open(f"http://127.0.0.1:{server.port}/")
    decoded = firefox.run(
        """
        const put = async (name, text) => {
          const input = await seen(`input[name=${name}]`);
          input.value = text;
          input.dispatchEvent(new Event("input", { bubbles: true }));
        };
        await put("username", "alice");
        await put("email", "alice@example.com");
        await put("password", PASSWORD);
        (await seen("button[type=submit]")).click();
        (await seen(".card-play")).click();
        // While it is made its source changes, which ends a wait for the one before.
        for (let tries = 0; tries < 20; tries++) {
          const picture = await seen(".card img");
          if (await picture.decode().then(() => true, () => false)) return picture.naturalWidth;
        }
        throw new Error("the picture cannot be decoded");
        """.replace("PASSWORD", json.dumps(PASSWORD))
    )
    assert decoded > 200
    # The session outlives a reload, with the policy of a 304.
    firefox.open(f"http://127.0.0.1:{server.port}/gallery")
    place = firefox.run(
        """
        (await seen(".shot")).click();
        await seen(".lightbox[open] .facts");
        return location.pathname;
        """
    )
    assert place.startswith("/gallery/")
    assert firefox.complaints == []
