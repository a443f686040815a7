"""Work pools and queues: where runs wait for workers."""

from __future__ import annotations

import re

from penstock import errors
from penstock.core.deployments import DEFAULT_POOL, DEFAULT_QUEUE, SHORT_NAME
from penstock.core.operations import work_pools as ask
from penstock.core.runs import FlowRun
from penstock.core.suggestions import did_you_mean
from penstock.core.work import Worker, WorkPool, WorkQueue
from penstock.store.interface import Transaction
from penstock.store.work_pools import PoolRow, QueueRow, template_to_json

MAX_PREVIEWED = 200


def create_work_pool(tx: Transaction, given: ask.CreateWorkPool) -> WorkPool:
    """Raises `AlreadyExists` for a name that is taken."""
    _check_name("work pool", given.name)
    known = tx.work_pools.pool(given.name)
    if known is not None and not given.overwrite:
        raise errors.AlreadyExists(
            f"There is a work pool of that name already: `{given.name}`", hint="`--overwrite` changes it"
        )
    _check_limit(given.concurrency_limit)
    row = PoolRow(
        name=given.name,
        type=given.type,
        description=given.description,
        run_limit=given.concurrency_limit,
        paused=int(given.paused),
        created_at=known.created_at if known else tx.now,
        job_template=template_to_json(given.job_template),
    )
    tx.work_pools.save_pool(row)
    queue_of(tx, given.name, DEFAULT_QUEUE)
    wake(tx, given.name)
    return row.view()


def list_work_pools(tx: Transaction, given: ask.ListWorkPools) -> list[WorkPool]:  # noqa: ARG001  there is nothing to say
    return [row.view() for row in tx.work_pools.pools()]


def get_work_pool(tx: Transaction, given: ask.GetWorkPool) -> WorkPool:
    return pool_of(tx, given.pool).view()


def update_work_pool(tx: Transaction, given: ask.UpdateWorkPool) -> WorkPool:
    row = pool_of(tx, given.pool)
    if given.description is not None:
        row.description = given.description
    if given.job_template is not None:
        row.job_template = template_to_json(given.job_template)
    row.run_limit = _changed_limit(row.run_limit, given.concurrency_limit)
    if given.paused is not None:
        row.paused = int(given.paused)
    tx.work_pools.save_pool(row)
    wake(tx, row.name)
    return row.view()


def delete_work_pool(tx: Transaction, given: ask.DeleteWorkPool) -> None:
    row = pool_of(tx, given.pool)
    if row.name == DEFAULT_POOL:
        raise errors.UsageError(f"The work pool `{DEFAULT_POOL}` is always there", hint="it can be paused")
    if tx.deployments.some_of_pool(row.name):
        raise errors.UsageError(
            f"Deployments use the work pool: `{row.name}`",
            hint=f"`penstock deployment ls --pool {row.name}` lists them",
        )
    if tx.work.some_unfinished(row.name):
        raise errors.UsageError(f"The work pool has unfinished runs: `{row.name}`", hint="cancel them first")
    tx.work_pools.forget_pool(row.name)


def save_work_queue(tx: Transaction, given: ask.SaveWorkQueue) -> WorkQueue:
    pool_of(tx, given.pool)
    row = queue_of(tx, given.pool, given.queue)
    if given.priority is not None:
        if not 1 <= given.priority <= 1_000_000:
            raise errors.UsageError(f"A priority is 1 (first) to 1,000,000, not: `{given.priority}`")
        row.priority = given.priority
    row.run_limit = _changed_limit(row.run_limit, given.concurrency_limit)
    if given.paused is not None:
        row.paused = int(given.paused)
    if given.description is not None:
        row.description = given.description
    tx.work_pools.save_queue(row)
    wake(tx, given.pool)
    return _queue_view(row, tx.work.counts(tx.now))


def list_work_queues(tx: Transaction, given: ask.ListWorkQueues) -> list[WorkQueue]:
    if given.pool is not None:
        pool_of(tx, given.pool)
    counts = tx.work.counts(tx.now)
    rows = tx.work_pools.queues(given.pool)
    return [_queue_view(row, counts) for row in rows if row.name.startswith(given.name or "")]


