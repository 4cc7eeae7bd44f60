"""How people come, what they may use, and how they leave: administrators and those they help."""

from __future__ import annotations

import os
from typing import Any

import pytest
from conftest import PASSWORD, wait_for
from played import Studio, browser, expect, findings, preview_card, server, studio
from test_start import GUNICORN, Server

SHOTS = os.environ.get("SEIDRA_SHOTS")
"""A folder in which the pages are kept as they look."""


def shoot(page: Any, name: str) -> None:
    """Keep how the page looks, where somebody asked for that."""
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/{name}.png", full_page=True)


def make_group(studio: Studio, **limits: Any) -> int:
    body = {"name": "Children", **limits}
    made: int = studio.server.json("POST", "/api/admin/groups", body, 201)["id"]
    return made


def add_account(studio: Studio, name: str) -> int:
    body = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
    made: int = studio.server.json("POST", "/api/admin/users", body, 201)["id"]
    return made


def test_a_group_an_invitation_and_a_refusal_in_words(browser: Any, studio: Studio) -> None:
    page = studio.register()
    page.get_by_role("link", name="Administration").click()
    page.get_by_role("link", name="Groups").click()
    page.get_by_role("button", name="New group").click()
    dialog = page.get_by_role("dialog", name="New group")
    dialog.get_by_label("Name", exact=True).fill("Children")
    dialog.get_by_role("checkbox", name="Only certain engines").check()
    chip = dialog.get_by_role("button", name="mock")
    chip.click()
    expect(chip).to_have_attribute("aria-pressed", "true")
    dialog.get_by_label("Engine minutes a day").fill("0")
    dialog.get_by_label("Storage in GB").fill("1.5")
    assert findings(page) == []
    shoot(page, "group-dialog")
    dialog.get_by_role("button", name="Save").click()
    expect(page.locator(".job")).to_contain_text("Engine minutes a day: 0 minutes")
    studio.server.login()
    (group,) = studio.server.json("GET", "/api/admin/groups")["groups"]
    assert (group["engines"], group["engine_minutes_a_day"]) == (["mock"], 0)
    assert (group["max_bytes"], group["max_pictures"], group["may_share"]) == (
        1_500_000_000,
        None,
        None,
    )

    page.get_by_role("link", name="Accounts", exact=True).click()
    invite = page.locator("form").filter(has_text="Invite somebody")
    invite.get_by_label("Note").fill("for Bob")
    invite.get_by_role("button", name="Make the link").click()
    link = page.locator(".secret").inner_text()
    assert "/join#" in link
    expect(page.locator(".job").filter(has_text="for Bob")).to_contain_text("open until")

    guest = Studio(browser, studio.server, color_scheme="dark", locale="fr-FR")
    guest.page.goto(link)
    guest.page.fill("input[name=username]", "bob")
    guest.page.fill("input[name=email]", "bob@example.com")
    guest.page.fill("input[name=password]", PASSWORD)
    guest.page.select_option("select[name=language]", "fr")
    guest.page.click("button[type=submit]")
    guest.page.wait_for_selector(".card")

    page.reload()
    expect(page.locator(".job").filter(has_text="for Bob")).to_contain_text("used by bob")
    page.get_by_label("Choose several: bob").check()
    page.locator(".selection select").select_option(label="Children")
    page.get_by_role("button", name="Put there").click()
    row = page.locator(".job").filter(has_text="bob@example.com")
    expect(row).to_contain_text("Children")
    shoot(page, "users")

    guest.allowed = ["429"]
    guest.page.click(".card-play")
    expect(guest.page.locator(".toast")).to_contain_text("minutes de moteur du jour sont épuisées")
    guest.page.goto(guest.origin + "/settings")
    mine = guest.page.locator("fieldset").filter(has_text="Ce que je peux utiliser")
    expect(mine).to_contain_text("1,5 Go")
    expect(mine).to_contain_text("Il reste 0 minutes")
    assert findings(guest.page) == []
    guest.context.close()
    guest.check()


