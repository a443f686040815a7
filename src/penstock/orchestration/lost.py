"""Runs that were started by hand, and whose process is gone: what the store is told then."""

from __future__ import annotations

from penstock.core import records
from penstock.core.states import StateType
from penstock.orchestration.fold import record
from penstock.orchestration.suspended import end_if_overdue
from penstock.store.interface import Transaction


def mark_lost(tx: Transaction, run_id: str, attempt: int, *, at: int, reason: str, last_sign_at: int = 0) -> bool:
    """The main process of the attempt is gone. If it has left anything unfinished, record that it died."""
    root = tx.flow_runs.row(run_id)
    if root is None or root.attempt != attempt or root.lost_attempt >= attempt:
        return False
    if root.ended_at is not None and not _has_unfinished(tx, run_id):
        return False
    if root.is_managed and (work := tx.work.look(run_id)) is not None and work.attempt >= attempt:
        return False  # its worker tells, or its lease ends
    if root.state_name == "Suspended" and root.ended_at is None:
        end_if_overdue(tx, root)
        return False  # it ended its process by itself, to be resumed
    record(tx, run_id, records.ProcessLost(at, run_id, attempt, reason, last_sign_at), attempt=attempt)
    return True


def conclude_cancelled(tx: Transaction, run_id: str) -> None:
    """No process of a run is left. If somebody wanted its end, this is it."""
    tx.lock(run_id)
    row = tx.flow_runs.row(run_id)
    if row is None or row.state_type != StateType.CANCELLING:
        return
    details = {"type": StateType.CANCELLED.value, "name": "Cancelled", "message": row.state_message}
    record(tx, run_id, records.CommandIssued(tx.now, run_id, "cancel", "", details), attempt=row.attempt)


def _has_unfinished(tx: Transaction, run_id: str) -> bool:
    family = [row.id for row in tx.flow_runs.of_root(run_id)]
    return bool(tx.flow_runs.of_root(run_id, unfinished=True) or tx.task_runs.unfinished(family))