def delete_work_queue(tx: Transaction, given: ask.DeleteWorkQueue) -> None:
    if given.queue == DEFAULT_QUEUE:
        raise errors.UsageError(f"Every pool has a queue `{DEFAULT_QUEUE}`", hint="it can be paused")
    if tx.work_pools.queue(given.pool, given.queue) is None:
        raise _no_queue(tx, given.pool, given.queue)
    if tx.work.some_unfinished(given.pool, given.queue):
        raise errors.UsageError(f"The work queue has unfinished runs: `{given.queue}`", hint="cancel them first")
    tx.work_pools.forget_queue(given.pool, given.queue)


def preview_work(tx: Transaction, given: ask.PreviewWork) -> list[FlowRun]:
    pool_of(tx, given.pool)
    if given.queue is not None and tx.work_pools.queue(given.pool, given.queue) is None:
        raise _no_queue(tx, given.pool, given.queue)
    if not 0 <= given.hours <= 24 * 366:
        raise errors.UsageError(f"`hours` is 0 to {24 * 366}, not: `{given.hours}`")
    until = tx.now + int(given.hours * 3600e6)
    ids = tx.work.preview(given.pool, given.queue, until, max(1, min(given.limit, MAX_PREVIEWED)))
    rows = {row.id: row for row in tx.flow_runs.rows(ids)}
    return [rows[each].view() for each in ids if each in rows]


def list_workers(tx: Transaction, given: ask.ListWorkers) -> list[Worker]:
    return [row.view(tx.now) for row in tx.work_pools.workers(given.pool)]


def pool_of(tx: Transaction, name: str) -> PoolRow:
    """The pool of that name. Raises `NotFound`."""
    row = tx.work_pools.pool(name)
    if row is not None:
        return row
    near = did_you_mean(name, (each.name for each in tx.work_pools.pools()))
    hint = near or f"make it with `penstock work-pool create {name}`"
    raise errors.NotFound(f"There is no work pool: `{name}`", hint=hint)


def queue_of(tx: Transaction, pool: str, name: str) -> QueueRow:
    """The queue of that name, which is made if there is none."""
    row = tx.work_pools.queue(pool, name)
    if row is None:
        _check_name("work queue", name)
        row = QueueRow(pool, name, priority=1, run_limit=None, paused=0, description="")
        tx.work_pools.save_queue(row)
    return row


def wake(tx: Transaction, pool: str) -> None:
    """Workers of the pool may have something to do."""
    tx.wake(f"work:{pool}")


def _no_queue(tx: Transaction, pool: str, name: str) -> errors.NotFound:
    near = did_you_mean(name, (row.name for row in tx.work_pools.queues(pool)))
    hint = near or "`penstock work-queue ls` lists them"
    return errors.NotFound(f"The work pool `{pool}` has no queue: `{name}`", hint=hint)


def _queue_view(row: QueueRow, counts: dict[tuple[str, str, str], int]) -> WorkQueue:
    return WorkQueue(
        pool=row.work_pool,
        name=row.name,
        priority=row.priority,
        concurrency_limit=row.run_limit,
        paused=bool(row.paused),
        description=row.description,
        waiting=counts.get((row.work_pool, row.name, "waiting"), 0),
        running=counts.get((row.work_pool, row.name, "claimed"), 0),
    )


def _changed_limit(known: int | None, given: int | None) -> int | None:
    if given is None:
        return known
    if given == ask.NO_LIMIT:
        return None
    _check_limit(given)
    return given


def _check_limit(limit: int | None) -> None:
    if limit is not None and not 0 <= limit <= 1_000_000:
        raise errors.UsageError(f"A concurrency limit is 0 to 1,000,000, not: `{limit}`")


def _check_name(what: str, name: str) -> None:
    if not re.match(SHORT_NAME, name):
        raise errors.UsageError(
            f"A {what}'s name is 1 to 100 letters, digits, spaces, `.`, `_`, `-`, and begins with a letter or digit:"
            f" `{name}`"
        )
