"""``penstock config``: the settings in force, where each comes from, and changes to those of a profile."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from cyclopts import Parameter

from penstock import errors, profiles, settings
from penstock.cli import findings, humanize, output, table, tree
from penstock.cli.findings import BAD, GOOD, WARNING, Finding
from penstock.cli.output import AS_FITS, OutputOptions
from penstock.cli.session import Here, Session
from penstock.cli.table import Cell, Column

app = tree.group("config", "The settings in force, and changes to them.")

ShowSecrets = Annotated[
    bool, Parameter(negative="--hide-secrets", help="Show keys and passwords, which are masked otherwise.")
]


class Effective(NamedTuple):
    """A setting, its value, and what gave it: ``default``, ``profile x`` or ``environment``."""

    name: str
    value: Any
    source: str


@app.command(name="set")
def set_(
    *assignments: Annotated[
        str, Parameter(metavar="NAME=VALUE", help="A setting and its value, as in `PENSTOCK_SERVER_PORT=4201`.")
    ],
    here: Here,
) -> None:
    """Give settings of the active profile their values: all of them, or none when one cannot be.

    `--profile` before the command takes another profile. What the environment gives wins over it.
    """
    given = _assigned(assignments)
    values = settings.checked(given)
    home, profile = _place(here)
    profiles.change(home, profile, values)
    for name, text in given.items():
        here.terminal.tell(f"Set '{name}' to '{settings.shown(name, text)}'.")
        if here.given.get(name):
            here.terminal.warn(
                f"{name} is also set in the environment, which wins over the profile; `unset {name}` clears it"
            )
    here.terminal.tell(f"Updated profile '{profile}'.")


@app.command
def unset(
    *names: Annotated[str, Parameter(metavar="NAME", help="A setting, as in `PENSTOCK_API_URL`.")], here: Here
) -> None:
    """Take settings out of the active profile: all of them, or none when one is not there."""
    if not names:
        raise errors.UsageError("Missing: `NAME`", hint="`penstock config view` shows what is set")
    home, profile = _place(here)
    names = tuple(dict.fromkeys(names))
    profiles.forget(home, profile, names)
    for name in names:
        here.terminal.tell(f"Unset '{name}'.")
        if here.given.get(name):
            here.terminal.warn(f"{name} is also set in the environment; `unset {name}` clears it")
    here.terminal.tell(f"Updated profile '{profile}'.")


@app.command(name="view")
def view(
    *,
    show_sources: Annotated[
        bool, Parameter(negative="--hide-sources", help="Show where each value comes from.")
    ] = True,
    show_defaults: Annotated[bool, Parameter(negative="--hide-defaults", help="Show also what nobody has set.")] = True,
    show_secrets: ShowSecrets = False,
    out: OutputOptions = AS_FITS,
    here: Here,
) -> None:
    """Show every setting, its value, and where the value comes from.

    A setting comes from the environment (`PENSTOCK_…`); otherwise from the active profile of
    `profiles.toml` in the home; otherwise it has its default.
    """
    found = [
        each if show_secrets else each._replace(value=settings.shown(each.name, each.value))
        for each in effective(here)
        if show_defaults or each.source != "default"
    ]
    if out.format in {"json", "jsonl", "csv"}:
        dropped = () if show_sources else ("source",)
        rows = [{name: value for name, value in each._asdict().items() if name not in dropped} for each in found]
        output.write_all(here, out.format, [out.only(row) for row in rows])
        return
    width = 3 if show_sources else 2
    cells = [
        [Cell(each.name), Cell(_shown(each.value)), Cell(each.source, "" if each.source == "default" else "cyan")]
        for each in found
    ]
    lines = [row[:width] for row in cells]
    terminal = here.terminal
    if terminal.out_is_tty or out.format == "table":
        columns = (Column("SETTING", shrinks=False), Column("VALUE"), Column("FROM"))[:width]
        terminal.write(table.draw(terminal, columns, lines, width=terminal.room))
    elif lines:
        terminal.write(table.plain(lines))


@app.command
def validate(*, out: OutputOptions = AS_FITS, here: Here) -> int:
    """Check all profiles and the environment: names that do not exist, values that do not fit.

    Exits with 1 when there is a problem. A variable of the environment that is like a setting, and is none, is a
    warning.
    """
    return findings.show(here, out, list(_validated(here)))


def effective(session: Session) -> list[Effective]:
    """All settings in force, in the order in which they are declared."""
    here = session.settings
    known = settings.read_profiles(here.home)
    of_profile = {settings.field_of(name) for name in known.tables.get(here.profile, {})}
    of_environment = settings.from_environment(session.given)
    found: list[Effective] = []
    for name in settings.NAMES:
        value = getattr(here, name)
        if name == "profile" and session.options.profile:
            source = "--profile"
        elif name in of_environment:
            source = "environment"
        elif name == "profile":
            source = "default" if here.profile == settings.DEFAULT else known.path.name
        else:
            source = f"profile {here.profile}" if name in of_profile else "default"
        found.append(Effective(settings.PREFIX + name.upper(), str(value) if name == "home" else value, source))
    return found


def _validated(session: Session) -> Iterator[Finding]:
    home = settings.home_of(session.given)
    try:
        known = settings.read_profiles(home)
    except errors.UsageError as error:
        yield Finding("profiles", BAD, error.message, error.hint or f"edit `{home / 'profiles.toml'}`")
    else:
        yield from _profiles(known)
        yield _chosen(known, session.given)
    yield from _environment(session)


def _profiles(known: settings.Profiles) -> Iterator[Finding]:
    for name in known.names:
        table = known.tables.get(name, {})
        problems = list(_problems(table))
        for error in problems:
            yield Finding(f"profile {name}", BAD, error.message, error.hint or "")
        if not problems:
            yield Finding(f"profile {name}", GOOD, humanize.counted(len(table), "setting"))
    if known.tables and any(map(_holds_secret, known.tables.values())):
        yield _private(known.path)


def _chosen(known: settings.Profiles, given: Mapping[str, str]) -> Finding:
    try:
        return Finding("profile in use", GOOD, known.chosen(given))
    except errors.NotFound as error:
        return Finding("profile in use", BAD, error.message, error.hint or "")


def _environment(session: Session) -> Iterator[Finding]:
    given = settings.from_environment(session.given)
    problems = list(_problems({name: text for name, text in given.items() if name not in settings.BEFORE_PROFILES}))
    for error in problems:
        yield Finding("environment", BAD, error.message, error.hint or "")
    if not problems:
        yield Finding("environment", GOOD, humanize.counted(len(given), "setting"))
    yield from findings.strangers(session.given)


def _problems(table: Mapping[str, Any]) -> Iterator[errors.PenstockError]:
    for name, value in table.items():
        try:
            settings.from_values({"home": "", settings.field_of(name): value})
        except errors.UsageError as error:
            yield error


def _holds_secret(table: Mapping[str, Any]) -> bool:
    return any(settings.shown(name, value) != value for name, value in table.items())


def _private(path: Path) -> Finding:
    if path.stat().st_mode & 0o077 and sys.platform != "win32":
        what = f"others may read the keys and passwords in it: {path}"
        return Finding("profiles.toml", WARNING, what, f"`chmod 600 {path}` keeps them private")
    return Finding("profiles.toml", GOOD, "only its owner may read it")


def _assigned(assignments: Sequence[str]) -> dict[str, str]:
    if not assignments:
        raise errors.UsageError("Missing: `NAME=VALUE`", hint="as in `penstock config set PENSTOCK_SERVER_PORT=4201`")
    given: dict[str, str] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise errors.SettingRefused(f"Failed to parse argument '{assignment}'. Use the format 'VAR=VAL'.")
        if given.setdefault(name, text) != text:
            raise errors.SettingRefused(f"Two values for '{name}'.")
    return given


def _place(here: Session) -> tuple[Path, str]:
    """The home, and which of its profiles is changed: settings in it need not be valid for that."""
    home = settings.home_of(here.given)
    return home, settings.read_profiles(home).chosen(here.given)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
