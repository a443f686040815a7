"""Runs whose worker is gone, and runs that nobody claims: found again and again, whatever happened before."""

from __future__ import annotations

from typing import NamedTuple

from penstock import errors
from penstock.core.states import StateType
from penstock.core.work import HOLIDAY_SECONDS, LATE_SECONDS, LEASE_SECONDS, RESCUE_SECONDS, ExitReason, Sequel
from penstock.orchestration import concurrency_limits, pauses, runs_elsewhere
from penstock.orchestration.flow_runs import direct_all
from penstock.orchestration.work import conclude
from penstock.store.interface import Store, Transaction

BATCH = 100
"""So many runs in one transaction."""

OFFLINE_SECONDS = 60.0
"""A worker that was not heard of for longer is offline …"""
FORGOTTEN_SECONDS = 7 * 86400.0
"""… and after this time it is forgotten."""

_LAST_LOOK = "leases_looked_at"
_BACK_AT = "leases_looked_at_again"
"""Since when somebody looks again, after nobody did for a while or the clock was put back."""


class Rescued(NamedTuple):
    """What was done."""

    resumed: int = 0
    ended: int = 0
    late: int = 0
    shifted: int = 0
    """Leases that end later, because nobody could have renewed them."""
    released: int = 0
    """Bookings of slots that ended, because their process was not heard of."""
    failures: tuple[str, ...] = ()
    """Runs that could not be judged, and why. The others were."""


def run_once(store: Store, *, marks_late: bool = True) -> Rescued:
    """Judge the runs whose lease is over, and mark as Late what should have begun."""
    shifted = store.run(_take_holiday)
    resumed = ended = 0
    failures: list[str] = []
    while True:
        batch = store.run(lambda tx: [row.run_id for row in tx.work.expired(tx.now, BATCH)])
        judged = 0
        for run_id in batch:
            try:
                what = store.run(lambda tx, run_id=run_id: _judge(tx, run_id))
            except errors.StoreError:
                raise
            except errors.PenstockError as error:
                failures.append(f"{run_id}: {error.message}")
                continue
            judged += 1
            resumed += what is Sequel.RESUME
            ended += what is not Sequel.RESUME
        if len(batch) < BATCH or not judged:
            break
    ended += pauses.run_once(store) + runs_elsewhere.run_once(store)
    late = store.run(_mark_late) if marks_late else 0
    released = concurrency_limits.run_once(store)
    store.run(_look_after_workers)
    return Rescued(resumed, ended, late, shifted, released, tuple(failures))


def is_under_way(tx: Transaction) -> bool:
    """Whether a server, whichever it is, looks after what this store keeps."""
    last = tx.meta.value(_LAST_LOOK)
    return last is not None and tx.now - int(last) <= HOLIDAY_SECONDS * 1e6


def _take_holiday(tx: Transaction) -> int:
    """The time in which nobody looked does not count for leases: no outage and no clock makes runs start again."""
    tx.lock(_LAST_LOOK)
    last = int(tx.meta.value(_LAST_LOOK) or tx.now)
    gap = tx.now - last
    before = last + int(RESCUE_SECONDS * 2e6)  # what came after the last look, and before nobody looked any more
    shifted = 0
    if gap > HOLIDAY_SECONDS * 1e6:
        shifted = tx.work.shift_leases(gap - int(RESCUE_SECONDS * 1e6), last_look=before)
        tx.runs_elsewhere.shift_leases(gap - int(RESCUE_SECONDS * 1e6), last_look=before)
        tx.concurrency_limits.shift_leases(gap - int(RESCUE_SECONDS * 1e6), last_look=before)
        tx.meta.put(_BACK_AT, str(tx.now))
    elif gap < 0:
        tx.work_pools.pull_workers(tx.now)
        tx.work.pull_due(tx.now, was_due=before)
        tx.runs_elsewhere.pull_leases(tx.now, tx.now + int(LEASE_SECONDS * 1e6))
        tx.concurrency_limits.pull_leases(tx.now, tx.now + int(LEASE_SECONDS * 1e6))
        shifted = tx.work.pull_leases(tx.now, tx.now + int(LEASE_SECONDS * 1e6))
        tx.meta.put(_BACK_AT, str(tx.now))
    tx.meta.put(_LAST_LOOK, str(tx.now))
    return shifted


def _judge(tx: Transaction, run_id: str) -> Sequel | None:
    work = tx.work.row(run_id)
    tx.lock(run_id)
    if work is None or work.status != "claimed" or (work.lease_ends_at or 0) >= tx.now:
        return None
    worker = tx.work_pools.worker(work.worker_id or "")
    name = worker.name if worker else work.worker_id
    return conclude(tx, work, ExitReason.LOST, f"Worker {name} was not heard of for {LEASE_SECONDS:.0f} seconds")


def _mark_late(tx: Transaction) -> int:
    found = tx.work.late(tx.now - int(LATE_SECONDS * 1e6), BATCH)
    tx.work.mark_late(run_id for run_id, _ in found)
    works = tx.work.rows(run_id for run_id, _ in found).values()
    direct_all(tx, works, StateType.SCHEDULED, "Late", "It is due, and no worker has claimed it")
    return len(found)


def _look_after_workers(tx: Transaction) -> None:
    if tx.now - int(tx.meta.value(_BACK_AT) or 0) < OFFLINE_SECONDS * 1e6:
        return  # workers have time to be heard of
    lost = tx.work_pools.lose_workers(tx.now - int(OFFLINE_SECONDS * 1e6))
    if lost:
        tx.wake("workers")
        tx.work_pools.forget_workers(tx.now - int(FORGOTTEN_SECONDS * 1e6))
