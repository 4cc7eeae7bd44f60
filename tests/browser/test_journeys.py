"""What people do in the studio, from the first account on, played in Chromium on a real server.
Any error of the console, or breach of the policy, fails the test that it happens in."""

from __future__ import annotations

import re
from typing import Any

import pytest
from conftest import PASSWORD
from played import Studio, browser, expect, findings, persona, preview_card, server, studio
from test_start import GUNICORN, Server

NAME_BELOW_PICTURE = """() => {
  const [card, picture, name] = [".card", ".card .picture", ".card-words strong"].map((part) =>
    document.querySelector(part).getBoundingClientRect());
  return picture.bottom <= name.top && name.height > 0 && name.bottom <= card.bottom;
}"""


def test_the_first_account_leads_to_the_first_picture(studio: Studio) -> None:
    page = studio.open("/")
    page.wait_for_url("**/setup")
    page.fill("input[name=username]", "alice")
    page.fill("input[name=email]", "alice@example.com")
    page.fill("input[name=password]", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_selector(".card")
    assert page.evaluate(NAME_BELOW_PICTURE)
    preview_card(page)
    decoded = "image => image.decode().then(() => image.naturalWidth)"
    assert page.eval_on_selector(".card img", decoded) > 200
    assert page.locator(".nav-link").filter(has_text="Administration").count() == 1


def test_a_wrong_password_is_told_and_the_right_one_opens_what_was_asked_for(
    studio: Studio,
) -> None:
    studio.server.register()
    studio.allowed = ["401"]
    page = studio.open("/gallery?q=moon")
    page.wait_for_url("**/login?to=*")
    page.fill("input[name=username]", "alice")
    page.fill("input[name=password]", "not the password")
    page.click("button[type=submit]")
    expect(page.locator(".refused")).not_to_be_empty()
    page.fill("input[name=password]", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_url("**/gallery?q=moon")
    expect(page.locator("input[type=search]")).to_have_value("moon")


def test_a_session_outlives_a_reload_and_ends_in_all_tabs(studio: Studio) -> None:
    page = studio.register()
    page.reload()
    page.wait_for_selector(".card")
    other = studio.add_page()
    other.goto(page.url)
    other.wait_for_selector(".card")
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url("**/login*")
    other.wait_for_url("**/login*")


def test_a_persona_is_changed_and_nothing_saves_by_itself(studio: Studio) -> None:
    page = studio.register()
    page.click(".card-link")
    page.fill("textarea[name=style_prompt]", "{prompt}, snow on old stones")
    expect(page.locator(".save-bar")).to_contain_text("One change not saved")
    page.get_by_role("link", name="Gallery").click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("textarea[name=style_prompt]")).to_have_value(re.compile("snow"))
    page.keyboard.press("Control+s")
    expect(page.locator(".save-bar")).to_have_count(0)
    page.reload()
    expect(page.locator("textarea[name=style_prompt]")).to_have_value(
        "{prompt}, snow on old stones"
    )


def test_versions_are_compared_and_brought_back_by_keys(studio: Studio) -> None:
    page = studio.register()
    page.click(".card-link")
    style = page.locator("textarea[name=style_prompt]")
    first = style.input_value()
    expect(page.get_by_text("Versions")).to_have_count(0)
    for words in ("snow, old stones", "snow, new stones"):
        style.fill(words)
        page.keyboard.press("Control+s")
        expect(page.locator(".save-bar")).to_have_count(0)
    # What is taken back goes back to what is stored, and not to what was opened.
    style.fill("sand")
    page.locator(".save-bar").get_by_role("button", name="Undo").click()
    expect(style).to_have_value("snow, new stones")
    page.locator("summary", has_text="Versions").focus()
    page.keyboard.press("Enter")
    rows = page.locator("details li")
    expect(rows).to_have_count(3)
    expect(rows.nth(0)).to_contain_text("Version 3 · now")
    expect(rows.nth(0)).to_contain_text("Style prompt")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Version 2")
    expect(dialog.get_by_role("heading", name="Style prompt")).to_be_visible()
    expect(dialog.locator("del")).to_have_text(["old"])
    expect(dialog.locator("ins")).to_have_text(["new"])
    assert findings(page) == []
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(style).to_have_value("snow, new stones")
    page.get_by_role("button", name="Compare: Version 1").click()
    page.get_by_role("dialog").get_by_role("button", name="Bring back").click()
    expect(style).to_have_value(first)
    page.locator(".toast").get_by_role("button", name="Undo").click()
    expect(style).to_have_value("snow, new stones")
    page.locator("summary", has_text="Versions").click()
    expect(rows).to_have_count(5)
    expect(rows.nth(0)).to_contain_text("version 3 brought back")
    # What is not saved is asked for first; what was brought back meanwhile is told.
    style.fill("sand")
    page.get_by_role("button", name="Compare: Version 2").click()
    page.get_by_role("dialog").get_by_role("button", name="Bring back").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(style).to_have_value("sand")
    studio.allowed = ["412"]
    studio.server.login()
    studio.server.json("PATCH", "/api/personas/1", {"name": "Elsewhere"})
    page.get_by_role("button", name="Compare: Version 2").click()
    page.get_by_role("dialog").get_by_role("button", name="Bring back").click()
    page.get_by_role("dialog").get_by_role("button", name="Leave").click()
    expect(page.locator(".toast").last).to_contain_text("changed since")
    expect(style).to_have_value("sand")


def test_a_conflict_is_told_and_ones_own_can_be_kept(studio: Studio) -> None:
    studio.allowed = ["412"]
    page = studio.register()
    page.click(".card-link")
    page.wait_for_selector("input[name=name]")
    studio.server.token = studio.server.json(
        "POST", "/api/auth/login", {"username": "alice", "password": PASSWORD}
    )["access_token"]
    persona = studio.server.json("GET", "/api/personas")[0]
    path = f"/api/personas/{persona['id']}"
    studio.server.json("PATCH", path, {"name": "Theirs"})
    page.fill("input[name=name]", "Mine")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("button", name="Keep mine").click()
    expect(page.locator(".save-bar")).to_have_count(0)
    assert studio.server.json("GET", path)["name"] == "Mine"


def test_what_the_server_refuses_stands_at_its_field(studio: Studio) -> None:
    studio.allowed = ["422"]
    page = studio.register()
    page.get_by_role("button", name="New persona").click()
    page.fill("input[name=name]", "Nobody")
    page.fill("input[name=num_inference_steps]", "999")
    page.eval_on_selector("form", "form => { form.noValidate = true; }")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".refused")).not_to_be_empty()
    assert page.locator(".save-bar").count() == 1


