"""The page as it is served: its policy, its caching, its size, and its languages."""

from __future__ import annotations

import gzip
import posixpath
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient

from seidra.studio.files import StudioFiles
from seidra.studio.routes import PATHS, POLICY

STATIC = Path(__file__).resolve().parent.parent / "seidra" / "studio" / "static"
SCRIPTS = sorted(STATIC.rglob("*.js"))


def words_of(language: str) -> dict[str, str]:
    """The texts of a language, by key."""
    files = [STATIC / "i18n" / name for name in (f"{language}.js", f"{language}.more.js")]
    pairs = [
        pair
        for file in files
        for pair in re.findall(r'^  "?([\w.\-]+)"?:\s+"(.*)",$', file.read_text(), re.M)
    ]
    assert len(dict(pairs)) == len(pairs), "a key has words twice"
    return dict(pairs)


def test_the_page_answers_at_each_of_its_paths(client: FlaskClient) -> None:
    pages = {client.get(path.replace("<name>", "7")).data for path in PATHS}
    assert len(pages) == 1
    assert b'<script type="module"' in pages.pop()


def test_the_policy_stands_on_200_and_304_alike(client: FlaskClient) -> None:
    first = client.get("/personas")
    again = client.get("/personas", headers={"If-None-Match": first.headers["ETag"]})
    assert (first.status_code, again.status_code) == (200, 304)
    for answer in (first, again):
        assert answer.headers["Content-Security-Policy"] == POLICY
        assert answer.headers["Cache-Control"] == "no-cache"


BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


def test_a_browser_at_a_wrong_path_gets_the_page_with_404(client: FlaskClient) -> None:
    page = client.get("/personas")
    etag = {"If-None-Match": page.headers["ETag"]}
    for path in ("/nowhere", "/personas/1/2", "/apiary"):
        for headers in (BROWSER, BROWSER | etag):
            answer = client.get(path, headers=headers)
            assert (answer.status_code, answer.data) == (404, page.data), path
            assert answer.headers["Content-Security-Policy"] == POLICY
            assert answer.headers["Cache-Control"] == "no-cache"
            assert "ETag" not in answer.headers
            assert "Accept" in answer.headers["Vary"].split(", ")
        assert client.head(path, headers=BROWSER).status_code == 404


def test_programs_and_wrong_paths_of_the_api_get_a_problem(client: FlaskClient) -> None:
    asked = [("/nowhere", "*/*"), ("/nowhere", "application/json"), ("/nowhere", "")]
    browsed = ["/api", "/api/nowhere", "/api/personas/1/2/3", "/studio/nowhere", "/studio/0/x.js"]
    for path, accept in [*asked, *((path, BROWSER["Accept"]) for path in browsed)]:
        answer = client.get(path, headers={"Accept": accept})
        assert answer.status_code in (401, 404), path
        assert answer.content_type == "application/problem+json", (path, accept)


def test_what_the_page_names_is_there_for_ever_and_compressed(client: FlaskClient) -> None:
    page = client.get("/").get_data(as_text=True)
    addresses = re.findall(r'(?:href|src)="(/studio/[^"]+)"', page)
    assert len(addresses) == 3
    for address in addresses:
        plain = client.get(address)
        packed = client.get(address, headers={"Accept-Encoding": "gzip"})
        assert plain.status_code == 200, address
        assert "immutable" in plain.headers["Cache-Control"]
        if len(plain.data) > 1000:
            assert gzip.decompress(packed.data) == plain.data
        else:
            assert packed.data == plain.data
    wrong = re.sub(r"/studio/[^/]+/", "/studio/0000/", addresses[0])
    assert client.get(wrong).status_code == 404


def test_below_a_path_the_page_asks_below_it(make_app: Any) -> None:
    client = make_app(public_url="https://studio.example/seidra").test_client()
    page = client.get("/").get_data(as_text=True)
    assert set(re.findall(r'(?:href|src)="(/[^/"]+)', page)) == {"/seidra"}


TOGETHER = ["collecting", "collection", "collections", "coming", "groups", "limits", "mine"]
TOGETHER += ["shared", "sharing", "usage"]
IN_AND_OUT = ["crop", "exporting", "transfer"]
NOT_ALONE = [f"pages/{name}.js" for name in TOGETHER + IN_AND_OUT]
NOT_ALONE += ["i18n/en.more.js", "i18n/fr.more.js"]


def test_the_page_stays_small() -> None:
    files = StudioFiles("").files

    def packed(ending: str, but: Collection[str] = ()) -> int:
        assert set(but) <= files.keys()
        chosen = [name for name in files.keys() - set(but) if name.endswith(ending)]
        return sum(len(files[name].compressed) for name in chosen)

    # With both languages: what one person alone opens day by day, and everything there is.
    assert packed(".js", NOT_ALONE) <= 60 * 1024
    assert packed(".js") <= 84 * 1024
    # What every page shares is there before the first one; each page comes when it is opened.
    assert packed("app.js") <= 27 * 1024
    assert packed(".css") <= 12 * 1024


