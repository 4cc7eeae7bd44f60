"""The figures as a table, beside what is aimed at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_AT_LEAST: Callable[[float, float], bool] = float.__ge__
_AT_MOST: Callable[[float, float], bool] = float.__le__

_TABLE: tuple[tuple[str, str, Callable[[float, float], bool] | None, float], ...] = (
    ("list_share_of_bare_flask", "list of 20, share of bare Flask", _AT_LEAST, 0.45),
    ("list_vs_fastapi_1k", "list against FastAPI, 1,000 personas", _AT_LEAST, 8),
    ("list_vs_fastapi_100k", "list against FastAPI, 100,000", _AT_LEAST, 200),
    ("list_vs_soul_1k", "list against soul-cli, 1,000", None, 0),
    ("list_vs_soul_100k", "list against soul-cli, 100,000", None, 0),
    ("list_100k_vs_1k", "list, 100,000 over 1,000 personas", _AT_LEAST, 0.9),
    ("deep_offset_vs_first_page", "offset 80 % over first page", None, 0),
    ("deep_offset_ms", "offset 80 %, in process, ms", _AT_MOST, 2),
    ("jobs_list_100k_vs_1k", "jobs, 100,000 over 1,000", _AT_LEAST, 0.9),
    ("media_list_100k_vs_1k", "media, 100,000 over 1,000", _AT_LEAST, 0.9),
    ("search_vs_fastapi_100k", "search, common word, against FastAPI", None, 0),
    ("search_vs_soul_100k", "search, common word, against soul-cli", None, 0),
    ("search_rare_vs_list", "search, rare word, over the list", None, 0),
    ("search_common_vs_list", "search, common word, over the list", None, 0),
    ("search_2char_vs_list", "search, 2 characters, over the list", None, 0),
    ("search_rare_ms", "search, rare word, in process, ms", _AT_MOST, 1),
    ("search_common_ms", "search, word in 37 %, in process, ms", _AT_MOST, 25),
    ("search_absent_ms", "search, absent word, 1,000 personas, ms", None, 0),
    ("search_2char_ms", "search, 2 characters, in process, ms", _AT_MOST, 60),
    ("search_1char_ms", "search, 1 character, in process, ms", _AT_MOST, 60),
    ("search_two_words_ms", "search, two words, in process, ms", None, 0),
    ("create_share_of_bare_flask", "create, share of bare Flask", _AT_LEAST, 0.20),
    ("create_p99_ms_8_writers", "create, p99 of 8 writers, ms", _AT_MOST, 50),
    ("preview_p50_ms", "preview 768x768, POST to picture, ms", _AT_MOST, 200),
    ("claims_double", "jobs done twice by 2 processes of 200", _AT_MOST, 0),
    ("queue_jobs_per_second", "jobs through an engine that answers at once, /s", None, 0),
    ("queue_idle_p50_ms", "idle time of the engine between two jobs, ms", _AT_MOST, 50),
    ("queue_second_user_s", "wait of a second user behind 100 jobs, s", None, 0),
    ("page_form_ms", "page: until the form stands, ms", _AT_MOST, 400),
    ("page_grid_ms", "page: until the grid of 10,000 stands, ms", _AT_MOST, 1200),
    ("page_form_requests", "page: requests of the form", _AT_MOST, 20),
    ("page_grid_requests", "page: requests of the grid", _AT_MOST, 20),
    ("page_form_kb", "page: KB of the form, compressed", None, 0),
    ("page_grid_kb", "page: KB of the grid, compressed", None, 0),
    ("page_shift", "page: shift of the layout", _AT_MOST, 0.02),
    ("page_script_ms_per_frame", "page: script a frame, scrolling 10,000, ms", _AT_MOST, 8),
    ("page_nodes", "page: elements after a full scroll", _AT_MOST, 1500),
    ("page_heap_mb", "page: heap after a full scroll, MB", _AT_MOST, 30),
    ("page_jump_ms", "page: jump to anywhere in 10,000, ms", _AT_MOST, 500),
    ("import_plan_s", "import: 10,000 styles planned, s", _AT_MOST, 5),
    ("import_apply_s", "import: 10,000 styles applied, s", _AT_MOST, 10),
    ("import_undo_s", "import: 10,000 styles taken back, s", None, 0),
    ("import_other_writer_s", "import: longest wait of another writer, s", _AT_MOST, 1),
    ("import_memory_mb", "import: memory beside, MB", None, 0),
    ("export_pictures_per_second", "export: pictures of 100 KB into a ZIP, /s", None, 0),
    ("export_memory_mb", "export: memory beside, MB", _AT_MOST, 16),
    ("revision_vs_plain_change", "change that keeps a revision over one of tags", None, 0),
    ("postgresql_copy_s", "PostgreSQL: a copy of the whole database, s", _AT_MOST, 360),
    ("postgresql_lists_times", "PostgreSQL: the slowest list over SQLite", _AT_MOST, 3),
    ("postgresql_searches_times", "PostgreSQL: the slowest search over SQLite", _AT_MOST, 5),
    ("rss_mb_per_worker", "resident memory of a server process, MB", _AT_MOST, 80),
    ("start_s", "start until it answers, s", None, 0),
)


def show(found: dict[str, Any]) -> None:
    """Print the figures, those with a goal beside it, then requests a second and the steps of a
    list."""
    print(f"\n{'':44}{'measured':>10}  goal")
    for key, text, met, goal in _TABLE:
        if key in found:
            value = float(found[key])
            sign = "" if met is None else f"{'>=' if met is _AT_LEAST else '<='} {goal:g}"
            verdict = "" if met is None or met(value, float(goal)) else "   missed"
            print(f"{text:44}{value:>10.6g}  {sign}{verdict}")
    for title, key in (
        ("Requests a second", "per_second"),
        ("Microseconds in process", "steps_us"),
    ):
        if found.get(key):
            print(f"\n{title}")
            for name, value in found[key].items():
                print(f"  {name:42}{value:>10,.1f}")