def test_an_invitation_puts_who_comes_into_a_group(browser: Any, studio: Studio) -> None:
    studio.server.register()
    group = make_group(studio)
    page = studio.login()
    page = studio.open("/admin/users")
    invite = page.locator("form").filter(has_text="Invite somebody")
    invite.get_by_label("Group").select_option(label="Children")
    assert findings(page) == []
    invite.get_by_role("button", name="Make the link").click()
    link = page.locator(".secret").inner_text()
    guest = Studio(browser, studio.server)
    guest.page.goto(link)
    guest.page.fill("input[name=username]", "bob")
    guest.page.fill("input[name=email]", "bob@example.com")
    guest.page.fill("input[name=password]", PASSWORD)
    guest.page.click("button[type=submit]")
    guest.page.wait_for_selector(".card")
    guest.context.close()
    guest.check()
    studio.server.login()
    users = studio.server.json("GET", "/api/admin/users")["users"]
    assert [user["group_id"] for user in users if user["username"] == "bob"] == [group]


def test_limits_of_an_account_are_read_written_and_refused(studio: Studio) -> None:
    studio.server.register()
    group = make_group(studio, engine_minutes_a_day=30)
    bob = add_account(studio, "bob")
    page = studio.login()
    page = studio.open("/admin/users")
    page.get_by_role("button", name="Limits: bob").click()
    dialog = page.get_by_role("dialog", name="bob")
    dialog.get_by_label("Group").select_option(label="Children")
    dialog.get_by_role("checkbox", name="Only certain engines").check()
    dialog.get_by_role("button", name="mock").click()
    dialog.get_by_label("Sharing").select_option(label="not allowed")
    dialog.get_by_role("button", name="Save").click()
    expect(page.locator(".job").filter(has_text="bob@")).to_contain_text("Sharing: not allowed")
    page.get_by_role("button", name="Limits: bob").click()
    expect(dialog).to_contain_text("In force: 30 minutes")
    # What is refused is told in the dialog, which stays.
    studio.allowed = ["422"]
    dialog.get_by_label("Pictures").evaluate("input => input.removeAttribute('min')")
    dialog.get_by_label("Pictures").fill("0")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.locator(".field.wrong")).to_have_count(1)
    page.keyboard.press("Escape")
    studio.server.login()
    users = studio.server.json("GET", "/api/admin/users")["users"]
    (found,) = (user for user in users if user["id"] == bob)
    assert (found["group_id"], found["engines"], found["may_share"]) == (group, ["mock"], False)
    assert found["max_pictures"] is None


def test_usage_is_shown_by_account_and_day_and_kept_as_csv(studio: Studio) -> None:
    page = studio.register()
    preview_card(page)
    page = studio.open("/admin/usage")
    row = page.locator("tbody tr")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("alice")
    expect(row.locator("td").nth(1)).to_have_text("1")
    shoot(page, "usage")
    page.get_by_label("By", exact=True).select_option(label="Day")
    expect(page.locator("thead th").first).to_have_text("Day (UTC)")
    expect(row).to_have_count(1)
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    lines = download.value.path().read_text().splitlines()
    assert lines[0] == "day,engine_seconds,pictures,bytes"
    assert len(lines) == 2
    page.get_by_label("To", exact=True).fill("2020-01-31")
    page.get_by_label("From", exact=True).fill("2020-01-01")
    expect(page.locator(".empty-words")).to_be_visible()


def test_a_hand_over_is_offered_withdrawn_and_accepted(browser: Any, studio: Studio) -> None:
    page = studio.register()
    studio.server.login()
    add_account(studio, "bob")
    page = studio.open("/admin/users")
    for turn in range(2):
        page.get_by_role("button", name="Hand over: alice").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("To whom").select_option(label="bob")
        dialog.get_by_role("button", name="Offer it").click()
        offers = page.locator("section").filter(has_text="Handed over").locator(".job")
        expect(offers).to_have_count(turn + 1)
        if turn == 0:
            offers.get_by_role("button", name="Withdraw").click()
            page.get_by_role("dialog").get_by_role("button", name="Withdraw").click()
            expect(offers).to_contain_text("Withdrawn")
    guest = Studio(browser, studio.server, color_scheme="dark")
    guest.open("/login")
    guest.login("bob")
    guest.open("/settings")
    left = guest.page.locator("fieldset").filter(has_text="Left to me")
    expect(left).to_contain_text("alice leaves you something")
    expect(left).to_contain_text("one persona")
    shoot(guest.page, "settings")
    left.get_by_role("button", name="Accept").click()
    guest.page.get_by_role("dialog").get_by_role("button", name="Accept").click()
    expect(left.locator("li").first).to_contain_text("Done", timeout=60_000)
    guest.page.get_by_role("link", name="Personas").click()
    expect(guest.page.locator(".card")).to_have_count(1)
    guest.context.close()
    guest.check()


