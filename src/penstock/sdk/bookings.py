"""Slots for the code of this process: from a server, or, where there is none, from the home of this machine."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from penstock import errors
from penstock.clock import Clock
from penstock.core import concurrency, log_levels
from penstock.core.concurrency import TAG, ConcurrencyLimit, Obstacle, Place, SlotHolder, SlotWish, Taken
from penstock.engine import run_logs
from penstock.engine.context import current
from penstock.files.slots import LocalBooking, SlotFolder, Wish
from penstock.orchestration.local_limits import LocalLimits
from penstock.sdk import connect
from penstock.sdk.event_loops import in_thread
from penstock.sdk.holders import Holder
from penstock.settings import Settings

if TYPE_CHECKING:
    from penstock.sdk.server_bookings import ServerBooking, ServerBookings

TAGS_SECONDS = 0.5
"""For so long, what is known of tags is not asked again of anybody."""
LOOK_SECONDS = 1.0
"""How often it is looked at whether the server is still where it was."""


class Bookings:
    """What one process has booked. See `core.ports.Slots`; safe to use from any thread."""

    def __init__(self, settings: Settings, clock: Clock, holder: Holder) -> None:
        self._settings = settings
        self._clock = clock
        self._holder = holder
        self._here = SlotFolder(settings.home / "slots", clock)
        self._limits_here = LocalLimits(settings.store, clock)
        self._there: ServerBookings | None = None
        self._there_until = 0.0
        self._tags: frozenset[str] = frozenset()
        self._tags_until = 0.0
        self._lock = threading.Lock()
        self._complaints: set[str] = set()

    # Limits.

    def of_tags(self, tags: frozenset[str]) -> tuple[str, ...]:
        if self._clock.elapsed() >= self._tags_until:
            there = self._server()
            self._tags = (
                concurrency.limited_tags(self._limits_here.known().values()) if there is None else there.limited_tags()
            )
            self._tags_until = self._clock.elapsed() + TAGS_SECONDS
        known = self._tags & tags
        return tuple(sorted(f"{TAG}{tag}" for tag in known)) if known else ()

    # Slots.

    def book(self, wish: SlotWish, timeout: float | None = None) -> ServerBooking | HomeBooking | FreeBooking:
        there = self._server()
        if there is not None:
            booked = there.book(wish, timeout)
            self._tell_unknown(booked.unknown)
            return booked
        return self._book_here(wish)

    async def book_async(
        self, wish: SlotWish, timeout: float | None = None
    ) -> ServerBooking | HomeBooking | FreeBooking:
        if self._server() is None:
            return self._book_here(wish)
        return await in_thread(self.book, wish, timeout)

    def take_tokens(self, name: str, *, key: str, occupy: int, strict: bool, at_most: float | None) -> float | None:
        """Take tokens of a rate limit; says after how many seconds they may be used, None if that is too late."""
        there = self._server()
        if there is not None:
            told = there.take_tokens(name, key=key, occupy=occupy, strict=strict, at_most=at_most)
            if not told.is_known:
                self._tell_unknown((name,))
                return 0.0
            return told.wait_seconds if told.is_taken else None
        found = self._found((name,), strict=strict)
        if not found:
            return 0.0
        (limit,) = found
        taken: Taken = self._here.take_tokens(
            Place(name, key),
            occupy,
            capacity=limit.limit,
            per_second=concurrency.rate_of(limit, concurrency.check_slots(occupy)),
            at_most=at_most,
        )
        wait = taken.wait / 1e6
        return None if at_most is not None and wait > at_most else wait

    def close(self) -> None:
        with self._lock:
            there, self._there = self._there, None
        if there is not None:
            there.close()

    def _book_here(self, wish: SlotWish) -> HomeBooking | FreeBooking:
        found = self._found(wish.limits, strict=wish.strict)
        wants = concurrency.wants_of(found, wish.key, concurrency.check_slots(wish.occupy))
        if not wants:
            return FreeBooking()
        sizes = {limit.name: limit.limit for limit in found}
        holder = SlotHolder(
            booking=self._clock.new_id(),
            limit="",
            is_held=False,
            priority=wish.priority or 0,
            run_id=self._holder.run_id,
            run_name=self._holder.run_name,
            task_run_id=wish.task_run_id,
            task_run_name=wish.task_run_name,
            who=Holder.process(),
        )
        wishes = [Wish(want.place, want.slots, sizes[want.place.limit]) for want in wants]
        return HomeBooking(self, self._here.book(wishes, holder, self._renewed), wish)

    def _renewed(self, wishes: list[Wish]) -> list[Wish]:
        """What is still wanted, of limits as they are now; of a server, if there is one by now."""
        there = self._server()
        if there is not None:
            raise _ServerCameError(there)
        known = self._limits_here.known()
        found = ((wish, known.get(wish.place.limit)) for wish in wishes)
        return [wish._replace(of=limit.limit) for wish, limit in found if limit is not None and limit.active]

    def _found(self, names: tuple[str, ...], *, strict: bool) -> list[ConcurrencyLimit]:
        """The limits of these names that this home knows, and that are active."""
        known = self._limits_here.known()
        unknown = [name for name in names if name not in known]
        if unknown and strict:
            raise errors.NotFound(
                f"There is no concurrency limit: `{unknown[0]}`",
                hint=f"make it with `penstock concurrency-limit create {unknown[0]} --limit 1`",
            )
        self._tell_unknown(tuple(unknown))
        return [known[name] for name in dict.fromkeys(names) if name in known and known[name].active]

    def _tell_unknown(self, names: tuple[str, ...]) -> None:
        for name in names:
            self.complain_once(
                f"There is no concurrency limit `{name}`, so it limits nothing: "
                f"`penstock concurrency-limit create {name} --limit N` makes one"
            )

    def countdown(self, seconds: float | None) -> Callable[[], float | None]:
        """How much is left of a time that begins now."""
        ends_at = None if seconds is None else self._clock.elapsed() + seconds
        return lambda: None if ends_at is None else max(0.0, ends_at - self._clock.elapsed())

    def complain_once(self, message: str) -> None:
        """Tell in the run's log, or outside of a run in the process's own, what is told once only."""
        with self._lock:
            if message in self._complaints:
                return
            self._complaints.add(message)
        context = current()
        if context is not None:
            run_logs.say(context, log_levels.WARNING, run_logs.logger_of(context), message)
            return
        import logging  # noqa: PLC0415  takes its time to import

        logging.getLogger("penstock.concurrency").warning(message)

    # Whom to ask.

    def _server(self) -> ServerBookings | None:
        """The server's side of this, if there is a server to ask now."""
        if self._there is not None and self._clock.elapsed() < self._there_until:
            return self._there
        address = connect.server(self._settings)
        if address is None:  # asked each time, as a server that begins is to be asked from then on
            return None
        from penstock.sdk.server_bookings import ServerBookings  # noqa: PLC0415  who asks nobody pays nothing

        with self._lock:
            if self._there is None:
                find = partial(connect.server, self._settings)
                self._there = ServerBookings(find, address, self._clock, self._holder, self.complain_once)
            else:
                self._there.move(address)
            self._there_until = self._clock.elapsed() + LOOK_SECONDS
            return self._there


