from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta

from penstock.clock import Clock
from penstock.testing import FakeClock


def test_it_is_a_clock():
    clock: Clock = FakeClock()

    assert clock.elapsed() == 0


def test_it_begins_where_the_test_says():
    clock = FakeClock(datetime(2024, 2, 29, 12, tzinfo=UTC))

    assert clock.time == datetime(2024, 2, 29, 12, tzinfo=UTC)
    assert clock.now() == 1709208000 * 1_000_000 + 1


def test_of_two_looks_the_later_shows_the_later_time():
    clock = FakeClock()

    assert clock.now() < clock.now()


def test_time_passes_when_the_test_says_so_or_somebody_waits():
    clock = FakeClock()
    before = clock.time

    clock.advance(30, minutes=1, hours=2, days=3)
    clock.sleep(5)
    asyncio.run(clock.sleep_async(0.25))
    clock.sleep(-1)

    assert clock.time - before == timedelta(days=3, hours=2, minutes=1, seconds=35.25)
    assert clock.elapsed() == (clock.time - before).total_seconds()
    assert clock.sleeps == [5, 0.25, -1]


def test_ids_are_uuids_that_sort_as_they_were_made_and_the_same_for_a_seed():
    first, second, other = FakeClock(seed=1), FakeClock(seed=1), FakeClock(seed=2)

    ids = [first.new_id() for _ in range(100)]

    assert ids == [second.new_id() for _ in range(100)]
    assert ids == sorted(set(ids))
    assert ids[0] != other.new_id()
    assert all(
        re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", each) for each in ids
    )


def test_chance_is_even_and_the_same_for_a_seed():
    first, second = FakeClock(seed=1), FakeClock(seed=1)

    drawn = [first.chance() for _ in range(50)]

    assert drawn == [second.chance() for _ in range(50)]
    assert all(0 <= chance < 1 for chance in drawn)
