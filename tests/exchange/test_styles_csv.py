"""styles.csv: what real files have, and that it comes back as it was."""

from __future__ import annotations

import csv
import io
import time
from dataclasses import replace
from typing import Any

import pytest
from exchanged import (
    LONG,
    PROMPTS,
    TEXTS,
    again,
    all_stored,
    changed,
    codes,
    foreign,
    incoming,
    read,
    write,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from seidra.errors import Invalid
from seidra.exchange.formats import read_file
from seidra.exchange.found import FoundFile, FoundPersona

HEADER = "name,prompt,negative_prompt\n"


def styles(rows: str, header: str = HEADER) -> FoundFile:
    return read(header + rows, "styles.csv")


def texts(found: FoundPersona) -> tuple[str, str, str]:
    fields = found.fields
    return fields["name"], fields["style_prompt"], fields["negative_prompt"]


def rows_of(data: bytes) -> list[list[str]]:
    return list(
        csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), skipinitialspace=True)
    )


def test_a_plain_file() -> None:
    file = styles('Ink,"{prompt}, ink <lora:ink:0.8>","text, blur"\n\nSea,sea,\n')
    assert file.format == "a1111"
    assert [texts(found) for found in file.entries] == [
        ("Ink", "{prompt}, ink <lora:ink:0.8>", "text, blur"),
        ("Sea", "sea", ""),
    ]
    first = file.entries[0]
    assert first.locator == "styles.csv row 2"
    assert first.entry == "Ink"
    assert first.original == b'Ink,"{prompt}, ink <lora:ink:0.8>","text, blur"\n'
    # The tag stays text: a persona's list would say it twice.
    assert "loras" not in first.fields


@pytest.mark.parametrize("encoded", ["utf-8", "utf-8-sig", "utf-16"])
def test_byte_order_marks_and_encodings(encoded: str) -> None:
    file = read_file(incoming((HEADER + "Élodie,海,\n").encode(encoded), "s.csv"))
    assert texts(file.entries[0]) == ("Élodie", "海", "")
    assert file.facts["byte_order_mark"] == (encoded != "utf-8")


def test_another_encoding_is_asked_for_and_not_guessed() -> None:
    data = (HEADER + "Море,море,\n").encode("cp1251")
    with pytest.raises(Invalid) as refused:
        read_file(incoming(data, "s.csv"))
    assert "windows-1251" in (refused.value.errors or {})["encoding"][0]
    file = read_file(incoming(data, "s.csv", "windows-1251"))
    assert texts(file.entries[0]) == ("Море", "море", "")
    for wrong in ("rot13", "zip", "utf-8", "shift_jis"):
        with pytest.raises(Invalid) as refused:
            read_file(incoming(data, "s.csv", wrong))
        assert list(refused.value.errors or {}) == ["encoding"]


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_line_ends_within_fields_stay(ends: str) -> None:
    file = styles(f'A,"one\ntwo\r\nthree\rfour",n{ends}B,b,{ends}', HEADER.replace("\n", ends))
    assert [texts(found)[1] for found in file.entries] == ["one\ntwo\r\nthree\rfour", "b"]


@pytest.mark.parametrize(
    ("heading", "tag"),
    [
        ("____*Anime*____,,", "Anime"),
        (">>>>>> GPT Painting Styles,,", "GPT Painting Styles"),
        ("---- x ----,,", "x"),
        ("Photo", "Photo"),
        ("【写真】,,", "写真"),
        ("# Anime / Old (1990),,", "Anime / Old (1990)"),
    ],
)
def test_a_heading_becomes_a_tag_of_what_follows(heading: str, tag: str) -> None:
    file = styles(f"Before,b,\n{heading}\nA,a,\nB,b,\n----------,,\nC,c,\n")
    assert [found.fields.get("tags") for found in file.entries] == [None, [tag], [tag], [tag]]
    assert codes(file) == {"group_from_heading"}


def test_a_row_of_commas_and_the_row_none_are_nothing() -> None:
    file = styles("None,,\nA,a,\n,,\nB,b,\n")
    assert [texts(found)[0] for found in file.entries] == ["A", "B"]
    assert codes(file) == set()
    assert not file.entries[1].extensions


