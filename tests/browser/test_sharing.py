"""What two people share in the studio: personas, pictures, collections, and links for outsiders."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from played import Studio, browser, expect, findings, preview_card, server
from test_start import Server

KINDS = [(scheme, width) for scheme in ("dark", "light") for width in (390, 1280)]
DIALOG = "dialog.sharing"


@pytest.fixture
def people(browser: Any, server: Server) -> Iterator[tuple[Studio, Studio]]:
    """Alice, who has a persona with a picture, and Bob, each in a browser of their own."""
    alice, bob = Studio(browser, server), Studio(browser, server)
    preview_card(alice.register("alice"))
    bob.register("bob")
    yield alice, bob
    for each in (alice, bob):
        each.context.close()
        each.check()


def rename_persona(studio: Studio, name: str) -> Any:
    """Open the only persona, and call it otherwise; ends in its editor."""
    page = studio.open("/personas")
    page.click(".card-link")
    page.fill("input[name=name]", name)
    return page


def save(page: Any) -> None:
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".save-bar")).to_have_count(0)


def share_persona(alice: Studio, name: str = "Moth Queen") -> None:
    page = rename_persona(alice, name)
    page.get_by_label("Everybody here can use it").check()
    expect(page.locator(".save-bar")).to_contain_text("2 changes")
    save(page)


def open_picture(page: Any) -> None:
    """Open the first picture of the grid that is shown."""
    page.locator(".shot").first.click()
    page.wait_for_selector(".lightbox .facts")


def press(page: Any, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def make_link(page: Any) -> str:
    """Make a link in the dialog that is open."""
    press(page, "Make a link")
    code = page.locator(f"{DIALOG} code")
    expect(code).not_to_be_empty()
    return str(code.inner_text())


def test_a_shared_persona_is_found_previewed_and_copied(people: tuple[Studio, Studio]) -> None:
    alice, bob = people
    share_persona(alice)
    page = bob.open("/personas")
    expect(page.locator(".card-words strong")).to_have_text(["Moonlit wood"])
    page.get_by_label("Whose").select_option("shared")
    expect(page.locator(".card-words strong")).to_have_text(["Moth Queen"])
    expect(page.locator(".card-words span")).to_contain_text("by alice")
    assert page.url.endswith("?scope=shared")
    # Nothing of hers can be marked or chosen.
    expect(page.locator(".firefly")).to_have_count(0)
    expect(page.get_by_role("button", name="Choose several")).to_have_count(0)
    page.locator(".card-link").focus()
    page.keyboard.press("Control+a")
    expect(page.locator(".selection")).to_be_hidden()
    page.click(".card-link")
    expect(page.locator(".shared-by")).to_have_text("by alice · Version 2")
    expect(page.locator("form, input, textarea")).to_have_count(0)
    press(page, "Preview")
    expect(page.locator(".strip img")).to_have_count(1, timeout=60_000)
    page.get_by_role("link", name="Jobs").click()
    expect(page.locator(".job-words")).to_contain_text("with Moth Queen, by alice")
    page.get_by_role("link", name="Gallery").click()
    open_picture(page)
    expect(page.locator(".facts")).to_contain_text("Moth Queen, by alice")
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Create").click()
    page.fill("input[role=combobox]", "moth")
    page.get_by_role("option", name="Moth Queen · by alice").click()
    expect(page.locator(".picker .chip")).to_have_text("Moth Queen · by alice")
    page.go_back()
    page.goto(f"{bob.origin}/personas?scope=all")
    expect(page.locator(".card")).to_have_count(2)
    page.get_by_role("link", name="Moth Queen").click()
    press(page, "Make it mine")
    expect(page.locator("input[name=name]")).to_have_value("Moth Queen")
    page.fill("input[name=name]", "My own moth")
    save(page)
    # What Bob made is his alone.
    expect(alice.open("/gallery").locator(".shot")).to_have_count(1)


def test_what_is_shared_no_more_is_told_to_who_looks(people: tuple[Studio, Studio]) -> None:
    alice, bob = people
    share_persona(alice)
    bob.allowed = ["404"]
    page = bob.open("/personas?scope=shared")
    page.click(".card-link")
    page.wait_for_selector(".shared-by")
    # Alice ends it by the selection of her grid.
    hers = alice.open("/personas")
    expect(hers.locator(".card-words span")).to_contain_text("shared")
    press(hers, "Choose several")
    hers.click(".card-link")
    press(hers, "Stop sharing")
    expect(hers.locator(".toast")).to_contain_text("One is done")
    expect(hers.locator(".card-words span")).not_to_contain_text("shared")
    press(page, "Preview")
    expect(page.locator(".empty-words")).to_have_text("“Moth Queen” is shared no more.")
    bob.open("/personas?scope=shared")
    expect(page.locator(".empty-state")).to_contain_text("Nobody else shares a persona")


def test_a_picture_is_shared_with_everybody_here(people: tuple[Studio, Studio]) -> None:
    alice, bob = people
    hers = alice.open("/gallery")
    open_picture(hers)
    prompt = hers.locator(".facts dd").first.inner_text()
    press(hers, "Share")
    hers.locator(DIALOG).get_by_label("Everybody here sees it").check()
    expect(hers.locator(f"{DIALOG} fieldset").first.get_by_label("With prompt")).to_be_visible()
    page = bob.open("/gallery?scope=shared")
    expect(page.locator(".shot-by")).to_have_text("by alice")
    open_picture(page)
    expect(page.locator(".facts")).to_contain_text("alice")
    expect(page.locator(".facts")).not_to_contain_text(prompt)
    for missing in ("Favourite", "Delete", "Share", "Add to a collection"):
        expect(page.locator(".lightbox").get_by_role("button", name=missing)).to_have_count(0)
    expect(page.locator(".lightbox input")).to_have_count(0)
    page.keyboard.press("f")
    page.keyboard.press("Delete")
    hers.locator(f"{DIALOG} fieldset").first.get_by_label("With prompt").check()
    expect(hers.locator(f"{DIALOG} fieldset").first.get_by_label("With prompt")).to_be_checked()
    page.reload()
    expect(page.locator(".facts")).to_contain_text(prompt)
    page.keyboard.press("Escape")
    hers.locator(DIALOG).get_by_label("Everybody here sees it").uncheck()
    expect(hers.locator(DIALOG).get_by_label("With prompt")).to_have_count(1)
    bob.open("/gallery?scope=shared")
    expect(page.locator(".empty-state")).to_contain_text("Nobody else shares a picture")


def test_a_link_opens_for_an_outsider_until_it_is_taken_back(
    browser: Any, people: tuple[Studio, Studio]
) -> None:
    alice, _ = people
    alice.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = alice.open("/gallery")
    open_picture(page)
    press(page, "Share")
    dialog = page.locator(DIALOG)
    dialog.get_by_label("Days it is good for").fill("7")
    link = make_link(page)
    press(page, "Copy")
    expect(page.locator(".toast")).to_contain_text("Copied.")
    assert page.evaluate("() => navigator.clipboard.readText()") == link
    expect(dialog.locator("li")).to_contain_text("Without prompt and parameters")
    outside = browser.new_context(java_script_enabled=False)
    visitor = outside.new_page()
    visitor.goto(link)
    assert visitor.locator("main img").count() == 1
    page.locator(".sharing .row.end button").click()
    # It is not told again, and can be taken back.
    press(page, "Share")
    expect(dialog.locator("code")).to_be_hidden()
    dialog.get_by_role("button", name="Take the link back").click()
    page.get_by_role("dialog", name="Take the link back?").get_by_role(
        "button", name="Take the link back"
    ).click()
    expect(dialog.locator("li")).to_have_count(0)
    assert visitor.goto(link).status == 404
    outside.close()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    # The picture is still there, and what is said is said over it.
    page.keyboard.press("f")
    expect(page.locator(".lightbox .round.lit")).to_have_count(1)


def test_a_link_is_copied_on_plain_http_too(browser: Any, server: Server) -> None:
    studio = Studio(browser, server, f"http://studio.lan:{server.port}")
    preview_card(studio.register())
    page = studio.open("/gallery")
    open_picture(page)
    press(page, "Share")
    link = make_link(page)
    assert link.startswith(studio.origin)
    assert page.evaluate("() => navigator.clipboard") is None
    press(page, "Copy")
    expect(page.locator(".toast")).to_contain_text("Copied.")
    page.locator(DIALOG).get_by_label("Days it is good for").focus()
    page.keyboard.press("Escape")
    page.locator(".lightbox .tag-input input").focus()
    page.keyboard.press("Control+v")
    # A field of tags takes fifty characters.
    expect(page.locator(".lightbox .tag-input input")).to_have_value(link[:50])
    page.locator(".lightbox .tag-input input").fill("")
    studio.context.close()
    studio.check()


def make_collection(alice: Studio, name: str = "Tides") -> Any:
    """Put all of Alice's pictures into a new collection; ends at the collection."""
    page = alice.open("/gallery")
    press(page, "Choose several")
    page.locator(".shot").first.click()
    press(page, "Add to a collection")
    dialog = page.get_by_role("dialog", name="Add to a collection")
    dialog.get_by_label("Name").fill(name)
    dialog.get_by_role("button", name="Save").click()
    page.locator(".toast").get_by_role("button", name="Open it").click()
    page.wait_for_url("**/collections/*")
    expect(page.locator(".shot img")).to_have_count(1)
    return page


