"""The settings: the only place that reads the environment.

Each setting is one field of `Settings`, declared once with its variable, its parser and its
sentence of documentation. A value that does not parse stops the start with an error that names the
variable.
"""

from __future__ import annotations

import dataclasses
import difflib
import logging
import os
import secrets
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, unquote, urlsplit

from dotenv import dotenv_values
from werkzeug.local import LocalProxy

from seidra import parsers
from seidra.errors import StartError

PACKAGE_DIR = Path(__file__).resolve().parent
PASSWORD_VARIABLE = "SEIDRA_PASSWORD"  # noqa: S105 (a name)
"""What `flask users create` and `set-password` read a password from; no setting, and not misspelt
either."""

BUCKET_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
"""How every client of S3 calls its keys; `.env` may hold them too."""

_DEFAULT_DATABASE = "sqlite:///../data/seidra.db"
_log = logging.getLogger(__name__)


def in_checkout() -> bool:
    """Whether this package runs from a checkout (and not from an installed wheel)."""
    return (PACKAGE_DIR.parent / "setup.cfg").is_file() and (
        PACKAGE_DIR.parent / "migrations"
    ).is_dir()


def settings_file() -> Path | None:
    """The file `.env` that settings are read from: the checkout's, else the working folder's, or
    None.

    FLASK_SKIP_DOTENV=1 keeps any from being read, as it does for Flask itself.
    """
    if os.environ.get("FLASK_SKIP_DOTENV", "").lower() not in ("", "0", "false", "no"):
        return None
    folders = [PACKAGE_DIR.parent, Path.cwd()] if in_checkout() else [Path.cwd()]
    return next((folder / ".env" for folder in folders if (folder / ".env").is_file()), None)


def packaged_dir(name: str) -> Path:
    """The folder `sql` or `migrations`: inside the installed package, else beside it in a
    checkout."""
    for folder in (PACKAGE_DIR / name, PACKAGE_DIR.parent / name):
        if folder.is_dir():
            return folder
    raise StartError(
        f"The folder {name}/ is missing beside the seidra package: the installation is incomplete."
    )


# ----------------------------------------------------------------------------------------- settings


PREFIX = "SEIDRA_"
"""How the variables of all settings begin."""


def setting(
    parse: Callable[[str], Any],
    default: Any,
    doc: str,
    shown: str | None = None,
    *,
    secret: bool = False,
) -> Any:
    """Declare a setting as the field of a dataclass: parser, default, documentation, how the
    default reads in it, and whether its value is a secret, which nobody is shown."""
    return dataclasses.field(
        default=default,
        repr=not secret,
        metadata={"parse": parse, "doc": doc, "shown": shown, "secret": secret},
    )


def variables_of(declaring: type, prefix: str = PREFIX) -> dict[str, dataclasses.Field[Any]]:
    """The settings that a dataclass declares, by variable: field `x_y` is `<prefix>X_Y`."""
    return {
        f"{prefix}{field.name.upper()}": field
        for field in dataclasses.fields(declaring)
        if "parse" in field.metadata
    }


def read_settings(declaring: type, prefix: str, environ: Mapping[str, str]) -> dict[str, Any]:
    """The values that `environ` gives to the settings of a dataclass, by field.

    Raises StartError, with the variable's name, for a value that breaks its rule; warns of
    variables with this prefix that are none of the settings.
    """
    variables = variables_of(declaring, prefix)
    _warn_misspelt(environ, prefix, list(variables))
    values: dict[str, Any] = {}
    for variable, field in variables.items():
        text = environ.get(variable, "")
        if text.strip():
            try:
                values[field.name] = field.metadata["parse"](text)
            except ValueError as error:
                raise StartError(f"{variable} {error}.") from None
    return values


