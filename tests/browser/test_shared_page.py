"""The pages behind a link for outsiders, in a browser without script: what they show and how."""

from __future__ import annotations

import io
from typing import Any

import pytest
from conftest import PASSWORD
from PIL import Image
from played import browser, findings, server
from test_start import Server

KINDS = [(scheme, width) for scheme in ("dark", "light") for width in (390, 1280)]


def shared(running: Server, context: Any) -> dict[str, str]:
    """The paths of a shared picture, a shared collection, and of nothing."""
    origin = f"http://127.0.0.1:{running.port}"
    api = context.request
    account = {"username": "ada", "email": "ada@example.com", "password": PASSWORD}
    token = api.post(f"{origin}/api/auth/register", data=account).json()["access_token"]
    head = {"Authorization": f"Bearer {token}"}
    file = io.BytesIO()
    Image.linear_gradient("L").resize((900, 600)).save(file, "PNG")
    sent = {"name": "a.png", "mimeType": "image/png", "buffer": file.getvalue()}
    answer = api.post(f"{origin}/api/media", headers=head, multipart={"file": sent})
    item = answer.json()["id"]
    collections = f"{origin}/api/collections"
    made = api.post(collections, headers=head, data={"name": "Tides"}).json()["id"]
    api.post(f"{collections}/{made}/media", headers=head, data={"ids": [item]})
    one = api.post(f"{origin}/api/media/{item}/share", headers=head, data={"days": 1})
    grid = api.post(f"{collections}/{made}/share", headers=head, data={"days": 1})
    return {
        "Shared picture": origin + one.json()["url"],
        "Tides": origin + grid.json()["url"],
        "Nothing to see here": f"{origin}/s/nothing",
    }


def test_shared_pages_are_whole_without_script(browser: Any, server: Server) -> None:
    plain = browser.new_context()
    pages = shared(server, plain)
    plain.close()
    for scheme, width in KINDS:
        shape = {"width": width, "height": 800}
        context = browser.new_context(viewport=shape, color_scheme=scheme, locale="en-GB")
        page = context.new_page()
        refused: list[str] = []
        page.on("console", lambda said, refused=refused: refused.append(said.text))
        for title, address in pages.items():
            page.goto(address, wait_until="networkidle")
            assert page.locator("h1").inner_text().lower() == title.lower()
            wide = page.evaluate("() => document.documentElement.scrollWidth > window.innerWidth")
            assert not wide
            loaded = "() => [...document.images].every((image) => image.naturalWidth > 0)"
            assert page.evaluate(loaded)
            assert findings(page) == [], (title, scheme, width)
        assert not [text for text in refused if "404" not in text]
        context.close()
    assert len(pages) == len(set(pages.values()))


@pytest.mark.parametrize("language", ["fr-FR"])
def test_a_shared_page_speaks_french(browser: Any, server: Server, language: str) -> None:
    context = browser.new_context(locale=language, java_script_enabled=False)
    page = context.new_page()
    page.goto(shared(server, context)["Shared picture"])
    assert page.locator("html").get_attribute("lang") == "fr"
    assert page.get_by_role("link", name="Télécharger").is_visible()
    context.close()
