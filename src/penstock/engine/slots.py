"""Task runs that are held by the concurrency limits of their tags."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from penstock.core import states
from penstock.core.concurrency import SlotWish
from penstock.engine import leases, moves
from penstock.engine.effects import Effect, WaitFor, aside
from penstock.engine.runs import TaskRun

if TYPE_CHECKING:
    from penstock.core.ports import Booking, Slots


def hold(run: TaskRun) -> Generator[Effect, Any, Booking | None]:
    """Have the slots that the tags of a task run need; None if they need none. Waits for them."""
    slots = run.attempt.slots
    names = slots.of_tags(run.tags) if slots is not None else ()
    if slots is None or not names:
        return None
    asked = _Asked(slots, SlotWish(names, task_run_id=run.id, task_run_name=run.name))
    yield WaitFor(asked)
    booking = asked.booking
    assert booking is not None
    try:
        if not booking.is_held:
            moves.move(run, states.AwaitingConcurrencySlot(booking.about()))
            yield WaitFor(InLine(booking))
            lease = run.attempt.lease
            if lease is not None and not lease.holds():
                yield from leases.wait(run, lease)
            moves.move(run, moves.under_way(run))
            if run.spec.on_interrupt == "fail":
                run.attempt.journal.sync()
    except BaseException:
        booking.release()
        raise
    return booking


class _Asked:
    """A question for slots, as drivers wait for its answer."""

    def __init__(self, slots: Slots, wish: SlotWish) -> None:
        self._slots = slots
        self._wish = wish
        self.booking: Booking | None = None

    def wait(self) -> None:
        self.booking = self._slots.book(self._wish)

    async def wait_async(self) -> None:
        self.booking = await self._slots.book_async(self._wish)


class InLine:
    """A booking that waits, as drivers wait for it: a worker whose thread waits is replaced meanwhile."""

    def __init__(self, booking: Booking) -> None:
        self._booking = booking

    def wait(self, timeout: float | None = None) -> bool:
        with aside():
            return self._booking.wait(timeout)

    async def wait_async(self, timeout: float | None = None) -> bool:
        return await self._booking.wait_async(timeout)
