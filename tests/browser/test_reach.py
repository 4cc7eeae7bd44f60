"""The studio for everybody: by keys alone, by touch, in large letters, on a small screen, without
motion."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import PASSWORD, wait_for
from played import Studio, browser, expect, preview_card, server, studio
from test_start import Server

FOCUSED = "selector => document.activeElement?.matches(selector) ?? false"
SHOWN = """() => {
  const focused = document.activeElement;
  const { outlineStyle, outlineWidth } = getComputedStyle(focused);
  const box = focused.getBoundingClientRect();
  return focused.matches(":focus-visible") && outlineStyle !== "none"
    && parseFloat(outlineWidth) >= 2 && box.width > 0 && box.bottom > 0;
}"""


def reach(page: Any, selector: str, key: str = "Tab") -> None:
    """Go with Tab to what the selector names; where the focus is, is seen on the way."""
    for _ in range(90):
        page.keyboard.press(key)
        if page.evaluate(FOCUSED, selector):
            assert page.evaluate(SHOWN), f"the focus is not seen at {selector}"
            return
    raise AssertionError(f"{selector} is not reached by {key}")


def test_everything_is_done_by_keys_alone(studio: Studio) -> None:
    page = studio.open("/")
    page.wait_for_url("**/setup")
    page.wait_for_selector("input[name=username]")
    for name, text in (
        ("username", "alice"),
        ("email", "alice@example.com"),
        ("password", PASSWORD),
    ):
        reach(page, f"input[name={name}]")
        page.keyboard.type(text)
    page.keyboard.press("Enter")
    page.wait_for_selector(".card")
    # Past the navigation at once.
    page.reload()
    page.wait_for_selector(".card")
    page.keyboard.press("Tab")
    assert page.evaluate(FOCUSED, ".skip")
    page.keyboard.press("Enter")
    assert page.evaluate(FOCUSED, "main")
    reach(page, ".card-link")
    page.keyboard.press("p")
    page.wait_for_selector(".card img")
    reach(page, ".card-link") if not page.evaluate(FOCUSED, ".card-link") else None
    page.keyboard.press("f")
    expect(page.locator(".firefly.lit")).to_have_count(1)
    reach(page, ".card-link") if not page.evaluate(FOCUSED, ".card-link") else None
    page.keyboard.press("Enter")
    page.wait_for_url("**/personas/1")
    page.wait_for_selector("textarea[name=style_prompt]")
    reach(page, "textarea[name=style_prompt]")
    page.keyboard.type(", snow")
    page.keyboard.press("Control+s")
    expect(page.locator(".save-bar")).to_have_count(0)
    page.keyboard.press("Control+Enter")
    expect(page.locator(".strip a")).to_have_count(2)
    reach(page, ".nav-link[href$='/gallery']")
    page.keyboard.press("Enter")
    page.wait_for_selector(".shot")
    reach(page, ".shot")
    page.keyboard.press("Enter")
    page.wait_for_selector(".facts")
    first = page.url
    page.keyboard.press("ArrowRight")
    page.wait_for_function("first => location.href !== first", arg=first)
    # What lies over the page holds the focus, and gives it back.
    for _ in range(20):
        page.keyboard.press("Tab")
        assert page.evaluate("() => document.activeElement.closest('.lightbox, body') !== null")
        assert not page.evaluate(FOCUSED, ".nav-link, .shot")
    page.keyboard.press("Escape")
    expect(page.locator(".lightbox")).to_have_count(0)
    assert page.evaluate(FOCUSED, ".shot")
    page.keyboard.press("?")
    page.wait_for_selector("dialog .keys")
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)
    page.keyboard.press("/")
    assert page.evaluate(FOCUSED, "input[type=search]")
    page.keyboard.type("snow")
    expect(page.locator(".shot")).to_have_count(1)
    reach(page, ".side-end button:last-child", "Shift+Tab")
    # What the gallery asks for just then is refused.
    studio.allowed = ["401"]
    page.keyboard.press("Enter")
    page.wait_for_url("**/login*")


def test_keys_that_work_alone_can_be_switched_off(studio: Studio) -> None:
    page = studio.register()
    page.keyboard.press("?")
    page.get_by_label("The keys / and ? work alone").uncheck()
    page.locator("dialog").get_by_role("button", name="Close").click()
    for turn in range(2):
        page.keyboard.press("?")
        page.keyboard.press("/")
        assert page.locator("dialog").count() == 0, turn
        assert not page.evaluate(FOCUSED, "input[type=search]"), turn
        page.reload()
        page.wait_for_selector(".card")
    page.get_by_role("button", name="Keys").click()
    page.get_by_label("The keys / and ? work alone").check()
    page.locator("dialog").get_by_role("button", name="Close").click()
    page.keyboard.press("/")
    assert page.evaluate(FOCUSED, "input[type=search]")


def fill(studio: Studio) -> None:
    """Give every page something that is long."""
    studio.register()
    studio.server.login()
    body = {
        "name": "Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogoch and Taumata",
        "style_prompt": "Donaudampfschifffahrtsgesellschaftskapitaen" * 8,
        "tags": ["Rindfleischetikettierungsueberwachungsaufgaben", "b"],
        "loras": [{"name": "a_lora_with_a_name_that_has_no_end_at_all_" * 2, "weight": 0.5}],
    }
    studio.server.json("POST", "/api/personas", body, 201)
    for persona in (1, 2):
        studio.server.json("POST", f"/api/personas/{persona}/preview", {}, 202)
    wait_for(
        lambda: studio.server.json("GET", "/api/jobs/stats")["by_status"]["completed"] == 2, 60
    )


PAGES = (
    "/personas",
    "/personas/2",
    "/personas/new",
    "/create",
    "/gallery",
    "/transfer",
    "/jobs",
    "/trash",
    "/settings",
    "/admin",
    "/admin/users",
    "/admin/instance",
)

# What is drawn beyond the right edge, of all that somebody could want to read or press; a line of
# chips scrolls by itself.
BEYOND = """() => {
  return [...document.querySelectorAll("a, button, input, select, textarea, h1, p, dd")]
  .filter((each) => each.checkVisibility() && !each.matches(".skip") && !scrolls(each))
  .filter((each) => each.getBoundingClientRect().right > innerWidth + 1)
  .map((each) => `${each.tagName} ${each.className} ${each.textContent.slice(0, 40)}`);
  function scrolls(each) {
    for (let above = each.parentElement; above !== document.body; above = above.parentElement) {
      if (["auto", "scroll"].includes(getComputedStyle(above).overflowX)) return true;
    }
    return false;
  }
}"""


@pytest.mark.parametrize(
    ("width", "height", "scale"), [(320, 640, 1), (640, 430, 2)], ids=["320 px", "200 %"]
)
def test_nothing_is_beyond_the_edge(
    browser: Any, server: Server, width: int, height: int, scale: int
) -> None:
    size = {"width": width, "height": height}
    studio = Studio(browser, server, viewport=size, device_scale_factor=scale)
    page = studio.open("/register")
    page.wait_for_selector("form")
    beyond = {"/register": page.evaluate(BEYOND)}
    wide = {"/register": page.evaluate("document.documentElement.scrollWidth")}
    fill(studio)
    for path in PAGES:
        page = studio.open(path)
        page.wait_for_selector("h1")
        page.wait_for_timeout(300)
        beyond[path] = page.evaluate(BEYOND)
        wide[path] = page.evaluate("document.documentElement.scrollWidth")
    page = studio.open("/gallery")
    page.locator(".shot").first.click()
    page.wait_for_selector(".facts")
    beyond["lightbox"] = page.evaluate(BEYOND)
    wide["lightbox"] = page.evaluate("document.querySelector('.lightbox').scrollWidth")
    page.keyboard.press("Escape")
    studio.context.close()
    studio.check()
    assert {path: found for path, found in beyond.items() if found} == {}
    assert {path: found for path, found in wide.items() if found > width} == {}


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_nothing_moves_where_that_is_not_wanted(browser: Any, server: Server, motion: str) -> None:
    studio = Studio(browser, server, reduced_motion=motion)
    fill(studio)
    page = studio.page
    moves = """() => [...document.querySelectorAll("*")].filter((each) => {
      const { transitionDuration, animationName } = getComputedStyle(each);
      return animationName !== "none" || transitionDuration.split(",").some((s) => parseFloat(s));
    }).length + document.getAnimations().length"""
    assert (page.evaluate(moves) > 0) == (motion == "no-preference")
    for path in PAGES:
        page = studio.open(path)
        page.wait_for_selector("h1")
        if motion == "reduce":
            assert page.evaluate(moves) == 0, path
    studio.context.close()
    studio.check()


# Everything that is pressed, whose height or width a finger misses; links in a text are spared.
SMALL = """() => [...document.querySelectorAll(
    "button, select, summary, .check, .nav-link, .button, .round, input:not([type=checkbox])")]
  .filter((each) => each.checkVisibility())
  .map((each) => [each, each.getBoundingClientRect()])
  .filter(([, box]) => box.height < 43.5 || box.width < 43.5)
  .map(([each, box]) => `${each.tagName} ${each.className} ${box.width} x ${box.height}`)"""


def test_a_phone_swipes_and_finds_what_it_presses(browser: Any, server: Server) -> None:
    studio = Studio(
        browser,
        server,
        viewport={"width": 390, "height": 844},
        has_touch=True,
        is_mobile=True,
        device_scale_factor=2,
    )
    fill(studio)
    small = {}
    for path in PAGES:
        page = studio.open(path)
        page.wait_for_selector("h1")
        page.wait_for_timeout(200)
        small[path] = page.evaluate(SMALL)
    page = studio.open("/gallery")
    page.locator(".shot").first.tap()
    page.wait_for_selector(".facts")
    small["lightbox"] = page.evaluate(SMALL)
    touch = studio.context.new_cdp_session(page)

    def swipe(start: int, end: int) -> None:
        touch.send("Input.dispatchTouchEvent", _touch("touchStart", start))
        for step in range(1, 11):
            at = start + (end - start) * step // 10
            touch.send("Input.dispatchTouchEvent", _touch("touchMove", at))
            page.wait_for_timeout(16)
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    first = page.url
    swipe(320, 80)
    page.wait_for_function("first => location.href !== first", arg=first)
    swipe(80, 320)
    page.wait_for_function("first => location.href === first", arg=first)
    # A tap at once would be taken for the end of the swipe.
    page.wait_for_timeout(500)
    page.get_by_role("button", name="Close").tap()
    expect(page.locator(".lightbox")).to_have_count(0)
    # Several are chosen without a keyboard.
    page.get_by_role("button", name="Choose several").tap()
    page.locator(".shot").first.tap()
    page.locator(".shot").nth(1).tap()
    expect(page.locator(".selection")).to_contain_text("2 chosen")
    studio.context.close()
    studio.check()
    assert {path: found for path, found in small.items() if found} == {}


def _touch(kind: str, x: int) -> dict[str, Any]:
    return {"type": kind, "touchPoints": [{"x": x, "y": 300}]}
