"""Move a store into another database, with its whole history; and make its tables there, or bring them up to date."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

import msgspec

from penstock import errors, settings
from penstock.clock import Clock
from penstock.orchestration import fsck
from penstock.orchestration.catch_up import catch_up
from penstock.orchestration.local import Home
from penstock.settings import Settings
from penstock.store import copying
from penstock.store.copying import Tell
from penstock.store.opening import open_store


class Moved(NamedTuple):
    """What was moved. The store that it came from is still there, as it was."""

    rows: dict[str, int]
    """How many, by table."""
    to: str
    """The URL of the database, without a password."""
    report: fsck.Report
    """What `fsck` says of the store at its new place."""


class Upgrade(Enum):
    """What was to be done so that a store has the tables of this version."""

    NOTHING = "nothing"
    MADE = "made"
    UPGRADED = "upgraded"


def move(home: Home, url: str, *, tell: Tell = lambda *_: None) -> Moved:
    """Copy the store, with all that journals say beyond it, into the database of a URL where no store is yet.

    All of it is there afterwards, or nothing. Raises `UsageError` for a database that has a store in
    it, `StoreBusy` while other processes use the store that is to be moved.
    """
    there = _settings_for(home.settings, url)
    if there.where == home.settings.where:
        raise errors.UsageError(f"The store is there already: `{there.where}`")
    with home.writing() as source:
        if not source.is_alone():
            raise errors.StoreBusy(
                f"Other processes are using the store: `{home.settings.where}`",
                hint="stop the servers first, so that nothing is written to the old place any more",
            )
        catch_up(home.settings, source, home.clock)
        with (
            open_store(there, home.clock, write=True, wait=False, upgrade=True, purpose="moving a store") as target,
            target.transaction(long=True) as into,
            source.reading() as tx,
        ):
            if not copying.is_empty(into):
                raise errors.UsageError(
                    f"There is a store already, with something in it: `{there.where}`",
                    hint="name a database without one",
                )
            rows = copying.copy(tx, into, tell)
    with Home(there, home.clock) as moved:
        report = fsck.fsck(moved, results=False)
    return Moved(rows, there.where, report)


def upgrade(chosen: Settings, clock: Clock, *, dry_run: bool = False) -> Upgrade:
    """Make the tables of the store, or bring them up to date. With ``dry_run``, say what there is to do."""
    try:
        open_store(chosen, clock, write=False, connections=1).close()
    except errors.OutdatedStore:
        due = Upgrade.UPGRADED
    except (errors.StoreUnreachable, errors.IncompatibleHome):
        raise
    except errors.StoreError:
        if chosen.postgres_url is None and chosen.store.exists() and chosen.store.stat().st_size:
            raise
        due = Upgrade.MADE
    else:
        return Upgrade.NOTHING
    if not dry_run:
        chosen.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        open_store(chosen, clock, write=True, wait=False, upgrade=True, purpose="upgrading", connections=1).close()
    return due


def _settings_for(chosen: Settings, url: str) -> Settings:
    """The settings with another database. Raises `UsageError` for what is no URL of one."""
    return settings.from_values({**msgspec.structs.asdict(chosen), "database_url": url})
