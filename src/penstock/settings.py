"""Settings: read once at an entry point, then passed down.

A setting has one name, in the environment: ``PENSTOCK_…``. Otherwise the active profile of
``profiles.toml`` in the home is asked, then the default holds.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec

from penstock import errors

PREFIX = "PENSTOCK_"

AtLeast0 = msgspec.Meta(ge=0)
AtLeast1 = msgspec.Meta(ge=1)


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
    retention_days: Annotated[float, AtLeast0] = 90
    """Ended runs are forgotten after this many days by ``penstock db prune``."""
    retention_runs: Annotated[int, AtLeast0] = 100_000
    """At most this many ended runs are kept."""
    catch_up_after: Annotated[int, AtLeast0] = 500
    """A process that leaves more unfolded journals than this in the home folds them as it ends."""
    api_url: str | None = None
    """The API of a Penstock server; without one, everything happens in the home."""

    @property
    def journals(self) -> Path:
        return self.home / "journals"

    @property
    def results(self) -> Path:
        return self.home / "results"

    @property
    def cache(self) -> Path:
        return self.results / "cache"

    @property
    def store(self) -> Path:
        return self.home / "penstock.db"


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings in force. Raises `UnknownOption` or `UsageError` for names or values that cannot be.

    Raises `NotFound` for a profile that does not exist.
    """
    environ = os.environ if environ is None else environ
    home = Path(environ.get("PENSTOCK_HOME") or Path.home() / ".penstock").expanduser().absolute()
    given = {name: environ[PREFIX + name.upper()] for name in NAMES if environ.get(PREFIX + name.upper())}
    profile = given.get("profile", "")
    values = _profile(home, profile)
    values.update(given)
    values["home"] = home
    return from_values(values)


def from_values(values: Mapping[str, Any]) -> Settings:
    """Settings out of text or plain values. Raises `UsageError` naming the setting that does not fit."""
    try:
        return msgspec.convert(dict(values), Settings, strict=False, dec_hook=_path)
    except msgspec.ValidationError as error:
        message = str(error)
        field = message.rpartition("`$.")[2].rstrip("`")
        raise errors.UsageError(
            f"Setting {PREFIX}{field.upper()} has a value that does not fit: `{values.get(field)}`",
            hint=_fitting(field) or message.partition(" - at")[0],
        ) from None


def _fitting(field: str) -> str | None:
    """The words that a setting takes, if it takes words of a list."""
    kinds = {each.name: each.type for each in msgspec.structs.fields(Settings)}
    words = get_args(kinds.get(field)) if field in kinds else ()
    return f"it takes one of: {', '.join(words)}" if words and all(isinstance(word, str) for word in words) else None


def _path(kind: type, value: Any) -> Any:
    return Path(value) if issubclass(kind, Path) else value


NAMES = tuple(field for field in Settings.__struct_fields__)


def _profile(home: Path, name: str) -> dict[str, Any]:
    path = home / "profiles.toml"
    try:
        text = path.read_text("utf-8")
    except OSError:
        if name not in ("", "default"):
            raise _no_profile(name, (), path) from None
        return {}
    import tomllib  # noqa: PLC0415  most homes have no such file

    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise errors.UsageError(f"`{path}` is not TOML: {error}") from None
    profiles = document.get("profiles", {})
    if name not in ("", "default", *profiles):
        raise _no_profile(name, profiles, path)
    name = name or document.get("active", "default")
    values: dict[str, Any] = {"profile": name}
    for key, value in profiles.get(name, {}).items():
        field = key.removeprefix(PREFIX).lower()
        if field not in NAMES:
            raise unknown(key)
        values[field] = value
    return values


def _no_profile(name: str, known: Iterable[str], path: Path) -> errors.NotFound:
    import difflib  # noqa: PLC0415  only in the error case

    near = difflib.get_close_matches(name, list(known), n=1)
    hint = f"did you mean `{near[0]}`?" if near else f"profiles are tables `[profiles.NAME]` in `{path}`"
    return errors.NotFound(f"There is no profile `{name}`", hint=hint)


def unknown(name: str) -> errors.UnknownOption:
    """The error for a setting that does not exist, with the nearest one that does."""
    import difflib  # noqa: PLC0415  only in the error case

    near = difflib.get_close_matches(name.removeprefix(PREFIX).lower(), NAMES, n=1)
    hint = f"did you mean `{PREFIX}{near[0].upper()}`?" if near else None
    return errors.UnknownOption(f"Unknown setting name: `{name}`", hint=hint)
