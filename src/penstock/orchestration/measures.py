"""Numbers about what goes on, for whoever watches the server. Each is cheap, however many runs there are."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from penstock.store.interface import Transaction


class Measures(NamedTuple):
    """How many there are now, of what."""

    unfinished: dict[tuple[str, str], int]
    """Runs that have not ended, by type and name of their state."""
    work: dict[tuple[str, str, str], int]
    """Runs that are ``waiting`` (and due) and ``claimed``, by pool, queue and that word."""
    late: dict[str, int]
    """Runs that are late, by pool."""
    workers: dict[tuple[str, str], int]
    """Workers by pool and status."""


def measure(tx: Transaction) -> Measures:
    """Count."""
    return Measures(
        unfinished=tx.flow_runs.unfinished_by_state(),
        work=tx.work.counts(tx.now),
        late=tx.work.late_by_pool(),
        workers=Counter((each.work_pool, each.status_at(tx.now)) for each in tx.work_pools.workers()),
    )