def test_a_collection_is_made_shared_and_taken_back(
    browser: Any, people: tuple[Studio, Studio]
) -> None:
    alice, bob = people
    hers = make_collection(alice)
    press(hers, "Name and description")
    dialog = hers.get_by_role("dialog", name="Name and description")
    dialog.get_by_label("Name").fill("High tides")
    dialog.get_by_label("Description").fill("By the moon")
    dialog.get_by_role("button", name="Save").click()
    expect(hers.locator("h1")).to_have_text("High tides")
    expect(hers.locator(".album-words")).to_have_text("By the moon")
    press(hers, "Share")
    hers.locator(DIALOG).get_by_label("Everybody here sees it").check()
    link = make_link(hers)
    hers.locator(".sharing .row.end button").click()
    expect(hers.locator("main")).to_contain_text("one picture · Everybody here sees it")
    page = bob.open("/collections")
    expect(page.locator(".empty-state")).to_be_visible()
    page.get_by_label("Whose").select_option("shared")
    expect(page.locator(".card-words")).to_contain_text("one picture · by alice")
    page.click(".card-link")
    expect(page.locator("h1")).to_have_text("High tides")
    for missing in ("Share", "Delete", "Name and description", "Choose several"):
        expect(page.get_by_role("button", name=missing, exact=True)).to_have_count(0)
    open_picture(page)
    expect(page.locator(".facts")).to_contain_text("alice")
    page.keyboard.press("Escape")
    expect(page.locator(".lightbox")).to_have_count(0)
    expect(page.locator(".shot")).to_have_count(1)
    # A picture of the collection by its own address, and back to the grid.
    address = page.locator(".shot").get_attribute("href")
    bob.open(address)
    page.wait_for_selector(".lightbox .facts")
    page.keyboard.press("Escape")
    page.wait_for_url(lambda url: "picture" not in url)
    outside = browser.new_context(java_script_enabled=False)
    visitor = outside.new_page()
    visitor.goto(link)
    expect(visitor.locator("h1")).to_have_text("High tides")
    press(hers, "Choose several")
    hers.locator(".shot").first.click()
    press(hers, "Take out of the collection")
    expect(hers.locator(".empty-state")).to_contain_text("No picture is in it")
    visitor.reload()
    expect(visitor.locator("main img")).to_have_count(0)
    press(hers, "Delete")
    hers.get_by_role("dialog").get_by_role("button", name="Delete").click()
    hers.wait_for_url("**/collections")
    expect(hers.locator(".empty-state")).to_be_visible()
    assert visitor.reload().status == 404
    outside.close()
    expect(alice.open("/gallery").locator(".shot")).to_have_count(1)
    bob.allowed = ["404"]
    bob.open(address)
    expect(page.locator(".empty-words")).to_be_visible()