@dataclass(frozen=True)
class Settings:
    """Every setting, parsed. Field `x_y` is the variable `SEIDRA_X_Y`. Made by `Settings.load`."""

    database_url: str = setting(
        parsers.database_url,
        _DEFAULT_DATABASE,
        "The database. A relative path counts from the folder of the `seidra`"
        " package; an absolute one has four slashes; `postgresql://user:password@host:5432/name`"
        " is a server's, see [scaling](scaling.md). Must be given outside a checkout.",
    )
    data_dir: Path = setting(
        parsers.folder, None, "Where runtime files live.", "the database's folder"
    )
    media_dir: Path = setting(
        parsers.folder, None, "Generated media.", "`media` in the data folder"
    )
    thumbnail_dir: Path = setting(
        parsers.folder, None, "Thumbnails (can be made again).", "`thumbnails` in the data folder"
    )
    models_dir: Path = setting(
        parsers.folder,
        None,
        "Models of the engine `diffusers`, its LoRAs in `loras`.",
        "`models` in the data folder",
    )
    tmp_dir: Path = setting(
        parsers.folder,
        None,
        "Files on their way; on the same file system as the media.",
        "`tmp` in the data folder",
    )
    media_url: str | None = setting(
        parsers.media_url,
        None,
        "A bucket for the media and thumbnails instead of the two folders, such as"
        " s3://bucket/prefix?endpoint=https://s3.example&region=eu-west-1 (docs/scaling.md; needs"
        " the extra `s3`).",
        # Where it stands is nobody's business but the operator's.
        secret=True,
    )
    jwt_secret: str = setting(
        parsers.secret,
        None,
        "Signs tokens and, through derived keys, links; 32 characters or more."
        " Unset: made once and kept with mode 0600 in the data folder.",
        "made once",
        secret=True,
    )
    bind: str = setting(
        parsers.bind, "127.0.0.1:8000", "Where gunicorn listens: host:port or unix:/path."
    )
    public_url: str | None = setting(
        parsers.public_url,
        None,
        "What links in answers begin with, such as https://studio.example. Unset:"
        " they are relative.",
    )
    allowed_origins: tuple[str, ...] = setting(
        parsers.origins,
        ("http://localhost:3000", "http://127.0.0.1:3000"),
        "Comma list of the web origins that may call the API from a browser"
        " (`*` and `null` are refused).",
    )
    trusted_proxies: int = setting(
        parsers.integer(0, 10),
        0,
        "How many reverse proxies in front are trusted to set X-Forwarded-For and -Proto.",
    )
    x_accel_redirect: str | None = setting(
        parsers.location,
        None,
        "The internal location of nginx that serves the media, such as /protected."
        " Unset: SEIDRA sends the bytes itself.",
    )
    default_user_password: str | None = setting(
        parsers.seed_password,
        None,
        "Password of the seeded account `system` (12 characters or more, not a common one)."
        " Unset: the account is inactive.",
        secret=True,
    )
    instance_name: str = setting(
        parsers.instance_name, "SEIDRA", "What this instance is called, for those who use it."
    )
    registration: str = setting(
        parsers.choice("open", "closed"), "open", "Whether anybody may register: open or closed."
    )
    password_login: bool = setting(
        parsers.flag,
        True,
        "Whether a username and a password log in. Off, the proxy of SEIDRA_AUTH_HEADER alone"
        " says who comes.",
    )
    auth_header: str | None = setting(
        parsers.header,
        None,
        "The header in which a reverse proxy says who has logged in there, such as Remote-User."
        " Takes SEIDRA_AUTH_PROXIES, SEIDRA_TRUSTED_PROXIES and SEIDRA_REGISTRATION=closed.",
    )
    auth_email_header: str | None = setting(
        parsers.header,
        None,
        "The header in which it says their email address, such as Remote-Email.",
    )
    auth_proxies: tuple[str, ...] = setting(
        parsers.peers,
        (),
        "Comma list of the proxies that may: addresses and networks as they connect here, and"
        " `unix` for those that come through a unix socket. Of anybody else the header means"
        " nothing.",
    )
    auth_create: bool = setting(
        parsers.flag, False, "Whether who comes so for the first time gets an account."
    )
    access_token_seconds: int = setting(
        parsers.integer(30, 86_400), 900, "Lifetime of an access token."
    )
    refresh_token_seconds: int = setting(
        parsers.integer(60, 31_536_000), 2_592_000, "Lifetime of a refresh token."
    )
    session_seconds: int = setting(
        parsers.integer(60, 31_536_000), 7_776_000, "Longest life of a session, refreshed or not."
    )
    refresh_grace: int = setting(
        parsers.integer(0, 300),
        10,
        "Seconds in which a used refresh token still gives a fresh pair (two tabs at once).",
    )
    argon2_memory_kib: int = setting(
        parsers.integer(8, 4_194_304), 19_456, "Memory of one password hash, in KiB."
    )
    argon2_time_cost: int = setting(parsers.integer(1, 100), 2, "Passes of one password hash.")
    engines: str | None = setting(
        parsers.text,
        None,
        "A TOML file that says which engines there are (docs/engines.md), instead of the three"
        " settings for one.",
    )
    engine: str | None = setting(
        parsers.text,
        None,
        "The kind of the engine that renders: `comfyui`, `sdapi`, `openai`, or `mock`, which draws"
        " real pictures without a model.",
        "`mock`",
    )
    engine_url: str | None = setting(
        parsers.text,
        None,
        "Where that engine is called, such as http://127.0.0.1:8188.",
        # Where it stands is nobody's business but the operator's.
        secret=True,
    )
    engine_key_file: str | None = setting(
        parsers.text, None, "A file that holds the engine's key or token, on one line."
    )
    embedded_worker: bool = setting(
        parsers.flag, True, "Whether each server process also works off jobs."
    )
    job_lease_seconds: int = setting(
        parsers.integer(1, 3600),
        30,
        "How long a silent worker keeps a job; its heartbeat comes three times in it.",
    )
    job_max_attempts: int = setting(
        parsers.integer(1, 100), 3, "How often a job is sent to its engine before it fails."
    )
    job_poll_ms: int = setting(
        parsers.integer(50, 1000),
        500,
        "How often an idle worker looks for jobs of other processes, in ms.",
    )
    max_queued_jobs: int = setting(
        parsers.integer(1, 100_000), 100, "How many queued jobs one user may have."
    )
    max_personas: int = setting(
        parsers.integer(1, 100_000_000), 100_000, "How many personas one user may have."
    )
    max_media: int = setting(
        parsers.integer(1, 1_000_000_000),
        1_000_000,
        "How many media items one user may have; jobs that wait already still add theirs.",
    )
    max_media_bytes: int = setting(
        parsers.integer(0, 1_000_000_000_000_000),
        0,
        "How many bytes the media of one user may have, likewise. 0: any number.",
    )
    keep_jobs_days: int = setting(
        parsers.integer(0, 36_500),
        0,
        "How many days a job is kept after its end; its pictures stay. 0: for ever.",
    )
    keep_trash_days: int = setting(
        parsers.integer(0, 36_500),
        30,
        "How many days what was deleted lies in the trash. 0: it is gone at once.",
    )
    keep_temporary_hours: int = setting(
        parsers.integer(1, 8760),
        24,
        "How many hours temporary files that nobody works on are kept.",
    )
    media_link_seconds: int = setting(
        parsers.integer(60, 604_800),
        86_400,
        "How long a signed media link is valid at least; at most twice that.",
    )
    event_seconds: int = setting(
        parsers.integer(60, 604_800),
        3600,
        "How long the changes of jobs are kept for clients that were away.",
    )
    stream_seconds: int = setting(
        parsers.integer(1, 3600), 60, "How long a stream of events lasts; clients open it again."
    )
    streams: int = setting(
        parsers.integer(1, 512),
        32,
        "How many streams of events each server process may have open, each on its own thread.",
    )
    streams_per_user: int = setting(
        parsers.integer(1, 128),
        8,
        "How many streams of events one user may have open in each server process.",
    )
    max_body: int = setting(
        parsers.integer(1024, 1_073_741_824), 1_048_576, "Largest request body, in bytes."
    )
    max_upload: int = setting(
        parsers.integer(65_536, 1_073_741_824),
        33_554_432,
        "Largest file that may be sent in, in bytes.",
    )
    rate_limits: bool = setting(
        parsers.flag, True, "Whether requests are counted and too many refused with 429."
    )
    rate_storage: str = setting(
        parsers.rate_storage,
        "memory://",
        "Where requests are counted: `memory://`, each server process for itself, or a"
        " Redis URL, all together (needs the extra `redis`).",
        secret=True,
    )
    rate_login: str = setting(
        parsers.rate, "30/minute;300/hour", "Logins that one address may try."
    )
    rate_register: str = setting(parsers.rate, "20/hour", "Registrations that one address may try.")
    rate_account: str = setting(
        parsers.rate,
        "10/minute;60/hour",
        "Logins that may be tried with one name, whoever tries; registrations likewise.",
    )
    rate_refresh: str = setting(parsers.rate, "120/minute", "Refreshes that one address may try.")
    rate_preview: str = setting(
        parsers.rate, "60/minute", "Previews and retries that one user may queue."
    )
    rate_links: str = setting(
        parsers.rate,
        "20000/minute",
        "Pictures that the valid links of one user may load; they count for nothing else.",
    )
    rate_shared: str = setting(
        parsers.rate,
        "600/minute",
        "Shared pages and their pictures that one address without an account may load.",
    )
    rate_general: str = setting(
        parsers.rate,
        "3000/minute",
        "Requests of any kind that one user, or one address without a token, may send.",
    )
    frontend_routes: bool = setting(
        parsers.flag,
        True,
        "Serve the routes that the web frontend of SEIDRA Ultimate calls.",
    )
    metrics: str = setting(
        parsers.metrics,
        "off",
        "`GET /metrics` for Prometheus: `off`, `on`, or the Bearer token that it asks for.",
        secret=True,
    )
    sqlite_synchronous: str = setting(
        parsers.choice("normal", "full"),
        "normal",
        "`normal`: an answered write survives a killed process;"
        " `full`: a power cut too, at an fsync a write.",
    )
    web_workers: int = setting(parsers.integer(1, 64), 2, "Server processes under gunicorn.")
    web_threads: int = setting(parsers.integer(1, 128), 4, "Threads of each server process.")
    web_pinned: bool = setting(
        parsers.flag,
        False,
        "Keep the threads of each server process on one core (Linux): more requests a second"
        " where nothing else wants the cores.",
    )
    log_level: str = setting(
        parsers.choice("debug", "info", "warning", "error"), "info", "How much is logged."
    )

    bucket_keys: tuple[tuple[str, str], ...] = dataclasses.field(default=(), repr=False)
    """Amazon's own variables that say who we are to a bucket (`BUCKET_KEYS`), with their values."""

    @staticmethod
    def variable(field: str) -> str:
        """The environment variable of a field."""
        return f"{PREFIX}{field.upper()}"

    def shown_values(self) -> dict[str, Any]:
        """Every setting in force, by its variable; of a secret that differs from its default only
        that it does."""
        shown: dict[str, Any] = {}
        for variable, field in variables_of(type(self)).items():
            value = getattr(self, field.name)
            hidden = field.metadata["secret"] and value != field.default
            if field.name == "database_url" and self.database_engine != "sqlite":
                value = self.database_place
            shown[variable] = (
                "(set)" if hidden else str(value) if isinstance(value, Path) else value
            )
        return shown

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read `environ` (default: the file of `settings_file`, overridden by the environment).

        Raises StartError, with the variable's name, for a value that breaks its rule.
        """
        if environ is None:
            environ = _dotenv() | dict(os.environ)
        values = _with_folders(read_settings(cls, PREFIX, environ))
        keys = tuple((name, environ[name]) for name in BUCKET_KEYS if environ.get(name))
        return cls(**values, bucket_keys=keys)

    @property
    def base_path(self) -> str:
        """The path of SEIDRA_PUBLIC_URL, below which everything stands: "" or such as /seidra."""
        return urlsplit(self.public_url or "").path

    @property
    def database_engine(self) -> str:
        """Which engine the database has: sqlite or postgresql."""
        return self.database_url.partition(":")[0]

    @property
    def database_path(self) -> Path:
        """The SQLite file, absolute. Raises StartError where the database is none."""
        if self.database_engine != "sqlite":
            raise StartError(
                f"The database {self.database_place} is no SQLite file, which this needs."
            )
        return _database_path(self.database_url)

    @property
    def database_place(self) -> str:
        """Where the database is, for people: the file, or the URL without its password."""
        if self.database_engine == "sqlite":
            return str(self.database_path)
        # Options may hold a password too.
        scheme, _, rest = self.database_url.partition("?")[0].partition("//")
        account, at, server = rest.rpartition("@")
        return f"{scheme}//{account.partition(':')[0]}{at}{server}"

    def with_database(self, path: Path) -> Settings:
        """These settings with another SQLite file, absolute."""
        return dataclasses.replace(
            self, database_url=f"{parsers.SQLITE}/{quote(str(path).lstrip('/'))}"
        )

    def with_url(self, url: str) -> Settings:
        """These settings with the database of another URL. Raises StartError for one that breaks
        SEIDRA_DATABASE_URL's rule."""
        try:
            return dataclasses.replace(self, database_url=parsers.database_url(url))
        except ValueError as error:
            raise StartError(f"The URL {error}.") from None

    def runtime_folders(self) -> list[Path]:
        """The runtime folders that `ensure_runtime_directories` makes."""
        return [
            self.data_dir,
            *([self.database_path.parent] if self.database_engine == "sqlite" else []),
            self.media_dir,
            self.thumbnail_dir,
            self.models_dir,
            self.tmp_dir,
        ]


