from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from penstock import errors
from penstock.core.schedules import Cron, Interval, Once, Schedule
from penstock.core.slots import Decision, Due, Facts, NotRun, Policy, Reason, decide

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
HOURLY = Cron("0 * * * *")
EVERY_MINUTE = Cron("* * * * *")
NOTHING_RUNS = Facts()


def at(hour: int, minute: int = 0) -> datetime:
    return datetime(2024, 5, 1, hour, minute, tzinfo=UTC)


def due(decision: Decision) -> list[datetime]:
    return [one.slot for one in decision.due]


def decided(policy: Policy, facts: Facts = NOTHING_RUNS, schedule: Schedule = HOURLY) -> Decision:
    """What becomes of the slots of 07:00 to 12:00, at noon and a half."""
    return decide(schedule, at(6, 30), at(12, 30), policy, facts)


# ── on time ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("catchup", ["latest", "all", "skip"])
def test_a_slot_that_is_looked_at_in_time_becomes_a_run_whatever_the_catch_up(catchup: Any):
    decision = decide(HOURLY, at(11), NOON + timedelta(seconds=1), Policy(catchup=catchup), NOTHING_RUNS)

    assert decision == Decision((Due(NOON),), (), NOON, look_again_at=at(13))


def test_before_a_slot_there_is_nothing_to_do_and_the_cursor_stays():
    assert decide(HOURLY, at(11), at(11, 59), Policy(), NOTHING_RUNS) == Decision((), (), at(11), look_again_at=NOON)


def test_a_slot_is_on_time_however_late_the_look_if_somebody_was_looking():
    late = decide(HOURLY, at(11), at(12, 5), Policy(catchup="skip"), Facts(looking_since=at(11, 30)))

    assert due(late) == [NOON]


def test_a_slot_of_the_instant_at_which_looking_began_is_on_time():
    assert due(decide(HOURLY, at(11), at(12, 5), Policy(catchup="skip"), Facts(looking_since=NOON))) == [NOON]


def test_without_anybody_looking_a_slot_is_missed_after_the_grace():
    policy = Policy(catchup="skip", grace=MINUTE)

    assert due(decide(HOURLY, at(11), at(12, 0), policy, NOTHING_RUNS)) == [NOON]
    assert due(decide(HOURLY, at(11), at(12, 1), policy, NOTHING_RUNS)) == []


def test_a_schedule_that_has_ended_need_not_be_looked_at_again():
    decision = decide(Once.of(NOON), at(11), NOON, Policy(), NOTHING_RUNS)

    assert due(decision) == [NOON]
    assert decision.look_again_at is None


def test_very_many_slots_on_time_come_some_at_once():
    schedule = Interval(timedelta(seconds=1))
    first = decide(schedule, at(11), at(11, 1), Policy(), Facts(looking_since=at(10)))
    second = decide(schedule, first.cursor, at(11, 1), Policy(), Facts(looking_since=at(10)))

    assert len(first.due) == len(second.due) == 20
    assert second.due[0].slot == first.cursor + timedelta(seconds=1)
    assert first.look_again_at == at(11, 1) + timedelta(seconds=1)


# ── catch-up ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_latest_runs_the_last_of_the_missed_slots_and_records_the_others():
    assert decided(Policy(catchup="latest")) == Decision(
        due=(Due(at(12)),),
        not_run=(NotRun(at(7), at(11), Reason.NOT_LATEST, 5),),
        cursor=at(12),
        look_again_at=at(13),
    )


def test_latest_leaves_the_missed_ones_when_one_is_due_on_time_anyway():
    decision = decide(HOURLY, at(9, 30), at(12), Policy(), Facts(looking_since=at(11, 59)))

    assert due(decision) == [NOON]
    assert decision.not_run == (NotRun(at(10), at(11), Reason.NOT_LATEST, 2),)


