"""Retention: keep a home from growing without end."""

from __future__ import annotations

from itertools import islice

from penstock.core.operations.flow_runs import Pruned
from penstock.journal.folder import JournalFolder
from penstock.orchestration import results
from penstock.orchestration.deletion import forget
from penstock.orchestration.local import Home
from penstock.store.interface import Store

REMEMBERED_DAYS = 90
"""For so long it is known which runs were deleted: a machine that sends what it recorded may have been away."""

_DAY = 86_400_000_000
_FOREVER = 1 << 62
_PORTION = 100
"""How many runs are deleted in one transaction."""


def prune(
    home: Home, store: Store, days: float, keep: int, *, dry_run: bool = False, at_most: int | None = None
) -> Pruned:
    """Forget runs that ended more than ``days`` ago, and the oldest beyond the newest ``keep``.

    Also deletes result files that nothing refers to any more, and cache entries that have expired. Runs that have not
    ended are never touched, nor files that are younger than an hour. What the home's journals say must have been
    folded. With ``at_most``, so many runs are forgotten, and no files deleted before the last of them are.
    """
    ended, doomed = _doomed(home, store, days, keep)
    if not dry_run and at_most is not None and len(doomed) > at_most:
        for start in range(0, at_most, _PORTION):
            forget(home, store, doomed[start : min(start + _PORTION, at_most)])
        return Pruned(
            runs=at_most,
            runs_kept=ended - len(doomed),
            result_files=0,
            result_bytes=0,
            cache_entries=0,
            leftovers=0,
            dry_run=False,
            is_complete=False,
        )
    if not dry_run:
        for start in range(0, len(doomed), _PORTION):
            forget(home, store, doomed[start : start + _PORTION])
    cache = results.sweep_cache(home, remove=not dry_run)
    removed = results.sweep_results(home, store, cache.locations, doomed=frozenset(doomed), remove=not dry_run)
    leftovers = results.sweep_leftovers(home, remove=not dry_run)
    if not dry_run:
        store.run(lambda tx: tx.flow_runs.forget_deleted(before=tx.now - REMEMBERED_DAYS * _DAY))
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
    before = int(max(home.clock.now() - days * _DAY, 0))
    with store.reading() as tx:
        ended = tx.flow_runs.count_ended_roots()
        doomed = {root.id for root in tx.flow_runs.ended_roots(before=before)}
        doomed.update(root.id for root in islice(tx.flow_runs.ended_roots(before=_FOREVER), max(0, ended - keep)))
    # An ended run may be running again by now: its next attempt is not folded yet.
    return ended, sorted(each for each in doomed if not any(found.is_locked for found in journals.journals(each)))