def _dotenv() -> dict[str, str]:
    file = settings_file()
    try:
        found = dotenv_values(file) if file else {}
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(f"The file {file} cannot be read: {error}.") from None
    return {name: value for name, value in found.items() if value is not None}


def _database_path(url: str) -> Path:
    path = Path(unquote(url.removeprefix(parsers.SQLITE)))
    return Path(os.path.normpath(path if path.is_absolute() else PACKAGE_DIR / path))


def _with_folders(values: dict[str, Any]) -> dict[str, Any]:
    """Fill in the folders that follow from the database's."""
    if "database_url" not in values and not in_checkout():
        raise StartError(
            "SEIDRA_DATABASE_URL must be given when SEIDRA does not run from a checkout."
        )
    url = values.get("database_url", _DEFAULT_DATABASE)
    if not url.startswith(parsers.SQLITE):
        _check_nodes(values)
        url = _DEFAULT_DATABASE
    data = values.setdefault("data_dir", _database_path(url).parent)
    for field, name in (
        ("media_dir", "media"),
        ("thumbnail_dir", "thumbnails"),
        ("models_dir", "models"),
        ("tmp_dir", "tmp"),
    ):
        values.setdefault(field, data / name)
    return values


def check_proxy_login(settings: Settings) -> None:
    """What a login by a proxy's header takes beside the header. Raises StartError."""
    if settings.auth_header is None:
        if not settings.password_login:
            raise StartError(
                "SEIDRA_PASSWORD_LOGIN=off takes SEIDRA_AUTH_HEADER: nobody could log in."
            )
        return
    if not settings.trusted_proxies:
        raise StartError("SEIDRA_AUTH_HEADER takes SEIDRA_TRUSTED_PROXIES: 1 or more.")
    if not settings.auth_proxies:
        raise StartError(
            "SEIDRA_AUTH_HEADER takes SEIDRA_AUTH_PROXIES: which proxies may set the header."
        )
    if settings.registration != "closed":
        raise StartError(
            "SEIDRA_AUTH_HEADER takes SEIDRA_REGISTRATION=closed: anybody could take a name"
            " before its owner comes through the proxy."
        )