def test_one_name_with_two_texts() -> None:
    file = styles("A,one,\nA (2),two,\nA,three,\nA,four,\n")
    assert [texts(found)[:2] for found in file.entries] == [
        ("A", "one"),
        ("A (2)", "two"),
        ("A (3)", "three"),
        ("A (4)", "four"),
    ]
    assert codes(file.entries[2]) == {"name_repeated"}
    assert len({found.entry for found in file.entries}) == 4


def test_one_name_with_one_text_twice() -> None:
    file = styles("A,one,\nB,b,\nA,one,\n")
    assert [texts(found)[0] for found in file.entries] == ["A", "B"]
    assert codes(file) == {"entries_repeated"}


def test_a_negative_prompt_that_was_not_quoted() -> None:
    file = styles('A,"a, b",curvilinear, muted colors, black and white"\nB,b,n\n')
    assert texts(file.entries[0]) == ("A", "a, b", "curvilinear, muted colors, black and white")
    assert codes(file.entries[0]) == {"rejoined_columns"}
    assert codes(file.entries[1]) == set()


def test_separators_at_the_end_of_rows_are_nothing() -> None:
    file = styles("A,a,n,\nB,b,n,,\n", "name,prompt,negative_prompt,\n")
    assert [codes(found) for found in file.entries] == [set(), set()]
    assert texts(file.entries[0]) == ("A", "a", "n")


def test_a_row_that_was_quoted_twice() -> None:
    file = styles('"A,""a, b"",""n, m"""\n')
    assert texts(file.entries[0]) == ("A", "a, b", "n, m")
    assert codes(file.entries[0]) == {"row_quoted_twice"}


def test_conflict_marks_of_git() -> None:
    file = styles("A,a,\n<<<<<<< HEAD\nB,b,\n=======\nC,c,\n>>>>>>> other\nD,d,\n")
    assert [texts(found)[0] for found in file.entries] == ["A", "B", "C", "D"]
    assert codes(file) == {"conflict_markers"}


def test_a_field_that_swallowed_rows() -> None:
    file = styles('A,"one,n\nB,"two",n\nC,"three",n\n')
    assert "rows_swallowed" in codes(file.entries[0])
    file = styles('A,"one\ntwo, ""three""\nfour,""five""",n\n')
    assert codes(file.entries[0]) == set()
    file = styles(f'"{"a, " * 50}",p,n\n')
    assert {"name_looks_like_prompt", "name_shortened"} <= codes(file.entries[0])
    assert len(file.entries[0].fields["name"]) <= 100


def test_fields_that_were_cut_at_255() -> None:
    cut = "x" * 255
    assert "cut_at_255" in codes(styles(f"A,{cut},\nB,{cut}, \nC,c,{cut}\n"))
    assert "cut_at_255" not in codes(styles(f"A,{cut},\nB,{cut}, \nC,c,{cut}y\n"))


def test_an_infotext_in_the_prompt_is_taken_apart() -> None:
    prompt = "a <lora:ink:1>\nNegative prompt: b\nSteps: 20, Sampler: DPM++ 2M Karras, Seed: 7"
    found = styles(f'A,"{prompt}",\n').entries[0]
    assert texts(found) == ("A", "a <lora:ink:1>", "b")
    assert found.fields["generation_params"] == {
        "num_inference_steps": 20,
        "seed": 7,
        "scheduler": "dpmpp_2m_karras",
    }
    assert "infotext_in_prompt" in codes(found)
    # Beside a negative prompt of its own it stays.
    assert texts(styles(f'A,"{prompt}",n\n').entries[0])[1] == prompt


def test_a_negative_prompt_alone() -> None:
    found = styles("A,,bad\n").entries[0]
    assert texts(found) == ("A", "", "bad")
    assert found.error is None


@pytest.mark.parametrize("separator", [";", "\t", "|"])
@pytest.mark.parametrize("excel", [True, False])
def test_separators_of_spreadsheets(separator: str, excel: bool) -> None:
    row = separator.join(['"a, b"', "c, d", "e"])
    header = HEADER.replace(",", separator)
    file = read((f"sep={separator}\r\n" if excel else "") + header + row, "s.csv")
    assert texts(file.entries[0]) == ("a, b", "c, d", "e")