def test_four_pictures_are_made_and_looked_at_by_keys(studio: Studio) -> None:
    page = studio.register()
    page.get_by_role("link", name="Create").click()
    page.fill("textarea[name=prompt]", "an old lighthouse at night")
    page.fill("input[name=count]", "4")
    expect(page.locator(".sent")).to_contain_text("mock")
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.locator(".result-pictures img")).to_have_count(4, timeout=60_000)
    page.get_by_role("link", name="Gallery").click()
    expect(page.locator(".shot")).to_have_count(4)
    page.locator(".shot").first.click()
    expect(page.locator(".facts")).to_contain_text("an old lighthouse at night")
    first = page.url
    page.keyboard.press("ArrowRight")
    page.wait_for_function("first => location.href !== first", arg=first)
    page.keyboard.press("f")
    expect(page.locator(".lightbox .round.lit")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.locator(".lightbox")).to_have_count(0)
    expect(page.locator(".shot.lit")).to_have_count(1)


def test_search_and_filters_are_the_address(studio: Studio) -> None:
    page = studio.register()
    studio.server.token = studio.server.json(
        "POST", "/api/auth/login", {"username": "alice", "password": PASSWORD}
    )["access_token"]
    for name in ("Élodie", "Elodie at night", "Bran"):
        body = {"name": name, "style_prompt": "soft light", "tags": ["people"]}
        studio.server.json("POST", "/api/personas", body, 201)
    page.reload()
    expect(page.locator(".card")).to_have_count(4)
    page.keyboard.press("/")
    page.keyboard.type("elodie")
    expect(page.locator(".card")).to_have_count(2)
    assert page.url.endswith("?q=elodie")
    page.reload()
    expect(page.locator(".card")).to_have_count(2)
    page.locator(".firefly").first.click(force=True)
    page.get_by_role("button", name="Favourites").click()
    expect(page.locator(".card")).to_have_count(1)