def _check_nodes(values: dict[str, Any]) -> None:
    """What must be given where more than one node may serve a database."""
    if "data_dir" not in values and not in_checkout():
        raise StartError(
            "SEIDRA_DATA_DIR must be given with PostgreSQL when SEIDRA does not run from a"
            " checkout."
        )
    if values.get("jwt_secret") is None:
        raise StartError(
            "SEIDRA_JWT_SECRET must be given with PostgreSQL: all nodes must sign with the same"
            " secret."
        )


def _warn_misspelt(environ: Mapping[str, str], prefix: str, known: list[str]) -> None:
    for name in sorted(environ):
        if name.startswith(prefix) and name not in known and name != PASSWORD_VARIABLE:
            # Compared without the prefix, which would make any two names alike.
            rest = [variable.removeprefix(prefix) for variable in known]
            near = difflib.get_close_matches(name.removeprefix(prefix), rest, n=1)
            hint = f"; did you mean {prefix}{near[0]}?" if near else ""
            _log.warning("The setting %s is unknown and has no effect%s", name, hint)


def ensure_runtime_directories(settings: Settings | None = None) -> None:
    """Make the runtime folders, private to their owner. Raises StartError naming the folder that
    cannot be."""
    for folder in (settings or get_settings()).runtime_folders():
        ensure_directory(folder)


