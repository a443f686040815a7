"""Runs of a schedule that do not overlap: who waits for its turn, and whose turn is next."""

from __future__ import annotations

from penstock.core.slots import Overlap
from penstock.orchestration.work_pools import wake
from penstock.store.interface import Transaction
from penstock.store.work import WorkRow


def waits_its_turn(tx: Transaction, work: WorkRow) -> bool:
    """Whether a run that nobody has begun is to wait for an earlier one of its schedule.

    Their work is locked, so that none ends unseen: whoever ends it then gives the turn to the run that waits.
    """
    if work.deployment_id is None or work.schedule is None:
        return False
    if overlap_of(tx, work.deployment_id, work.schedule) != "queue_one":
        return False
    others = [run_id for run_id, status in tx.work.of_schedule(work.deployment_id, work.schedule) if status != "held"]
    rows = {row.id: row for row in tx.flow_runs.rows(others)}
    own = rows.get(work.run_id)
    if own is None or own.began_attempt > 0:
        return False
    earlier = sorted(row.id for row in rows.values() if (row.due_at or 0, row.id) < (own.due_at or 0, own.id))
    found = [tx.work.row(run_id) for run_id in earlier]
    return any(each is not None and each.status not in ("done", "held") for each in found)


def give_turn(tx: Transaction, deployment_id: str, schedule: str) -> None:
    """Let the next run of a schedule start, if one waits and none is under way; all that wait, if they may overlap."""
    unfinished = tx.work.of_schedule(deployment_id, schedule)
    held = [run_id for run_id, status in unfinished if status == "held"]
    if held and overlap_of(tx, deployment_id, schedule) == "allow":
        _start(tx, held)
    elif len(held) == len(unfinished):
        _start(tx, held[:1])


def _start(tx: Transaction, run_ids: list[str]) -> None:
    for run_id in sorted(run_ids):
        held = tx.work.row(run_id)
        if held is not None and held.status == "held":
            held.status = "waiting"
            tx.work.save(held)
            wake(tx, held.work_pool)


def overlap_of(tx: Transaction, deployment_id: str, schedule: str) -> Overlap | None:
    """What the schedule says, if it is there still."""
    found = [each.schedule_spec() for each in tx.schedules.of([deployment_id]) if each.name == schedule]
    return found[0].policy.overlap if found else None
