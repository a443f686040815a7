from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.orchestration.plant import Plant

from penstock import errors
from penstock.core.concurrency import Place, about_waiting
from penstock.core.operations import concurrency_limits as ask
from penstock.core.work import HOLIDAY_SECONDS, LEASE_SECONDS, ExitReason
from penstock.store.interface import Store
from penstock.store.sqlite import SqliteStore
from penstock.testing import FakeClock

STEP_SECONDS = HOLIDAY_SECONDS - 1
"""Between two looks at leases: time that is longer than a holiday does not count."""
STEPS = int(LEASE_SECONDS / STEP_SECONDS) + 2


@pytest.fixture
def plant(either_store: Store) -> Plant:
    """With the limit `db` of one slot."""
    return with_limits(either_store)


@pytest.fixture
def timed(clock: FakeClock) -> Iterator[Plant]:
    """The same, where the test moves the time."""
    with SqliteStore.in_memory(clock) as store:
        yield with_limits(store)


def with_limits(store: Store) -> Plant:
    plant = Plant(store)
    plant.deploy()
    plant.start_worker()
    plant.ask(ask.CreateConcurrencyLimit(name="db", limit=1))
    return plant


def book(plant: Plant, booking: str, *limits: str, **options: Any) -> str:
    given = {"owner": "p1", "limits": limits or ("db",), **options}
    return plant.ask(ask.BookSlots(booking=booking, **given)).standing


def release(plant: Plant, booking: str, **options: Any) -> None:
    plant.ask(ask.ReleaseSlots(booking=booking, **options))


def holders(plant: Plant, name: str = "db") -> list[str]:
    return [each.booking for each in plant.ask(ask.GetConcurrencyLimit(name=name)).holders]


def waiting(plant: Plant, name: str = "db") -> list[str]:
    return [each.booking for each in plant.ask(ask.GetConcurrencyLimit(name=name)).waiting]


def start_run(plant: Plant, **options: Any) -> str:
    plant.create(**options)
    (claim,) = plant.claim()
    return claim.run_id


# ── taking turns ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_slots_are_had_by_priority_then_in_the_order_of_arrival(plant: Plant):
    for booking, priority in (("a", 0), ("b", 0), ("c", 0), ("urgent", -1)):
        book(plant, booking, priority=priority)
    order: list[str] = []
    while now_held := holders(plant):
        order += now_held
        release(plant, now_held[0])

    assert order == ["a", "urgent", "b", "c"]


def test_a_booking_of_several_limits_has_all_of_them_or_none(plant: Plant):
    plant.ask(ask.CreateConcurrencyLimit(name="api", limit=1))
    book(plant, "a", "db")

    assert book(plant, "both", "db", "api") == "waiting"
    assert holders(plant, "api") == []
    assert book(plant, "late", "api") == "waiting", "nobody is passed by"
    release(plant, "a")
    assert (holders(plant, "db"), holders(plant, "api")) == (["both"], ["both"])
    release(plant, "both")
    assert holders(plant, "api") == ["late"]


def test_each_key_has_slots_of_its_own(plant: Plant):
    assert book(plant, "a", key="ada") == "held"
    assert book(plant, "b", key="bob") == "held"
    assert book(plant, "c", key="ada") == "waiting"


def test_what_nobody_limits_is_free_and_told_as_unknown(plant: Plant):
    told = plant.ask(ask.BookSlots(booking="a", owner="p1", limits=("nothing", "db")))
    free = plant.ask(ask.BookSlots(booking="b", owner="p1", limits=("nothing",)))

    assert (told.standing, told.unknown) == ("held", ("nothing",))
    assert (free.standing, free.unknown) == ("free", ("nothing",))
    with pytest.raises(errors.NotFound, match="There is no concurrency limit: `dbb`") as caught:
        book(plant, "c", "dbb", strict=True)
    assert caught.value.hint == "did you mean `db`?"


def test_a_limit_that_is_not_active_holds_up_nobody_until_it_is(plant: Plant):
    plant.ask(ask.UpdateConcurrencyLimit(name="db", limit=0))
    book(plant, "a")
    plant.ask(ask.UpdateConcurrencyLimit(name="db", active=False))

    assert holders(plant) == ["a"]
    assert book(plant, "b", strict=True) == "free"
    plant.ask(ask.UpdateConcurrencyLimit(name="db", active=True))
    assert book(plant, "c") == "waiting"


def test_a_limit_that_is_raised_lets_in_who_waits(plant: Plant):
    for booking in "abc":
        book(plant, booking)
    plant.ask(ask.UpdateConcurrencyLimit(name="db", limit=2))

    assert (holders(plant), waiting(plant)) == (["a", "b"], ["c"])


def test_who_wants_more_than_there_are_any_more_gets_all_there_are(plant: Plant):
    plant.ask(ask.UpdateConcurrencyLimit(name="db", limit=3))
    book(plant, "a", occupy=2)
    book(plant, "b", occupy=3)
    plant.ask(ask.UpdateConcurrencyLimit(name="db", limit=1))
    release(plant, "a")

    assert holders(plant) == ["b"]