def ensure_directory(folder: Path) -> None:
    """Make one folder, private to its owner. Raises StartError naming it when it cannot be made or
    written."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StartError(
            f"The folder {folder} cannot be written: {error.strerror or error}."
        ) from None


def jwt_secret(settings: Settings) -> str:
    """The signing secret: the setting's, else the one kept in the data folder, made at the first
    start."""
    if settings.jwt_secret:
        return settings.jwt_secret
    if settings.media_url is not None:
        raise StartError(
            "SEIDRA_JWT_SECRET must be given with SEIDRA_MEDIA_URL: a secret in the data folder is"
            " one machine's, and links and tokens of the others would be refused."
        )
    path = settings.data_dir / "jwt.secret"
    try:
        return parsers.secret(kept_secret(path, 48))
    except (OSError, ValueError) as error:
        raise StartError(f"The signing secret {path} cannot be used: {error}.") from None


def kept_secret(path: Path, size: int) -> str:
    """The secret that a file keeps for its owner alone, made of `size` random bytes where there is
    no such file. Raises OSError."""
    if not path.exists():
        # Written under its own name and linked into place: of several processes one wins, whole.
        handle, name = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(size))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(name, path)
        except FileExistsError:
            pass
        finally:
            os.unlink(name)
    return path.read_text().strip()


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The process's settings, read from the environment when first asked for."""
    return Settings.load()


settings = cast(Settings, LocalProxy(get_settings))
"""The process's settings; the environment is read at the first use of an attribute."""
