"""Runs that were started by hand on other machines: whoever ships their journals says that they live, and how they end.

Nobody else goes on with such a run, so its lease guards nothing: it says for how long silence is no bad sign.
"""

from __future__ import annotations

from msgspec.structs import replace

from penstock import errors
from penstock.core import records
from penstock.core.operations import runs_elsewhere as ask
from penstock.core.operations.work import Held, Judged
from penstock.core.states import StateType
from penstock.core.work import LEASE_SECONDS, Verdict
from penstock.journal.folder import RUN_ID
from penstock.orchestration import concurrency_limits
from penstock.orchestration.fold import record
from penstock.orchestration.lost import conclude_cancelled, mark_lost
from penstock.orchestration.projection import FOUND
from penstock.store.interface import Store, Transaction
from penstock.store.rows import FlowRow
from penstock.store.runs_elsewhere import DEAD, ElsewhereRow

MAX_RUNS = 10_000
BATCH = 100

_LARGEST = 1 << 62


def report_alive(tx: Transaction, given: ask.ReportAlive) -> list[Judged]:
    held = sorted((*given.runs, *given.left), key=lambda each: each.run_id)
    if len(held) > MAX_RUNS:
        raise errors.UsageError(f"At most {MAX_RUNS:,} runs are told of at once")
    for each in held:
        if not RUN_ID.match(each.run_id) or not 1 <= each.attempt < _LARGEST:
            raise errors.UsageError(f"No attempt of a run: `{each.attempt}` of `{each.run_id[:100]}`")
    tx.lock_all(each.run_id for each in held)
    known = {row.id: row for row in tx.flow_runs.rows(each.run_id for each in held)}
    managed = tx.work.rows(each.run_id for each in held)
    gone = tx.flow_runs.deleted_among(each.run_id for each in held if each.run_id not in known)
    mine = [
        each for each in held if each.run_id not in {*managed, *gone} and not _is_over(known.get(each.run_id), each)
    ]
    ends_at = tx.now + int(LEASE_SECONDS * 1e6)
    before = tx.runs_elsewhere.rows(each.run_id for each in mine)
    living = [each for each in mine if not _is_dead(before.get(each.run_id), each)]
    tx.runs_elsewhere.save(
        ElsewhereRow(each.run_id, each.attempt, given.shipper_id, tx.now, ends_at) for each in living
    )
    for each in living:
        if each in given.runs and each.run_id in before and before[each.run_id].lease_ends_at is None:
            _find(tx, known.get(each.run_id), each)
    judged = (_judged(known.get(each.run_id), each, is_mine=each in mine) for each in held)
    return [each for each in judged if each.verdict is not Verdict.GO_ON]


def report_lost(tx: Transaction, given: ask.ReportLost) -> None:
    tx.lock(given.run_id)
    known = tx.runs_elsewhere.row(given.run_id)
    if known is not None and known.attempt <= given.attempt:
        tx.runs_elsewhere.save([replace(known, attempt=given.attempt, shipper_id=DEAD, lease_ends_at=None)])
    if tx.work.look(given.run_id) is not None:
        return  # a worker's run: that tells, or its lease ends
    row = tx.flow_runs.row(given.run_id)
    if row is None or row.attempt > given.attempt:
        return
    concurrency_limits.end_of_attempt(tx, given.run_id, given.attempt)
    mark_lost(tx, given.run_id, given.attempt, at=tx.now, reason=given.reason, last_sign_at=max(given.last_sign_at, 0))
    conclude_cancelled(tx, given.run_id)


def run_once(store: Store) -> int:
    """Mark runs as lost of which nobody has heard in time; says how many."""
    count = 0
    while True:
        with store.reading() as tx:
            expired = tx.runs_elsewhere.expired(tx.now, BATCH)
        for row in expired:
            count += store.run(lambda tx, run_id=row.run_id: _lose(tx, run_id))
        if len(expired) < BATCH:
            return count


def _lose(tx: Transaction, run_id: str) -> bool:
    tx.lock(run_id)
    row = tx.runs_elsewhere.row(run_id)
    if row is None or row.lease_ends_at is None or row.lease_ends_at >= tx.now:
        return False
    if tx.flow_runs.row(run_id) is None:
        tx.runs_elsewhere.forget([run_id])  # nothing of it has ever come
        return False
    tx.runs_elsewhere.save([replace(row, lease_ends_at=None)])
    reason = f"Its process was not heard of for {LEASE_SECONDS:.0f} seconds"
    return mark_lost(tx, run_id, row.attempt, at=tx.now, reason=reason, last_sign_at=row.renewed_at)


def _find(tx: Transaction, row: FlowRow | None, held: Held) -> None:
    """The process of a run that counted as dead lives."""
    if row is not None and row.attempt == held.attempt == row.lost_attempt and row.state_type == StateType.CRASHED:
        record(tx, row.id, records.CommandIssued(tx.now, row.id, FOUND, ""), attempt=held.attempt)


def _judged(row: FlowRow | None, held: Held, *, is_mine: bool) -> Judged:
    verdict, reason = Verdict.GO_ON, ""
    if not is_mine:
        verdict, reason = Verdict.SUPERSEDED, "another attempt of the run has begun, a worker has it, or it was deleted"
    elif row is not None and row.state_type == StateType.CANCELLING:
        verdict, reason = Verdict.CANCEL, row.state_message or ""
    return Judged(run_id=held.run_id, attempt=held.attempt, verdict=verdict, reason=reason)


def _is_dead(row: ElsewhereRow | None, held: Held) -> bool:
    """Whether the death of this attempt's process was reported: a sign of life that comes later is an old one."""
    return row is not None and row.shipper_id == DEAD and row.attempt >= held.attempt


def _is_over(row: FlowRow | None, held: Held) -> bool:
    return row is not None and row.attempt > held.attempt
