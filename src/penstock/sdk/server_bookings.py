"""What a process has booked at a server: asked for, waited for, renewed, given back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from penstock import errors
from penstock.client.orchestrator import HttpOrchestrator
from penstock.clock import Clock
from penstock.core import concurrency
from penstock.core.concurrency import Obstacle, SlotWish
from penstock.core.operations.concurrency_limits import (
    Booked,
    BookSlots,
    LimitsInForce,
    ReleaseSlots,
    RenewSlots,
    Stand,
    TakeTokens,
    TokensTaken,
)
from penstock.engine.futures import Waitable
from penstock.sdk import connect
from penstock.sdk.event_loops import in_thread
from penstock.sdk.holders import Holder

RENEW_SECONDS = 10.0
"""How often a process tells that it lives, and so do its bookings."""
FRESH_SECONDS = 10.0
"""For so long, what a server said of its limits is taken for true."""
PAUSE_SECONDS = 0.5
"""Between two tries to reach a server, and two questions where the answer to the first was of no use."""
RELEASE_SECONDS = 1.0
"""For so long a release is tried again; after that it is done in the background."""


class ServerBookings:
    """What a process has booked at a server."""

    def __init__(
        self,
        find: Callable[[], connect.Address | None],
        address: connect.Address,
        clock: Clock,
        holder: Holder,
        complain: Callable[[str], None],
    ) -> None:
        """``find`` says where the server is now, which is at ``address`` at first; ``complain`` tells whoever watches
        the run, once each.
        """
        self._find = find
        self._address = address
        self._clock = clock
        self._holder = holder
        self._complain = complain
        self._owner = clock.new_id()
        self._connect(address)
        self._changed = threading.Condition()
        self._mine: dict[str, ServerBooking] = {}
        self._to_release: list[str] = []
        self._follower: threading.Thread | None = None
        self._is_closed = False
        self._tags: frozenset[str] | None = None
        self._tags_until = 0.0
        self._is_looking = False

    def _connect(self, address: connect.Address) -> None:
        self._asking = HttpOrchestrator(address.url, address.key, self._clock)
        self._releasing = HttpOrchestrator(address.url, address.key, self._clock, patience_seconds=RELEASE_SECONDS)

    def move(self, address: connect.Address) -> None:
        """The server is there now; it may have come back at another port."""
        with self._changed:
            if address == self._address:
                return
            before = self._asking, self._releasing
            self._address = address
            self._connect(address)
        for each in before:
            each.http.end()

    def _look_again(self) -> None:
        found = self._find()
        if found is not None:
            self.move(found)

    # Which limits there are.

    def limited_tags(self) -> frozenset[str]:
        """The tags that have a limit. Asked for once, and then again now and then, in the background."""
        if self._tags is None:
            with self._changed:
                if self._tags is None:
                    self._look_at_limits()
        elif self._clock.elapsed() >= self._tags_until and not self._is_looking:
            self._is_looking = True
            threading.Thread(target=self._look_at_limits, name="penstock-limits", daemon=True).start()
        return self._tags or frozenset()

    def _look_at_limits(self) -> None:
        try:
            found = self._asking.ask(LimitsInForce(run_id=self._holder.run_id, attempt=self._holder.attempt))
        except errors.PenstockError as error:
            self._complain(
                f"The server did not say which tags have a concurrency limit, so none is waited for: {error.message}"
            )
            self._tags = self._tags or frozenset()
        else:
            self._tags = concurrency.limited_tags(found)
        finally:
            self._tags_until = self._clock.elapsed() + FRESH_SECONDS
            self._is_looking = False

    # Bookings.

    def book(self, wish: SlotWish, timeout: float | None) -> ServerBooking:
        booking = ServerBooking(self, self._clock.new_id(), wish)
        with self._changed:
            self._mine[booking.id] = booking
        try:
            self._take(booking, self.ask(self._request(booking), timeout))
        except BaseException:
            self.release(booking)
            raise
        return booking

    def ask(self, request: Any, timeout: float | None) -> Any:
        """Ask, and wait for a server that is away; when that takes longer than ``timeout``, raises what it raised."""
        deadline = None if timeout is None else self._clock.elapsed() + timeout
        while True:
            try:
                return self._asking.ask(request)
            except (errors.ServerUnreachable, errors.StoreError) as error:
                if deadline is not None and self._clock.elapsed() >= deadline:
                    raise
                self._complain(f"{error.message}. Slots are waited for until it is back")
                self._clock.sleep(PAUSE_SECONDS)
                self._look_again()

    def take_tokens(self, name: str, *, key: str, occupy: int, strict: bool, at_most: float | None) -> TokensTaken:
        request = TakeTokens(
            name=name,
            key=key,
            occupy=occupy,
            strict=strict,
            at_most_seconds=at_most,
            run_id=self._holder.run_id,
            attempt=self._holder.attempt,
        )
        return self.ask(request, at_most)

    def release(self, booking: ServerBooking) -> None:
        with self._changed:
            if self._mine.pop(booking.id, None) is None or self._is_closed:
                return
        if booking.needs_release:
            self._release(booking.id)

    def close(self) -> None:
        """Give everything back, as far as the server can be reached."""
        with self._changed:
            self._is_closed = True
            left = [*self._mine, *self._to_release]
            self._mine.clear()
            self._to_release.clear()
            self._changed.notify_all()
        for booking in left:
            try:
                self._releasing.ask(self._release_of(booking))
            except errors.PenstockError:
                break  # they end with the run, or when they are not renewed
        self._asking.http.end()
        self._releasing.http.end()
        if self._follower is not None:
            self._follower.join(RELEASE_SECONDS)

    def _request(self, booking: ServerBooking) -> BookSlots:
        wish = booking.wish
        return BookSlots(
            booking=booking.id,
            owner=self._owner,
            limits=wish.limits,
            key=wish.key,
            occupy=wish.occupy,
            strict=wish.strict,
            priority=wish.priority,
            run_id=self._holder.run_id,
            attempt=self._holder.attempt,
            task_run_id=wish.task_run_id,
            task_run_name=wish.task_run_name,
            who=self._holder.run_name or Holder.process(),
        )

    def _take(self, booking: ServerBooking, told: Booked) -> None:
        """What the server said becomes of a booking."""
        with self._changed:
            booking.take(told)
            if self._needs_follower() and not self._is_closed:
                if self._follower is None:
                    self._follower = threading.Thread(target=self._follow, name="penstock-slots", daemon=True)
                    self._follower.start()
                self._changed.notify_all()

    def _release_of(self, booking: str) -> ReleaseSlots:
        return ReleaseSlots(booking=booking, run_id=self._holder.run_id, attempt=self._holder.attempt)

    def _release(self, booking: str) -> bool:
        """Give it back; False if that could not be said, and is to be said later."""
        try:
            self._releasing.ask(self._release_of(booking))
        except errors.PenstockError:
            with self._changed:
                if booking not in self._to_release:
                    self._to_release.append(booking)
                self._changed.notify_all()
            self._look_again()
            return False
        return True

    # In the background.

    def _needs_follower(self) -> bool:
        """Whether somebody waits, or has slots that are lost unless they are renewed, or that are to be given back."""
        return bool(self._to_release) or any(
            not each.is_settled or (each.needs_release and not self._holder.is_directed) for each in self._mine.values()
        )

    def _follow(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_closed or self._needs_follower())
                if self._is_closed:
                    return
                waiting = tuple(each.id for each in self._mine.values() if each.was_told and not each.is_settled)
                held = tuple(each.id for each in self._mine.values() if each.is_settled and each.needs_release)
                to_release, self._to_release = self._to_release, []
            left = [booking for booking in to_release if not self._release(booking)]
            try:
                seconds = RENEW_SECONDS if waiting else 0.0
                request = RenewSlots(
                    owner=self._owner,
                    held=held,
                    waiting=waiting,
                    wait_seconds=seconds,
                    run_id=self._holder.run_id,
                    attempt=self._holder.attempt,
                )
                heard = self._asking.ask(request)
                left += [stand.booking for stand in heard if not self._hear(stand)]
            except errors.PenstockError:
                with self._changed:
                    self._changed.wait_for(lambda: self._is_closed, PAUSE_SECONDS)
                self._look_again()
                continue
            with self._changed:
                # Until what was heard is dealt with, the same question has the same answer at once.
                if left and not self._is_closed:
                    self._changed.wait(PAUSE_SECONDS)
                self._changed.wait_for(lambda heard=heard: self._is_closed or self._were_told(heard), PAUSE_SECONDS)
                if not waiting:
                    self._changed.wait_for(self._has_news, RENEW_SECONDS)

    def _were_told(self, heard: list[Stand]) -> bool:
        """Whether whoever has asked for one of these bookings has had the answer, which was on its way."""
        mine = (self._mine.get(stand.booking) for stand in heard)
        return all(booking is None or booking.was_told for booking in mine)

    def _has_news(self) -> bool:
        return (
            self._is_closed
            or bool(self._to_release)
            or any(each.was_told and not each.is_settled for each in self._mine.values())
        )

    def _hear(self, stand: Stand) -> bool:
        """Do what is to be done about a booking; False if there is nothing that can be, or it could not be done."""
        with self._changed:
            booking = self._mine.get(stand.booking)
        if booking is None:
            return self._release(stand.booking)
        if not booking.was_told:
            return True  # whoever has asked for it is about to hear
        if stand.standing == "held":
            if not booking.is_settled:
                self._take(booking, Booked(standing="held"))
        elif stand.standing == "gone":
            if booking.is_settled:
                booking.lose()
            else:
                self._book_again(booking)
        else:
            return not booking.is_settled
        return True

    def _book_again(self, booking: ServerBooking) -> None:
        """Its place among those who wait was lost: the limit was deleted, or the server forgot it."""
        try:
            self._take(booking, self._asking.ask(self._request(booking)))
        except (errors.ServerUnreachable, errors.StoreError):
            raise
        except errors.PenstockError as error:
            with self._changed:
                booking.fail(error)


class ServerBooking:
    """Slots of a server. See `core.ports.Booking`."""

    def __init__(self, mine: ServerBookings, id: str, wish: SlotWish) -> None:  # noqa: A002  it is one
        self.id = id
        self.wish = wish
        self.unknown: tuple[str, ...] = ()
        self.was_told = False
        """Whether the server has said what became of it."""
        self._mine = mine
        self._settled = Waitable()
        self._standing: str = "waiting"
        self._obstacles: tuple[Obstacle, ...] = ()
        self._error: errors.PenstockError | None = None

    @property
    def is_held(self) -> bool:
        return self._standing != "waiting"

    @property
    def is_settled(self) -> bool:
        """Whether nothing is waited for any more."""
        return self._settled.done()

    @property
    def needs_release(self) -> bool:
        """Whether the server knows of it, or may."""
        return not self.was_told or self._standing != "free"

    def about(self) -> str:
        return concurrency.about_waiting(self._obstacles)

    def take(self, told: Booked) -> None:
        """The server has said what becomes of it."""
        self.was_told = True
        self.unknown = told.unknown
        self._obstacles = told.obstacles
        self._standing = told.standing
        if self.is_held:
            self._settled.finish()

    def lose(self) -> None:
        """The server knows it no more: the limit was reset, or deleted. Whoever has had the slots goes on."""
        self._standing = "free"

    def fail(self, error: errors.PenstockError) -> None:
        """It will never have slots: whoever waits for it is raised this."""
        self._error = error
        self._settled.finish()

    def wait(self, timeout: float | None = None) -> bool:
        if not self._settled.done():
            gate = threading.Lock()
            gate.acquire()
            self._settled.when_done(gate.release)
            gate.acquire(timeout=-1 if timeout is None else max(timeout, 0))
        return self._outcome()

    async def wait_async(self, timeout: float | None = None) -> bool:
        await self._settled.wait_async(timeout)
        return self._outcome()

    def release(self) -> None:
        self._mine.release(self)

    async def release_async(self) -> None:
        await in_thread(self.release)

    def _outcome(self) -> bool:
        if self._error is not None:
            raise self._error
        return self.is_held