def test_the_grid_of_ten_thousand_has_few_cards_and_goes_anywhere(studio: Studio) -> None:
    page = studio.register()
    page.route(
        re.compile(r"/api/personas\?"),
        lambda route: route.fulfill(
            json=[
                persona(
                    int(
                        dict(
                            pair.split("=") for pair in route.request.url.split("?")[1].split("&")
                        )["offset"]
                    )
                    + at
                )
                for at in range(60)
            ],
            headers={"X-Total-Count": "10000"},
        ),
    )
    page.reload()
    page.wait_for_selector(".card")
    assert page.locator(".card").count() < 60
    page.evaluate("scrollTo(0, document.body.scrollHeight * 0.6)")
    expect(page.locator("[aria-posinset='6001']")).to_have_count(1)
    assert page.evaluate("document.querySelectorAll('*').length") < 1500
    place = page.evaluate("scrollY")
    page.locator(".card-link").nth(8).evaluate("link => link.click()")
    page.wait_for_url("**/personas/*")
    studio.allowed = ["404"]
    page.go_back()
    page.wait_for_selector(".card")
    page.wait_for_function("place => Math.abs(scrollY - place) < 2", arg=place)


def test_what_was_deleted_comes_back(studio: Studio) -> None:
    page = studio.register()
    preview_card(page)
    page.locator(".card-link").click()
    page.get_by_role("button", name="Delete").click()
    page.wait_for_url("**/personas")
    expect(page.locator(".card")).to_have_count(0)
    page.locator(".toast").get_by_role("button", name="Undo").click()
    page.wait_for_url("**/personas/1")
    page.get_by_role("button", name="Delete").click()
    page.wait_for_url("**/personas")
    page.get_by_role("link", name="Trash").click()
    expect(page.locator(".job")).to_have_count(1)
    page.get_by_role("button", name="Bring back").click()
    expect(page.locator(".empty-state")).to_be_visible()
    page.get_by_role("link", name="Gallery").click()
    page.locator(".shot").click()
    page.wait_for_function("() => document.querySelector('.lightbox img')?.complete")
    page.keyboard.press("Delete")
    expect(page.locator(".shot")).to_have_count(0)
    expect(page.locator(".toast").filter(has_text="is deleted").last).to_be_visible()
    page.get_by_role("link", name="Trash").click()
    page.get_by_role("button", name="Empty the trash").click()
    page.locator("dialog").get_by_role("button", name="Delete for ever").click()
    expect(page.locator(".empty-state")).to_be_visible()
    page.get_by_role("link", name="Personas").click()
    expect(page.locator(".card")).to_have_count(1)


def test_tags_of_everything_filter_what_is_not_loaded(studio: Studio) -> None:
    page = studio.register()
    studio.server.login()
    for number in range(70):
        tags = ["rare"] if number == 0 else ["common"]
        body = {"name": f"Number {number}", "style_prompt": "soft light", "tags": tags}
        studio.server.json("POST", "/api/personas", body, 201)
    page.reload()
    expect(page.locator(".chip").filter(has_text="common")).to_contain_text("69")
    page.locator(".chip").filter(has_text="rare").click()
    expect(page.locator(".card")).to_have_count(1)
    assert page.url.endswith("?tag=rare")
    page.locator(".chip").filter(has_text="rare").click()
    expect(page.locator(".chip").filter(has_text="common")).to_contain_text("69")