NEVER_NOTHING = {
    "dock.title",
    "export.lost",
    "jobs.cancel_question",
    "plan.for",
    "plan.undecided",
    "restored",
    "select.delete_question",
    "select.failed",
    "select.remaining",
    "trash.empty_question",
    "trash.words",
    "unsaved",
}
"""What is said only where there is something to count, in whole numbers."""


def test_french_says_the_number_where_it_counts_nothing_as_one() -> None:
    words = "".join(path.read_text() for path in (STATIC / "i18n").glob("fr*.js"))
    said = dict(re.findall(r'"([a-z_.]+)_one":\s+"([^"]*)"', words))
    assert len(said) > 20
    assert {key for key, text in said.items() if "{n}" not in text} == NEVER_NOTHING


def source_lines(files: StudioFiles) -> Iterator[tuple[str, str, str]]:
    """Each line of a script that is sent, beside the name and the line of its source."""
    for name, file in files.files.items():
        if name.endswith(".js"):
            sent = re.split(r"^// (\S+\.js)\n", file.plain.decode(), flags=re.MULTILINE)
            parts = zip(sent[1::2], sent[2::2], strict=True) if sent[1:] else [(name, sent[0])]
            for part, text in parts:
                source = (STATIC / part).read_text().splitlines()
                yield from ((part, *pair) for pair in zip(text.splitlines(), source, strict=True))


def test_comments_are_not_sent_and_lines_keep_their_numbers() -> None:
    lines = list(source_lines(StudioFiles("")))
    assert {name for name, _, _ in lines} == {str(path.relative_to(STATIC)) for path in SCRIPTS}
    for name, now, was in lines:
        plain = re.sub(r"/\*\* @type [^\n]*?\*/ ?", "", was).strip()
        assert now == now.lstrip(), name
        assert not re.search("@type|@module", now), name
        if not now:
            comment = plain.startswith(("/**", "*", "//"))
            imported = plain.startswith(("import ", "}")) or plain.rstrip(",").isidentifier()
            assert not plain or comment or imported, (name, was)
        elif now.rstrip() != plain:
            assert "import" in plain or plain.startswith(("export default {", "} from ")), was
        # A text over several lines would lose the blanks that they begin with.
        open_ended = plain.count("`") % 2 == 1 and not plain.startswith(("*", "//"))
        assert not open_ended or plain.endswith("${") or plain.startswith("}"), (name, was)


def test_what_the_first_view_needs_is_one_script_with_names_of_its_own() -> None:
    files = StudioFiles("").files
    joined = files["app.js"].plain.decode()
    parts = re.findall(r"^// (\S+\.js)$", joined, re.MULTILINE)
    names = [
        name
        for part in parts
        for name in re.findall(
            r"^(?:export )?(?:async )?(?:const|let|function|class) (\w+)",
            (STATIC / part).read_text(),
            re.MULTILINE,
        )
    ]
    twice = {name for name in names if names.count(name) > 1}
    assert not twice, f"two of the joined modules use a name at their top: {twice}"
    assert len(names) > 100
    assert not re.search(r"^import ", joined, re.MULTILINE)
    # Each address of a script is one that is served, and asks for names that are there.
    exported = set(re.findall(r"^export (?:async )?(?:const|function|class) (\w+)", joined, re.M))
    for name, file in files.items():
        text = file.plain.decode()
        for wanted, address in re.findall(r'(?:\{([^{}]*)\} from |import\()"([^"]+)"', text):
            found = posixpath.normpath(posixpath.join(posixpath.dirname(name), address))
            assert found in files, (name, address)
            asked = {each.strip() for each in wanted.split(",") if each.strip()}
            assert found != "app.js" or (asked and asked <= exported), (name, asked - exported)


def test_the_languages_have_the_same_keys_and_none_is_unused() -> None:
    english, french = words_of("en"), words_of("fr")
    assert english.keys() == french.keys()
    assert len(english) > 100
    code = "\n".join(path.read_text() for path in SCRIPTS if path.parent.name != "i18n")
    for key in english:
        stem = re.sub(r"_(one|other)$", "", key)
        prefix = f"{stem.rsplit('.', 1)[0]}.${{" if "." in stem else None
        used = f'"{stem}"' in code or f"`{stem}`" in code or (prefix and prefix in code)
        assert used, key


def test_every_key_that_is_asked_for_has_words() -> None:
    english = words_of("en")
    asked = {key for path in SCRIPTS for key in re.findall(r'\bt\("([\w.\-]+)"', path.read_text())}
    assert len(asked) > 80
    missing = {key for key in asked if not {key, f"{key}_other"} & english.keys()}
    assert not missing


def test_no_script_makes_markup_of_text() -> None:
    forbidden = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(")
    assert not [path.name for path in SCRIPTS if forbidden.search(path.read_text())]
