"""`make screenshots`: the pictures of the studio in docs/images, taken of a real server whose mock
engine draws."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from conftest import PASSWORD, wait_for  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402
from test_start import GUNICORN, Server  # noqa: E402

LOOKS = {
    "Lúthien Greenleaf": ("enchanted forest elf, fireflies, mossy trees", ["elf", "forest"]),
    "Saoirse Hollow": ("moonlit pine forest, stars, mist", ["forest", "night"]),
    "Idris Sablewood": ("portrait, profile, threads of hair, dusk", ["portrait"]),
    "Oriane Emberfall": ("desert at sunset, dunes, warm light", ["desert", "warm"]),
    "Mirelle Lioncourt": ("city at night, neon, rain", ["city", "neon"]),
    "Calla Winterbourne": ("planets, rings, deep space", ["space"]),
    "Brannagh Ashe": ("stormy ocean, waves, cold light", ["ocean"]),
    "Nerys Thorne": ("abstract waves of violet and gold", ["abstract"]),
}

STYLES = (
    "name,prompt,negative_prompt\n"
    'Film,"{prompt}, film grain, soft light",text\n'
    'Idris Sablewood,"portrait, profile, threads of hair, dawn",\n'
    'Noir,"{prompt}, black and white, rain",colour\n'
)
"""What is brought in: new looks, and one that is there already."""


def main() -> None:
    """Fill an instance, open its pages, and write what is seen."""
    found = shutil.which("chromium")
    assert found, "chromium is not installed"
    with (
        tempfile.TemporaryDirectory() as folder,
        Server(Path(folder), *GUNICORN) as server,
        sync_playwright() as driver,
    ):
        server.ready()
        server.register()
        for name, (style, tags) in LOOKS.items():
            body = {"name": name, "style_prompt": style, "tags": tags}
            persona = server.json("POST", "/api/personas", body, 201)
            server.json("POST", f"/api/personas/{persona['id']}/preview", {}, 202)
        wait_for(
            lambda: server.json("GET", "/api/jobs/stats")["by_status"]["completed"] == len(LOOKS),
            120,
        )
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        for theme, scheme in (("night", "dark"), ("dawn", "light")):
            page = browser.new_page(
                viewport={"width": 1280, "height": 860}, color_scheme=scheme, locale="en-GB"
            )
            address = f"http://127.0.0.1:{server.port}"
            page.goto(f"{address}/login")
            page.fill("input[name=username]", "alice")
            page.fill("input[name=password]", PASSWORD)
            page.click("button[type=submit]")
            page.wait_for_selector(".card img")
            page.mouse.move(0, 0)
            page.wait_for_timeout(1500)
            page.screenshot(
                path=str(ROOT / f"docs/images/studio-{theme}.jpg"), type="jpeg", quality=86
            )
            page.locator(".card-link").nth(7).click()
            page.wait_for_selector(".strip img")
            page.wait_for_timeout(500)
            if theme == "night":
                page.screenshot(
                    path=str(ROOT / "docs/images/studio-persona.jpg"), type="jpeg", quality=86
                )
                page.goto(f"{address}/transfer")
                page.get_by_label("Or paste a text").fill(STYLES)
                page.get_by_role("button", name="Show the plan").click()
                page.wait_for_selector(".entry")
                page.wait_for_timeout(500)
                page.screenshot(
                    path=str(ROOT / "docs/images/studio-transfer.jpg"), type="jpeg", quality=86
                )
        browser.close()


if __name__ == "__main__":
    main()
