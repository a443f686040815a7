"""Backups of the store, made by SQLite itself while others go on using it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from penstock import errors
from penstock.orchestration.catch_up import CaughtUp, catch_up
from penstock.orchestration.local import Home
from penstock.store.sqlite_files import problems_of


class Restored(NamedTuple):
    """What a restore did. ``before`` is where the store lies that was there before; None if there was none."""

    before: Path | None
    caught_up: CaughtUp


def backup(home: Home, path: Path) -> int:
    """Copy the store as it is now to a new file; says how many bytes that takes.

    Result files and journals are not in it: copy the home's folders ``results`` and ``journals`` too.
    """
    if path.exists():
        raise errors.UsageError(f"There is a file already: `{path}`", hint="name one that does not exist")
    if not path.parent.is_dir():
        raise errors.UsageError(f"There is no folder: `{path.parent}`")
    home.backup_to(path)
    return path.stat().st_size


def restore(home: Home, path: Path) -> Restored:
    """Put a backup in the place of the store, then fold what the journals say beyond it.

    What is there now is backed up first, beside it. Raises `StoreError` for a file that is no sound
    backup, and leaves the store as it is.
    """
    if not path.exists():
        raise errors.UsageError(f"There is no file: `{path}`")
    _refuse_damage(path)
    home.close()
    before = _backed_up(home)
    with home.writing() as store:
        store.restore_from(path)
        caught_up = catch_up(home.settings, store, home.clock)
    return Restored(before, caught_up)


def _backed_up(home: Home) -> Path | None:
    """Where the store lies that is there now; None if there is none."""
    at = home.clock.now()
    path = home.settings.store.with_name(f"{home.settings.store.name}.before-{at}")
    if home.settings.postgres_url is not None:
        home.backup_to(path)
        return path
    if not home.settings.store.exists():
        return None
    try:
        home.backup_to(path)
    except errors.StoreError:  # it may be damaged: that may be why
        return home.set_aside(f".before-{at}")
    return path


def _refuse_damage(path: Path) -> None:
    problems = problems_of(path)
    if problems:
        raise errors.StoreError(f"This backup is damaged ({problems[0]}): `{path}`")