def test_skip_runs_none_of_the_missed_slots():
    assert decided(Policy(catchup="skip")) == Decision(
        due=(), not_run=(NotRun(at(7), at(12), Reason.CATCH_UP_OFF, 6),), cursor=at(12), look_again_at=at(13)
    )


def test_all_runs_the_missed_slots_oldest_first():
    assert due(decided(Policy(catchup="all"))) == [at(hour) for hour in range(7, 13)]


def test_all_is_paced():
    policy = Policy(catchup="all", batch=4, pace=timedelta(seconds=5))
    first = decided(policy)
    second = decide(HOURLY, first.cursor, at(12, 31), policy, NOTHING_RUNS)

    assert due(first) == [at(7), at(8), at(9), at(10)]
    assert first.look_again_at == at(12, 30) + timedelta(seconds=5)
    assert due(second) == [at(11), at(12)]
    assert second.look_again_at == at(13)


def test_all_goes_back_no_further_than_its_window_which_may_start_with_a_slot():
    decision = decided(Policy(catchup="all", window=timedelta(hours=3, minutes=30)))

    assert due(decision) == [at(9), at(10), at(11), at(12)]
    assert decision.not_run == (NotRun(at(7), at(8), Reason.OUTSIDE_WINDOW, 2),)


def test_all_runs_no_more_than_its_limit_the_newest_ones():
    decision = decided(Policy(catchup="all", limit=2, window=4 * HOUR))

    assert due(decision) == [at(11), at(12)]
    assert decision.not_run == (
        NotRun(at(7), at(8), Reason.OUTSIDE_WINDOW, 2),
        NotRun(at(9), at(10), Reason.OVER_LIMIT, 2),
    )


def caught_up(catchup: Any, up_at: datetime) -> tuple[list[datetime], list[NotRun]]:
    """A minutely schedule after a day without a server (R-25), looked at until there is nothing left."""
    runs, not_run, cursor, policy = list[datetime](), list[NotRun](), up_at - DAY, Policy(catchup=catchup)
    now = up_at
    while True:
        decision = decide(EVERY_MINUTE, cursor, now, policy, Facts(looking_since=up_at))
        if decision.look_again_at is None or decision.look_again_at > up_at + 30 * timedelta(seconds=1):
            return runs + due(decision), [*not_run, *decision.not_run]
        runs, not_run, cursor, now = (
            [*runs, *due(decision)],
            [*not_run, *decision.not_run],
            decision.cursor,
            decision.look_again_at,
        )


