"""What the check of the dependencies makes of pip-audit's answer."""

from __future__ import annotations

from audit import judge

SOUND = {"name": "flask", "version": "3.1.3", "vulns": []}
HOLED = {
    "name": "old",
    "version": "1.0",
    "vulns": [{"id": "PYSEC-2026-1", "fix_versions": ["1.1"], "aliases": []}],
}
UNKNOWN = {
    "name": "flask",
    "skip_reason": "Dependency not found on PyPI and could not be audited: flask (3.1.3)",
}


def test_a_known_hole_fails_the_check_and_is_named() -> None:
    sentence, code = judge([SOUND, HOLED, UNKNOWN])
    assert code == 1
    assert "old 1.0: PYSEC-2026-1, mended in 1.1" in sentence
    assert "flask" not in sentence


def test_no_hole_says_how_many_packages_were_checked() -> None:
    assert judge([SOUND, UNKNOWN]) == ("Known holes: none in 1 packages.", 0)


def test_without_the_database_nothing_is_claimed() -> None:
    for packages in (None, [], [UNKNOWN]):
        sentence, code = judge(packages)
        assert (code, "not checked" in sentence) == (0, True)
