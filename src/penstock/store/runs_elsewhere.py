"""Runs that were started by hand on other machines, and until when they are known to live."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec.structs import astuple

from penstock.store.connection import Connection, chunks
from penstock.store.sql import statements

DEAD = ""
"""Who ships a run whose process is known to be dead. It is still another home's."""


class ElsewhereRow(msgspec.Struct, frozen=True, gc=False):
    """A row of ``run_elsewhere``."""

    run_id: str
    attempt: int
    shipper_id: str
    renewed_at: int
    lease_ends_at: int | None
    """None: nobody has heard of it in time."""


class RunsElsewhere:
    """Rows of ``run_elsewhere``."""

    __slots__ = ("_connection", "_sql")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sql = statements("runs_elsewhere", connection.dialect)

    def row(self, run_id: str) -> ElsewhereRow | None:
        return self.rows([run_id]).get(run_id)

    def rows(self, run_ids: Iterable[str]) -> dict[str, ElsewhereRow]:
        """What is known of these runs, by their ids."""
        found: dict[str, ElsewhereRow] = {}
        for some in chunks(run_ids):
            for row in self._connection.rows(self._sql["rows"], run_ids=some):
                found[row[0]] = ElsewhereRow(*row)
        return found

    def save(self, rows: Iterable[ElsewhereRow]) -> None:
        self._connection.run_many(self._sql["save"], [astuple(row) for row in rows])

    def expired(self, now: int, limit: int) -> list[ElsewhereRow]:
        """Those of which nobody has heard in time, longest ago first."""
        return [ElsewhereRow(*row) for row in self._connection.rows(self._sql["expired"], now=now, limit=limit)]

    def shift_leases(self, gap: int, *, last_look: int) -> None:
        """Let leases that were renewed before nobody looked end so much later."""
        self._connection.run(self._sql["shift_leases"], gap=gap, last_look=last_look)

    def pull_leases(self, now: int, ends_at: int) -> None:
        """The clock was put back: let leases of later end in time."""
        self._connection.run(self._sql["pull_leases"], now=now, ends_at=ends_at)

    def forget(self, run_ids: Iterable[str]) -> None:
        for some in chunks(run_ids):
            self._connection.run(self._sql["forget"], run_ids=some)