def test_a_key_is_made_and_ended_and_other_sessions_too(studio: Studio) -> None:
    page = studio.register()
    studio.server.login()
    page.get_by_role("link", name="Settings").click()
    expect(page.get_by_role("button", name="End all the others")).to_be_visible()
    page.get_by_role("button", name="End all the others").click()
    expect(page.get_by_role("button", name="End all the others")).to_have_count(0)
    assert studio.server.call("GET", "/api/auth/me")[0] == 401
    keys = page.locator("form").filter(has_text="API keys")
    keys.locator("input[name=name]").fill("a script")
    keys.locator("input[name=current_password]").fill(PASSWORD)
    keys.get_by_role("button", name="Make a key").click()
    expect(keys.locator(".secret")).not_to_be_empty()
    studio.server.token = keys.locator(".secret").inner_text()
    assert studio.server.call("GET", "/api/personas")[0] == 200
    keys.get_by_role("button", name="End the key: a script").click()
    page.locator("dialog").get_by_role("button", name="End the key").click()
    expect(keys.locator(".access")).to_have_count(0)
    assert studio.server.call("GET", "/api/personas")[0] == 401


def test_an_administrator_makes_an_account_and_its_owner_comes_in(
    browser: Any, studio: Studio
) -> None:
    page = studio.register()
    page.get_by_role("link", name="Administration").click()
    page.get_by_role("link", name="Accounts").click()
    page.fill("input[name=username]", "bob")
    page.fill("input[name=email]", "bob@example.com")
    page.get_by_role("button", name="Make the account").click()
    link = page.locator(".secret").inner_text()
    row = page.locator(".job").filter(has_text="bob@example.com")
    row.get_by_label("NSFW allowed").uncheck()
    expect(page.locator(".toast")).to_have_count(1)
    guest = Studio(browser, studio.server, color_scheme="dark")
    guest.page.goto(link)
    guest.page.fill("input[name=password]", PASSWORD)
    guest.page.click("button[type=submit]")
    guest.page.wait_for_url("**/login")
    guest.page.fill("input[name=username]", "bob")
    guest.page.fill("input[name=password]", PASSWORD)
    guest.page.click("button[type=submit]")
    guest.page.wait_for_url("**/personas")
    guest.context.close()
    guest.check()
    page.get_by_role("link", name="Instance").click()
    expect(page.locator(".figures")).to_contain_text("Version")


def test_many_are_chosen_and_changed_at_once(studio: Studio) -> None:
    page = studio.register()
    studio.server.login()
    for number in range(5):
        body = {"name": f"Number {number}", "style_prompt": "soft light"}
        studio.server.json("POST", "/api/personas", body, 201)
    page.goto(page.url.split("?")[0] + "?sort=name")
    expect(page.locator(".card")).to_have_count(6)
    page.locator(".card-link").nth(1).click(modifiers=["ControlOrMeta"])
    page.locator(".card-link").nth(3).click(modifiers=["Shift"])
    expect(page.locator(".selection")).to_contain_text("3 chosen")
    expect(page.locator(".cell.chosen")).to_have_count(3)
    page.get_by_role("button", name="Add tags").click()
    page.keyboard.type("pack, wood")
    page.keyboard.press("Enter")
    expect(page.locator(".chip").filter(has_text="pack")).to_contain_text("3")
    expect(page.locator(".selection")).to_be_hidden()
    page.locator(".card-link").nth(1).focus()
    page.keyboard.press("Space")
    expect(page.locator(".selection")).to_contain_text("one chosen")
    page.get_by_role("region", name="Choose several").get_by_role("button", name="Delete").click()
    expect(page.locator(".card")).to_have_count(5)
    page.locator(".toast").get_by_role("button", name="Undo").click()
    expect(page.locator(".card")).to_have_count(6)
    page.keyboard.press("Control+a")
    expect(page.locator(".selection")).to_contain_text("6 chosen")
    page.get_by_role("region", name="Choose several").get_by_role(
        "button", name="Favourite", exact=True
    ).click()
    expect(page.locator(".firefly.lit")).to_have_count(6)