@pytest.mark.parametrize(("catchup", "expected"), [("latest", 1), ("all", 100), ("skip", 0)])
def test_a_day_of_missed_minutes_gives_so_many_runs_and_a_record_of_each_other(catchup: Any, expected: int):
    up_at = NOON + timedelta(seconds=20)
    runs, not_run = caught_up(catchup, up_at)

    assert len(runs) == expected
    assert runs == [NOON - number * MINUTE for number in reversed(range(expected))]
    slots = sum((one.last - one.first) // MINUTE + 1 for one in not_run)
    assert slots + expected == 24 * 60


def test_long_stretches_are_told_by_their_ends_and_not_counted():
    decision = decide(EVERY_MINUTE, NOON - 365 * DAY, NOON, Policy(), Facts(looking_since=NOON + timedelta(seconds=1)))

    assert decision.not_run[0].count is None
    assert decision.not_run[0].first == NOON - 365 * DAY + MINUTE


# ── overlap ──────────────────────────────────────────────────────────────────────────────────────────────────────────

ALL: dict[str, Any] = {"catchup": "all", "window": timedelta(hours=2, minutes=45)}  # 10:00, 11:00 and 12:00 are due
OLDER = NotRun(at(7), at(9), Reason.OUTSIDE_WINDOW, 3)


@pytest.mark.parametrize(
    ("overlap", "facts", "runs", "not_run", "cancels"),
    [
        ("allow", Facts(unfinished=1), [Due(at(10)), Due(at(11)), Due(at(12))], [], False),
        ("skip", Facts(unfinished=1), [], [NotRun(at(10), at(12), Reason.STILL_RUNNING, 3)], False),
        ("skip", Facts(), [Due(at(10))], [NotRun(at(11), at(12), Reason.STILL_RUNNING, 2)], False),
        ("skip", Facts(waiting=1), [], [NotRun(at(10), at(12), Reason.STILL_RUNNING, 3)], False),
        (
            "queue_one",
            Facts(),
            [Due(at(10)), Due(at(11), waits=True)],
            [NotRun(at(12), at(12), Reason.ALREADY_WAITING, 1)],
            False,
        ),
        (
            "queue_one",
            Facts(unfinished=1),
            [Due(at(10), waits=True)],
            [NotRun(at(11), at(12), Reason.ALREADY_WAITING, 2)],
            False,
        ),
        (
            "queue_one",
            Facts(unfinished=1, waiting=1),
            [],
            [NotRun(at(10), at(12), Reason.ALREADY_WAITING, 3)],
            False,
        ),
        ("cancel_running", Facts(), [Due(at(12))], [NotRun(at(10), at(11), Reason.SUPERSEDED, 2)], False),
        ("cancel_running", Facts(unfinished=1), [Due(at(12))], [NotRun(at(10), at(11), Reason.SUPERSEDED, 2)], True),
    ],
)
def test_overlap_decides_what_starts_while_an_earlier_run_is_unfinished(
    overlap: Any, facts: Facts, runs: list[Due], not_run: list[NotRun], *, cancels: bool
):
    decision = decided(Policy(**ALL, overlap=overlap), facts)

    assert list(decision.due) == runs
    assert list(decision.not_run) == [OLDER, *not_run]
    assert decision.cancels_unfinished is cancels
    assert decision.cursor == at(12)


def test_nothing_is_cancelled_when_nothing_is_due():
    policy = Policy(overlap="cancel_running")

    assert not decide(HOURLY, at(12), at(12, 30), policy, Facts(unfinished=1)).cancels_unfinished


# ── clocks ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_cursor_goes_back_with_the_clock_and_the_schedule_lives_on():
    far_ahead = NOON + 365 * DAY
    decision = decide(HOURLY, far_ahead, at(9, 30), Policy(), NOTHING_RUNS)

    assert decision == Decision((), (), at(9, 30), look_again_at=at(10))
    assert due(decide(HOURLY, decision.cursor, at(10), Policy(), NOTHING_RUNS)) == [at(10)]


def test_a_clock_that_is_a_little_behind_decides_nothing_again():
    decision = decide(HOURLY, NOON, NOON - timedelta(seconds=30), Policy(), NOTHING_RUNS)

    assert decision == Decision((), (), NOON, look_again_at=at(13))


def test_a_clock_put_forward_by_a_year_makes_one_run():
    decision = decide(HOURLY, NOON, NOON + 365 * DAY + 30 * MINUTE, Policy(), NOTHING_RUNS)

    assert len(decision.due) == 1


def test_looking_since_a_time_that_is_yet_to_come_says_nothing():
    late = Facts(looking_since=at(15))

    assert due(decide(HOURLY, at(11), NOON, Policy(catchup="skip"), late)) == [NOON]


# ── policies ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"catchup": "newest"}, "catchup is one of latest, all, skip: `newest`"),
        ({"overlap": "maybe"}, "overlap is one of allow, skip, queue_one, cancel_running: `maybe`"),
        ({"limit": 0}, "limit has to be a whole number, 1 to 1000: `0`"),
        ({"batch": 1001}, "batch has to be"),
        ({"window": -HOUR}, "window cannot be negative"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(options: Any, message: str):
    with pytest.raises(errors.UsageError, match=message):
        Policy(**options)


def test_every_reason_has_a_sentence():
    assert all(reason.sentence.endswith(".") for reason in Reason)
