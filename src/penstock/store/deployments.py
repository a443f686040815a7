"""Deployments, their schedules, and what became of scheduled times."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import msgspec
from msgspec.structs import astuple

from penstock.core.deployments import DeploymentSpec, ScheduleSpec
from penstock.store.connection import Connection, chunks
from penstock.store.sql import statements

as_json = msgspec.json.Encoder().encode
_spec_of = msgspec.json.Decoder(DeploymentSpec).decode
_schedule_of = msgspec.json.Decoder(ScheduleSpec).decode

FIRST = ("", "")
"""The place before the first deployment of a list."""

_PAGE = 200


class DeploymentRow(msgspec.Struct, gc=False):
    """A row of ``deployment``."""

    id: str
    flow_name: str
    name: str
    work_pool: str
    work_queue: str
    created_at: int
    updated_at: int
    paused: int
    run_limit: int | None
    spec: bytes

    def deployment_spec(self) -> DeploymentSpec:
        return _spec_of(self.spec)


class ScheduleRow(msgspec.Struct, gc=False):
    """A row of ``schedule``."""

    deployment_id: str
    name: str
    paused: int
    slots_until: int
    look_at: int | None
    trouble: str | None
    spec: bytes

    def schedule_spec(self) -> ScheduleSpec:
        return _schedule_of(self.spec)


class SlotRow(msgspec.Struct, gc=False):
    """A row of ``slot``: from ``slot`` to ``last`` there were ``slots`` scheduled times."""

    deployment_id: str
    schedule: str
    slot: int
    last: int
    slots: int | None
    run_id: str | None
    reason: str | None


class Deployments:
    """Rows of ``deployment`` and ``deployment_key``."""

    __slots__ = ("_connection", "_sql")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sql = statements("deployments", connection.dialect)

    def row(self, deployment_id: str) -> DeploymentRow | None:
        return self._one("by_id", id=deployment_id)

    def rows(self, ids: Iterable[str]) -> list[DeploymentRow]:
        """The deployments of these ids that are there, in no order."""
        statement = self._sql["by_ids"]
        return [DeploymentRow(*row) for some in chunks(ids) for row in self._connection.rows(statement, ids=some)]

    def named(self, flow_name: str, name: str) -> DeploymentRow | None:
        return self._one("by_name", flow_name=flow_name, name=name)

    def _one(self, statement: str, **values: Any) -> DeploymentRow | None:
        found = self._connection.rows(self._sql[statement], **values)
        return DeploymentRow(*found[0]) if found else None

    def page(
        self, *, after: tuple[str, str] = FIRST, flow: str | None = None, pool: str | None = None, limit: int
    ) -> list[DeploymentRow]:
        """Deployments by flow and name."""
        rows = self._connection.rows(
            self._sql["page"], after_flow=after[0], after_name=after[1], flow=flow, pool=pool, limit=limit
        )
        return [DeploymentRow(*row) for row in rows]

    def every(self) -> Iterator[DeploymentRow]:
        """All deployments, by flow and name."""
        after = FIRST
        while page := self.page(after=after, limit=_PAGE):
            yield from page
            after = (page[-1].flow_name, page[-1].name)

    def save(self, row: DeploymentRow) -> None:
        self._connection.run_many(self._sql["save"], [astuple(row)])

    def forget(self, deployment_id: str) -> None:
        """Delete a deployment and its idempotency keys."""
        self._connection.run(self._sql["forget"], id=deployment_id)
        self._connection.run(self._sql["forget_keys"], id=deployment_id)

    def names(self) -> list[str]:
        """Full names, ``flow/name``."""
        return [f"{flow}/{name}" for flow, name in self._connection.rows(self._sql["names"])]

    def some_of_pool(self, pool: str) -> bool:
        return bool(self._connection.rows(self._sql["of_pool"], pool=pool))

    def limits(self, pool: str) -> dict[str, int]:
        """How many runs at once the deployments of a pool may have; those without a limit are left out."""
        return {row[0]: row[1] for row in self._connection.rows(self._sql["limits"], pool=pool)}

    def run_of_key(self, deployment_id: str, key: str) -> str | None:
        """The run that an idempotency key has made."""
        found = self._connection.rows(self._sql["run_of_key"], deployment_id=deployment_id, key=key)
        return found[0][0] if found else None

    def save_key(self, deployment_id: str, key: str, run_id: str, now: int) -> None:
        self._connection.run_many(self._sql["save_key"], [(deployment_id, key, run_id, now)])

    def forget_keys_of_runs(self, ids: Iterable[str]) -> None:
        for some in chunks(ids):
            self._connection.run(self._sql["forget_keys_of_runs"], ids=some)


class Schedules:
    """Rows of ``schedule`` and ``slot``."""

    __slots__ = ("_connection", "_sql")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sql = statements("schedules", connection.dialect)

    def of(self, deployment_ids: Iterable[str]) -> list[ScheduleRow]:
        """The schedules of deployments, by deployment and name."""
        statement = self._sql["of_deployments"]
        return [
            ScheduleRow(*row) for some in chunks(deployment_ids) for row in self._connection.rows(statement, ids=some)
        ]

    def due(self, now: int, limit: int) -> list[ScheduleRow]:
        """Schedules that have something to decide; no other server gets them meanwhile."""
        return [ScheduleRow(*row) for row in self._connection.rows(self._sql["due"], now=now, limit=limit)]

    def ahead(self, now: int, limit: int) -> list[ScheduleRow]:
        """Schedules whose cursor lies in the future."""
        return [ScheduleRow(*row) for row in self._connection.rows(self._sql["ahead"], now=now, limit=limit)]

    def next_look(self) -> int | None:
        """When the next schedule has something to decide."""
        return self._connection.rows(self._sql["next_look"])[0][0]

    def save(self, rows: Iterable[ScheduleRow]) -> None:
        self._connection.run_many(self._sql["save"], [astuple(row) for row in rows])

    def forget(self, deployment_id: str, name: str | None = None) -> int:
        """Delete a schedule, or all of a deployment's; says how many."""
        return self._connection.run(self._sql["forget"], deployment_id=deployment_id, name=name)

    def take_slots(self, rows: Collection[SlotRow]) -> set[str]:
        """Keep what becomes of scheduled times, unless that was known before; the runs of those that were not.

        The caller has locked their schedules.
        """
        known = {
            found
            for some in chunks({row.deployment_id for row in rows})
            for found in self._connection.rows(
                self._sql["known_slots"],
                ids=some,
                first=min(row.slot for row in rows),
                last=max(row.slot for row in rows),
            )
        }
        new = {(row.deployment_id, row.schedule, row.slot): row for row in reversed(list(rows))}
        kept = [row for place, row in new.items() if place not in known]
        self._connection.run_many(self._sql["take_slot"], [astuple(row) for row in kept])
        return {row.run_id for row in kept if row.run_id is not None}

    def slots(self, deployment_id: str, *, schedule: str | None, before: int, limit: int) -> list[SlotRow]:
        """What became of scheduled times, latest first."""
        rows = self._connection.rows(
            self._sql["slots"], deployment_id=deployment_id, schedule=schedule, before=before, limit=limit
        )
        return [SlotRow(*row) for row in rows]

    def of_run(self, run_id: str) -> str | None:
        """The name of the schedule that has made a run."""
        found = self._connection.rows(self._sql["of_run"], run_id=run_id)
        return found[0][0] if found else None

    def forget_slots(self, deployment_id: str) -> None:
        self._connection.run(self._sql["forget_slots"], deployment_id=deployment_id)
