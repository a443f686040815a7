"""Claims: workers take runs whose turn it is. Those that ask at the same moment are answered together."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import groupby
from typing import NamedTuple

from penstock import errors
from penstock.core.operations import work as ask
from penstock.core.records import FlowRunDirected
from penstock.core.states import StateType
from penstock.core.work import LEASE_SECONDS, Candidate, Claim, Room, chosen
from penstock.orchestration import run_keys
from penstock.orchestration.fold import ControlRecord, record_all
from penstock.orchestration.work_pools import pool_of
from penstock.store.interface import Transaction
from penstock.store.rows import FlowRow, texts_in
from penstock.store.work import WorkRow
from penstock.store.work_pools import PoolRow, QueueRow, WorkerRow

MAX_CLAIMS = 100
"""So many runs a worker is given at once."""

MAX_LOOKED_AT = 1000


def claim_together(
    tx: Transaction, given: Sequence[ask.ClaimFlowRuns]
) -> list[list[Claim] | errors.UsageError | errors.NotFound]:
    """What each gets, all of them workers of one pool, in this order; or why it may not ask.

    Many cost little more than one: each statement is about all of their runs.
    """
    pool, every_queue, every_worker, limits, secret = tx.work.about_claims(
        given[0].pool, {each.worker_id for each in given}, run_keys.SECRET
    )
    pool = pool or pool_of(tx, given[0].pool)  # which says what is wrong with it
    queues = [row for row in every_queue if not row.paused]
    workers = {row.id: row for row in every_worker}
    answers: list[list[Claim] | errors.UsageError | errors.NotFound] = []
    wishes: list[_Wish] = []
    for each in given:
        worker = workers.get(each.worker_id)
        if worker is None:
            answers.append(_unknown_worker(each.worker_id))
        elif worker.work_pool != pool.name:
            answers.append(
                errors.UsageError(f"The worker `{worker.name}` serves `{worker.work_pool}`, not: `{pool.name}`")
            )
        else:
            answers.append([])
            served = tuple(row.name for row in queues if worker.serves(row.name))
            limit = min(each.limit, MAX_CLAIMS)
            # A worker that stops may still wait for an answer, which nobody will read.
            if worker.status == "online" and not pool.paused and served and limit >= 1:
                wishes.append(_Wish(len(answers) - 1, worker, served, limit, each.except_deployments))
    for place, claims in _grant(tx, pool, queues, limits, secret, wishes).items():
        answers[place] = claims
    return answers


def worker_of(tx: Transaction, worker_id: str) -> WorkerRow:
    """The worker of that id. Raises `NotFound`."""
    row = tx.work_pools.worker(worker_id)
    if row is None:
        raise _unknown_worker(worker_id)
    return row


class _Wish(NamedTuple):
    """A worker that may have some runs, and its place among those who ask."""

    place: int
    worker: WorkerRow
    queues: tuple[str, ...]
    limit: int
    except_deployments: tuple[str, ...]


def _grant(
    tx: Transaction,
    pool: PoolRow,
    queues: list[QueueRow],
    limits: dict[str, int],
    secret: str | None,
    wishes: list[_Wish],
) -> dict[int, list[Claim]]:
    room = _room(tx, pool, queues, limits) if wishes else Room()
    dealt: dict[str, _Wish] = {}
    # Who serves the same queues, and leaves out the same deployments, chooses among the same runs.
    for same in dict.fromkeys((wish.queues, wish.except_deployments) for wish in wishes):
        served, left_out = same
        places = [wish for wish in wishes if (wish.queues, wish.except_deployments) == same for _ in range(wish.limit)]
        rows = [row for row in queues if row.name in served]
        candidates = _candidates(tx, pool, rows, left_out, room, len(places), dealt)
        taken = chosen(candidates, room, len(places))
        room = room.less(taken)
        dealt.update(zip((each.run_id for each in taken), places, strict=False))
    if not dealt:
        return {}
    workers = {run_id: wish.worker.id for run_id, wish in dealt.items()}
    claimed = tx.work.claim(workers, tx.now, tx.now + int(LEASE_SECONDS * 1e6))
    secret = secret or run_keys.secret(tx)
    rows = record_all(tx, [_pending(tx, claimed[run_id][0], wish.worker) for run_id, wish in dealt.items()])
    template = pool.view().job_template
    granted: dict[int, list[Claim]] = {}
    for run_id, wish in dealt.items():
        work, deployment = claimed[run_id]
        claim = _claim(work, rows[run_id], run_keys.key(secret, run_id, work.attempt), deployment, template)
        granted.setdefault(wish.place, []).append(claim)
    return granted


def _room(tx: Transaction, pool: PoolRow, queues: list[QueueRow], deployment_limits: dict[str, int]) -> Room:
    """How many more may be claimed. Where something is limited, claims of the pool come one after the other."""
    limited_queues = {row.name: row.run_limit for row in queues if row.run_limit is not None}
    if pool.run_limit is None and not deployment_limits and not limited_queues:
        return Room()
    tx.lock_all([f"work_pool:{pool.name}"])
    by_queue = tx.work.claimed_by_queue(pool.name) if limited_queues else {}
    by_deployment = tx.work.claimed_by_deployment(deployment_limits) if deployment_limits else {}
    return Room(
        limit=None if pool.run_limit is None else pool.run_limit - tx.work.claimed(pool.name),
        queues={name: most - by_queue.get(name, 0) for name, most in limited_queues.items()},
        deployments={each: most - by_deployment.get(each, 0) for each, most in deployment_limits.items()},
    )


def _candidates(
    tx: Transaction,
    pool: PoolRow,
    queues: list[QueueRow],
    left_out: Collection[str],
    room: Room,
    wanted: int,
    taken: Collection[str],
) -> list[Candidate]:
    """Runs of these queues that are due, in the order of their turn, as far as it may be of use to know them."""
    is_open = [row for row in queues if room.queues.get(row.name, 1) > 0]
    if not is_open or (room.limit is not None and room.limit < 1):
        return []
    not_of = [*left_out, *(each for each, places in room.deployments.items() if places <= 0)]
    # With limits, some of those whose turn it is may not fit, and others behind them may.
    looked_at = max(MAX_LOOKED_AT, wanted) if room.queues or room.deployments else wanted
    found = tx.work.candidates(
        pool=pool.name, queues=_by_priority(is_open), not_of=not_of, now=tx.now, limit=looked_at + len(taken)
    )
    return [each for each in found if each.run_id not in taken]


def _by_priority(queues: list[QueueRow]) -> list[list[str]]:
    groups = groupby(sorted(queues, key=lambda row: row.priority), key=lambda row: row.priority)
    return [[row.name for row in group] for _, group in groups]


def _pending(tx: Transaction, work: WorkRow, worker: WorkerRow) -> tuple[str, int, list[ControlRecord]]:
    told = f"Claimed by worker {worker.name}"
    said = FlowRunDirected(tx.now, work.run_id, StateType.PENDING.value, "Pending", told, worker=worker.name)
    return work.run_id, work.attempt, [said]


def _claim(work: WorkRow, run: FlowRow, key: str, deployment: str | None, template: dict[str, object]) -> Claim:
    return Claim(
        run_id=work.run_id,
        attempt=work.attempt,
        name=run.name,
        job=work.what(),
        job_template=template,
        deployment_id=work.deployment_id,
        deployment=deployment,
        tags=texts_in(run.tags),
        parent_flow_run_id=run.parent_flow_run_id,
        due_at=run.due_at or 0,
        lease_seconds=LEASE_SECONDS,
        key=key,
    )


def _unknown_worker(worker_id: str) -> errors.NotFound:
    return errors.NotFound(f"No worker has the id: `{worker_id}`", hint="it has to register again")
