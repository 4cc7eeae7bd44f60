"""The settings: what each takes, what it refuses and how, and where files end up."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from conftest import CHEAP, environment

from seidra import config
from seidra.config import (
    PACKAGE_DIR,
    Settings,
    ensure_runtime_directories,
    get_settings,
    jwt_secret,
    settings_file,
    variables_of,
)
from seidra.database import DatabaseService, init_database
from seidra.errors import StartError

CHECKOUT = PACKAGE_DIR.parent
HERE = Path.cwd()
SECRET = "0123456789abcdef" * 2

DEFAULTS = {
    "database_url": "sqlite:///../data/seidra.db",
    "data_dir": CHECKOUT / "data",
    "media_dir": CHECKOUT / "data" / "media",
    "thumbnail_dir": CHECKOUT / "data" / "thumbnails",
    "models_dir": CHECKOUT / "data" / "models",
    "tmp_dir": CHECKOUT / "data" / "tmp",
    "media_url": None,
    "jwt_secret": None,
    "bind": "127.0.0.1:8000",
    "public_url": None,
    "allowed_origins": ("http://localhost:3000", "http://127.0.0.1:3000"),
    "trusted_proxies": 0,
    "x_accel_redirect": None,
    "default_user_password": None,
    "instance_name": "SEIDRA",
    "registration": "open",
    "password_login": True,
    "auth_header": None,
    "auth_email_header": None,
    "auth_proxies": (),
    "auth_create": False,
    "access_token_seconds": 15 * 60,
    "refresh_token_seconds": 30 * 24 * 3600,
    "session_seconds": 90 * 24 * 3600,
    "refresh_grace": 10,
    "argon2_memory_kib": 19 * 1024,
    "argon2_time_cost": 2,
    "engines": None,
    "engine": None,
    "engine_url": None,
    "engine_key_file": None,
    "embedded_worker": True,
    "job_lease_seconds": 30,
    "job_max_attempts": 3,
    "job_poll_ms": 500,
    "max_queued_jobs": 100,
    "max_personas": 100_000,
    "max_media": 1_000_000,
    "max_media_bytes": 0,
    "keep_jobs_days": 0,
    "keep_trash_days": 30,
    "keep_temporary_hours": 24,
    "media_link_seconds": 24 * 3600,
    "event_seconds": 3600,
    "stream_seconds": 60,
    "streams": 32,
    "streams_per_user": 8,
    "max_body": 1024 * 1024,
    "max_upload": 32 * 1024 * 1024,
    "rate_limits": True,
    "rate_storage": "memory://",
    "rate_login": "30/minute;300/hour",
    "rate_register": "20/hour",
    "rate_account": "10/minute;60/hour",
    "rate_refresh": "120/minute",
    "rate_preview": "60/minute",
    "rate_links": "20000/minute",
    "rate_shared": "600/minute",
    "rate_general": "3000/minute",
    "frontend_routes": True,
    "metrics": "off",
    "sqlite_synchronous": "normal",
    "web_workers": 2,
    "web_threads": 4,
    "web_pinned": False,
    "log_level": "info",
}

GOOD: dict[str, list[tuple[str, Any]]] = {
    "database_url": [
        ("sqlite:///x.db", "sqlite:///x.db"),
        ("sqlite:////srv/x.db", "sqlite:////srv/x.db"),
    ],
    "data_dir": [
        ("/srv/data", Path("/srv/data")),
        ("data", HERE / "data"),
        ("~/data", Path.home() / "data"),
    ],
    "media_dir": [("/srv/media", Path("/srv/media"))],
    "thumbnail_dir": [("/srv/thumbnails", Path("/srv/thumbnails"))],
    "models_dir": [("/srv/models", Path("/srv/models"))],
    "tmp_dir": [("/srv/tmp", Path("/srv/tmp"))],
    "media_url": [
        (url, url)
        for url in (
            "s3://seidra",
            "s3://my.bucket/a/b_c?endpoint=https://s3.example&region=eu-west-1&public=http://m:9000",
        )
    ],
    "jwt_secret": [(SECRET, SECRET), ("ü" * 16, "ü" * 16)],
    "bind": [
        (bind, bind)
        for bind in (
            "0.0.0.0:80",
            "[::1]:8000",
            "localhost:65535",
            ":8000",
            "unix:/run/seidra.sock",
        )
    ],
    "public_url": [
        ("https://studio.example", "https://studio.example"),
        ("http://studio.example:8080/seidra/", "http://studio.example:8080/seidra"),
        ("https://[::1]:8000", "https://[::1]:8000"),
    ],
    "allowed_origins": [
        ("https://a.example", ("https://a.example",)),
        (" https://a.example/ , http://[::1]:3000,", ("https://a.example", "http://[::1]:3000")),
    ],
    "trusted_proxies": [("0", 0), (" 2 ", 2), ("10", 10)],
    "x_accel_redirect": [("/protected", "/protected"), ("/seidra/files_1/", "/seidra/files_1")],
    "default_user_password": [
        ("a long phrase", "a long phrase"),
        ("pässwörter sind lang", "pässwörter sind lang"),
    ],
    "instance_name": [(" Chez nous ", "Chez nous"), ("x" * 50, "x" * 50)],
    "registration": [("closed", "closed"), ("OPEN", "open")],
    "password_login": [("off", False), ("TRUE", True)],
    "auth_header": [
        ("Remote-User", "Remote-User"),
        (" x-auth-request-user ", "x-auth-request-user"),
    ],
    "auth_email_header": [("Remote-Email", "Remote-Email")],
    "auth_proxies": [
        ("127.0.0.1", ("127.0.0.1",)),
        ("10.0.0.0/8, ::1 ,UNIX,", ("10.0.0.0/8", "::1", "unix")),
        ("10.0.0.1/32", ("10.0.0.1",)),
    ],
    "auth_create": [("on", True), ("0", False)],
    "access_token_seconds": [("30", 30), ("86400", 86_400)],
    "refresh_token_seconds": [("60", 60), ("31536000", 31_536_000)],
    "session_seconds": [("60", 60), ("31536000", 31_536_000)],
    "refresh_grace": [("0", 0), ("300", 300)],
    "argon2_memory_kib": [("8", 8), ("4194304", 4_194_304)],
    "argon2_time_cost": [("1", 1), ("100", 100)],
    "engines": [("/etc/seidra/engines.toml", "/etc/seidra/engines.toml")],
    "engine": [("comfyui", "comfyui")],
    "engine_url": [("http://127.0.0.1:8188", "http://127.0.0.1:8188")],
    "engine_key_file": [("/run/secrets/key", "/run/secrets/key")],
    "embedded_worker": [
        *((text, True) for text in ("1", "true", "YES", " on ")),
        *((text, False) for text in ("0", "False", "no", "OFF")),
    ],
    "job_lease_seconds": [("1", 1), ("3600", 3600)],
    "job_max_attempts": [("1", 1), ("100", 100)],
    "job_poll_ms": [("50", 50), ("1000", 1000)],
    "max_queued_jobs": [("1", 1), ("100000", 100_000)],
    "max_personas": [("1", 1), ("100000000", 100_000_000)],
    "max_media": [("1", 1), ("1000000000", 1_000_000_000)],
    "max_media_bytes": [("0", 0), ("1000000000000000", 10**15)],
    "keep_jobs_days": [("0", 0), ("36500", 36_500)],
    "keep_trash_days": [("0", 0), ("36500", 36_500)],
    "keep_temporary_hours": [("1", 1), ("8760", 8760)],
    "media_link_seconds": [("60", 60), ("604800", 604_800)],
    "event_seconds": [("60", 60), ("604800", 604_800)],
    "stream_seconds": [("1", 1), ("3600", 3600)],
    "streams": [("1", 1), ("512", 512)],
    "streams_per_user": [("1", 1), ("128", 128)],
    "max_body": [("1024", 1024), ("1073741824", 1_073_741_824)],
    "max_upload": [("65536", 65_536), ("1073741824", 1_073_741_824)],
    "rate_limits": [("off", False), ("ON", True)],
    "rate_storage": [
        ("memory://", "memory://"),
        *((url, url) for url in ("redis://h:1/2", "rediss://:p@h", "redis+unix:///s")),
    ],
    **{
        f"rate_{name}": [
            ("1/second", "1/second"),
            (" 5 per 2 hours; 9/day ", "5 per 2 hours; 9/day"),
        ]
        for name in (
            "login",
            "register",
            "account",
            "refresh",
            "preview",
            "links",
            "shared",
            "general",
        )
    },
    "frontend_routes": [("off", False), ("on", True)],
    "metrics": [("ON", "on"), ("off", "off"), ("a-token_of.16+/=", "a-token_of.16+/=")],
    "sqlite_synchronous": [("full", "full"), ("NORMAL", "normal")],
    "web_workers": [("1", 1), ("64", 64)],
    "web_threads": [("1", 1), ("128", 128)],
    "web_pinned": [("true", True), ("off", False)],
    "log_level": [(level, level) for level in ("debug", "info", "warning", "error")]
    + [("DEBUG", "debug")],
}


def numbers(low: int, high: int) -> tuple[str, list[str]]:
    rule = f"must be a whole number from {low} to {high}"
    return rule, [str(low - 1), str(high + 1), "many", "1.5", "0x10", "1e3", "9" * 30]


DATABASE_RULE = "must be sqlite:///relative/path.db or sqlite:////absolute/path.db"
ORIGIN_RULE = "must list origins such as https://studio.example, not"
URL_RULE = "must be an http(s) URL without query"
COMMON_RULE = "is too common a password"

# Field -> rules, each with the values that break it. A field without rules takes any text.
BAD: dict[str, list[tuple[str, list[str]]]] = {
    "database_url": [
        (
            DATABASE_RULE,
            [
                "seidra.db",
                "/srv/seidra.db",
                "sqlite:",
                "sqlite://",
                "sqlite:///",
                "sqlite://x.db",
                "mysql://x",
                "sqlite:///a%00b",
            ],
        ),
        (
            "must be postgresql://user:password@host:port/database",
            ["postgresql:x", "postgresql://", "postgresql://host", "postgres://host/?x=1"],
        ),
        (
            "must have %20 and the like in the place of special characters",
            ["postgresql://u:hunter2%zz@host/db", "postgresql://host/a b", "postgresql://h/d%00"],
        ),
        (
            "must have a number as its port, and an IPv6 address in brackets",
            ["postgresql://u:p@host:x/db", "postgresql://::1/db", "postgresql://h:5432,i:y/db"],
        ),
        (
            "must name a file: an in-memory database",
            ["sqlite:///:memory:", "sqlite:///file::memory:?cache=shared"],
        ),
        ("must name a file", ["sqlite:////", "sqlite:////../.."]),
        (
            "takes no options after '?'; a '?' in a path is written %3F",
            ["sqlite:////srv/seidra.db?timeout=30", "sqlite:////srv/a?b/s.db"],
        ),
    ],
    "data_dir": [
        ("begins with the home of a user who does not exist", ["~nobody-has-this-name/data"])
    ],
    "media_dir": [("begins with the home of a user who does not exist", ["~nobody-has-this-name"])],
    "thumbnail_dir": [
        ("begins with the home of a user who does not exist", ["~nobody-has-this-name"])
    ],
    "models_dir": [
        ("begins with the home of a user who does not exist", ["~nobody-has-this-name"])
    ],
    "tmp_dir": [("begins with the home of a user who does not exist", ["~nobody-has-this-name"])],
    "media_url": [
        (
            "must be s3://bucket",
            ["bucket", "https://bucket", "s3://", "s3://A", "s3://u:p@bucket", "s3://bucket?x"],
        ),
        ("must have a prefix of letters", ["s3://bucket/a b", "s3://bucket/../x"]),
        ("takes the options endpoint, region, public, not 'key'", ["s3://bucket?key=secret"]),
        (
            "must have as endpoint the origin of a server",
            ["s3://bucket?endpoint=s3.example", "s3://bucket?endpoint=http://h/x"],
        ),
        ("must have as public the origin", ["s3://bucket?public=//x"]),
        ("must have a region", ["s3://bucket?region=a%20b"]),
    ],
    "jwt_secret": [("must have at least 32 characters", ["secret", SECRET[1:]])],
    "bind": [
        (
            "must be host:port",
            [
                "8000",
                "localhost",
                "localhost:",
                "localhost:http",
                "a b:80",
                "http://h:80",
                "h:65536",
                "::1:8000",
                "unix:",
            ],
        )
    ],
    "public_url": [
        (
            URL_RULE,
            [
                "studio.example",
                "ftp://studio.example",
                "https://",
                "https://a.example?x=1",
                "https://a.example?",
                "https://a.example#x",
                "https://u:p@a.example",
                "https://[::1",
                "https://a.example:99999",
                "https://studio example",
                "javascript:alert(1)",
            ],
        )
    ],
    "allowed_origins": [
        (
            ORIGIN_RULE,
            [
                "*",
                "null",
                "https://a.example, *",
                "http://localhost:3000,null",
                "https://*.example",
                "a.example",
                "https://a.example/path",
                "ftp://a.example",
                "https://u@a.example",
                "https://a.example https://b.example",
            ],
        )
    ],
    "trusted_proxies": [numbers(0, 10)],
    "x_accel_redirect": [
        (
            "must be the path of an internal location outside of /api",
            [
                "protected",
                "/",
                "//x",
                "/api",
                "/api/media",
                "/a b",
                "/a/../b",
                "/a?b",
                "https://x.example/",
                "/a\r\nX: y",
            ],
        ),
    ],
    "default_user_password": [
        ("must have 12 to 128 characters", ["short", "elevenchars", "x1y2z" * 26]),
        (
            COMMON_RULE,
            [
                "passwordpassword",
                "Password1234",
                "changeme!!!!",
                "Change-Me-Change-Me",
                "aaaaaaaaaaaa",
                "123412341234",
                "correct horse battery staple",
                "SEIDRA-Ultimate-2024",
            ],
        ),
    ],
    "instance_name": [("must be one line of at most 50 characters", ["x" * 51, "a\nb", "a\x1bb"])],
    "registration": [("must be one of: open, closed", ["invite", "true", "opened"])],
    "password_login": [("must be true or false", ["maybe"])],
    "auth_header": [
        (
            "must be the name of a header of the proxy's own, such as Remote-User",
            [
                "Remote_User",
                "Cookie",
                "Authorization",
                "Remote User",
                "X-Forwarded-For",
                "a-",
                "-a",
            ],
        )
    ],
    "auth_email_header": [
        (
            "must be the name of a header of the proxy's own, such as Remote-User",
            ["Remote_Email", "If-Match", "a:b-c"],
        )
    ],
    "auth_proxies": [
        (
            "must list addresses, networks such as 10.0.0.0/8, or unix",
            ["proxy.example", "10.0.0.1/8", "127.0.0.1:80", "300.1.1.1", "::1, nginx"],
        )
    ],
    "auth_create": [("must be true or false", ["yes please"])],
    "access_token_seconds": [numbers(30, 86_400)],
    "refresh_token_seconds": [numbers(60, 31_536_000)],
    "session_seconds": [numbers(60, 31_536_000)],
    "refresh_grace": [numbers(0, 300)],
    "argon2_memory_kib": [numbers(8, 4_194_304)],
    "argon2_time_cost": [numbers(1, 100)],
    # What these say is judged together, by seidra.engines.setup.
    "engines": [],
    "engine": [],
    "engine_url": [],
    "engine_key_file": [],
    "embedded_worker": [("must be true or false", ["maybe", "2", "enabled", "-1"])],
    "job_lease_seconds": [numbers(1, 3600)],
    "job_max_attempts": [numbers(1, 100)],
    "job_poll_ms": [numbers(50, 1000)],
    "max_queued_jobs": [numbers(1, 100_000)],
    "max_personas": [numbers(1, 100_000_000)],
    "max_media": [numbers(1, 1_000_000_000)],
    "max_media_bytes": [numbers(0, 10**15)],
    "keep_jobs_days": [numbers(0, 36_500)],
    "keep_trash_days": [numbers(0, 36_500)],
    "keep_temporary_hours": [numbers(1, 8760)],
    "media_link_seconds": [numbers(60, 604_800)],
    "event_seconds": [numbers(60, 604_800)],
    "stream_seconds": [numbers(1, 3600)],
    "streams": [numbers(1, 512)],
    "streams_per_user": [numbers(1, 128)],
    "max_body": [numbers(1024, 1_073_741_824)],
    "max_upload": [numbers(65_536, 1_073_741_824)],
    "rate_limits": [("must be true or false", ["maybe"])],
    "rate_storage": [
        (
            "must be memory:// or a Redis URL",
            ["memory", "redis:", "redis://", "http://h", "memory://x", "redis://a b"],
        )
    ],
    **{
        f"rate_{name}": [
            ("must be a rate such as 10/minute", ["many", "10", "0/minute", "-1/second", ";"])
        ]
        for name in (
            "login",
            "register",
            "account",
            "refresh",
            "preview",
            "links",
            "shared",
            "general",
        )
    },
    "frontend_routes": [("must be true or false", ["maybe", "2"])],
    "metrics": [
        ("must be off, on, or a token of 16", ["yes", "fifteen-letters", "a token with blanks"])
    ],
    "sqlite_synchronous": [("must be one of: normal, full", ["off", "extra", "1"])],
    "web_workers": [numbers(1, 64)],
    "web_threads": [numbers(1, 128)],
    "web_pinned": [("must be true or false", ["maybe"])],
    "log_level": [("must be one of: debug, info, warning, error", ["trace", "verbose", "10"])],
}

FIELDS = [field.name for field in variables_of(Settings).values()]


BAD_VALUES = [
    pytest.param(field, value, rule, id=f"{field}-{value[:30]}")
    for field, rules in BAD.items()
    for rule, values in rules
    for value in values
]


def python(program: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program with nothing of SEIDRA in the environment but what is given."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SEIDRA_", "FLASK_"))}
    variables = kept | {"PYTHONPATH": str(CHECKOUT)} | variables
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=cwd,
        env=variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No setting in the environment, and an empty working folder, which is returned."""
    for name in [name for name in os.environ if name.startswith("SEIDRA_")]:
        monkeypatch.delenv(name)
    # Another file of the checkout's, should there be one.
    monkeypatch.setenv("FLASK_SKIP_DOTENV", "1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def checkout(bare: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout in which SEIDRA seems to lie, beside the working folder."""
    folder = bare / "checkout"
    (folder / "migrations").mkdir(parents=True)
    (folder / "setup.cfg").touch()
    monkeypatch.setattr(config, "PACKAGE_DIR", folder / "seidra")
    monkeypatch.delenv("FLASK_SKIP_DOTENV")
    return folder


# ------------------------------------------------------------------------------------- each setting


def test_the_tables_below_know_every_setting() -> None:
    assert list(DEFAULTS) == list(GOOD) == list(BAD) == FIELDS


@pytest.mark.parametrize("field", FIELDS)
def test_default(field: str) -> None:
    assert getattr(Settings.load({}), field) == DEFAULTS[field]


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_variable_is_the_default(field: str, empty: str) -> None:
    assert getattr(Settings.load({Settings.variable(field): empty}), field) == DEFAULTS[field]


@pytest.mark.parametrize(
    ("field", "text", "value"), [(f, *pair) for f, pairs in GOOD.items() for pair in pairs]
)
def test_good_value(field: str, text: str, value: Any) -> None:
    settings = Settings.load({Settings.variable(field): text})
    assert getattr(settings, field) == value
    assert type(getattr(settings, field)) is type(value)


@pytest.mark.parametrize(("field", "value", "rule"), BAD_VALUES)
def test_a_bad_value_names_the_variable_and_the_rule(field: str, value: str, rule: str) -> None:
    with pytest.raises(StartError) as caught:
        Settings.load({Settings.variable(field): value})
    assert caught.value.message.startswith(f"SEIDRA_{field.upper()} {rule}")
    assert "\n" not in caught.value.message
    assert caught.value.message.endswith(".")


@pytest.mark.parametrize("secret", ["jwt_secret", "default_user_password"])
def test_an_error_never_repeats_a_secret(secret: str) -> None:
    with pytest.raises(StartError) as caught:
        Settings.load({Settings.variable(secret): "hunter2"})
    assert "hunter2" not in caught.value.message


def test_every_setting_is_documented() -> None:
    for field in variables_of(Settings).values():
        assert field.metadata["doc"].endswith("."), field.name


# -------------------------------------------------------------------------------------------- paths


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///seidra.db", PACKAGE_DIR / "seidra.db"),
        ("sqlite:///../data/seidra.db", CHECKOUT / "data" / "seidra.db"),
        ("sqlite:///../../x/../seidra.db", CHECKOUT.parent / "seidra.db"),
        ("sqlite:////srv/seidra.db", Path("/srv/seidra.db")),
        ("sqlite:////srv/my%20data/s.db", Path("/srv/my data/s.db")),
        ("sqlite:////srv/100%25/s.db", Path("/srv/100%/s.db")),
        ("sqlite:////srv/a%23b%3Fc/s.db", Path("/srv/a#b?c/s.db")),
        ("sqlite:////srv/a#b/s.db", Path("/srv/a#b/s.db")),
        ("sqlite:////srv/k%C3%BCche.db", Path("/srv/küche.db")),
        ("sqlite:////srv/küche.db", Path("/srv/küche.db")),
    ],
)
def test_the_file_of_a_database_url(bare: Path, url: str, path: Path) -> None:
    settings = Settings.load({"SEIDRA_DATABASE_URL": url})
    assert settings.database_path == path
    assert settings.data_dir == path.parent
    assert settings.media_dir == path.parent / "media"


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("postgresql://host/db", "postgresql://host/db"),
        ("postgres://me:hunter2@host:5433/db", "postgresql://me@host:5433/db"),
        ("postgresql://me:hunter2@[::1]:5433/db", "postgresql://me@[::1]:5433/db"),
        ("postgresql://a,b:5433/db?password=hunter2", "postgresql://a,b:5433/db"),
        ("postgresql:///db?host=/run/postgresql", "postgresql:///db"),
    ],
)
def test_a_database_of_a_server_is_shown_without_its_password(
    bare: Path, url: str, place: str
) -> None:
    settings = Settings.load({"SEIDRA_DATABASE_URL": url, "SEIDRA_JWT_SECRET": SECRET})
    assert settings.database_place == place
    assert settings.shown_values()["SEIDRA_DATABASE_URL"] == place
    assert settings.data_dir == CHECKOUT / "data"
    with pytest.raises(StartError, match="is no SQLite file, which this needs") as raised:
        _ = settings.database_path
    assert "hunter2" not in str(raised.value)