def test_the_gallery_goes_to_a_month_and_gives_a_bare_picture(studio: Studio) -> None:
    page = studio.register()
    preview_card(page)
    page.get_by_role("link", name="Gallery").click()
    months = page.get_by_role("combobox", name="All months")
    expect(months.locator("option")).to_have_count(2)
    months.select_option(index=1)
    page.wait_for_url("**/gallery?month=*")
    expect(page.locator(".shot")).to_have_count(1)
    page.goto(page.url.split("?")[0] + "?month=2001-01")
    expect(page.locator(".empty-state")).to_be_visible()
    months.select_option(index=0)
    page.locator(".shot").click()
    with page.expect_download() as saved:
        page.get_by_role("link", name="Download without prompt and parameters").click()
    data = saved.value.path().read_bytes()
    assert data[:4] == b"\x89PNG"
    assert b"parameters" not in data


def test_what_waits_is_cancelled_at_once(studio: Studio) -> None:
    page = studio.register()
    studio.server.login()
    large = {"width": 2048, "height": 2048, "quality": "high"}
    body = {"name": "Large", "style_prompt": "sea", "generation_params": large}
    persona = studio.server.json("POST", "/api/personas", body, 201)["id"]
    for _ in range(6):
        studio.server.json("POST", f"/api/personas/{persona}/preview", {}, 202)
    page.get_by_role("link", name="Jobs").first.click()
    page.get_by_role("button", name="Cancel what waits").click()
    page.locator("dialog").get_by_role("button", name="Cancel what waits").click()
    expect(page.get_by_role("button", name="Cancel what waits")).to_have_count(0)
    counts = studio.server.json("GET", "/api/jobs/stats")["by_status"]
    assert counts["queued"] == 0
    assert counts["cancelled"] >= 4


def test_language_and_theme_are_kept_with_the_account(studio: Studio) -> None:
    page = studio.register()
    page.get_by_role("link", name="Settings").click()
    page.locator("select").nth(1).select_option("fr")
    expect(page.locator("h1")).to_have_text("Réglages")
    page.locator("select").first.select_option("dawn")
    page.evaluate(
        "localStorage.removeItem('seidra.theme'); localStorage.removeItem('seidra.language')"
    )
    page.reload()
    expect(page.locator("h1")).to_have_text("Réglages")
    assert page.evaluate("document.documentElement.dataset.theme") == "dawn"


def test_a_tag_is_renamed_into_another_and_taken_away(studio: Studio) -> None:
    page = studio.register()
    studio.server.login()
    for number, tags in enumerate((["elf", "wood"], ["Elves"], ["elf"])):
        body = {"name": f"Number {number}", "style_prompt": "soft light", "tags": tags}
        studio.server.json("POST", "/api/personas", body, 201)
    page.reload()
    page.get_by_role("link", name="All tags").click()
    page.wait_for_url("**/tags")
    expect(page.locator(".job")).to_have_count(4)
    page.get_by_role("button", name="Rename: elf").click()
    expect(page.locator("dialog input")).to_have_value("elf")
    page.locator("dialog input").fill("Elves")
    page.keyboard.press("Enter")
    expect(page.locator(".job")).to_have_count(3)
    expect(page.locator(".job").first).to_contain_text("3 personas")
    page.get_by_role("button", name="Delete: wood").click()
    page.locator("dialog").get_by_role("button", name="Delete").click()
    expect(page.locator(".job")).to_have_count(2)
    page.locator("input[type=search]").fill("elv")
    expect(page.locator(".job")).to_have_count(1)
    page.locator(".job a").click()
    page.wait_for_url("**/personas?tag=Elves")
    expect(page.locator(".card")).to_have_count(3)