@pytest.mark.parametrize(
    "header",
    ["name,text", "name,prompt,negative", "Name,Prompt,Negative_Prompt", "name,positive_prompt"],
)
def test_headers_of_other_days(header: str) -> None:
    assert texts(read(f"{header}\nA,a,\n", "s.csv").entries[0]) == ("A", "a", "")


def test_without_a_header_it_is_none() -> None:
    with pytest.raises(Invalid) as refused:
        read("A,a,b\n", "styles.csv", "a1111")
    assert "header" in (refused.value.errors or {})["file"][0]
    with pytest.raises(Invalid):
        read("A,a,b\n", "styles.csv")


def test_more_columns_are_kept_and_come_back() -> None:
    file = styles("A,a,n,7,\nB,b,n,,x\n", "name,prompt,negative_prompt,order,note\n")
    assert file.entries[0].extensions == {"a1111": {"columns": {"order": "7"}}}
    assert rows_of(write(all_stored(file), "a1111")[0].data) == [
        ["name", "prompt", "negative_prompt", "order", "note"],
        ["A", "a", "n", "7", ""],
        ["B", "b", "n", "", "x"],
    ]


def test_names_that_a1111_takes_for_comments() -> None:
    file = styles("#A,a,\nB,b,\n")
    assert texts(file.entries[0])[0] == "#A"
    assert codes(file.entries[0]) == {"commented_out"}
    # Unedited it is the row that it was; from elsewhere it must be seen.
    written = write([*all_stored(file), foreign(all_stored(file)[0])], "a1111")
    assert [row[0] for row in rows_of(written[0].data)] == ["name", "#A", "B", "_#A"]


def test_prompts_are_never_touched() -> None:
    prompt = (
        " (x:1.2), ((y)), \\(z\\), [a:b:0.5], {a|b}, __w__, BREAK, <lora:a b.c:1:0.5>, #ff0000 "
    )
    file = styles(f'A,"{prompt}",\n')
    assert texts(file.entries[0])[1] == prompt
    assert codes(file.entries[0]) == {"contains_wildcards"}


def test_what_is_too_long_is_an_error_and_kept_whole() -> None:
    file = styles(f'A,"{"x" * 8001}",\nB,b,"{LONG}"\n')
    assert file.entries[0].error
    assert file.entries[0].error.code == "prompt_too_long"
    assert file.entries[0].error.field == "style_prompt"
    assert len(file.entries[0].fields["style_prompt"]) == 8001
    assert file.entries[1].error is None


# ---------------------------------------------------------------------------------------- writing


def test_a_file_as_a1111_writes_it() -> None:
    file = styles('A,"{prompt}, a",n\n')
    persona = changed(
        foreign(all_stored(file)[0]),
        loras=[{"name": "ink", "weight": 0.8}, {"name": "off", "weight": 1, "enabled": False}],
    )
    [written] = write([persona, persona], "a1111")
    assert written.name == "styles.csv"
    assert (
        written.data
        == (
            "\ufeffname,prompt,negative_prompt\r\n"
            'A,"{prompt}, a <lora:ink:0.8>",n\r\n'
            'A (2),"{prompt}, a <lora:ink:0.8>",n\r\n'
        ).encode()
    )


def test_rows_and_headings_come_back_in_order() -> None:
    rows = [
        ["name", "prompt", "negative_prompt"],
        ["A", " a ", ""],
        ["------", "", ""],
        ["__Sea__", "", ""],
        ["B", "{prompt}\nsea", "n, m"],
        [" C", "c", 'say "no"'],
        ["__Land__", "", ""],
        ["D", "", "d"],
    ]
    file = io.StringIO(newline="")
    csv.writer(file, quoting=csv.QUOTE_ALL).writerows(rows)
    found = read(file.getvalue(), "styles.csv")
    assert rows_of(write(all_stored(found), "a1111")[0].data) == rows


def test_what_was_edited_is_written_and_nothing_else() -> None:
    file = styles('A," a",n,7\n', "name,prompt,negative_prompt,order\n")
    [persona] = all_stored(file)
    [written] = write([changed(persona, negative_prompt="m")], "a1111")
    assert rows_of(written.data)[1] == ["A", " a", "m", "7"]
    [written] = write([changed(persona, name="B")], "a1111")
    assert rows_of(written.data)[1] == ["B", " a", "n", "7"]


