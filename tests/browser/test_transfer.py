"""What people bring in and take out in the studio: imports, exports, pictures of their own."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from pathlib import Path
from typing import Any

from PIL import Image, PngImagePlugin
from played import Studio, browser, expect, findings, server, studio

STYLES = (
    "name,prompt,negative_prompt\n"
    'Film,"{prompt}, film grain",text\n'
    'Moonlit wood,"{prompt}, moss and fog",\n'
    'Noir,"{prompt}, black and white","colour, {prompt}"\n'
)


def file_of(name: str, text: str) -> dict[str, Any]:
    """A file as a page is given it."""
    return {"name": name, "mimeType": "text/plain", "buffer": text.encode()}


def picture_of(width: int, height: int) -> dict[str, Any]:
    """A picture as a page is given it: a square of its middle is red, all else is blue."""
    image = Image.new("RGB", (width, height), (0, 0, 255))
    image.paste((255, 0, 0), (width // 2 - 50, 0, width // 2 + 50, height))
    out = io.BytesIO()
    image.save(out, "PNG")
    return {"name": "sent.png", "mimeType": "image/png", "buffer": out.getvalue()}


def test_styles_are_planned_chosen_applied_and_taken_back(studio: Studio) -> None:
    page = studio.register()
    studio.server.login()
    page.get_by_role("link", name="Transfer").click()
    # A refusal stands at the file that it is of, and nothing is planned.
    studio.allowed = ["422"]
    page.set_input_files("input[type=file]", file_of("nothing.bin", "\0\1\2"))
    page.get_by_role("button", name="Show the plan").click()
    expect(page.locator(".finding.error")).to_contain_text("nothing.bin")
    page.get_by_role("button", name="Remove: nothing.bin").click()
    page.set_input_files("input[type=file]", file_of("styles.csv", STYLES))
    page.locator("summary", has_text="Options").click()
    page.get_by_role("textbox", name="Add a tag").fill("brought")
    page.get_by_role("button", name="Show the plan").click()
    page.wait_for_url("**/transfer?import=*")
    rows = page.locator(".entry")
    expect(rows).to_have_count(3)
    expect(page.get_by_role("status").filter(has_text="Planned")).to_contain_text("3 entries")
    wood = rows.filter(has_text="Moonlit wood")
    expect(wood).to_contain_text("one of yours has this name")
    expect(wood.locator("ins").first).to_be_visible()
    assert findings(page) == []
    # What is in conflict is decided before anything is done.
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_role("alert")).to_contain_text("One conflict")
    expect(rows).to_have_count(1)
    assert len(studio.server.json("GET", "/api/personas")) == 1
    page.get_by_role("combobox", name="What becomes of Moonlit wood").select_option("Update yours")
    page.get_by_role("button", name="In conflict").click()
    expect(rows).to_have_count(3)
    page.get_by_role("combobox", name="For all: New").select_option("Pass over")
    noir = page.get_by_role("combobox", name="What becomes of Noir")
    expect(noir).to_have_value("skip")
    noir.select_option("Make")
    page.get_by_role("button", name="Apply").click()
    told = page.get_by_role("status").filter(has_text="Applied ·")
    expect(told).to_contain_text("New: 1 · Changed: 1")
    expect(rows.filter(has_text="Film")).to_contain_text("Pass over")
    expect(wood).to_contain_text("Done")
    found = {each["name"]: each for each in studio.server.json("GET", "/api/personas")}
    assert set(found) == {"Moonlit wood", "Noir"}
    assert found["Moonlit wood"]["style_prompt"] == "{prompt}, moss and fog"
    assert "brought" in found["Noir"]["tags"]
    page.locator(".toast").get_by_role("button", name="Undo").click()
    expect(page.get_by_role("status").filter(has_text="Undone ·")).to_be_visible()
    (back,) = studio.server.json("GET", "/api/personas")
    assert back["style_prompt"] != "{prompt}, moss and fog"
    page.get_by_role("link", name="All imports and exports").click()
    earlier = page.locator(".job", has_text="styles.csv")
    expect(earlier).to_contain_text("Undone")
    earlier.get_by_role("button", name="Delete").click()
    expect(earlier).to_have_count(0)


def test_a_long_plan_is_paged_and_chosen_for_at_once(studio: Studio) -> None:
    page = studio.register()
    studio.server.login()
    page.get_by_role("link", name="Transfer").click()
    rows = "".join(f'Style {n},"{{prompt}}, grain {n}",\n' for n in range(120))
    page.get_by_label("Or paste a text").fill("name,prompt,negative_prompt\n" + rows)
    page.get_by_role("button", name="Show the plan").click()
    entries = page.locator(".entry")
    expect(entries).to_have_count(50)
    page.get_by_role("button", name="Next").click()
    page.get_by_role("button", name="Next").click()
    expect(entries).to_have_count(20)
    page.get_by_role("combobox", name="For all: New").select_option("Pass over")
    page.get_by_role("combobox", name="What becomes of Style 119").select_option("Make")
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_role("status").filter(has_text="Applied ·")).to_be_visible()
    names = [each["name"] for each in studio.server.json("GET", "/api/personas")]
    assert sorted(names) == ["Moonlit wood", "Style 119"]


def test_personas_go_out_and_what_is_lost_is_said_before(studio: Studio) -> None:
    page = studio.register()
    page.keyboard.press("Control+a")
    page.get_by_role("region", name="Choose several").get_by_role("button", name="Export").click()
    dialog = page.get_by_role("dialog", name="Export")
    expect(dialog).to_contain_text("Nothing is lost")
    dialog.get_by_role("combobox").select_option(label="A1111, Forge (styles.csv)")
    expect(dialog).to_contain_text("no place for its tags")
    assert findings(page) == []
    with page.expect_download() as got:
        dialog.get_by_role("button", name="Export").click()
    assert got.value.suggested_filename == "styles.csv"
    assert "Moonlit wood" in Path(got.value.path()).read_text("utf-8-sig")
    page.click(".card-link")
    page.get_by_role("button", name="Export").click()
    dialog.get_by_role("combobox").select_option("card-json")
    with page.expect_download() as got:
        dialog.get_by_role("button", name="Export").click()
    card = json.loads(Path(got.value.path()).read_text())
    assert card["data"]["name"] == "Moonlit wood"
    page.get_by_role("link", name="Transfer").click()
    with page.expect_download() as got:
        page.get_by_role("button", name="Export everything").click()
    with zipfile.ZipFile(got.value.path()) as whole:
        assert "personas.jsonl" in whole.namelist()


def test_a_large_export_is_followed_and_loaded(studio: Studio) -> None:
    page = studio.register()
    studio.server.login()
    rows = "".join(f'Style {n},"{{prompt}}, grain {n}",\n' for n in range(150))
    body = {"text": "name,prompt,negative_prompt\n" + rows, "format": "a1111"}
    plan = studio.server.json("POST", "/api/imports", body, 201)
    studio.server.json("POST", f"/api/imports/{plan['id']}/apply", {}, 202)
    page.get_by_role("link", name="Transfer").click()
    page.get_by_role("button", name="Export everything").click()
    row = page.locator("fieldset .job")
    with page.expect_download() as got:
        row.get_by_role("link", name="Download").click()
    with zipfile.ZipFile(got.value.path()) as whole:
        assert whole.read("personas.jsonl").count(b"\n") == 151
    row.get_by_role("button", name="Delete").click()
    expect(row).to_have_count(0)


def test_a_picture_is_sent_in_and_becomes_a_persona(studio: Studio) -> None:
    page = studio.register()
    studio.server.login()
    page.get_by_role("link", name="Gallery").click()
    page.wait_for_selector(".empty-state")
    text = (
        "moonlit ocean, silver foam\nNegative prompt: text\n"
        "Steps: 25, Sampler: Euler a, CFG scale: 7, Seed: 42, Size: 300x200"
    )
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", text)
    out = io.BytesIO()
    Image.new("RGB", (300, 200), (20, 60, 90)).save(out, "PNG", pnginfo=info)
    told = {"name": "sea.png", "mimeType": "image/png", "buffer": out.getvalue()}
    # What is no picture leaves the others alone.
    studio.allowed = ["422"]
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Upload").click()
    chooser.value.set_files([file_of("no.png", "no picture"), told])
    expect(page.locator(".toast", has_text="no.png")).to_be_visible()
    expect(page.locator(".shot")).to_have_count(1)
    # Another one is dropped.
    page.evaluate(
        """data => {
          const files = new DataTransfer();
          files.items.add(new File([Uint8Array.from(atob(data), c => c.charCodeAt(0))], "b.png"));
          for (const kind of ["dragover", "drop"])
            document.body.dispatchEvent(new DragEvent(kind, {
              dataTransfer: files, bubbles: true, cancelable: true }));
        }""",
        base64.b64encode(picture_of(200, 100)["buffer"]).decode(),
    )
    expect(page.locator(".shot")).to_have_count(2)
    page.get_by_role("link", name="moonlit ocean").click()
    page.get_by_role("button", name="Make a persona of this").click()
    page.wait_for_url("**/transfer?import=*")
    expect(page.locator(".entry")).to_contain_text("with a picture")
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_role("status").filter(has_text="Applied ·")).to_be_visible()
    made = next(
        each
        for each in studio.server.json("GET", "/api/personas")
        if each["name"] != "Moonlit wood"
    )
    assert "silver foam" in made["style_prompt"]
    assert made["generation_params"]["num_inference_steps"] == 25
    page.locator(".entry a").click()
    page.wait_for_selector(".stage img")


def test_a_square_of_a_file_becomes_the_personas_picture(studio: Studio) -> None:
    page = studio.register()
    studio.server.login()
    page.click(".card-link")
    page.fill("input[name=name]", "Not saved yet")
    page.set_input_files(".editor-stage input[type=file]", picture_of(400, 200))
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("status")).to_have_text("200 × 200, from 100, 0")
    assert findings(page) == []
    # By keys: smaller, and to the left.
    square = dialog.get_by_role("button", name="Section")
    square.focus()
    for _ in range(15):
        page.keyboard.press("-")
    expect(dialog.get_by_role("status")).to_have_text("140 × 140, from 130, 30")
    page.keyboard.press("ArrowLeft")
    expect(dialog.get_by_role("status")).to_have_text("140 × 140, from 126, 30")
    # By the pointer: moved up to the edge, and made larger at its corner, within the picture.
    box = square.bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 20, box["y"] - 300)
    page.mouse.up()
    expect(dialog.get_by_role("status")).to_have_text("140 × 140, from 126, 0")
    box = square.bounding_box()
    page.mouse.move(box["x"] + box["width"] - 6, box["y"] + box["height"] - 6)
    page.mouse.down()
    page.mouse.move(box["x"] + 2000, box["y"] + 2000)
    page.mouse.up()
    expect(dialog.get_by_role("status")).to_have_text("200 × 200, from 126, 0")
    dialog.get_by_role("slider", name="Size").fill("100")
    expect(dialog.get_by_role("status")).to_have_text("100 × 100, from 176, 50")
    dialog.get_by_role("button", name="Save").click()
    page.wait_for_selector(".stage img")
    persona = studio.server.json("GET", "/api/personas")[0]
    assert persona["cover"]["crop"] == {"x": 176, "y": 50, "size": 100}
    # What was not saved is still there, and is saved over the version that has the picture.
    expect(page.locator("input[name=name]")).to_have_value("Not saved yet")
    page.keyboard.press("Control+s")
    expect(page.locator(".save-bar")).to_have_count(0)
    assert studio.server.json("GET", "/api/personas")[0]["name"] == "Not saved yet"
