"""Settings: read once at an entry point, then passed down.

A setting has one name, in the environment: ``PENSTOCK_…``. Otherwise the active profile of
``profiles.toml`` in the home is asked, then the default holds.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args

import msgspec

from penstock import errors
from penstock.core.suggestions import did_you_mean, nearest

PREFIX = "PENSTOCK_"

AtLeast0 = msgspec.Meta(ge=0)
AtLeast1 = msgspec.Meta(ge=1)
Port = msgspec.Meta(ge=0, le=65535)
HttpUrl = msgspec.Meta(
    pattern=r"^https?://(\[[0-9A-Fa-f:.]+\]|[^\s/@:?#\[\]\\]+)"
    r"(:(6553[0-5]|655[0-2]\d|65[0-4]\d\d|6[0-4]\d{3}|[1-5]\d{4}|\d{1,4}))?(/[!-~]*)?\Z",
    description="a URL such as http://127.0.0.1:4200/api, with http:// or https:// and no password",
)
DatabaseUrl = msgspec.Meta(
    pattern=r"^(sqlite(\+\w+)?:///.|(postgresql|postgres)(\+\w+)?://.)",
    description="a URL that begins with postgresql://, or with sqlite:/// and a path",
)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that can be set. The field ``journal_sync`` is ``PENSTOCK_JOURNAL_SYNC``."""

    home: Path
    """Where journals, results and the store lie: ``~/.penstock``."""
    profile: str = "default"
    """The profile of ``profiles.toml`` whose values count."""
    journal_sync: Literal["interval", "always"] = "interval"
    """``interval``: what is recorded survives a power failure after at most 10 ms; ``always``: at once."""
    journal_max_bytes: Annotated[int, AtLeast1] = 1 << 30
    """A run's journal may grow to this size; past it, starting tasks raises."""
    results_persist: bool = True
    """Whether results are kept when a flow or task does not say so itself."""
    results_inline_max_bytes: Annotated[int, AtLeast0] = 64 * 1024
    """Larger results lie in files of their own."""
    logging_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    """The least level of log lines that are recorded and shown."""
    logging_to_terminal: bool = True
    """Whether log lines of runs started by hand are shown on stderr."""
    progress: Literal["auto", "plain", "off"] = "auto"
    """``auto``: a live display on a terminal, plain lines elsewhere; ``plain``; ``off``."""
    replay: Literal["recompute", "strict", "off"] = "recompute"
    """What happens when code and journal disagree: ``recompute``, ``strict`` or ``off``."""
    task_runner_max_workers: Annotated[int, AtLeast1] = 32
    """How many submitted tasks of a flow run execute at once, unless its task runner says so."""
    results_upload_max_bytes: Annotated[int, AtLeast0] = 1 << 30
    """The largest file of a result that a server takes from workers elsewhere."""
    retention_days: Annotated[float, AtLeast0] = 90
    """Ended runs are forgotten after this many days, by a server or by ``penstock db prune``."""
    retention_runs: Annotated[int, AtLeast0] = 1_000_000
    """At most this many ended runs are kept."""
    catch_up_after: Annotated[int, AtLeast0] = 500
    """A process that leaves more unfolded journals than this in the home folds them as it ends."""
    api_url: Annotated[str, HttpUrl] | None = None
    """The API of a Penstock server; without one, everything happens in the home."""
    api_key: str | None = None
    """The key that this machine shows to the API; a local server's is found by itself."""
    worker_grace_seconds: Annotated[float, AtLeast0] = 30
    """How long the processes of a run may take to end once they are told to; then they are killed."""
    offline_grace_seconds: Annotated[float, AtLeast0] = 900
    """A run whose worker has not heard of the server for so long stops itself, to be resumed when it is back."""
    server_host: str = "127.0.0.1"
    """The address at which `penstock server start` listens."""
    server_port: Annotated[int, Port] = 4200
    """The port at which `penstock server start` listens; 0 takes any that is free."""
    database_url: Annotated[str, DatabaseUrl] | None = None
    """The store, as in `postgresql://user:password@host/name`; without it, SQLite in the home."""

    @property
    def journals(self) -> Path:
        return self.home / "journals"

    @property
    def outbox(self) -> Path:
        return self.home / "outbox"

    @property
    def results(self) -> Path:
        return self.home / "results"

    @property
    def cache(self) -> Path:
        return self.results / "cache"

    @property
    def store(self) -> Path:
        """The file of a store in SQLite."""
        if self.database_url is not None and self.postgres_url is None:
            return Path(self.database_url.partition(":///")[2]).absolute()
        return self.home / "penstock.db"

    @property
    def postgres_url(self) -> str | None:
        """The URL of the database of a store in Postgres; None for one in SQLite."""
        return None if (self.database_url or "sqlite").startswith("sqlite") else self.database_url

    @property
    def where(self) -> str:
        """Where the store is, as it may be shown."""
        return str(self.store) if self.postgres_url is None else shown("database_url", self.postgres_url)


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings in force. Raises `UnknownOption` or `UsageError` for names or values that cannot be.

    Raises `NotFound` for a profile that does not exist.
    """
    environ = os.environ if environ is None else environ
    home = home_of(environ)
    profiles = read_profiles(home)
    profile = profiles.chosen(environ)
    values = {field_of(key): value for key, value in profiles.tables.get(profile, {}).items()}
    return from_values({**values, **from_environment(environ), "home": home, "profile": profile})


def home_of(environ: Mapping[str, str]) -> Path:
    """The folder that holds everything: it is known before any other setting is."""
    return Path(environ.get("PENSTOCK_HOME") or Path.home() / ".penstock").expanduser().absolute()


def from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The settings that the environment gives, as text; an empty variable gives none."""
    return {name: environ[PREFIX + name.upper()] for name in NAMES if environ.get(PREFIX + name.upper())}