NAMES = TEXTS.map(lambda text: f"{text}n")
ROWS = st.lists(st.tuples(NAMES, TEXTS, TEXTS), max_size=4)


def fields_of(entries: list[FoundPersona] | Any) -> list[dict[str, Any]]:
    return [dict(found.fields) for found in entries]


@given(ROWS, st.sampled_from(["\r\n", "\n"]), st.booleans())
@settings(deadline=None)
def test_reading_what_was_written_gives_what_was_read(
    rows: list[tuple[str, str, str]], ends: str, mark: bool
) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator=ends, quoting=csv.QUOTE_ALL)
    writer.writerows([("name", "prompt", "negative_prompt"), *rows])
    data = text.getvalue().encode("utf-8-sig" if mark else "utf-8")
    file = read_file(incoming(data, "styles.csv"), "a1111")
    once = again(write(all_stored(file), "a1111"), "a1111")
    assert fields_of(once) == fields_of(file.entries)


@given(st.lists(st.tuples(NAMES, PROMPTS, TEXTS), max_size=3, unique_by=lambda row: row[0].strip()))
@settings(deadline=None)
def test_the_prompts_of_others_are_written_as_they_are(rows: list[tuple[str, str, str]]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([("name", "prompt", "negative_prompt")])
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(rows)
    personas = [
        foreign(persona) for persona in all_stored(read(text.getvalue(), "styles.csv", "a1111"))
    ]
    written = rows_of(write(personas, "a1111")[0].data)[1:]
    assert [row[1:] for row in written] == [
        [p.fields["style_prompt"], p.fields["negative_prompt"]] for p in personas
    ]


def test_the_longest_texts() -> None:
    file = read(
        f'name,prompt,negative_prompt\nA,=1+1,"{LONG.replace(chr(34), chr(34) * 2)}"\n', "s.csv"
    )
    [persona] = all_stored(file)
    for one in (persona, foreign(persona)):
        assert texts(again(write([one], "a1111"))[0]) == ("A", "=1+1", LONG)


# ---------------------------------------------------------------------------------------- hostile


def test_too_many_rows() -> None:
    rows = "".join(f"n{number},p,\n" for number in range(20_001))
    with pytest.raises(Invalid) as refused:
        styles(rows)
    assert "20,000" in (refused.value.errors or {})["file"][0]
    assert len(styles(rows.removesuffix("n20000,p,\n")).entries) == 20_000


@pytest.mark.parametrize(
    "rows",
    [
        '"' * 300_001,
        ",".join("x" * 100_000),
        '"' + "a\n" * 200_000,
        "-" * 300_000 + "x,,\nA,a,",
        "A,a,\n" * 19_000,
        "".join(f"A,{number},\n" for number in range(19_000)),
        "<<<<<<< \n" * 50_000 + ">>>>>>> \n",
    ],
    ids=["quotes", "columns", "swallowed", "heading", "same", "same name", "markers"],
)
def test_long_rows_take_little_time(rows: str) -> None:
    before = time.process_time()
    styles(rows)
    assert time.process_time() - before < 5


def test_ten_thousand_styles_are_read_in_about_a_second() -> None:
    rows = "".join(
        f'"Style {number}","{{prompt}}, style {number}, {"words of it, " * 8}","{"bad, " * 20}"\n'
        for number in range(10_000)
    )
    before = time.process_time()
    assert len(styles(rows).entries) == 10_000
    assert time.process_time() - before < 5


def test_nul_and_binary_files() -> None:
    with pytest.raises(Invalid):
        read_file(incoming(b"\x00\x01\x02" * 100, "styles.csv"))
    found = read_file(incoming((HEADER + "A,a\0b,\n").encode(), "s.csv", "utf-8")).entries[0]
    assert found.error
    assert found.error.code == "text_unstorable"


def test_a_given_name_decides_nothing() -> None:
    assert read(HEADER + "A,a,\n", "picture.png").format == "a1111"
    file = incoming(HEADER + "A,a,\n", "..\\..\\etc/passwd")
    assert replace(file).stem == "passwd"