class HomeBooking:
    """Slots of this machine, until a server keeps its home: then of that. See `core.ports.Booking`."""

    def __init__(self, bookings: Bookings, booking: LocalBooking, wish: SlotWish) -> None:
        self._bookings = bookings
        self._here = booking
        self._wish = wish
        self._there: ServerBooking | None = None

    @property
    def is_held(self) -> bool:
        return self._here.is_held if self._there is None else self._there.is_held

    def about(self) -> str:
        if self._there is not None:
            return self._there.about()
        holders = self._here.holders()
        ahead = self._here.ahead()
        return concurrency.about_waiting([_obstacle(wish, holders, ahead) for wish in self._here.wishes])

    def wait(self, timeout: float | None = None) -> bool:
        left = self._bookings.countdown(timeout)
        if self._there is None:
            try:
                return self._here.wait(timeout)
            except _ServerCameError as came:
                self._here.release()
                self._there = came.there.book(self._wish, left())
        return self._there.wait(left())

    async def wait_async(self, timeout: float | None = None) -> bool:
        left = self._bookings.countdown(timeout)
        if self._there is None:
            try:
                return await self._here.wait_async(timeout)
            except _ServerCameError as came:
                self._here.release()
                there = self._there = await in_thread(came.there.book, self._wish, left())
                return await there.wait_async(left())
        return await self._there.wait_async(left())

    def release(self) -> None:
        self._here.release()
        if self._there is not None:
            self._there.release()

    async def release_async(self) -> None:
        self._here.release()
        if self._there is not None:
            await self._there.release_async()


class _ServerCameError(Exception):
    """While somebody waited for slots of this machine, a server has begun to keep its home."""

    def __init__(self, there: ServerBookings) -> None:
        super().__init__()
        self.there = there


class FreeBooking:
    """What nothing limits. See `core.ports.Booking`."""

    is_held = True

    def about(self) -> str:
        return ""

    def wait(self, timeout: float | None = None) -> bool:  # noqa: ARG002  there is nothing to wait for
        return True

    async def wait_async(self, timeout: float | None = None) -> bool:  # noqa: ARG002  as above
        return True

    def release(self) -> None:
        return

    async def release_async(self) -> None:
        return


def _obstacle(wish: Wish, holders: list[SlotHolder], ahead: int) -> Obstacle:
    mine = tuple(each for each in holders if each.place == wish.place)
    free = max(0, wish.of - len(mine))
    return Obstacle(
        limit=wish.place.limit, key=wish.place.key, slots=wish.slots, free=free, of=wish.of, ahead=ahead, holders=mine
    )