def test_a_picture_is_looked_at_closely_and_tagged(studio: Studio) -> None:
    page = studio.register()
    preview_card(page)
    page.get_by_role("link", name="Gallery").click()
    expect(page.locator("h2.part")).to_have_count(1)
    page.locator(".shot").click()
    shot = page.locator(".zoom .picture")

    def width() -> float:
        return float(shot.evaluate("picture => picture.getBoundingClientRect().width"))

    page.wait_for_selector(".facts")
    whole = width()
    page.keyboard.press("+")
    page.get_by_role("button", name="Zoom in").click()
    assert width() == pytest.approx(whole * 2.25, rel=0.01)
    left = shot.bounding_box()["x"]
    page.mouse.move(400, 400)
    page.mouse.down()
    page.mouse.move(500, 400)
    page.mouse.up()
    assert shot.bounding_box()["x"] == pytest.approx(left + 100, abs=2)
    page.mouse.wheel(0, 300)
    page.keyboard.press("f")
    expect(page.locator(".lightbox .round.lit")).to_have_count(1)
    assert width() == pytest.approx(whole * 2.25 / 1.2, rel=0.01)
    page.keyboard.press("0")
    assert width() == pytest.approx(whole, rel=0.01)
    # What is written is no key of the picture.
    page.locator(".lightbox-tags input").fill("f0")
    page.keyboard.press("Enter")
    expect(page.locator(".lightbox-tags .chip")).to_have_text("f0")
    page.reload()
    expect(page.locator(".lightbox-tags .chip")).to_have_text("f0")
    expect(page.locator(".lightbox .round.lit")).to_have_count(1)


def test_the_gallery_stands_month_by_month(studio: Studio) -> None:
    page = studio.register()
    item = {"is_nsfw": False, "is_favorite": False, "tags": [], "metadata": {}, "thumbnails": []}
    item["is_mine"] = True
    items = [item | {"id": str(at), "url": "/favicon.ico", "width": 9} for at in range(9)]
    months = [{"month": "2026-03", "count": 7}, {"month": "2025-12", "count": 2}]
    page.route(re.compile(r"/api/media\?"), lambda r: r.fulfill(json={"total": 9, "items": items}))
    page.route("**/api/media/timeline*", lambda route: route.fulfill(json=months))
    page.set_viewport_size({"width": 1280, "height": 1200})
    page.get_by_role("link", name="Gallery").click()
    expect(page.locator("h2.part")).to_have_text(["March 2026", "December 2025"])
    boxes = [page.locator(".shot").nth(at).bounding_box() for at in range(9)]
    across = sum(box["y"] == boxes[0]["y"] for box in boxes)
    assert across == 4
    # The second month begins a row, below its heading.
    assert boxes[7]["x"] == boxes[0]["x"]
    assert boxes[7]["y"] - boxes[6]["y"] > boxes[4]["y"] - boxes[0]["y"] + 40
    page.locator(".shot").nth(5).focus()
    for key, at in (("ArrowDown", 8), ("ArrowUp", 5), ("ArrowUp", 1), ("End", 8)):
        page.keyboard.press(key)
        cell = page.locator(f"[aria-posinset='{at + 1}'] a")
        expect(cell).to_be_focused()


