"""``with concurrency("db"):`` and ``rate_limit("api")``: code that takes its turn."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from penstock import errors
from penstock.core import states
from penstock.core.concurrency import SlotWish
from penstock.engine import moves, slots
from penstock.engine.context import current, is_own_process
from penstock.engine.effects import aside
from penstock.engine.runs import FlowRun, TaskRun
from penstock.sdk import runs, visualize
from penstock.sdk.bookings import Bookings, FreeBooking
from penstock.sdk.event_loops import in_thread
from penstock.sdk.holders import Holder

if TYPE_CHECKING:
    from types import TracebackType

    from penstock.core.ports import Booking


class concurrency:  # noqa: N801  used as a function, and named as Prefect's
    """Hold slots of concurrency limits while the block is executed: ``with concurrency("db", occupy=2):``.

    ``async with`` works as well. Of several limits, ``concurrency(["db", "api"])``, all slots are had at once or none.
    With a ``key``, each key has slots of its own. Whoever waits is let in by ``priority`` (a lower number first; by
    default that of the run), then in the order of arrival. Raises `TimedOut` when it takes longer than
    ``timeout_seconds``. Limits that do not exist limit nothing, unless ``strict``: then `NotFound` is raised.

    The slots are free again at the end of the block, and also when the process dies within it.
    """

    def __init__(
        self,
        names: str | Iterable[str],
        occupy: int = 1,
        *,
        timeout_seconds: float | None = None,
        strict: bool = False,
        key: object = "",
        priority: int | None = None,
    ) -> None:
        self._names = _several(names)
        self._wish = SlotWish(self._names, str(key), occupy, strict, priority)
        self._timeout_seconds = timeout_seconds
        self._held: list[Booking] = []

    def __enter__(self) -> Self:
        here = _Here.find()
        deadline = here.deadline(self._timeout_seconds)
        booking = here.bookings.book(here.signed(self._wish), self._timeout_seconds)
        if not booking.is_held:
            try:
                with here.shown(booking.about()):
                    self._check(slots.InLine(booking).wait(here.left(deadline)), booking)
            except BaseException:
                booking.release()
                raise
        self._held.append(booking)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._held.pop().release()

    async def __aenter__(self) -> Self:
        here = _Here.find()
        deadline = here.deadline(self._timeout_seconds)
        booking = await here.bookings.book_async(here.signed(self._wish), self._timeout_seconds)
        if not booking.is_held:
            try:
                with here.shown(booking.about()):
                    self._check(await booking.wait_async(here.left(deadline)), booking)
            except BaseException:
                booking.release()
                raise
        self._held.append(booking)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._held.pop().release_async()

    def _check(self, is_held: bool, booking: Booking) -> None:  # noqa: FBT001  an answer
        if not is_held:
            names = "`, `".join(self._names)
            raise errors.TimedOut(
                f"No slot was free within {self._timeout_seconds:g} seconds. {booking.about()}",
                hint=f"`penstock concurrency-limit inspect` shows who holds slots of `{names}`",
            )


def rate_limit(
    names: str | Iterable[str],
    occupy: int = 1,
    *,
    timeout_seconds: float | None = None,
    strict: bool = False,
    key: object = "",
) -> None:
    """Wait until the rate limit has ``occupy`` slots, and take them; they become free again with time.

    A limit of 10 slots with ``slot_decay_per_second`` 2 lets 10 through at once, and then 2 a second, in the order of
    their coming. Raises `TimedOut`, at once and taking nothing, when it would take longer than ``timeout_seconds``.
    """
    here = _Here.find()
    seconds = here.take_tokens(_several(names), occupy, timeout_seconds, strict=strict, key=str(key))
    if seconds > 0:
        with here.shown(_about_rate(names, seconds)), aside():
            here.clock.sleep(seconds)


async def rate_limit_async(
    names: str | Iterable[str],
    occupy: int = 1,
    *,
    timeout_seconds: float | None = None,
    strict: bool = False,
    key: object = "",
) -> None:
    """As `rate_limit`, letting other coroutines run."""
    here = _Here.find()
    seconds = await in_thread(
        lambda: here.take_tokens(_several(names), occupy, timeout_seconds, strict=strict, key=str(key))
    )
    if seconds > 0:
        with here.shown(_about_rate(names, seconds)):
            await here.clock.sleep_async(seconds)


class _Here:
    """The run that asks, if one does, and whom it asks."""

    def __init__(self, run: FlowRun | TaskRun | None, bookings: Any, clock: Any) -> None:
        self._run = run
        self.bookings = bookings
        self.clock = clock

    @classmethod
    def find(cls) -> _Here:
        run: Any = current()
        if run is not None and is_own_process(run) and run.attempt.slots is not None:
            return cls(run, run.attempt.slots, run.attempt.clock)
        if run is None and visualize.is_drawing():
            return cls(None, _Unlimited(), runs.environment().clock)
        here = runs.environment()
        return cls(None, _of_process(here), here.clock)

    def signed(self, wish: SlotWish) -> SlotWish:
        if isinstance(self._run, TaskRun):
            return wish._replace(task_run_id=self._run.id, task_run_name=self._run.name)
        return wish

    def deadline(self, timeout_seconds: float | None) -> float | None:
        return None if timeout_seconds is None else self.clock.elapsed() + timeout_seconds

    def left(self, deadline: float | None) -> float | None:
        return None if deadline is None else max(0.0, deadline - self.clock.elapsed())

    def take_tokens(
        self, names: tuple[str, ...], occupy: int, timeout_seconds: float | None, *, strict: bool, key: str
    ) -> float:
        longest = 0.0
        for name in names:
            seconds = self.bookings.take_tokens(name, key=key, occupy=occupy, strict=strict, at_most=timeout_seconds)
            if seconds is None:
                raise errors.TimedOut(
                    f"Nothing comes through the rate limit `{name}` within {timeout_seconds:g} seconds"
                )
            longest = max(longest, seconds)
        return longest

    @contextmanager
    def shown(self, message: str) -> Generator[None]:
        """Held while the run waits: its state says so."""
        run = self._run
        if run is None:
            yield
            return
        with moves.shown(run, states.AwaitingConcurrencySlot(message, began=True)):
            yield


class _Unlimited:
    """Where a flow is only drawn."""

    def book(self, *_: Any) -> FreeBooking:
        return FreeBooking()

    async def book_async(self, *_: Any) -> FreeBooking:
        return FreeBooking()

    def take_tokens(self, *_: Any, **__: Any) -> float:
        return 0.0


_processes: dict[tuple[int, str, str | None], Bookings] = {}
"""Bookings of code outside of any run, by process, home and server."""


def _of_process(here: runs.Environment) -> Bookings:
    key = (os.getpid(), str(here.settings.home), here.settings.api_url)
    known = _processes.get(key)
    if known is None:
        import atexit  # noqa: PLC0415  only where there is something to give back

        known = _processes.setdefault(key, Bookings(here.settings, here.clock, Holder()))
        atexit.register(known.close)
    return known


def _several(names: str | Iterable[Any]) -> tuple[str, ...]:
    found: tuple[Any, ...] = (names,) if isinstance(names, str) else tuple(dict.fromkeys(names))
    if not found or not all(isinstance(name, str) and name for name in found):
        raise errors.UsageError(f"A concurrency limit is named by a text, or several by a list of them: `{names!r}`")
    return found


def _about_rate(names: str | Iterable[str], seconds: float) -> str:
    return f"Waits {seconds:.3g} s for the rate limit `{'`, `'.join(_several(names))}`"
