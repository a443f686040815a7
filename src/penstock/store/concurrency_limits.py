"""Concurrency limits, and the bookings of their slots."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from msgspec.structs import astuple

from penstock.core.concurrency import Bucket, ConcurrencyLimit, Place, SlotHolder, Want
from penstock.store.connection import Connection
from penstock.store.sql import statements


class LimitRow(msgspec.Struct, gc=False):
    """A row of ``concurrency_limit``."""

    name: str
    slots: int
    slots_per_second: float
    active: int
    created_at: int

    def view(self, held: int = 0, waiting: int = 0) -> ConcurrencyLimit:
        return ConcurrencyLimit(
            name=self.name,
            limit=self.slots,
            slot_decay_per_second=self.slots_per_second,
            active=bool(self.active),
            created_at=self.created_at,
            held=held,
            waiting=waiting,
        )


class BookingRow(msgspec.Struct, gc=False):
    """A row of ``slot_booking``: what a booking wants of one limit."""

    booking_id: str
    limit_name: str
    key: str
    slots: int
    status: str
    priority: int
    arrived_at: int
    held_since: int | None
    owner: str
    run_id: str | None
    attempt: int
    task_run_id: str | None
    task_run_name: str | None
    who: str
    renewed_at: int | None
    lease_ends_at: int | None

    @property
    def place(self) -> Place:
        return Place(self.limit_name, self.key)

    @property
    def want(self) -> Want:
        return Want(self.place, self.slots)


class ConcurrencyLimits:
    """Rows of ``concurrency_limit``, ``slot_booking`` and ``rate_bucket``."""

    __slots__ = ("_connection", "_sql")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sql = statements("concurrency_limits", connection.dialect)

    # Limits.

    def limit(self, name: str) -> LimitRow | None:
        found = self._connection.rows(self._sql["limit"], name=name)
        return LimitRow(*found[0]) if found else None

    def limits(self, names: Iterable[str] | None = None, *, active: bool | None = None) -> list[LimitRow]:
        """All limits by name, or those of these names that exist."""
        given = None if names is None else tuple(names)
        if given == ():
            return []
        rows = self._connection.rows(self._sql["limits"], names=given, active=None if active is None else int(active))
        return [LimitRow(*row) for row in rows]

    def save_limit(self, row: LimitRow) -> None:
        self._connection.run_many(self._sql["save_limit"], [astuple(row)])

    def forget_limit(self, name: str) -> None:
        self._connection.run(self._sql["forget_limit"], name=name)

    def counts(self) -> dict[tuple[str, str], tuple[int, int]]:
        """The slots and the bookings, by limit and by ``held`` or ``waiting``."""
        return {(row[0], row[1]): (int(row[2]), row[3]) for row in self._connection.rows(self._sql["counts"])}

    # Bookings.

    def booking(self, booking_id: str) -> list[BookingRow]:
        """A booking, a row for each of its limits; none if there is no such booking."""
        return [BookingRow(*row) for row in self._connection.rows(self._sql["booking"], booking_id=booking_id)]

    def add_booking(self, rows: Sequence[BookingRow]) -> None:
        self._connection.run_many(self._sql["add_booking"], [astuple(row) for row in rows])

    def hold(self, booking_id: str, now: int) -> None:
        """The booking has its slots."""
        self._connection.run(self._sql["hold"], now=now, booking_id=booking_id)

    def want_at_most(self, limit_name: str, slots: int) -> None:
        """Whoever waits for more slots of a limit waits for so many."""
        self._connection.run(self._sql["want_at_most"], limit_name=limit_name, slots=slots)

    def forget_booking(self, booking_id: str) -> None:
        self._connection.run(self._sql["forget_booking"], booking_id=booking_id)

    def held(self, place: Place) -> int:
        """How many slots are held there by those who live."""
        rows = self._connection.rows(self._sql["held"], limit_name=place.limit, key=place.key)
        return int(rows[0][0])

    def first_waiting(self, place: Place) -> str | None:
        """The booking whose turn it is there, of those who live."""
        found = self._connection.rows(self._sql["first_waiting"], limit_name=place.limit, key=place.key)
        return found[0][0] if found else None

    def ahead_of(self, row: BookingRow) -> int:
        """How many bookings wait for the same, and come first."""
        return self._connection.rows(
            self._sql["ahead_of"],
            limit_name=row.limit_name,
            key=row.key,
            priority=row.priority,
            arrived_at=row.arrived_at,
            booking_id=row.booking_id,
        )[0][0]

    def places(self, limit_name: str) -> list[Place]:
        """Where somebody holds slots of a limit, or waits for them."""
        return [Place(*row) for row in self._connection.rows(self._sql["places"], limit_name=limit_name)]

    def holders(self, limit_name: str, status: str, *, key: str | None = None, limit: int) -> list[SlotHolder]:
        """Who holds slots of a limit (``held``), or waits for them (``waiting``), in the order of their coming."""
        rows = self._connection.rows(self._sql["of_limit"], limit_name=limit_name, status=status, key=key, limit=limit)
        return [
            SlotHolder(
                booking=row[0],
                limit=row[1],
                key=row[2],
                slots=row[3],
                is_held=row[4] == "held",
                priority=row[5],
                arrived_at=row[6],
                held_since=row[7],
                run_id=row[8],
                run_name=row[9] or (row[12] if row[8] else None),
                task_run_id=row[10],
                task_run_name=row[11],
                who=row[12],
            )
            for row in rows
        ]

    def waiting(self, limit_name: str) -> list[tuple[str, str]]:
        """Who waits for slots of a limit: the bookings, and the processes that made them."""
        return [(row[0], row[1]) for row in self._connection.rows(self._sql["waiting"], limit_name=limit_name)]

    def wanted_together(self, names: Iterable[str]) -> set[str]:
        """These limits, and those that somebody wants who waits for one of these, and so on."""
        found = set(names)
        while found:
            rows = self._connection.rows(self._sql["wanted_together"], names=tuple(sorted(found)))
            more = {row[0] for row in rows} - found
            if not more:
                break
            found |= more
        return found

    def of_run(self, run_id: str, attempt: int | None = None) -> list[BookingRow]:
        """The bookings of a run, those of its attempts up to ``attempt``."""
        rows = self._connection.rows(self._sql["of_run"], run_id=run_id, attempt=attempt)
        return [BookingRow(*row) for row in rows]

    def of_owner(self, owner: str, run_id: str | None) -> dict[str, str]:
        """How the bookings of a process stand; with a ``run_id``, those of that run."""
        return {row[0]: row[1] for row in self._connection.rows(self._sql["of_owner"], owner=owner, run_id=run_id)}

    def renew(self, owner: str, now: int, ends_at: int) -> None:
        """The bookings of a process, as far as they need that, live on until ``ends_at``."""
        self._connection.run(self._sql["renew"], now=now, ends_at=ends_at, owner=owner)

    def expired(self, now: int, limit: int) -> list[str]:
        """Bookings whose process was not heard of for too long."""
        return [row[0] for row in self._connection.rows(self._sql["expired"], now=now, limit=limit)]

    def orphaned(self, limit: int) -> list[str]:
        """Bookings whose attempt is not under way any more."""
        return [row[0] for row in self._connection.rows(self._sql["orphaned"], limit=limit)]

    def shift_leases(self, gap: int, *, last_look: int) -> None:
        """Let leases that were renewed before the last look end so much later."""
        self._connection.run(self._sql["shift_leases"], gap=gap, last_look=last_look)

    def pull_leases(self, now: int, ends_at: int) -> None:
        """Let leases that were renewed in the future end at this time."""
        self._connection.run(self._sql["pull_leases"], ends_at=ends_at, now=now)

    def forget_bookings(self, limit_name: str, status: str | None = None) -> None:
        """Nobody holds slots of the limit, or waits for them; or only one of these."""
        self._connection.run(self._sql["forget_limit_bookings"], limit_name=limit_name, status=status)

    # Rates.

    def bucket(self, place: Place) -> Bucket | None:
        found = self._connection.rows(self._sql["bucket"], limit_name=place.limit, key=place.key)
        return Bucket(*found[0]) if found else None

    def save_bucket(self, place: Place, bucket: Bucket) -> None:
        self._connection.run_many(self._sql["save_bucket"], [(*place, *bucket)])

    def forget_full_buckets(self, now: int) -> None:
        self._connection.run(self._sql["forget_buckets"], now=now)

    def forget_buckets(self, limit_name: str) -> None:
        self._connection.run(self._sql["forget_limit_buckets"], limit_name=limit_name)
