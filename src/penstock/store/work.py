"""Runs for workers: what waits, and who has claimed what until when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

import msgspec
from msgspec.structs import astuple

from penstock.core.deployments import Job, OnCrash
from penstock.core.work import Candidate
from penstock.store.connection import Connection, chunks
from penstock.store.sql import statements
from penstock.store.work_pools import PoolRow, QueueRow, WorkerRow

job_to_json = msgspec.json.Encoder().encode
_job_of = msgspec.json.Decoder(Job).decode

_PAGE = 1000
_FEW = 8
"""Of so many queues each is asked by itself, because each is in order already."""


def _workers_to_json(workers: Mapping[str, str]) -> str:
    return msgspec.json.encode(workers).decode()


class WorkRow(msgspec.Struct, gc=False):
    """A row of ``work``."""

    run_id: str
    status: str
    work_pool: str
    work_queue: str
    priority: int
    due_at: int
    attempt: int
    deployment_id: str | None
    schedule: str | None
    worker_id: str | None
    renewed_at: int | None
    lease_ends_at: int | None
    cancelled_at: int | None
    cancelled_by: str | None
    wish: str | None
    """``pause`` or ``suspend``: what somebody wants of a run that is under way, until it is resumed."""
    wished_by: str | None
    late: int
    losses: int
    """How many attempts in a row, without progress, ended with what was around them."""
    on_crash: OnCrash
    job: bytes

    @classmethod
    def unclaimed(cls, **known: Any) -> Self:
        """Work that no worker has, and of which nobody has wanted anything; ``known`` are the other fields."""
        return cls(
            **known,
            worker_id=None,
            renewed_at=None,
            lease_ends_at=None,
            cancelled_at=None,
            cancelled_by=None,
            wish=None,
            wished_by=None,
            late=0,
            losses=0,
        )

    def what(self) -> Job:
        """What is to be executed."""
        return _job_of(self.job)

    def let_go(self, status: str) -> None:
        """No worker has it any more."""
        self.status = status
        self.worker_id = self.renewed_at = self.lease_ends_at = None


class Work:
    """Rows of ``work``."""

    __slots__ = ("_connection", "_of_pools", "_sql")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sql = statements("work", connection.dialect)
        self._of_pools = statements("work_pools", connection.dialect)

    def row(self, run_id: str) -> WorkRow | None:
        """The work of a run; nobody else changes it until the transaction ends."""
        found = self._connection.rows(self._sql["row"], run_id=run_id)
        return WorkRow(*found[0]) if found else None

    def look(self, run_id: str) -> WorkRow | None:
        """The same, for those who only look."""
        found = self._connection.rows(self._sql["look"], run_id=run_id)
        return WorkRow(*found[0]) if found else None

    def rows(self, run_ids: Iterable[str]) -> dict[str, WorkRow]:
        """The work of runs by their ids, for those who only look."""
        statement = self._sql["rows"]
        return {row[0]: WorkRow(*row) for some in chunks(run_ids) for row in self._connection.rows(statement, ids=some)}

    def save(self, *rows: WorkRow) -> None:
        self._connection.run_many(self._sql["save"], [astuple(row) for row in rows])

    def candidates(
        self, *, pool: str, queues: Iterable[Sequence[str]], not_of: Iterable[str], now: int, limit: int
    ) -> list[Candidate]:
        """Runs that are due, in the order of their turn, but not of some deployments.

        Nobody else claims them until the transaction ends.

        Queues come in groups of the same priority, the first group first.
        """
        values = {"pool": pool, "not_of": tuple(not_of) or None, "now": now}
        found: list[tuple[Any, ...]] = []
        for group in queues:
            rest = limit - len(found)
            if rest <= 0:
                break
            if len(group) > _FEW:
                found += self._connection.rows(self._sql["candidates"], queues=tuple(group), limit=rest, **values)
                continue
            statement = self._sql["candidates_of_queue"]
            questions = [(statement, {"queue": name, "limit": rest, **values}) for name in group]
            rows = [row for each in self._connection.rows_of_each(*questions) for row in each]
            found += sorted(rows, key=lambda row: (row[3], row[4], row[0]))[:rest]
        return [Candidate(*row[:3]) for row in found]

    def about_claims(
        self, pool: str, worker_ids: Iterable[str], secret: str
    ) -> tuple[PoolRow | None, list[QueueRow], list[WorkerRow], dict[str, int], str | None]:
        """A pool, its queues and the limits of its deployments; the workers of these ids that are known; a secret."""
        pools, queues, workers, limits, secrets = self._connection.rows_of_each(
            (self._of_pools["pool"], {"name": pool}),
            (self._of_pools["queues"], {"pool": pool, "name": None}),
            (self._of_pools["workers_of"], {"ids": tuple(worker_ids)}),
            (statements("deployments", self._connection.dialect)["limits"], {"pool": pool}),
            (statements("meta", self._connection.dialect)["value"], {"name": secret}),
        )
        return (
            PoolRow(*pools[0]) if pools else None,
            [QueueRow(*row) for row in queues],
            [WorkerRow(*row) for row in workers],
            dict(limits),
            secrets[0][0] if secrets else None,
        )

    def claim(self, workers: Mapping[str, str], now: int, ends_at: int) -> dict[str, tuple[WorkRow, str | None]]:
        """Runs are workers' now, until ``ends_at``: the worker of each by the run's id.

        Returns the work of each, and the full name of its deployment.
        """
        rows = self._connection.rows(
            self._sql["claim"], workers=_workers_to_json(workers), now=now, ends_at=ends_at, ids=tuple(workers)
        )
        return {row[0]: (WorkRow(*row[:-1]), row[-1]) for row in rows}

    def renew(self, run_ids: Iterable[str], worker_id: str, now: int, ends_at: int) -> None:
        """The leases of these runs, as far as they are the worker's, end later."""
        for some in chunks(run_ids):
            self._connection.run(self._sql["renew"], now=now, ends_at=ends_at, ids=some, worker_id=worker_id)

    def expired(self, now: int, limit: int) -> list[WorkRow]:
        """Claims whose lease is over, the longest first."""
        return [WorkRow(*row) for row in self._connection.rows(self._sql["expired"], now=now, limit=limit)]

    def of_worker(self, worker_id: str) -> list[WorkRow]:
        return [WorkRow(*row) for row in self._connection.rows(self._sql["of_worker"], worker_id=worker_id)]

    def shift_leases(self, gap: int, *, last_look: int) -> int:
        """Let leases that were renewed before the last look end so much later; says how many."""
        return self._connection.run(self._sql["shift_leases"], gap=gap, last_look=last_look)

    def pull_leases(self, now: int, ends_at: int) -> int:
        """Let leases that were renewed in the future end at this time; says how many."""
        return self._connection.run(self._sql["pull_leases"], ends_at=ends_at, now=now)

    def pull_due(self, now: int, *, was_due: int) -> int:
        """The clock was put back: runs that were due up to a time are due now, and so are those that are to go on."""
        return self._connection.run(self._sql["pull_due"], now=now, was_due=was_due)

    def late(self, before: int, limit: int) -> list[tuple[str, int]]:
        """Runs, and their attempts, that were due before a time and are not marked as late."""
        return [(row[0], row[1]) for row in self._connection.rows(self._sql["late"], before=before, limit=limit)]

    def mark_late(self, run_ids: Iterable[str]) -> None:
        for some in chunks(run_ids):
            self._connection.run(self._sql["mark_late"], ids=some)

    def next_due(self, now: int) -> int | None:
        return self._connection.rows(self._sql["next_due"], now=now)[0][0]

    def pools_due(self, after: int, now: int) -> list[str]:
        """Pools that got something to do within a time."""
        return [row[0] for row in self._connection.rows(self._sql["pools_due"], after=after, now=now)]

    def claimed(self, pool: str) -> int:
        """How many runs of a pool are under way."""
        return self._connection.rows(self._sql["claimed_by_pool"], pool=pool)[0][0]

    def claimed_ids(self, pool: str, *, queue: str | None = None, deployment_id: str | None = None) -> list[str]:
        """The runs of a pool that are under way, or of a queue or deployment of it."""
        rows = self._connection.rows(self._sql["claimed_ids"], pool=pool, queue=queue, deployment_id=deployment_id)
        return [row[0] for row in rows]

    def claimed_by_queue(self, pool: str) -> dict[str, int]:
        return {row[0]: row[1] for row in self._connection.rows(self._sql["claimed_by_queue"], pool=pool)}

    def claimed_by_deployment(self, ids: Iterable[str]) -> dict[str, int]:
        statement = self._sql["claimed_by_deployment"]
        return {row[0]: row[1] for some in chunks(ids) for row in self._connection.rows(statement, ids=some)}

    def counts(self, now: int) -> dict[tuple[str, str, str], int]:
        """How many runs are ``waiting`` (and due) and ``claimed``, by pool, queue and that word."""
        return {(row[0], row[1], row[2]): row[3] for row in self._connection.rows(self._sql["counts"], now=now)}

    def unfinished_jobs(self) -> Iterator[Job]:
        """What runs that have not ended execute."""
        after = ""
        while found := self._connection.rows(self._sql["unfinished_jobs"], after=after, limit=_PAGE):
            yield from (_job_of(row[1]) for row in found)
            after = found[-1][0]

    def late_by_pool(self) -> dict[str, int]:
        """How many runs are late, by pool."""
        return dict(self._connection.rows(self._sql["late_by_pool"]))

    def of_schedule(self, deployment_id: str, schedule: str) -> list[tuple[str, str]]:
        """Runs of a schedule that have not ended, and their status."""
        rows = self._connection.rows(self._sql["of_schedule"], deployment_id=deployment_id, schedule=schedule)
        return [(row[0], row[1]) for row in rows]

    def of_schedules(self, schedules: Iterable[tuple[str, str]]) -> dict[tuple[str, str], list[tuple[str, str]]]:
        """The same of several schedules, each named by deployment and name; those without any are left out."""
        wanted = set(schedules)
        names = tuple({name for _, name in wanted})
        found: dict[tuple[str, str], list[tuple[str, str]]] = {}
        for some in chunks({deployment_id for deployment_id, _ in wanted}):
            for deployment_id, name, *work in self._connection.rows(self._sql["of_schedules"], ids=some, names=names):
                if (deployment_id, name) in wanted:
                    found.setdefault((deployment_id, name), []).append((work[0], work[1]))
        return found

    def not_begun(self, deployment_id: str) -> list[str]:
        """Runs of a deployment that nobody has claimed yet."""
        return [row[0] for row in self._connection.rows(self._sql["of_deployment"], deployment_id=deployment_id)]

    def some_unfinished(self, pool: str, queue: str | None = None) -> bool:
        return bool(self._connection.rows(self._sql["unfinished"], pool=pool, queue=queue))

    def preview(self, pool: str, queue: str | None, until: int, limit: int) -> list[str]:
        """The runs that would be claimed next."""
        rows = self._connection.rows(self._sql["preview"], pool=pool, queue=queue, until=until, limit=limit)
        return [row[0] for row in rows]

    def due(
        self,
        *,
        after: tuple[int, str],
        until: int | None,
        pool: str | None,
        queue: str | None,
        deployment: str | None,
        limit: int,
    ) -> list[tuple[str, int]]:
        """Runs that wait for their time or for a worker, and when they are due, soonest first."""
        rows = self._connection.rows(
            self._sql["due"],
            after_due=after[0],
            after_id=after[1],
            until=until,
            pool=pool,
            queue=queue,
            deployment=deployment,
            limit=limit,
        )
        return [(row[0], row[1]) for row in rows]

    def ahead_of(self, row: WorkRow, now: int) -> int:
        """How many runs of the same queue have their turn before this one."""
        return self._connection.rows(
            self._sql["ahead_of"],
            pool=row.work_pool,
            queue=row.work_queue,
            now=now,
            priority=row.priority,
            due_at=row.due_at,
            run_id=row.run_id,
        )[0][0]

    def places(self) -> list[tuple[str, str]]:
        """The pools and queues of runs that have not ended."""
        return [(row[0], row[1]) for row in self._connection.rows(self._sql["places"])]

    def contradictions(self) -> list[tuple[str, str | None, str | None]]:
        """Runs whose work does not fit their state: id, status, state. None for what is not there at all."""
        return [(row[0], row[1], row[2]) for row in self._connection.rows(self._sql["contradictions"])]

    def forget(self, run_ids: Iterable[str]) -> None:
        for some in chunks(run_ids):
            self._connection.run(self._sql["forget"], ids=some)
