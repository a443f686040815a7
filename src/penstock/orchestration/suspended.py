"""Suspended runs that were started by hand: nobody has them until somebody resumes them."""

from __future__ import annotations

from penstock.core import records
from penstock.core.states import StateType
from penstock.orchestration.fold import record
from penstock.store.interface import Transaction
from penstock.store.rows import FlowRow


def end_without_worker(
    tx: Transaction,
    row: FlowRow,
    type: StateType,  # noqa: A002  as the record calls it
    name: str,
    message: str,
    *,
    by: str = "",
) -> None:
    """End a run that has no process any more."""
    said = records.FlowRunDirected(
        at=tx.now, flow_run_id=row.id, type=type.value, name=name, message=message, by=by, lost=True
    )
    record(tx, row.id, said, attempt=row.attempt)


def overdue(tx: Transaction, root: FlowRow) -> str | None:
    """Why a suspended run is to fail: nobody has resumed it in time. None if it may still be resumed."""
    if root.ended_at is not None or root.state_name != "Suspended":
        return None
    for row in tx.run_inputs.open(root.id):
        if row.deadline is not None and row.deadline < tx.now:
            return f"Nobody resumed it within {(row.deadline - row.asked_at) / 1e6:g} seconds"
    return None


def end_if_overdue(tx: Transaction, root: FlowRow) -> bool:
    """Let a suspended run of nobody's fail when nobody has resumed it in time."""
    message = overdue(tx, root)
    if message is None:
        return False
    end_without_worker(tx, root, StateType.FAILED, "TimedOut", message)
    return True