def test_who_may_not_share_finds_nothing_to_share_with(people: tuple[Studio, Studio]) -> None:
    alice, _ = people
    page = make_collection(alice)
    collection = page.url.removeprefix(alice.origin)
    # Each is there as long as one may.
    places = {
        collection: lambda: page.get_by_role("button", name="Share", exact=True),
        "/personas": lambda: page.locator("fieldset").filter(has_text="Everybody here can use it"),
        "/gallery": lambda: page.get_by_role("button", name="Share", exact=True),
    }

    def found(place: str) -> Any:
        alice.open(place)
        if place == "/personas":
            page.locator(".card-link").first.click()
            expect(page.locator("textarea[name=style_prompt]")).to_be_visible()
        elif place == "/gallery":
            press(page, "Choose several")
            page.locator(".shot").first.click()
            expect(page.get_by_role("button", name="Delete", exact=True)).to_be_visible()
        else:
            expect(page.locator(".shot img")).to_have_count(1)
        return places[place]()

    for place in places:
        expect(found(place).first).to_be_visible()
    alice.server.login()
    (me,) = [
        user
        for user in alice.server.json("GET", "/api/admin/users")["users"]
        if user["username"] == "alice"
    ]
    alice.server.json("PATCH", f"/api/admin/users/{me['id']}", {"may_share": False})
    for place in places:
        expect(found(place).filter(visible=True)).to_have_count(0)
    assert findings(page) == []