def checked(given: Mapping[str, str]) -> dict[str, Any]:
    """The plain values of settings that were given as text, both under the names of variables.

    Raises `SettingRefused` for one that does not exist, is not for profiles or has no such values.
    """
    return {name: _plain(_checked(name, text)) for name, text in given.items()}


def _checked(name: str, text: str) -> Any:
    field = name.removeprefix(PREFIX).lower()
    if field not in NAMES or name != PREFIX + field.upper():
        near = meant(name)
        hint = f"did you mean `{near}`?" if near else "`penstock config view` lists all"
        raise errors.SettingRefused(f"Unknown setting name '{name}'.", hint=hint)
    if not text:
        raise errors.SettingRefused(f"No value for '{name}'.", hint=f"`penstock config unset {name}` takes it out")
    try:
        value = getattr(from_values({"home": "", field_of(name): text}), field)
    except errors.UsageError as error:
        raise errors.SettingRefused(error.message, hint=error.hint) from None
    if field == "api_url" and "/" not in value.partition("://")[2].rstrip("/"):
        raise errors.SettingRefused(
            f"Nothing of the API is at `{value}`.", hint=f"did you mean `{value.rstrip('/')}/api`?"
        )
    return value


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def from_values(values: Mapping[str, Any]) -> Settings:
    """Settings out of text or plain values. Raises `UsageError` naming the setting that does not fit."""
    try:
        return msgspec.convert(dict(values), Settings, strict=False, dec_hook=_path)
    except msgspec.ValidationError as error:
        message = str(error)
        field = message.rpartition("`$.")[2].rstrip("`")
        raise errors.UsageError(
            f"Setting {PREFIX}{field.upper()} has a value that does not fit: `{shown(field, values.get(field))}`",
            hint=_fitting(field) or message.partition(" - at")[0],
        ) from None


def shown(name: str, value: Any) -> Any:
    """The value of a setting as it may be shown: a key is masked, and so is a password inside of a URL.

    The name is that of the field or of the variable.
    """
    if value and name.removeprefix(PREFIX).lower() in SECRET:
        return MASK
    return _PASSWORD.sub(rf"\1\2{MASK}", value) if isinstance(value, str) and "://" in value else value


SECRET = frozenset({"api_key"})
MASK = "********"
_PASSWORD = re.compile(r"(://[^:@/?]*:).*(?=@)|([?&](?:ssl)?password=)[^&]*")


def _fitting(field: str) -> str | None:
    """What a setting takes, where that can be said better than msgspec says it."""
    kinds = {each.name: each.type for each in msgspec.structs.fields(Settings)}
    parts = get_args(kinds.get(field)) if field in kinds else ()
    if parts and all(isinstance(part, str) for part in parts):
        return f"it takes one of: {', '.join(parts)}"
    told = [note.description for part in parts for note in getattr(part, "__metadata__", ()) if note.description]
    return f"it takes {told[0]}" if told else None