def test_a_limit_that_is_deleted_or_reset_lets_everybody_go_on(plant: Plant):
    plant.ask(ask.CreateConcurrencyLimit(name="api", limit=1))
    book(plant, "a")
    book(plant, "both", "db", "api")
    book(plant, "b")
    plant.ask(ask.ResetConcurrencyLimit(name="db"))
    after_reset = holders(plant)
    plant.ask(ask.DeleteConcurrencyLimit(name="db"))

    assert after_reset == ["both"]
    assert holders(plant, "api") == ["both"]
    gone = plant.ask(ask.RenewSlots(owner="p1", waiting=("b",), held=("both",)))
    assert [(each.booking, each.standing) for each in gone] == [("b", "gone")]


def test_a_limit_is_found_by_its_tag_too(plant: Plant):
    plant.ask(ask.CreateConcurrencyLimit(name="tag:etl", limit=1))

    assert plant.ask(ask.GetConcurrencyLimit(name="etl")).limit.tag == "etl"
    assert plant.ask(ask.GetConcurrencyLimit(name="tag:etl")).limit.name == "tag:etl"


def test_a_limit_is_made_once_unless_it_is_to_be_overwritten(plant: Plant):
    with pytest.raises(errors.AlreadyExists, match="`db`"):
        plant.ask(ask.CreateConcurrencyLimit(name="db", limit=5))

    assert plant.ask(ask.CreateConcurrencyLimit(name="db", limit=5, overwrite=True)).limit == 5


def test_the_limits_in_force_are_those_that_are_active(plant: Plant):
    plant.ask(ask.CreateConcurrencyLimit(name="tag:off", limit=1, active=False))

    assert [each.name for each in plant.ask(ask.LimitsInForce())] == ["db"]
    assert [each.name for each in plant.ask(ask.ListConcurrencyLimits())] == ["db", "tag:off"]


# ── who lives ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_slots_of_a_run_are_free_as_soon_as_its_exit_is_reported(plant: Plant):
    run = start_run(plant)
    book(plant, "a", run_id=run, attempt=1, owner=run)
    book(plant, "its own other", run_id=run, attempt=1, owner=run)
    book(plant, "b", owner="p2")
    plant.exit(run, 1, ExitReason.CRASHED)

    assert (holders(plant), waiting(plant)) == (["b"], [])


def test_the_slots_of_a_run_are_free_when_its_lease_is_over(timed: Plant, clock: FakeClock):
    run = start_run(timed)
    book(timed, "a", run_id=run, attempt=1, owner=run)
    book(timed, "b", owner="p2")
    timed.rescue()
    for _ in range(STEPS):
        clock.advance(STEP_SECONDS)
        timed.ask(ask.RenewSlots(owner="p2", waiting=("b",)))
        timed.rescue()

    assert holders(timed) == ["b"]


def test_a_process_that_renews_keeps_its_slots_and_one_that_does_not_loses_them(timed: Plant, clock: FakeClock):
    timed.ask(ask.UpdateConcurrencyLimit(name="db", limit=2))
    book(timed, "a", owner="p1")
    book(timed, "b", owner="p2")
    book(timed, "c", owner="p1")
    timed.rescue()
    told: list[ask.Stand] = []
    released = 0
    for _ in range(STEPS):
        clock.advance(STEP_SECONDS)
        told += timed.ask(ask.RenewSlots(owner="p1", held=("a",), waiting=("c",)))
        released += timed.rescue().released

    assert released == 1
    assert {(each.booking, each.standing) for each in told} <= {("c", "held")}
    assert holders(timed) == ["a", "c"]
    assert [each.standing for each in timed.ask(ask.RenewSlots(owner="p2", held=("b",)))] == ["gone"]


def test_an_outage_of_the_server_costs_nobody_their_slots(timed: Plant, clock: FakeClock):
    book(timed, "a")
    timed.rescue()
    clock.advance(600)
    timed.rescue()

    assert holders(timed) == ["a"]


def test_an_attempt_that_is_over_gets_no_slots(plant: Plant):
    run = start_run(plant)
    plant.exit(run, 1, ExitReason.DRAINED)

    with pytest.raises(errors.AlreadyEnded, match="Attempt 1 of the run is over"):
        book(plant, "a", run_id=run, attempt=1)


def test_a_run_has_a_say_about_its_own_bookings_only(plant: Plant):
    run = start_run(plant)
    book(plant, "a", owner="p1")
    release(plant, "a", run_id=run, attempt=1)

    assert holders(plant) == ["a"]
    assert plant.ask(ask.RenewSlots(owner="p1", run_id=run, attempt=1)) == []
    with pytest.raises(errors.AlreadyExists):
        book(plant, "a", run_id=run, attempt=1)


