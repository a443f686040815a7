from __future__ import annotations

import pytest

from penstock import errors
from penstock.sdk.fake_clock import FakeClock
from penstock.store import again


@pytest.mark.parametrize("kind", [errors.TransactionConflict, errors.StoreUnreachable])
def test_what_left_nothing_behind_is_tried_again_with_longer_and_longer_pauses(kind: type[errors.StoreError]):
    clock = FakeClock()
    left = [kind("again")] * 4

    def attempt() -> str:
        if left:
            raise left.pop()
        return "done"

    assert again.until_done(attempt, clock) == "done"
    assert len(clock.sleeps) == 4
    assert clock.sleeps[0] < clock.sleeps[-1] <= 1.5 * again.LONGEST_PAUSE_SECONDS


@pytest.mark.parametrize(
    ("kind", "seconds", "limit"),
    [
        (errors.TransactionConflict, 0, again.CONFLICT_SECONDS),
        (errors.TransactionConflict, 4, again.CONFLICT_SECONDS),
        (errors.StoreUnreachable, 0.5, again.AGAIN_SECONDS),
    ],
)
def test_trying_again_has_an_end(kind: type[errors.StoreError], seconds: float, limit: float):
    clock = FakeClock()
    tries: list[float] = []

    def attempt() -> None:
        tries.append(clock.elapsed())
        clock.advance(seconds)
        raise kind("again")

    with pytest.raises(kind):
        again.until_done(attempt, clock)
    assert 3 <= len(tries) <= again.MAX_TRIES
    assert tries[-1] <= limit


def test_a_database_that_takes_long_to_say_no_is_not_asked_twice():
    clock = FakeClock()
    tries: list[float] = []

    def attempt() -> None:
        tries.append(clock.elapsed())
        clock.advance(again.AGAIN_SECONDS)
        raise errors.StoreUnreachable("no")

    with pytest.raises(errors.StoreUnreachable):
        again.until_done(attempt, clock)
    assert len(tries) == 1


def test_an_outage_that_follows_slow_conflicts_is_waited_out_like_any_other():
    clock = FakeClock()
    left: list[errors.StoreError] = [errors.StoreUnreachable("no"), *[errors.TransactionConflict("no")] * 2]

    def attempt() -> str:
        if not left:
            return "done"
        error = left.pop()
        if isinstance(error, errors.TransactionConflict):
            clock.advance(again.AGAIN_SECONDS)
        raise error

    assert again.until_done(attempt, clock) == "done"


@pytest.mark.parametrize("error", [errors.UnknownOutcome("?"), errors.StoreError("no"), ZeroDivisionError()])
def test_what_may_have_been_kept_and_what_cannot_succeed_is_not_tried_again(error: Exception):
    clock = FakeClock()

    def attempt() -> None:
        raise error

    with pytest.raises(type(error)):
        again.until_done(attempt, clock)
    assert clock.sleeps == []