def test_nodes_of_a_server_must_be_given_what_they_share(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = {"SEIDRA_DATABASE_URL": "postgresql://host/db"}
    with pytest.raises(StartError, match="SEIDRA_JWT_SECRET must be given with PostgreSQL"):
        Settings.load(url)
    monkeypatch.setattr("seidra.config.in_checkout", lambda: False)
    with pytest.raises(StartError, match="SEIDRA_DATA_DIR must be given with PostgreSQL"):
        Settings.load({**url, "SEIDRA_JWT_SECRET": SECRET})


@pytest.mark.sqlite_only("the database is a file in the folder")
def test_a_data_folder_of_its_own_moves_the_files_but_not_the_database(tmp_path: Path) -> None:
    settings = Settings.load(environment(tmp_path / "db", SEIDRA_DATA_DIR=str(tmp_path / "files")))
    ensure_runtime_directories(settings)
    assert settings.database_path == tmp_path / "db" / "seidra.db"
    assert sorted(path.name for path in (tmp_path / "files").iterdir()) == [
        "media",
        "models",
        "thumbnails",
        "tmp",
    ]
    assert list((tmp_path / "db").iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("encoded", [True, False], ids=["percent-encoded", "as-it-is"])
@pytest.mark.parametrize(
    "name", ["a#b", "a?b", "a b", "über", "a%zb", "a&b=c", "a'b\"c", "a:b;c", "日本", "~a", "a\\b"]
)
def test_odd_characters_in_the_path_work_end_to_end(
    tmp_path: Path, name: str, encoded: bool
) -> None:
    path = tmp_path / name / f"{name}.db"
    # A "?" as it is begins options, which there are none of.
    shown = quote(str(path)) if encoded else str(path).replace("?", "%3F")
    settings = Settings.load({"SEIDRA_DATABASE_URL": f"sqlite:///{shown}", **CHEAP})
    assert len(init_database(settings)) > 0
    assert init_database(settings) == []
    with DatabaseService(settings) as service:
        assert service.get_platform_summary()["users"] == 1
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
    assert path.is_file()
    assert {entry.name for entry in path.parent.iterdir()} == {
        path.name,
        "setup.token",
        f"{path.name}.init.lock",
        "media",
        "models",
        "thumbnails",
        "tmp",
    }


@pytest.mark.sqlite_only("the database is a file in the folder")
def test_runtime_folders_are_private(tmp_path: Path) -> None:
    settings = Settings.load(environment(tmp_path / "instance"))
    init_database(settings)
    for folder in settings.runtime_folders():
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder
    assert stat.S_IMODE(settings.database_path.stat().st_mode) == 0o600


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    media = tmp_path / "file" / "media"
    settings = Settings.load(environment(tmp_path, SEIDRA_MEDIA_DIR=str(media)))
    with pytest.raises(StartError) as caught:
        ensure_runtime_directories(settings)
    assert caught.value.message == f"The folder {media} cannot be written: Not a directory."


# --------------------------------------------------------------------------------------- where from


def test_dotenv_in_the_working_folder_is_read_and_the_environment_wins(
    bare: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bare / ".env").write_text(
        "SEIDRA_WEB_WORKERS=5\nSEIDRA_WEB_THREADS='7'\n# SEIDRA_BIND=x\nSEIDRA_LOG_LEVEL\n"
    )
    monkeypatch.setenv("SEIDRA_WEB_WORKERS", "6")
    settings = Settings.load()
    assert (settings.web_workers, settings.web_threads, settings.bind) == (6, 7, "127.0.0.1:8000")


def test_the_dotenv_of_the_checkout_goes_before_that_of_the_working_folder(
    bare: Path, checkout: Path
) -> None:
    assert settings_file() is None
    (bare / ".env").write_text("SEIDRA_WEB_WORKERS=5\nSEIDRA_WEB_THREADS=7\n")
    assert settings_file() == bare / ".env"
    (checkout / ".env").write_text("SEIDRA_WEB_WORKERS=6\n")
    assert settings_file() == checkout / ".env"
    settings = Settings.load()
    assert (settings.web_workers, settings.web_threads) == (6, 4)


def test_without_a_checkout_the_working_folder_s_dotenv_counts(bare: Path, checkout: Path) -> None:
    (checkout / "setup.cfg").unlink()
    (checkout / ".env").write_text("SEIDRA_WEB_WORKERS=6\n")
    assert settings_file() is None
    (bare / ".env").write_text("SEIDRA_WEB_WORKERS=5\n")
    assert settings_file() == bare / ".env"


def test_dotenv_can_be_left_aside(
    bare: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (checkout / ".env").write_text("SEIDRA_WEB_WORKERS=6\n")
    monkeypatch.setenv("FLASK_SKIP_DOTENV", "1")
    assert (settings_file(), Settings.load().web_workers) == (None, 2)


def test_a_bad_value_in_dotenv_is_refused(bare: Path, checkout: Path) -> None:
    (bare / ".env").write_text("SEIDRA_WEB_WORKERS=none\n")
    with pytest.raises(StartError, match="SEIDRA_WEB_WORKERS must be a whole number"):
        Settings.load()


def test_a_dotenv_that_cannot_be_read_is_refused(bare: Path, checkout: Path) -> None:
    (bare / ".env").write_bytes(b"SEIDRA_BIND=\xff\xfe\n")
    with pytest.raises(StartError, match=r"The file /\S+/\.env cannot be read"):
        Settings.load()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("SEIDRA_DATABSE_URL", "; did you mean SEIDRA_DATABASE_URL?"),
        ("SEIDRA_ALLOWED_ORIGIN", "; did you mean SEIDRA_ALLOWED_ORIGINS?"),
        ("SEIDRA_EMBEDED_WORKER", "; did you mean SEIDRA_EMBEDDED_WORKER?"),
        ("SEIDRA_X", ""),
        ("SEIDRA_SOMETHING_ELSE", ""),
    ],
)
def test_a_misspelt_name_is_warned_about(
    caplog: pytest.LogCaptureFixture, name: str, hint: str
) -> None:
    # An application that another test made in this process may have silenced warnings.
    caplog.set_level("WARNING", "seidra")
    Settings.load({name: "secret value"})
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage() == f"The setting {name} is unknown and has no effect{hint}"


def test_a_known_name_is_not_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    # SEIDRA_PASSWORD is no setting: `flask users create` reads it.
    Settings.load({"SEIDRA_WEB_WORKERS": "1", "SEIDRA_PASSWORD": "x", "PATH": "x", "SEIDRAX": "x"})
    assert caplog.records == []


def test_settings_are_read_when_first_used(tmp_path: Path) -> None:
    program = (
        "from seidra.config import settings, ensure_runtime_directories\n"
        "import seidra, seidra.database\n"
        "print('imported', flush=True)\n"
        "settings.bind\n"
    )
    done = python(program, tmp_path, SEIDRA_BIND="nowhere")
    assert done.stdout == "imported\n"
    assert done.returncode == 1
    assert "SEIDRA_BIND must be host:port" in done.stderr


def test_settings_are_read_once(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    get_settings.cache_clear()
    try:
        monkeypatch.setenv("SEIDRA_WEB_WORKERS", "3")
        assert get_settings().web_workers == 3
        monkeypatch.setenv("SEIDRA_WEB_WORKERS", "4")
        assert get_settings().web_workers == 3
    finally:
        get_settings.cache_clear()


# --------------------------------------------------------------------------------------- the secret


OWN_SECRET = pytest.mark.sqlite_only("where nodes can be several, secrets are given, not made")


@OWN_SECRET
def test_the_signing_secret_is_made_once_and_private(settings: Settings) -> None:
    path = settings.data_dir / "jwt.secret"
    path.unlink(missing_ok=True)
    made = jwt_secret(settings)
    assert len(made) >= 43
    assert path.read_text() == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert jwt_secret(settings) == made
    assert [file.name for file in settings.data_dir.glob("tmp*")] == ["tmp"]


@OWN_SECRET
def test_two_instances_have_different_secrets(tmp_path: Path) -> None:
    made = set()
    for name in ("one", "two", "three"):
        settings = Settings.load(environment(tmp_path / name))
        ensure_runtime_directories(settings)
        made.add(jwt_secret(settings))
    assert len(made) == 3


def test_a_given_secret_is_used_and_not_written(tmp_path: Path) -> None:
    settings = Settings.load(environment(tmp_path, SEIDRA_JWT_SECRET=SECRET))
    ensure_runtime_directories(settings)
    assert jwt_secret(settings) == SECRET
    assert not (tmp_path / "jwt.secret").exists()


@OWN_SECRET
@pytest.mark.parametrize(
    "content", [b"", b"short", b"\xff" * 40], ids=["empty", "short", "no text"]
)
def test_a_kept_secret_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "jwt.secret").write_bytes(content)
    with pytest.raises(StartError) as caught:
        jwt_secret(Settings.load(environment(tmp_path)))
    assert str(tmp_path / "jwt.secret") in caught.value.message
    assert (tmp_path / "jwt.secret").read_bytes() == content


@pytest.mark.slow
@OWN_SECRET
def test_six_processes_at_once_make_one_secret(tmp_path: Path) -> None:
    # Ten races; in each, all wait for the last one to be ready, so that they race for the file and
    # not for the import.
    program = (
        "import dataclasses, os, time\n"
        "from pathlib import Path\n"
        "from seidra.config import settings, jwt_secret\n"
        "deadline = time.monotonic() + 60\n"
        "for turn in range(10):\n"
        "    folder = Path(f'turn-{turn}'); ready = folder / 'ready'\n"
        "    ready.mkdir(parents=True, exist_ok=True)\n"
        "    mine = dataclasses.replace(settings._get_current_object(), data_dir=folder)\n"
        "    (ready / str(os.getpid())).touch()\n"
        "    while len(os.listdir(ready)) < 6 and time.monotonic() < deadline: time.sleep(0)\n"
        "    print(jwt_secret(mine))\n"
    )
    variables = os.environ | environment(tmp_path) | {"PYTHONPATH": str(CHECKOUT)}
    command = [sys.executable, "-c", program]
    started = [
        subprocess.Popen(command, cwd=tmp_path, env=variables, stdout=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    made = [process.communicate(timeout=120)[0].split() for process in started]
    assert [process.returncode for process in started] == [0] * 6
    kept = [(tmp_path / f"turn-{turn}" / "jwt.secret").read_text() for turn in range(10)]
    assert made == [kept] * 6
    assert len(set(kept)) == 10