def test_a_run_waits_with_its_own_priority(plant: Plant):
    book(plant, "first")
    for name, priority in (("slow", 5), ("fast", -5)):
        run = start_run(plant, priority=priority)
        book(plant, name, run_id=run, attempt=1, owner=run)

    assert waiting(plant) == ["fast", "slow"]


def test_whoever_waits_is_told_of_changes_only(plant: Plant):
    book(plant, "a", owner="p1")
    book(plant, "b", owner="p2")
    book(plant, "c", owner="p2")

    quiet = plant.ask(ask.RenewSlots(owner="p2", waiting=("b", "c")))
    newer = plant.ask(ask.RenewSlots(owner="p2", waiting=("b",)))
    release(plant, "a")
    told = plant.ask(ask.RenewSlots(owner="p2", waiting=("b", "c")))

    assert quiet == []
    assert [(each.booking, each.standing) for each in newer] == [("c", "waiting")]
    assert [(each.booking, each.standing) for each in told] == [("b", "held")]


def test_the_process_whose_turn_it_is_is_woken(plant: Plant):
    topics: set[str] = set()
    heard = threading.Event()

    def hear(told: frozenset[str]) -> None:
        topics.update(told)
        heard.set()

    book(plant, "a", owner="p1")
    book(plant, "b", owner="p2")
    stop = plant.store.subscribe(hear)
    release(plant, "a")
    stop()

    assert heard.is_set()
    assert "slots:p2" in topics


def test_what_is_waited_for_is_told_with_the_run_that_holds_it(plant: Plant):
    run = start_run(plant, name="otter")
    book(plant, "a", run_id=run, attempt=1, owner=run, task_run_id="t", task_run_name="load-0")
    told = plant.ask(ask.BookSlots(booking="b", owner="p2", limits=("db",)))

    sentence = about_waiting(told.obstacles)
    assert sentence.startswith("Waits for a slot of `db`, held by run `otter` (task `load-0`) since ")


def test_slots_are_never_over_their_limit_however_many_ask_at_once(plant: Plant):
    plant.ask(ask.UpdateConcurrencyLimit(name="db", limit=3))
    plant.ask(ask.CreateConcurrencyLimit(name="api", limit=2))
    most = Counter[str]()
    lock = threading.Lock()

    def work(number: int) -> None:
        limits = (("db",), ("api",), ("api", "db"))[number % 3]
        booking = f"b{number:03}"
        standing = book(plant, booking, *limits, owner=booking)
        while standing != "held":
            standing = book(plant, booking, *limits, owner=booking)
        with lock:
            for name in ("db", "api"):
                most[name] = max(most[name], plant.ask(ask.GetConcurrencyLimit(name=name)).limit.held)
        release(plant, booking)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(36)))

    assert most["db"] <= 3
    assert most["api"] <= 2
    assert [each.held + each.waiting for each in plant.ask(ask.ListConcurrencyLimits())] == [0, 0]


# ── rates ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_rate_limit_gives_its_burst_and_then_one_after_the_other(timed: Plant, clock: FakeClock):
    timed.ask(ask.CreateConcurrencyLimit(name="api", limit=2, slot_decay_per_second=0.5))

    waits = [round(timed.ask(ask.TakeTokens(name="api")).wait_seconds, 3) for _ in range(4)]
    other = timed.ask(ask.TakeTokens(name="api", key="ada")).wait_seconds
    clock.advance(60)
    rested = timed.ask(ask.TakeTokens(name="api", occupy=2)).wait_seconds

    assert waits == pytest.approx([0, 0, 2, 4], abs=0.01)
    assert (other, rested) == (0, 0)


def test_tokens_that_would_come_too_late_are_not_taken(timed: Plant):
    timed.ask(ask.CreateConcurrencyLimit(name="api", limit=1, slot_decay_per_second=0.1))
    timed.ask(ask.TakeTokens(name="api"))

    late = timed.ask(ask.TakeTokens(name="api", at_most_seconds=5))
    patient = timed.ask(ask.TakeTokens(name="api", at_most_seconds=11))

    assert (late.is_taken, round(late.wait_seconds)) == (False, 10)
    assert (patient.is_taken, round(patient.wait_seconds)) == (True, 10)


def test_a_rate_that_nobody_limits_is_free(plant: Plant):
    assert not plant.ask(ask.TakeTokens(name="nothing")).is_known
    with pytest.raises(errors.NotFound):
        plant.ask(ask.TakeTokens(name="nothing", strict=True))
    with pytest.raises(errors.UsageError, match="is no rate limit"):
        plant.ask(ask.TakeTokens(name="db"))


def test_buckets_that_are_full_again_are_not_kept(timed: Plant, clock: FakeClock):
    timed.ask(ask.CreateConcurrencyLimit(name="api", limit=1, slot_decay_per_second=1))
    timed.ask(ask.TakeTokens(name="api", key="ada"))
    clock.advance(9)
    timed.rescue()

    with timed.store.reading() as tx:
        assert tx.concurrency_limits.bucket(Place("api", "ada")) is None
