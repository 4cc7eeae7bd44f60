"""The studio where things are not as they should be: refusals, lost answers, restarts, other
addresses, clocks, tabs. The page waits and goes on by itself, or says what is to be done."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import PASSWORD, wait_for
from played import Studio, browser, expect, findings, preview_card, server, studio
from test_nginx import CONF, NGINX, nginx
from test_start import GUNICORN, Server

GONE = ["ERR_CONNECTION_REFUSED", "ERR_EMPTY_RESPONSE", "ERR_INCOMPLETE", "ERR_CONNECTION_RESET"]


def test_too_many_logins_are_told_with_the_time_to_wait(
    browser: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with Server(
        tmp_path_factory.mktemp("server"),
        *GUNICORN,
        SEIDRA_RATE_LIMITS="on",
        SEIDRA_RATE_LOGIN="1/minute",
        SEIDRA_WEB_WORKERS="1",
    ) as server:
        server.ready().register()
        studio = Studio(browser, server)
        studio.allowed = ["401", "429"]
        page = studio.open("/login")
        page.fill("input[name=username]", "alice")
        page.fill("input[name=password]", "not the password")
        page.click("button[type=submit]")
        expect(page.locator(".refused")).not_to_be_empty()
        page.fill("input[name=password]", PASSWORD)
        page.click("button[type=submit]")
        expect(page.locator(".refused")).to_have_text(re.compile(r"Try again in \d+ sec\."))
        # What was written stays, and the form can be sent again.
        expect(page.locator("input[name=password]")).to_have_value(PASSWORD)
        expect(page.locator("form")).to_have_attribute("aria-busy", "false")
        studio.context.close()
        studio.check()


@pytest.mark.parametrize("status", [503, 429])
def test_what_is_refused_for_now_is_asked_again(studio: Studio, status: int) -> None:
    page = studio.register()
    studio.allowed = [str(status)]
    refused: list[str] = []

    def refuse_twice(route: Any) -> None:
        path = route.request.url.split("?")[0]
        if refused.count(path) >= 2:
            return route.fallback()
        refused.append(path)
        return route.fulfill(
            status=status,
            headers={"Retry-After": "1"},
            json={"status": status, "code": "unavailable", "detail": "Busy."},
        )

    page.route(re.compile("/api/(personas|auth/refresh|settings|jobs|media|trash)"), refuse_twice)
    page.reload()
    page.wait_for_selector(".card")
    expect(page.locator(".chip").filter(has_text="example")).to_contain_text("1")
    expect(page.locator(".banner")).to_have_count(0)
    assert len(refused) >= 8
    page.get_by_role("link", name="Gallery").click()
    expect(page.locator(".empty-state")).to_be_visible()
    page.get_by_role("link", name="Trash").click()
    expect(page.locator(".empty-state")).to_be_visible()


def test_a_page_opened_while_the_server_is_gone_fills_when_it_is_back(studio: Studio) -> None:
    page = studio.register()
    studio.allowed = GONE
    # Its script is there already: what is missing is the answer of the API.
    page.get_by_role("link", name="Gallery").click()
    expect(page.locator(".empty-state")).to_be_visible()
    page.get_by_role("link", name="Personas").click()
    page.wait_for_selector(".card")
    server = studio.server
    server.stop()
    page.get_by_role("link", name="Gallery").click()
    expect(page.locator(".banner")).to_be_visible()
    expect(page.locator(".empty-state")).to_have_count(0)
    with Server(server.folder, *GUNICORN, SEIDRA_BIND=f"127.0.0.1:{server.port}"):
        expect(page.locator(".empty-state")).to_be_visible(timeout=60_000)
        expect(page.locator(".banner")).to_have_count(0)
        page.get_by_role("link", name="Personas").click()
        page.wait_for_selector(".card")


def test_a_refresh_whose_answer_is_lost_ends_no_session(studio: Studio) -> None:
    page = studio.register()
    studio.allowed = ["ERR_FAILED"]
    lost: list[int] = []

    def lose(route: Any) -> None:
        lost.append(route.fetch().status)
        route.abort()

    page.route("**/api/auth/refresh", lose, times=1)
    page.reload()
    page.wait_for_selector(".card")
    assert lost == [200]
    page.reload()
    page.wait_for_selector(".card")


def test_two_tabs_that_renew_at_once_both_stay_in(studio: Studio) -> None:
    first = studio.register()
    second = studio.add_page()
    second.goto(first.url)
    second.wait_for_selector(".card")
    renewed: list[str] = []
    for page in (first, second):
        page.on("request", lambda request: renewed.append(request.url))
    for _ in range(3):
        for page in (first, second):
            page.evaluate("void setTimeout(() => location.reload())")
        for page in (first, second):
            page.wait_for_timeout(300)
            page.wait_for_selector(".card")
    assert len([url for url in renewed if url.endswith("/api/auth/refresh")]) >= 6
    first.reload()
    second.reload()
    for page in (first, second):
        page.wait_for_selector(".card")


def test_one_tab_of_a_browser_listens_and_tells_the_others(studio: Studio) -> None:
    streams: dict[Any, int] = {}
    first = studio.register()
    second = studio.add_page()
    pages = [first, second]

    def count(page: Any) -> None:
        def see(request: Any) -> None:
            if "/api/jobs/events" in request.url:
                streams[page] = streams.get(page, 0) + 1

        page.on("request", see)

    for page in pages:
        count(page)
    second.goto(first.url)
    second.wait_for_selector(".card")
    preview_card(second)
    first.wait_for_selector(".card img")
    assert second not in streams
    # The one that listened is closed: another one takes its place.
    first.close()
    wait_for(lambda: second.wait_for_timeout(200) or second in streams, 20)
    studio.server.login()
    studio.server.json("POST", "/api/personas/1/preview", {"seed": 5}, 202)
    expect(second.locator(".card.busy")).to_have_count(1)
    expect(second.locator(".card.busy")).to_have_count(0)


def test_a_session_that_is_ended_elsewhere_keeps_what_was_written(studio: Studio) -> None:
    page = studio.register()
    studio.allowed = ["401"]
    page.click(".card-link")
    page.fill("textarea[name=style_prompt]", "{prompt}, written for an hour")
    studio.server.login()
    studio.server.json("POST", "/api/auth/sessions/end-others")
    page.keyboard.press("Control+s")
    # One stays, logs in beside, and saves.
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("textarea[name=style_prompt]")).to_have_value(re.compile("an hour"))
    other = studio.add_page()
    other.goto(f"{studio.origin}/login")
    other.fill("input[name=username]", "alice")
    other.fill("input[name=password]", PASSWORD)
    other.click("button[type=submit]")
    other.wait_for_selector(".card")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".save-bar")).to_have_count(0)
    found = studio.server.json("GET", "/api/personas/1")
    assert found["style_prompt"] == "{prompt}, written for an hour"


def test_a_session_that_is_ended_elsewhere_leads_to_the_login_and_back(studio: Studio) -> None:
    page = studio.register()
    studio.allowed = ["401"]
    studio.server.login()
    studio.server.json("POST", "/api/auth/sessions/end-others")
    page.get_by_role("link", name="Gallery").click()
    page.wait_for_url("**/login?to=*gallery")
    page.fill("input[name=username]", "alice")
    page.fill("input[name=password]", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_url("**/gallery")
    expect(page.locator(".empty-state")).to_be_visible()


CLOCK = """
{
  const Real = Date;
  const off = HOURS * 3600e3;
  globalThis.Date = class extends Real {
    constructor(...given) {
      if (given.length) super(...given);
      else super(Real.now() + off);
    }
    static now() {
      return Real.now() + off;
    }
  };
}
"""


@pytest.mark.parametrize("hours", [-30, 30])
def test_a_clock_that_is_wrong_changes_nothing(browser: Any, server: Server, hours: int) -> None:
    studio = Studio(browser, server)
    studio.context.add_init_script(CLOCK.replace("HOURS", str(hours)))
    page = studio.register()
    preview_card(page)
    page.reload()
    page.wait_for_selector(".card img")
    page.get_by_role("link", name="Gallery").click()
    expect(page.locator(".shot")).to_have_count(1)
    page.get_by_role("combobox", name="All months").select_option(index=1)
    expect(page.locator(".shot")).to_have_count(1)
    page.get_by_role("link", name="Settings").click()
    expect(page.get_by_text("this browser")).to_be_visible()
    studio.context.close()
    studio.check()


def test_a_tab_whose_clock_was_set_back_still_finds_who_listens(studio: Studio) -> None:
    # Somebody listened, died without a word, and the clock was set back since.
    studio.context.add_init_script(
        "if (!sessionStorage.began) {"
        " localStorage.setItem('seidra.leader', `gone ${Date.now() + 36e5}`);"
        " sessionStorage.began = 1; }"
    )
    page = studio.page
    with page.expect_request("**/api/jobs/events*", timeout=15_000):
        studio.register()


def test_plain_http_on_another_address_does(browser: Any, server: Server) -> None:
    studio = Studio(browser, server, f"http://studio.lan:{server.port}")
    page = studio.register()
    assert page.evaluate("isSecureContext") is False
    assert page.evaluate("navigator.clipboard === undefined && navigator.locks === undefined")
    preview_card(page)
    page.get_by_role("link", name="Settings").click()
    keys = page.locator("form").filter(has_text="API keys")
    keys.locator("input[name=name]").fill("a script")
    keys.locator("input[name=current_password]").fill(PASSWORD)
    keys.get_by_role("button", name="Make a key").click()
    keys.get_by_role("button", name="Copy").click()
    # There is no clipboard here: the key is chosen, so that it can be copied by hand.
    assert page.evaluate("getSelection().toString()") == keys.locator(".secret").inner_text()
    page.reload()
    page.get_by_role("link", name="Gallery").click()
    page.locator(".shot").click()
    page.wait_for_function("() => document.querySelector('.lightbox img')?.naturalWidth")
    studio.context.close()
    studio.check()


@pytest.fixture(params=["left", "stripped"])
def below(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    """A server below /seidra behind nginx, which strips the path or leaves it, and its address."""
    if NGINX is None:
        pytest.skip("nginx is not installed (apt-get install nginx)")
    folder = tmp_path_factory.mktemp("below")
    ending = "/" if request.param == "stripped" else ""
    place = f"location /seidra/ {{ proxy_pass http://seidra{ending}; }}\n    location / {{\n"
    conf = CONF.replace("    location / {\n", f"    {place}", 1)
    assert conf != CONF
    with Server(
        folder,
        *GUNICORN,
        SEIDRA_PUBLIC_URL="http://studio.lan/seidra",
        SEIDRA_TRUSTED_PROXIES="1",
        SEIDRA_X_ACCEL_REDIRECT="/protected",
    ) as server:
        server.ready()
        with nginx(folder / "nginx", server, conf) as proxy:
            yield server, f"http://127.0.0.1:{proxy.port}/seidra"


def test_below_a_path_behind_nginx_with_a_restart(browser: Any, below: tuple[Server, str]) -> None:
    server, origin = below
    studio = Studio(browser, server, origin)
    page = studio.page
    token = (server.folder / "instance" / "setup.token").read_text().strip()
    page.goto(f"{origin}/setup#{token}")
    page.fill("input[name=username]", "alice")
    page.fill("input[name=email]", "alice@example.com")
    page.fill("input[name=password]", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_selector(".card")
    preview_card(page)
    decoded = "image => image.decode().then(() => image.naturalWidth)"
    assert page.eval_on_selector(".card img", decoded) > 200
    page.get_by_role("link", name="Gallery").click()
    page.wait_for_url(f"{origin}/gallery")
    page.locator(".shot").click()
    with page.expect_download() as saved:
        page.get_by_role("link", name="Download", exact=True).click()
    assert saved.value.path().stat().st_size > 1000
    page.reload()
    page.wait_for_selector(".facts")
    page.keyboard.press("Escape")
    page.wait_for_url(f"{origin}/gallery")
    # nginx answers 503 with Retry-After by itself while SEIDRA is away; the page waits.
    studio.allowed = ["503"]
    server.stop()
    page.get_by_role("link", name="Personas").click()
    expect(page.locator(".banner")).to_be_visible()
    with Server(
        server.folder,
        *GUNICORN,
        SEIDRA_BIND=f"127.0.0.1:{server.port}",
        SEIDRA_PUBLIC_URL="http://studio.lan/seidra",
        SEIDRA_TRUSTED_PROXIES="1",
        SEIDRA_X_ACCEL_REDIRECT="/protected",
    ):
        page.wait_for_selector(".card img", timeout=60_000)
        expect(page.locator(".banner")).to_have_count(0)
    studio.context.close()
    studio.check()


def test_nsfw_is_off_veiled_looked_at_and_taken_away(browser: Any, studio: Studio) -> None:
    page = studio.register()
    studio.server.login()
    studio.allowed = ["404"]
    # Off: the switch of an editor is refused by the server, at its words.
    settings = studio.add_page()
    settings.goto(f"{studio.origin}/settings")
    settings.get_by_label("Allow NSFW things").check()
    settings.get_by_label("I am of age").check()
    wait_for(
        lambda: (
            settings.wait_for_timeout(50)
            or studio.server.json("GET", "/api/settings/nsfw")["age_verified"]
        )
    )
    made = {"name": "Hidden", "style_prompt": "sea", "is_nsfw": True}
    studio.server.json("POST", "/api/personas", made, 201)
    studio.server.json("POST", "/api/personas/2/preview", {}, 202)
    wait_for(
        lambda: (
            page.wait_for_timeout(50)
            or studio.server.json("GET", "/api/personas/2")["cover"] is not None
        )
    )
    # Veiled: there, blurred, and seen while it is held.
    page.get_by_role("link", name="Gallery").click()
    expect(page.locator(".shot .picture.veiled")).to_have_count(1)
    page.locator(".shot").click()
    held = page.locator(".lightbox .picture")
    expect(held).to_have_class(re.compile("veiled"))
    held.hover()
    page.mouse.down()
    expect(held).not_to_have_class(re.compile("veiled"))
    page.mouse.up()
    expect(held).to_have_class(re.compile("veiled"))
    # On: without a veil, at once, also in the other tab.
    settings.get_by_label("Veil NSFW pictures until I look").uncheck()
    expect(held).not_to_have_class(re.compile("veiled"))
    # Revoked while one looks: the picture and its words are gone, and the lists are without it.
    settings.get_by_label("Allow NSFW things").uncheck()
    expect(page.locator(".lightbox")).to_have_count(0)
    expect(page.locator(".shot")).to_have_count(0)
    page.get_by_role("link", name="Personas").click()
    expect(page.locator(".card")).to_have_count(1)


def test_nsfw_that_an_administrator_takes_away_is_gone_while_one_looks(
    browser: Any, studio: Studio
) -> None:
    studio.register()
    studio.server.login()
    studio.allowed = ["404"]
    bob = {"username": "bob", "email": "bob@example.com", "password": PASSWORD}
    account = studio.server.json("POST", "/api/admin/users", bob, 201)["id"]
    guest = Studio(browser, studio.server)
    guest.allowed = ["404"]
    page = guest.login("bob")
    page.get_by_role("link", name="Settings").click()
    page.get_by_label("Allow NSFW things").check()
    page.get_by_label("I am of age").check()
    page.get_by_label("Veil NSFW pictures until I look").uncheck()
    page.get_by_role("link", name="Personas").click()
    page.get_by_role("button", name="New persona").click()
    page.fill("input[name=name]", "Hidden")
    page.fill("textarea[name=style_prompt]", "sea")
    page.get_by_label("This persona is NSFW").check()
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("button", name="Preview", exact=True).click()
    page.wait_for_selector(".strip img")
    page.get_by_role("link", name="Gallery").click()
    page.locator(".shot").click()
    page.wait_for_selector(".facts")
    studio.server.json("PATCH", f"/api/admin/users/{account}", {"nsfw_allowed": False})
    expect(page.locator(".lightbox")).to_have_count(0)
    expect(page.locator(".shot")).to_have_count(0)
    guest.context.close()
    guest.check()


def test_an_editor_closes_when_an_administrator_takes_nsfw_away(
    browser: Any, studio: Studio
) -> None:
    studio.register()
    studio.server.login()
    bob = {"username": "bob", "email": "bob@example.com", "password": PASSWORD}
    account = studio.server.json("POST", "/api/admin/users", bob, 201)["id"]
    guest = Studio(browser, studio.server)
    guest.allowed = ["404"]
    page = guest.login("bob")
    page.get_by_role("link", name="Settings").click()
    page.get_by_label("Allow NSFW things").check()
    page.get_by_label("I am of age").check()
    page.get_by_role("link", name="Personas").click()
    page.get_by_role("button", name="New persona").click()
    page.fill("input[name=name]", "Hidden")
    page.fill("textarea[name=style_prompt]", "sea")
    page.get_by_role("button", name="Save", exact=True).click()
    # It became one only now, and what is not saved is not asked for.
    page.get_by_label("This persona is NSFW").check()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".save-bar")).to_have_count(0)
    page.fill("textarea[name=style_prompt]", "a secret sea")
    studio.server.json("PATCH", f"/api/admin/users/{account}", {"nsfw_allowed": False})
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("main")).to_have_text("There is nothing here.")
    page.get_by_role("link", name="Gallery").click()
    expect(page).to_have_url(re.compile("/gallery"))
    guest.context.close()
    guest.check()


def test_a_wrong_path_says_so_and_leads_home(browser: Any, studio: Studio) -> None:
    studio.allowed = ["404"]
    page = studio.register()
    home = page.get_by_role("link", name="To the start")
    for path in ("/nowhere", "/personas/1/2"):
        studio.open(path)
        expect(page.get_by_role("heading", name="There is nothing here.")).to_be_visible()
        assert findings(page) == []
        home.click()
        page.wait_for_selector(".card")
    # Also for one who is not logged in, in their language.
    stranger = Studio(browser, studio.server, locale="fr-FR")
    stranger.allowed = ["404", "401"]
    page = stranger.open("/nowhere")
    expect(page.get_by_role("heading", name="Il n’y a rien ici.")).to_be_visible()
    page.get_by_role("link", name="Vers l’accueil").click()
    page.wait_for_selector("input[name=password]")
    stranger.context.close()
    stranger.check()
