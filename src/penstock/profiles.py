"""Changes to ``profiles.toml``: one after the other, whole or not at all, with all that people wrote around them.

Reading it is the business of `settings`. A profile is a table of settings; one of them is active.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Container, Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tomlkit

from penstock import errors, settings
from penstock.core.suggestions import did_you_mean
from penstock.files import local
from penstock.journal import folder

NAME = re.compile(r"[a-z0-9_-]+")


def change(home: Path, name: str, values: Mapping[str, Any]) -> None:
    """Give settings of a profile their values; ``default`` is made when it is not there. Keys are `PENSTOCK_…`."""
    with _changing(home) as document:
        profiles = _tables(document)
        if name not in profiles:
            profiles[name] = tomlkit.table()
        table = profiles[name]
        for variable, value in values.items():
            table[_written(table, variable) or variable] = value


def forget(home: Path, name: str, variables: Iterable[str]) -> None:
    """Take settings out of a profile: all, or none when one is not there. Raises `SettingRefused`."""
    with _changing(home) as document:
        table = _tables(document).get(name, {})
        for variable in variables:
            written = _written(table, variable)
            if written is None:
                hint = did_you_mean(variable, table) or f"`penstock profile inspect {name}` shows what is"
                raise errors.SettingRefused(f"'{variable}' is not set in profile '{name}'.", hint=hint)
            del table[written]


def create(home: Path, name: str, *, like: str | None = None) -> None:
    """Make a profile, empty or with the values of another. Raises `SettingRefused`, `NotFound`."""
    values = dict(_of(home, like)) if like is not None else {}
    with _changing(home) as document:
        profiles = _tables(document)
        _refuse_taken(profiles, name)
        profiles[name] = tomlkit.table()
        profiles[name].update(values)


def use(home: Path, name: str) -> None:
    """Make a profile the active one. Raises `NotFound`."""
    settings.read_profiles(home).known(name)
    with _changing(home) as document:
        document["active"] = name


def rename(home: Path, name: str, new: str) -> None:
    """Give a profile another name; if it is active, it stays so. Raises `SettingRefused`, `NotFound`."""
    known = settings.read_profiles(home)
    known.known(name)
    _refuse_taken(known.names, new)
    heading = re.compile(
        rf"""^([ \t]*\[[ \t]*profiles[ \t]*\.[ \t]*)(["']?){re.escape(name)}\2(?=[ \t]*\])""", re.MULTILINE
    )
    with _changing(home, lambda text: heading.sub(rf"\1{new}", text)) as document:
        profiles = _tables(document)
        if name in profiles:
            raise _unusual(known.path)
        if new not in profiles:  # the default, which needs no table
            profiles[new] = tomlkit.table()
        if document.get("active", settings.DEFAULT) == name:
            document["active"] = new


def delete(home: Path, name: str) -> None:
    """Delete a profile. Raises `NotFound`, and `SettingRefused` for the active one and for ``default``."""
    refuse_delete(settings.read_profiles(home), name)
    with _changing(home) as document:
        profiles = _tables(document)
        profiles.pop(name, None)
        if not profiles:
            del document["profiles"]


def refuse_delete(profiles: settings.Profiles, name: str) -> None:
    """Raise what `delete` would raise."""
    if profiles.known(name) == profiles.active:
        raise errors.SettingRefused(
            f"Profile '{name}' is the active profile. You must switch profiles before it can be deleted.",
            hint="`penstock profile use NAME` switches",
        )
    if name == settings.DEFAULT:
        raise errors.SettingRefused(
            f"Profile '{name}' is always there, and cannot be deleted.",
            hint="`penstock config unset` takes settings out of it",
        )


def _of(home: Path, name: str) -> dict[str, Any]:
    profiles = settings.read_profiles(home)
    return profiles.tables.get(profiles.known(name), {})


def _refuse_taken(profiles: Container[str], name: str) -> None:
    if not NAME.fullmatch(name):
        raise errors.SettingRefused(
            f"Not a name for a profile: `{name}`", hint="it may have small letters, digits, `-` and `_`"
        )
    if name in profiles or name == settings.DEFAULT:
        raise errors.SettingRefused(
            f"Profile '{name}' already exists.", hint=f"`penstock profile delete {name}` deletes it"
        )


def _tables(document: Any) -> Any:
    """The tables of profiles; they are made when there are none."""
    if "profiles" not in document:
        document["profiles"] = tomlkit.table(is_super_table=True)
    return document["profiles"]


def _written(table: Any, variable: str) -> str | None:
    """How the variable is written in a profile: `PENSTOCK_API_URL` may be `api_url` there."""
    field = variable.removeprefix(settings.PREFIX).lower()
    return next((key for key in table if key == variable or key.removeprefix(settings.PREFIX).lower() == field), None)


@contextmanager
def _changing(home: Path, edit: Callable[[str], str] = str) -> Generator[Any]:
    """The document, to be changed in place; it is written at the end, if nothing was raised. Others wait.

    ``edit`` is what is changed in its text before that.
    """
    with _locked(home):
        settings.read_profiles(home)  # raises, with what is wrong with it
        # A link to where its owner keeps such files stays a link.
        path = (home / "profiles.toml").resolve()
        text = path.read_bytes().decode() if path.exists() else f'active = "{settings.DEFAULT}"\n'
        try:
            document = tomlkit.parse(edit(text))
            yield document
            changed = tomlkit.dumps(document)
            if tomllib.loads(changed) != document.unwrap():
                raise _unusual(path)
        except ValueError:  # what both libraries raise is one
            raise _unusual(path) from None
        try:
            local.replace(path, changed.encode())
        except OSError as error:
            raise _unwritable(path, error) from error


def _unusual(path: Path) -> errors.SettingRefused:
    return errors.SettingRefused(
        f"Written in too unusual a way to be changed: `{path}`",
        hint="edit it by hand, or give each profile a table `[profiles.NAME]`",
    )


@contextmanager
def _locked(home: Path) -> Generator[None]:
    path = home / "profiles.lock"
    try:
        local.make_folder(home)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        folder.lock(descriptor, wait=True)
        yield
    finally:
        os.close(descriptor)


def _unwritable(path: Path, error: OSError) -> errors.SettingRefused:
    return errors.SettingRefused(
        f"The profiles cannot be written ({error.strerror}): `{path}`",
        hint="check the folder's owner, permissions and room, or set PENSTOCK_HOME to one that can be written",
    )
