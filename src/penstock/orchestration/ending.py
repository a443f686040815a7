"""Ending the processes of runs that were started by hand on this machine, and that somebody has cancelled."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from penstock.core.states import StateType
from penstock.core.work import GRACE_SECONDS
from penstock.journal.folder import MAIN, JournalFolder
from penstock.journal.writers import Ends, Writer
from penstock.orchestration.catch_up import catch_up
from penstock.orchestration.flow_runs import is_here
from penstock.orchestration.local import Home
from penstock.orchestration.lost import conclude_cancelled
from penstock.store.flow_runs import NEWEST
from penstock.store.interface import Store, Transaction
from penstock.store.rows import FlowRow
from penstock.store.work import WorkRow

MAX_RUNS = 200
"""So many runs are looked at in one go."""


class Ended(NamedTuple):
    """What one look has come to."""

    told: tuple[str, ...] = ()
    """Runs whose process was sent SIGTERM."""
    killed: tuple[str, ...] = ()
    """Runs whose processes were sent SIGKILL."""
    gone: tuple[str, ...] = ()
    """Runs that no process executes any more, and that have left none behind."""
    left: int = 0
    """Runs of which a process is still to end."""


class Ender:
    """Ends processes, look by look, and lets the store know of runs that have none any more."""

    def __init__(self, home: Home, *, grace_seconds: float = GRACE_SECONDS) -> None:
        self._home = home
        self._ends = Ends(JournalFolder(home.settings.journals), home.clock, grace_seconds=grace_seconds)

    @property
    def under_way(self) -> frozenset[str]:
        """The runs whose process was told to end, and is not gone, or has left something behind."""
        return self._ends.under_way

    def run_once(self, store: Store) -> Ended:
        """Look at each cancelled run of this machine once, and do what is due."""
        wanted = store.ask(_cancelled_by_hand)
        over = self._ends.under_way - wanted.keys()  # somebody has folded how their process ended
        looks = {run_id: self._ends.look(run_id, writers) for run_id, writers in wanted.items()}
        looks |= {run_id: self._ends.look_behind(run_id) for run_id in over}
        told, killed, gone = (
            tuple(run_id for run_id, look in looks.items() if look == what) for what in ("told", "killed", "gone")
        )
        for run_id in gone:
            if run_id in wanted:
                self._conclude(store, run_id)
        return Ended(told, killed, gone, len(looks) - len(gone))

    def _conclude(self, store: Store, run_id: str) -> None:
        """Nobody executes the run: let the store know, by what its journals say or, if that is nothing, by itself."""
        catch_up(self._home.settings, store, self._home.clock, only=[run_id])
        store.run(lambda tx: conclude_cancelled(tx, run_id))


def _cancelled_by_hand(tx: Transaction) -> dict[str, list[Writer]]:
    """Runs to be ended whose processes are of this machine, and the processes as far as the store knows them.

    Not those whose journals come from another home: whoever ships them ends them.
    """
    found: dict[str, list[Writer]] = {}
    for row in islice(_cancelling_by_hand(tx), MAX_RUNS):
        cursors = [each for each in tx.journals.cursors(row.id) if each.pid and is_here(each)]
        if any(each.attempt == row.attempt and each.writer == MAIN for each in cursors):
            found[row.id] = [Writer(row.id, each.attempt, each.writer, each.pid) for each in cursors]
    return found


def _cancelling_by_hand(tx: Transaction) -> Iterator[FlowRow]:
    before = NEWEST
    while rows := tx.flow_runs.page(before=before, limit=MAX_RUNS, state=StateType.CANCELLING, roots=True):
        before = rows[-1].created_at, rows[-1].id
        works = tx.work.rows(row.id for row in rows if row.is_managed)
        yield from (row for row in rows if _is_by_hand(tx, row, works.get(row.id)))


def _is_by_hand(tx: Transaction, row: FlowRow, work: WorkRow | None) -> bool:
    """Whether no worker ends it: it never had one, or somebody went on with it once its workers had done with it."""
    return (work is None or work.status == "done") and tx.runs_elsewhere.row(row.id) is None