def test_a_secret_is_copied_on_plain_http(browser: Any, server: Server) -> None:
    studio = Studio(browser, server, origin=f"http://studio.lan:{server.port}")
    server.register()
    page = studio.login()
    page = studio.open("/admin/users")
    assert page.evaluate("() => navigator.clipboard === undefined")
    page.get_by_role("button", name="Make the link").click()
    page.get_by_role("button", name="Copy").click()
    expect(page.locator(".toast")).to_contain_text("Copied")
    page.get_by_label("Note").focus()
    page.keyboard.press("Control+v")
    expect(page.get_by_label("Note")).to_have_value(page.locator(".secret").inner_text())
    studio.context.close()
    studio.check()


def test_a_proxy_brings_one_in_and_says_why_not(
    browser: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("server")
    settings = {
        "SEIDRA_AUTH_HEADER": "X-Remote-User",
        "SEIDRA_AUTH_PROXIES": "127.0.0.1",
        "SEIDRA_TRUSTED_PROXIES": "1",
        "SEIDRA_REGISTRATION": "closed",
        "SEIDRA_PASSWORD_LOGIN": "off",
    }
    with Server(folder, *GUNICORN, **settings) as running:
        running.ready().register()
        known = Studio(browser, running, extra_http_headers={"X-Remote-User": "alice"})
        known.open("/gallery?q=moon").wait_for_url("**/gallery?q=moon")
        expect(known.page.locator(".who")).to_have_text("alice")
        # Who leaves stays outside until they ask to come in.
        known.page.get_by_role("button", name="Log out").click()
        known.page.wait_for_url("**/login*")
        button = known.page.get_by_role("button", name="Come in")
        button.wait_for()
        assert known.page.locator("input[name=password]:visible").count() == 0
        assert findings(known.page) == []
        button.click()
        known.page.wait_for_selector(".who")
        known.allowed = ["401"]
        known.context.close()
        known.check()
        stranger = Studio(browser, running, extra_http_headers={"X-Remote-User": "mallory"})
        stranger.allowed = ["403"]
        page = stranger.open("/")
        expect(page.locator(".refused").first).to_contain_text("no account here yet")
        shoot(page, "proxy")
        stranger.context.close()
        stranger.check()


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_pages_of_administration_are_accessible(
    browser: Any, server: Server, theme: str, width: int
) -> None:
    studio = Studio(browser, server, color_scheme=theme)
    studio.page.set_viewport_size({"width": width, "height": 844})
    page = studio.register()
    preview_card(page)
    studio.server.login()
    make_group(studio, engines=["mock"], engine_minutes_a_day=30, may_share=False)
    bob = add_account(studio, "bob")
    studio.server.json("POST", "/api/admin/invitations", {"note": "for Grandma"}, 201)
    offer = {"to": bob, "what": "all"}
    studio.server.json("POST", "/api/admin/users/2/hand-over", offer, 201)
    found = {}
    for path, wanted in (
        ("/admin/users", "section .job"),
        ("/admin/groups", ".job"),
        ("/admin/usage", "tbody tr"),
        ("/settings", ".facts"),
    ):
        page = studio.open(path)
        page.locator(wanted).first.wait_for()
        found[path] = findings(page)
        shoot(page, f"{path[1:].replace('/', '-')}-{theme}-{width}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    page = studio.open("/admin/users")
    page.get_by_role("button", name="Limits: bob").click()
    page.get_by_role("checkbox", name="Only certain engines").check()
    page.get_by_role("button", name="mock").wait_for()
    found["limits"] = findings(page)
    shoot(page, f"limits-{theme}-{width}")
    studio.context.close()
    studio.check()
    assert not any(found.values()), {path: said for path, said in found.items() if said}
