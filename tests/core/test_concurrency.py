from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import errors
from penstock.core.concurrency import (
    Bucket,
    ConcurrencyLimit,
    Obstacle,
    Place,
    SlotHolder,
    Want,
    about_waiting,
    check_limit,
    check_slots,
    may_enter,
    rate_of,
    take_tokens,
    wants_of,
)

DB, API = Place("db"), Place("api")
NOON = 12 * 3600 * 1_000_000


def test_whoever_is_first_everywhere_and_fits_everywhere_gets_in():
    wants = [Want(DB, 2), Want(API, 1)]
    first = {DB: "mine", API: "mine"}

    assert may_enter("mine", wants, first=first.get, room={DB: 2, API: 1}.__getitem__)
    assert not may_enter("mine", wants, first=first.get, room={DB: 1, API: 9}.__getitem__)
    assert not may_enter("mine", wants, first={DB: "mine", API: "other"}.get, room={DB: 2, API: 1}.__getitem__)


def test_slots_are_wanted_of_each_limit_by_name():
    limits = [ConcurrencyLimit(name="db", limit=3), ConcurrencyLimit(name="api", limit=2)]

    assert wants_of(limits, "ada", 2) == [Want(Place("api", "ada"), 2), Want(Place("db", "ada"), 2)]


def test_more_slots_than_there_are_can_never_be_had():
    with pytest.raises(errors.UsageError, match="`db` has 2 slots, so 3 can never be had"):
        wants_of([ConcurrencyLimit(name="db", limit=2)], "", 3)


def test_a_limit_of_none_is_waited_for_all_the_same():
    assert wants_of([ConcurrencyLimit(name="db", limit=0)], "", 3) == [Want(DB, 3)]


@pytest.mark.parametrize("occupy", [0, -1, 1_000_001, True])
def test_a_number_of_slots_is_one_or_more(occupy: int):
    with pytest.raises(errors.UsageError, match="`occupy` is 1 to 1000000"):
        check_slots(occupy)


@pytest.mark.parametrize(
    ("name", "limit", "decay"),
    [("", 1, 0), (" db", 1, 0), ("a\nb", 1, 0), ("tag:", 1, 0), ("db", -1, 0), ("db", 1, -1)],
)
def test_what_cannot_be_a_limit_is_refused(name: str, limit: int, decay: float):
    with pytest.raises(errors.UsageError):
        check_limit(name, limit, decay)


def test_a_bucket_gives_all_it_has_at_once_and_then_one_after_the_other():
    bucket: Bucket | None = None
    waits: list[int] = []
    for _ in range(5):
        bucket, wait = take_tokens(bucket, now=NOON, tokens=1, capacity=3, per_second=2)
        waits.append(wait)

    assert waits == [0, 0, 0, 500_000, 1_000_000]


def test_tokens_come_back_with_time_up_to_the_capacity():
    bucket, _ = take_tokens(None, now=NOON, tokens=3, capacity=3, per_second=2)
    later = NOON + 60_000_000
    waits: list[int] = []
    for _ in range(4):
        bucket, wait = take_tokens(bucket, now=later, tokens=1, capacity=3, per_second=2)
        waits.append(wait)

    assert waits == [0, 0, 0, 500_000]


def test_a_clock_that_is_put_back_makes_nobody_wait_longer():
    bucket, _ = take_tokens(None, now=NOON, tokens=3, capacity=3, per_second=2)

    _, wait = take_tokens(bucket, now=NOON - 3_600_000_000, tokens=1, capacity=3, per_second=2)

    assert wait == 500_000


@given(
    st.lists(st.tuples(st.integers(0, 3_000_000), st.integers(1, 4)), min_size=1, max_size=40),
    st.integers(4, 9),
    st.sampled_from([0.5, 1, 3, 40]),
)
def test_no_stretch_of_time_sees_more_tokens_than_the_rate_allows(
    takes: list[tuple[int, int]], capacity: int, per_second: float
):
    bucket: Bucket | None = None
    now = NOON
    used: list[tuple[int, int]] = []
    for pause, tokens in takes:
        now += pause
        bucket, wait = take_tokens(bucket, now=now, tokens=tokens, capacity=capacity, per_second=per_second)
        used.append((now + wait, tokens))

    assert all(before[0] <= after[0] for before, after in pairwise(used)), "first come, first served"
    for start, (began, _) in enumerate(used):
        total = 0
        for ended, tokens in used[start:]:
            total += tokens
            allowed = capacity + (ended - began) * per_second / 1e6
            assert total <= allowed + 1e-3 * len(used) + per_second * 1e-5


def test_only_a_limit_with_a_decay_has_a_rate():
    assert rate_of(ConcurrencyLimit(name="api", limit=5, slot_decay_per_second=2), 1) == 2
    with pytest.raises(errors.UsageError, match="is no rate limit"):
        rate_of(ConcurrencyLimit(name="api", limit=5), 1)
    with pytest.raises(errors.UsageError, match="can never be had at once"):
        rate_of(ConcurrencyLimit(name="api", limit=5, slot_decay_per_second=2), 6)


def holder(number: int, **options: Any) -> SlotHolder:
    return SlotHolder(
        booking=str(number),
        limit="db",
        is_held=True,
        held_since=NOON + number * 1_000_000,
        run_id=f"r{number}",
        **options,
    )


def test_what_is_waited_for_is_told_with_who_holds_it_and_since_when():
    obstacle = Obstacle(limit="db", holders=(holder(1, run_name="otter", task_run_name="load-0"),))

    assert (
        about_waiting([obstacle]) == "Waits for a slot of `db`, held by run `otter` (task `load-0`) since 12:00:01 UTC"
    )


def test_many_holders_are_told_by_number():
    obstacle = Obstacle(
        limit="db", key="ada", slots=2, of=9, ahead=1, holders=tuple(holder(each) for each in range(5)), others=4
    )

    assert about_waiting([obstacle]) == (
        "Waits for 2 slots of `db` for `ada`, held by run `r0` since 12:00:00 UTC, run `r1` since 12:00:01 UTC, "
        "run `r2` since 12:00:02 UTC and 6 others, after 1 other"
    )


def test_only_what_is_in_the_way_is_told():
    free = Obstacle(limit="api", free=1, of=1)
    closed = Obstacle(limit="db", of=0)

    assert about_waiting([free, closed]) == "Waits for a slot of `db`, which has none"
