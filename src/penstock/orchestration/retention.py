"""Retention: keep a home from growing without end."""

from __future__ import annotations

from itertools import islice
from typing import NamedTuple

from penstock.journal.folder import JournalFolder
from penstock.orchestration import results
from penstock.orchestration.catch_up import catch_up
from penstock.orchestration.local import Home
from penstock.orchestration.runs import forget
from penstock.store.interface import Store

_DAY = 86_400_000_000
_FOREVER = 1 << 62
_PORTION = 100
"""How many runs are deleted in one transaction."""


class Pruned(NamedTuple):
    """What was forgotten; with ``dry_run``, what would be."""

    runs: int
    """Top-level runs, each with its subflow runs, logs, artifacts and journals."""
    runs_kept: int
    """Top-level runs that have ended and stay."""
    result_files: int
    result_bytes: int
    cache_entries: int
    leftovers: int
    """Files that processes which died left half written."""
    dry_run: bool


def prune(
    home: Home, *, older_than_days: float | None = None, keep_runs: int | None = None, dry_run: bool = False
) -> Pruned:
    """Forget runs that ended longer ago than this, and the oldest beyond this many; the settings say how many.

    Also deletes result files that nothing refers to any more, and cache entries that have expired.
    Runs that have not ended are never touched, nor files that are younger than an hour.
    """
    days = home.settings.retention_days if older_than_days is None else older_than_days
    keep = home.settings.retention_runs if keep_runs is None else keep_runs
    with home.writing() as store:
        catch_up(home.settings, store, home.clock)
        ended, doomed = _doomed(home, store, days, keep)
        if not dry_run:
            for start in range(0, len(doomed), _PORTION):
                forget(home, store, doomed[start : start + _PORTION])
        cache = results.sweep_cache(home, remove=not dry_run)
        removed = results.sweep_results(home, store, cache.locations, doomed=frozenset(doomed), remove=not dry_run)
        leftovers = results.sweep_leftovers(home, remove=not dry_run)
    return Pruned(
        runs=len(doomed),
        runs_kept=ended - len(doomed),
        result_files=removed.files,
        result_bytes=removed.bytes,
        cache_entries=cache.expired,
        leftovers=leftovers,
        dry_run=dry_run,
    )


def _doomed(home: Home, store: Store, days: float, keep: int) -> tuple[int, list[str]]:
    """How many runs have ended, and the ids of those to forget."""
    journals = JournalFolder(home.settings.journals)
    before = home.clock.now() - int(days * _DAY)
    with store.reading() as tx:
        ended = tx.flow_runs.count_ended_roots()
        doomed = {root.id for root in tx.flow_runs.ended_roots(before=before)}
        doomed.update(root.id for root in islice(tx.flow_runs.ended_roots(before=_FOREVER), max(0, ended - keep)))
    # An ended run may be running again by now: its next attempt is not folded yet.
    return ended, sorted(each for each in doomed if not any(found.is_locked for found in journals.journals(each)))
