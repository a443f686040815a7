"""The slots of a store against a model of them, through all that may happen to their holders."""

from __future__ import annotations

from typing import Any, NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.orchestration.plant import Plant

from penstock import errors
from penstock.core.concurrency import Place
from penstock.core.operations import concurrency_limits as ask
from penstock.core.work import LEASE_SECONDS, ExitReason
from penstock.store.sqlite import SqliteStore
from penstock.testing import FakeClock

LIMITS = ("api", "db", "disk")
KEYS = ("", "ada")

STEP_SECONDS = 4.0
"""Between two looks at leases: were it longer than a holiday begins, the time would not count."""
STEPS = int(LEASE_SECONDS / STEP_SECONDS) + 2


class Booking(NamedTuple):
    """What was asked for."""

    id: str
    order: tuple[int, int]
    wants: dict[Place, int]
    run: str | None
    owner: str


class Model:
    """Bookings in the order of their turn; who is let in follows from walking along them."""

    def __init__(self) -> None:
        self.limits: dict[str, int] = {}
        self.waiting: list[Booking] = []
        self.held: list[Booking] = []

    def used(self, place: Place) -> int:
        return sum(each.wants.get(place, 0) for each in self.held)

    def settle(self) -> None:
        """Nobody is passed by: whoever does not fit holds up all who want the same, and come later."""
        blocked: set[Place] = set()
        for each in sorted(self.waiting, key=lambda booking: booking.order):
            fits = all(count <= self.limits[place.limit] - self.used(place) for place, count in each.wants.items())
            if fits and blocked.isdisjoint(each.wants):
                self.waiting.remove(each)
                self.held.append(each)
            else:
                blocked |= each.wants.keys()

    def end(self, *ended: Booking) -> None:
        self.held = [each for each in self.held if each not in ended]
        self.waiting = [each for each in self.waiting if each not in ended]
        self.settle()

    @property
    def bookings(self) -> list[Booking]:
        return self.held + self.waiting


class Slots(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.store = SqliteStore.in_memory(self.clock)
        self.plant = Plant(self.store)
        self.plant.deploy(on_crash="fail")
        self.plant.start_worker()
        self.model = Model()
        self.runs: list[str] = []
        self.number = 0

    @rule(name=st.sampled_from(LIMITS), limit=st.integers(0, 3))
    def change_a_limit(self, name: str, limit: int) -> None:
        self.plant.ask(ask.CreateConcurrencyLimit(name=name, limit=limit, overwrite=True))
        self.model.limits[name] = limit
        if limit:
            for each in self.model.waiting:
                each.wants.update({place: min(n, limit) for place, n in each.wants.items() if place.limit == name})
        self.model.settle()

    @rule()
    def begin_a_run(self) -> None:
        self.plant.create()
        self.runs += [each.run_id for each in self.plant.claim()]

    @precondition(lambda self: self.model.limits)
    @rule(data=st.data(), occupy=st.integers(1, 2), priority=st.integers(-1, 1), key=st.sampled_from(KEYS))
    def book(self, data: Any, occupy: int, priority: int, key: str) -> None:
        names = data.draw(st.sets(st.sampled_from(sorted(self.model.limits)), min_size=1))
        run = data.draw(st.sampled_from([None, *self.runs]))
        owner = data.draw(st.sampled_from(("p1", "p2")))
        self.number += 1
        booking = f"booking-{self.number:04}"
        self.clock.advance(0.001)
        request = ask.BookSlots(
            booking=booking,
            owner=owner if run is None else run,
            limits=tuple(names),
            key=key,
            occupy=occupy,
            priority=priority,
            run_id=run,
            attempt=1,
        )
        if any(occupy > self.model.limits[name] > 0 for name in names):
            try:
                self.plant.ask(request)
            except errors.UsageError:
                return
            raise AssertionError("more than there ever is was not refused")
        wants = {Place(name, key): occupy for name in names}
        self.model.waiting.append(Booking(booking, (priority, self.number), wants, run, owner))
        self.model.settle()
        told = self.plant.ask(request).standing
        assert told == ("held" if booking in {each.id for each in self.model.held} else "waiting")
        assert self.plant.ask(request).standing == told, "asking again changes nothing"

    @precondition(lambda self: self.model.bookings)
    @rule(data=st.data())
    def release(self, data: Any) -> None:
        booking = data.draw(st.sampled_from(self.model.bookings))
        for _ in range(2):
            self.plant.ask(ask.ReleaseSlots(booking=booking.id))
        self.model.end(booking)

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def end_a_run(self, data: Any) -> None:
        run = data.draw(st.sampled_from(self.runs))
        self.runs.remove(run)
        self.plant.exit(run, 1, ExitReason.CRASHED)
        self.model.end(*[each for each in self.model.bookings if each.run == run])

    @rule(survivor=st.sampled_from(("p1", "p2", "")))
    def let_processes_die(self, survivor: str) -> None:
        for _ in range(STEPS):
            self.clock.advance(STEP_SECONDS)
            self.plant.ask(ask.RenewSlots(owner=survivor))
            self.plant.heartbeat("w1", *[(run, 1) for run in self.runs])
            self.plant.rescue()
        self.model.end(*[each for each in self.model.bookings if each.run is None and each.owner != survivor])

    @precondition(lambda self: self.model.limits)
    @rule(data=st.data())
    def reset_a_limit(self, data: Any) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.limits)))
        self.plant.ask(ask.ResetConcurrencyLimit(name=name))
        for each in self.model.held:
            for place in [place for place in each.wants if place.limit == name]:
                del each.wants[place]
        self.model.held = [each for each in self.model.held if each.wants]
        self.model.settle()

    @invariant()
    def the_store_says_what_the_model_says(self) -> None:
        found: dict[bool, set[str]] = {True: set(), False: set()}
        for name, limit in self.model.limits.items():
            used = self.plant.ask(ask.GetConcurrencyLimit(name=name))
            for each in used.holders + used.waiting:
                found[each.is_held].add(each.booking)
            assert 0 <= used.limit.held == sum(self.model.used(Place(name, key)) for key in KEYS)
            assert used.limit.limit == limit
        assert found[True] == {each.id for each in self.model.held}
        assert found[False] == {each.id for each in self.model.waiting}

    def teardown(self) -> None:
        for name in self.model.limits:
            self.plant.ask(ask.UpdateConcurrencyLimit(name=name, limit=9))
        for run in self.runs:
            self.plant.exit(run, 1, ExitReason.CRASHED)
        for _ in range(STEPS):
            self.clock.advance(STEP_SECONDS)
            self.plant.rescue()
        with self.store.reading() as tx:
            assert tx.concurrency_limits.counts() == {}, "when all holders are gone, all slots are free"
        self.store.close()


TestSlots = Slots.TestCase
TestSlots.settings = settings(max_examples=25, stateful_step_count=30)
