"""Whatever the schedule, the policy and the gap: each slot is decided once, and long gaps cost little."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core import schedules as module
from penstock.core.schedules import Cron, Interval, Once, RRule, Schedule, occurrences
from penstock.core.slots import Decision, Facts, Policy, decide

START = datetime(2024, 10, 26, tzinfo=UTC)  # a day before Europe's clocks are put back
MINUTE = timedelta(minutes=1)

schedules: st.SearchStrategy[Schedule] = st.sampled_from([
    Cron("*/5 * * * *", "Europe/Berlin"), Cron("0 2,3 * * *", "Europe/Berlin"), Cron("17 */2 * * SAT,SUN"),
    Cron("* 10 * * *"), Interval(timedelta(minutes=7)), Interval(timedelta(days=1), timezone="Europe/Berlin"),
    Interval(timedelta(seconds=90)), RRule("FREQ=HOURLY;BYMINUTE=0,20"), Once.of(START + MINUTE, START + 9 * MINUTE),
])  # fmt: skip
spans = st.timedeltas(timedelta(0), timedelta(days=2))
policies = st.builds(
    Policy,
    catchup=st.sampled_from(["latest", "all", "skip"]),
    overlap=st.sampled_from(["allow", "skip", "queue_one", "cancel_running"]),
    limit=st.integers(1, 30),
    batch=st.integers(1, 10),
    window=spans,
    grace=st.timedeltas(timedelta(0), timedelta(hours=1)),
)
facts = st.builds(
    Facts,
    unfinished=st.integers(0, 2),
    waiting=st.integers(0, 1),
    looking_since=st.none() | spans.map(lambda span: START + span),
)


def places(schedule: Schedule, decision: Decision) -> Counter[datetime]:
    """How many places of the decision each slot is in."""
    found = Counter(one.slot for one in decision.due)
    for one in decision.not_run:
        inside = list(occurrences(schedule, one.first - timedelta(microseconds=1), one.last))
        assert inside[0] == one.first
        assert inside[-1] == one.last
        assert one.count == (len(inside) if len(inside) <= 1000 else None)
        found.update(inside)
    return found


@given(schedules, spans, spans, policies, facts)
def test_each_slot_up_to_the_new_cursor_is_a_run_or_recorded_as_none_and_only_once(
    schedule: Schedule, since: timedelta, until: timedelta, policy: Policy, known: Facts
):
    cursor, now = START + min(since, until), START + max(since, until)
    decision = decide(schedule, cursor, now, policy, known)
    expected = list(occurrences(schedule, cursor, decision.cursor))

    assert places(schedule, decision) == Counter(expected)
    assert cursor <= decision.cursor <= now
    assert [one.slot for one in decision.due] == sorted(one.slot for one in decision.due)
    assert [one.first for one in decision.not_run] == sorted(one.first for one in decision.not_run)
    assert decide(schedule, cursor, now, policy, known) == decision


@given(schedules, spans, spans, policies, facts)
def test_looking_again_and_again_comes_to_an_end_with_every_slot_decided_once(
    schedule: Schedule, since: timedelta, until: timedelta, policy: Policy, known: Facts
):
    cursor, now = START + min(since, until), START + max(since, until)
    slots, found = Counter(occurrences(schedule, cursor, now)), Counter[datetime]()
    for _ in range(len(slots) + 1):
        decision = decide(schedule, cursor, now, policy, known)
        found += places(schedule, decision)
        if decision.cursor == cursor:
            assert not decision.due
            assert not decision.not_run
            assert decision.look_again_at is None or decision.look_again_at > now
            break
        cursor = decision.cursor

    assert found == slots


@given(schedules, spans, spans, spans, policies)
def test_whatever_the_clock_does_the_schedule_lives_on(
    schedule: Schedule, cursor: timedelta, first: timedelta, second: timedelta, policy: Policy
):
    known = Facts()
    jumped = decide(schedule, START + cursor, START + first, policy, known)
    after = decide(schedule, jumped.cursor, START + second, policy, known)

    assert after.cursor <= max(START + second, START + first) + MINUTE
    for decision, now in ((jumped, START + first), (after, START + second)):
        assert decision.cursor <= now + MINUTE
        assert all(one.slot <= now for one in decision.due)


@pytest.mark.parametrize("catchup", ["latest", "all", "skip"])
@pytest.mark.parametrize(
    "schedule", [Cron("* * * * *", "Europe/Berlin"), RRule("FREQ=MINUTELY"), Interval(timedelta(seconds=1))]
)
def test_a_year_of_missed_minutes_is_decided_by_looking_at_few_of_them(
    schedule: Schedule, catchup: Any, monkeypatch: pytest.MonkeyPatch
):
    looked_at = 0
    later_than = module._later_than

    def counted(schedule: Schedule, after: datetime):
        nonlocal looked_at
        for one in later_than(schedule, after):
            looked_at += 1
            yield one

    monkeypatch.setattr(module, "_later_than", counted)
    now = START + timedelta(days=365)
    decision = decide(schedule, START, now, Policy(catchup=catchup), Facts(looking_since=now))

    assert decision.cursor <= now
    assert looked_at < 8000  # of 525,600