def test_all_that_match_go_into_a_collection_that_is_there(people: tuple[Studio, Studio]) -> None:
    alice, _ = people
    make_collection(alice)
    page = alice.open("/personas")
    page.click(".card-play")
    expect(page.locator(".nav-count")).to_have_count(0, timeout=60_000)
    alice.open("/gallery")
    expect(page.locator(".shot")).to_have_count(2)
    page.locator(".shot").first.focus()
    page.keyboard.press("Control+a")
    press(page, "Add to a collection")
    dialog = page.get_by_role("dialog", name="Add to a collection")
    expect(dialog.get_by_label("Collection")).to_contain_text("Tides")
    expect(dialog.get_by_label("Name")).to_have_count(0)
    dialog.get_by_role("button", name="Save").click()
    expect(page.locator(".toast")).to_contain_text("2 pictures are in “Tides”")
    alice.open("/collections")
    expect(page.locator(".card-words")).to_contain_text("2 pictures")
    page.click(".card-link")
    expect(page.locator(".shot")).to_have_count(2)
    # One step at a time, without a mouse; the choice stays for the next step.
    first, second = (page.locator(".shot").nth(at).get_attribute("href") for at in (0, 1))
    page.locator(".shot").nth(1).focus()
    page.keyboard.press("Space")
    button = page.get_by_role("button", name="Move earlier", exact=True)
    expect(button).to_be_visible()
    assert findings(page) == []
    button.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".shot").first).to_have_attribute("href", str(second))
    page.reload()
    expect(page.locator(".shot").first).to_have_attribute("href", str(second))
    page.locator(".shot").first.focus()
    page.keyboard.press("Space")
    press(page, "Move later")
    expect(page.locator(".shot").first).to_have_attribute("href", str(first))
    page.keyboard.press("Escape")
    # The way back from a picture keeps the collection.
    page.locator(".shot").first.click()
    expect(page.locator(".lightbox img")).to_be_visible()
    first = page.url
    page.keyboard.press("ArrowRight")
    page.wait_for_function("first => location.href !== first", arg=first)
    page.keyboard.press("Escape")
    expect(page.locator(".lightbox")).to_have_count(0)
    page.locator(".shot").first.focus()
    page.keyboard.press("Control+a")
    press(page, "Take out of the collection")
    expect(page.locator(".empty-state")).to_be_visible()


@pytest.mark.parametrize(("scheme", "width"), KINDS)
def test_what_is_shared_is_accessible(
    browser: Any, people: tuple[Studio, Studio], scheme: str, width: int
) -> None:
    alice, bob = people
    share_persona(alice)
    hers = make_collection(alice)
    collection = hers.url.removeprefix(alice.origin)
    press(hers, "Share")
    hers.locator(DIALOG).get_by_label("Everybody here sees it").check()
    expect(hers.locator(DIALOG).get_by_label("With prompt")).to_have_count(2)
    hers.locator(".sharing .row.end button").click()
    alice.open("/gallery")
    open_picture(hers)
    press(hers, "Share")
    hers.locator(DIALOG).get_by_label("Everybody here sees it").check()
    press(hers, "Make a link")
    expect(hers.locator(f"{DIALOG} li")).to_have_count(1)
    found: dict[str, list[str]] = {}

    def look(studio: Studio, name: str) -> None:
        page = studio.page
        page.set_viewport_size({"width": width, "height": 844})
        page.emulate_media(color_scheme=scheme)
        page.wait_for_load_state("load")
        found[name] = findings(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name

    for studio in people:
        studio.page.emulate_media(color_scheme=scheme)
    look(alice, "sharing")
    hers.keyboard.press("Escape")
    for path in ("/personas", "/personas/1", collection, "/collections"):
        alice.open(path).wait_for_selector(".card, .editor-form, .shot")
        look(alice, path)
    for path in ("/personas?scope=all", "/gallery?scope=shared", "/collections?scope=shared"):
        page = bob.open(path)
        page.wait_for_selector(".card, .shot")
        look(bob, path)
    bob.open("/personas/1").wait_for_selector(".shared-by")
    look(bob, "another's persona")
    bob.open("/gallery?scope=shared")
    open_picture(page)
    look(bob, "another's picture")
    assert len(found) == 10
    assert not any(found.values()), {path: said for path, said in found.items() if said}
