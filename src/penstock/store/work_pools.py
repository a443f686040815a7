"""Work pools, their queues, and the workers that serve them."""

from __future__ import annotations

import msgspec
from msgspec.structs import astuple

from penstock.core.work import SILENT_SECONDS, Worker, WorkPool
from penstock.store.connection import Connection
from penstock.store.rows import texts_in
from penstock.store.sql import statements

template_to_json = msgspec.json.Encoder().encode


class PoolRow(msgspec.Struct, gc=False):
    """A row of ``work_pool``."""

    name: str
    type: str
    description: str
    run_limit: int | None
    paused: int
    created_at: int
    job_template: bytes

    def view(self) -> WorkPool:
        return WorkPool(
            name=self.name,
            type=self.type,
            description=self.description,
            job_template=msgspec.json.decode(self.job_template),
            concurrency_limit=self.run_limit,
            paused=bool(self.paused),
            created_at=self.created_at,
        )


class QueueRow(msgspec.Struct, gc=False):
    """A row of ``work_queue``."""

    work_pool: str
    name: str
    priority: int
    run_limit: int | None
    paused: int
    description: str


class WorkerRow(msgspec.Struct, gc=False):
    """A row of ``worker``."""

    id: str
    name: str
    work_pool: str
    type: str
    host: str
    version: str
    run_limit: int | None
    started_at: int
    seen_at: int
    status: str
    queues: str
    prefixes: str

    def serves(self, queue: str) -> bool:
        """Whether it claims runs of this queue."""
        queues, prefixes = texts_in(self.queues), texts_in(self.prefixes)
        return (not queues and not prefixes) or queue in queues or any(queue.startswith(each) for each in prefixes)

    def status_at(self, now: int) -> str:
        """What is known of it now: that it is there is known only of one that was heard of lately."""
        is_silent = self.status != "offline" and now - self.seen_at > SILENT_SECONDS * 1e6
        return "silent" if is_silent else self.status

    def view(self, now: int) -> Worker:
        return Worker(
            id=self.id,
            name=self.name,
            pool=self.work_pool,
            queues=(*texts_in(self.queues), *(f"{each}*" for each in texts_in(self.prefixes))),
            type=self.type,
            host=self.host,
            version=self.version,
            limit=self.run_limit,
            started_at=self.started_at,
            seen_at=self.seen_at,
            status=self.status_at(now),  # pyright: ignore[reportArgumentType]  the database allows only these
        )


class WorkPools:
    """Rows of ``work_pool``, ``work_queue`` and ``worker``."""

    __slots__ = ("_connection", "_sql")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sql = statements("work_pools", connection.dialect)

    def pool(self, name: str) -> PoolRow | None:
        found = self._connection.rows(self._sql["pool"], name=name)
        return PoolRow(*found[0]) if found else None

    def pools(self) -> list[PoolRow]:
        return [PoolRow(*row) for row in self._connection.rows(self._sql["pools"])]

    def save_pool(self, row: PoolRow) -> None:
        self._connection.run_many(self._sql["save_pool"], [astuple(row)])

    def forget_pool(self, name: str) -> None:
        """Delete a pool and its queues."""
        self._connection.run(self._sql["forget_pool"], name=name)
        self._connection.run(self._sql["forget_queues"], pool=name, name=None)

    def queue(self, pool: str, name: str) -> QueueRow | None:
        found = self._connection.rows(self._sql["queues"], pool=pool, name=name)
        return QueueRow(*found[0]) if found else None

    def queues(self, pool: str | None = None) -> list[QueueRow]:
        """Queues by pool, priority and name."""
        return [QueueRow(*row) for row in self._connection.rows(self._sql["queues"], pool=pool, name=None)]

    def save_queue(self, row: QueueRow) -> None:
        self._connection.run_many(self._sql["save_queue"], [astuple(row)])

    def forget_queue(self, pool: str, name: str) -> None:
        self._connection.run(self._sql["forget_queues"], pool=pool, name=name)

    def worker(self, worker_id: str) -> WorkerRow | None:
        found = self._connection.rows(self._sql["worker"], id=worker_id)
        return WorkerRow(*found[0]) if found else None

    def workers(self, pool: str | None = None) -> list[WorkerRow]:
        return [WorkerRow(*row) for row in self._connection.rows(self._sql["workers"], pool=pool)]

    def save_worker(self, row: WorkerRow) -> None:
        self._connection.run_many(self._sql["save_worker"], [astuple(row)])

    def see_worker(self, worker_id: str, now: int, status: str) -> None:
        """The worker lives."""
        self._connection.run(self._sql["see_worker"], now=now, status=status, id=worker_id)

    def pull_workers(self, now: int) -> None:
        """The clock was put back: workers that were seen in the future were seen now."""
        self._connection.run(self._sql["pull_workers"], now=now)

    def lose_workers(self, before: int) -> int:
        """Workers that were not seen since a time are offline; says how many that are new."""
        return self._connection.run(self._sql["lose_workers"], before=before)

    def forget_workers(self, before: int) -> None:
        self._connection.run(self._sql["forget_workers"], before=before)