def to_environment(chosen: Settings) -> dict[str, str]:
    """Variables by which another process has these very settings, whatever its profile says."""
    values = msgspec.structs.asdict(chosen)
    del values["profile"]
    return {PREFIX + name.upper(): str(value) for name, value in values.items() if value not in (None, "")}


def _path(kind: type, value: Any) -> Any:
    return Path(value) if issubclass(kind, Path) else value


NAMES = tuple(Settings.__struct_fields__)


class Profiles(NamedTuple):
    """What ``profiles.toml`` says: values as they are written, under names as they are written."""

    path: Path
    active: str
    tables: dict[str, dict[str, Any]]

    @property
    def names(self) -> tuple[str, ...]:
        """All profiles. ``default`` is always there, and needs no table."""
        return tuple(self.tables) if DEFAULT in self.tables else (DEFAULT, *self.tables)

    def chosen(self, environ: Mapping[str, str]) -> str:
        """The profile that counts: of the environment, else the active one. Raises `NotFound` if there is none such."""
        if name := environ.get("PENSTOCK_PROFILE"):
            return self.known(name)
        try:
            return self.known(self.active)
        except errors.NotFound as error:
            hint = f"`active` in `{self.path}` names it; `penstock profile use` chooses another"
            raise errors.NotFound(error.message, hint=hint) from None

    def known(self, name: str) -> str:
        """The name, if there is such a profile. Raises `NotFound`."""
        if name in self.names:
            return name
        hint = did_you_mean(name, self.names) or f"profiles are tables `[profiles.NAME]` in `{self.path}`"
        raise errors.NotFound(f"There is no profile `{name}`", hint=hint)


DEFAULT = "default"
"""The profile of those who have chosen none."""


def read_profiles(home: Path) -> Profiles:
    """What the profiles say. Raises `UsageError` when the file is not TOML, or not of profiles."""
    path = home / "profiles.toml"
    try:
        text = path.read_bytes().decode()
    except (FileNotFoundError, NotADirectoryError):
        return Profiles(path, DEFAULT, {})
    except (OSError, UnicodeDecodeError) as error:
        raise errors.UsageError(f"The profiles cannot be read ({error}): `{path}`") from None
    import tomllib  # noqa: PLC0415  most homes have no such file

    try:
        document = tomllib.loads(text)
        return Profiles(path, *msgspec.convert((document.get("active", DEFAULT), document.get("profiles", {})), _SHAPE))
    except tomllib.TOMLDecodeError as error:
        raise errors.UsageError(f"`{path}` is not TOML: {error}") from None
    except msgspec.ValidationError:
        raise errors.UsageError(
            f"`{path}` does not hold profiles",
            hint='it has a line `active = "NAME"` and a table `[profiles.NAME]` for each profile',
        ) from None


_SHAPE = tuple[str, dict[str, dict[str, Any]]]


def field_of(name: str) -> str:
    """The field of `Settings` that a name in a profile means. Raises `UnknownOption`."""
    field = name.removeprefix(PREFIX).lower()
    if field in BEFORE_PROFILES:
        raise errors.UnknownOption(f"A profile cannot hold {PREFIX}{field.upper()}", hint=BEFORE_PROFILES[field])
    if field not in NAMES:
        raise unknown(name)
    return field


BEFORE_PROFILES = {
    "home": "it says where `profiles.toml` lies: set it in the environment",
    "profile": "choose one with `penstock profile use`, with `-p`, or in the environment",
}
"""The settings that are needed to find a profile, and where they come from instead."""


def strangers(environ: Mapping[str, str]) -> dict[str, str | None]:
    """Variables that look like settings and are none, each with the one that was probably meant.

    Those with two underscores (``PENSTOCK__…``) are for other ends, and no mistake.
    """
    found = (name for name in environ if name.startswith(PREFIX) and not name.startswith(PREFIX + "_"))
    return {name: meant(name) for name in found if name.removeprefix(PREFIX).lower() not in NAMES}


def meant(name: str) -> str | None:
    """The setting whose name is nearest to one that does not exist, if one is near."""
    near = nearest(name.removeprefix(PREFIX).lower(), NAMES)
    return near and PREFIX + near.upper()


def unknown(name: str) -> errors.UnknownOption:
    """The error for a setting that does not exist, with the nearest one that does."""
    near = meant(name)
    return errors.UnknownOption(f"Unknown setting name: `{name}`", hint=f"did you mean `{near}`?" if near else None)