def test_what_is_not_saved_is_previewed_and_stays_unsaved(studio: Studio) -> None:
    page = studio.register()
    page.click(".card-link")
    page.fill("textarea[name=style_prompt]", "an iron sea")
    page.get_by_role("button", name="Preview", exact=True).click()
    page.wait_for_selector(".stage img")
    expect(page.locator(".save-bar")).to_contain_text("One change not saved")
    studio.server.login()
    [job] = studio.server.json("GET", "/api/jobs")["jobs"]
    assert (job["prompt"], job["persona"]["id"]) == ("an iron sea", None)
    assert "forest" in studio.server.json("GET", "/api/personas/1")["style_prompt"]
    studio.allowed = ["422"]
    page.fill("input[name=num_inference_steps]", "999")
    page.get_by_role("button", name="Preview", exact=True).click()
    expect(page.locator(".wrong")).to_contain_text("150")


def test_a_lost_answer_makes_nothing_twice(studio: Studio) -> None:
    page = studio.register()
    studio.allowed = ["ERR_FAILED"]
    keys: list[str] = []

    def lose(route: Any) -> None:
        """The server does what is asked, and its first two answers are lost."""
        if route.request.method != "POST":
            return route.continue_()
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) > 2:
            return route.continue_()
        route.fetch()
        return route.abort()

    page.route("**/api/personas/1/duplicate", lose)
    page.click(".card-link")
    duplicate = page.get_by_role("button", name="Duplicate")
    duplicate.click()
    expect(page.locator(".toast")).to_have_count(1)
    duplicate.click()
    page.wait_for_url("**/personas/2")
    assert len(set(keys)) == 1
    assert len(keys) == 3
    studio.server.login()
    assert len(studio.server.json("GET", "/api/personas")) == 2


def test_a_phone_has_two_rows_above_its_chips(studio: Studio) -> None:
    page = studio.register()
    page.set_viewport_size({"width": 390, "height": 844})
    for path in ("/personas", "/gallery"):
        page = studio.open(path)
        page.wait_for_selector(".bar")
        bar = page.locator(".bar > *").evaluate_all(
            "all => all.filter((each) => each.checkVisibility())"
            ".map((each) => Math.round(each.getBoundingClientRect().bottom / 40))"
        )
        assert len(set(bar)) == 2, bar
        words = "all => all.filter(each => each.scrollWidth > each.clientWidth + 1).length"
        assert page.locator(".nav-link").evaluate_all(words) == 0
    assert page.get_by_role("link", name="Admin", exact=True).is_visible()


def test_a_server_that_is_gone_is_told_and_found_again(studio: Studio) -> None:
    page = studio.register()
    studio.allowed = [
        "ERR_CONNECTION_REFUSED",
        "ERR_EMPTY_RESPONSE",
        "ERR_INCOMPLETE",
        "ERR_CONNECTION_RESET",
    ]
    server = studio.server
    server.process.terminate()
    server.process.wait(60)
    expect(page.locator(".banner")).to_be_visible(timeout=30_000)
    with Server(server.log.parent, *GUNICORN, SEIDRA_BIND=f"127.0.0.1:{server.port}"):
        expect(page.locator(".banner")).to_have_count(0, timeout=60_000)
        page.wait_for_selector(".card")


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("width", [390, 1280])
def test_every_page_is_accessible(browser: Any, server: Server, theme: str, width: int) -> None:
    studio = Studio(browser, server, color_scheme=theme)
    studio.page.set_viewport_size({"width": width, "height": 844})
    found = {}
    page = studio.open("/login")
    page.wait_for_selector("h1")
    found["/login"] = findings(page)
    studio.register()
    preview_card(page)
    for path in (
        "/personas",
        "/personas/1",
        "/create",
        "/gallery",
        "/transfer",
        "/jobs",
        "/tags",
        "/trash",
        "/settings",
        "/admin",
        "/admin/users",
        "/admin/instance",
    ):
        page = studio.open(path)
        page.wait_for_selector("h1")
        page.wait_for_load_state("load")
        found[path] = findings(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    page = studio.open("/gallery")
    page.locator(".shot").first.click()
    page.wait_for_selector(".facts")
    found["lightbox"] = findings(page)
    studio.context.close()
    studio.check()
    assert not any(found.values()), {path: said for path, said in found.items() if said}
