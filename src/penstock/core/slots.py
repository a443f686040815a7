"""Which slots of a schedule become runs, and which do not, and why: catch-up and overlap, as pure decisions.

A *slot* is one occurrence of a schedule. A schedule's *cursor* is the last instant up to which every slot has been
decided. `decide` moves it on; whoever calls it inserts the runs and what did not run, and moves the cursor, in one
transaction. That no slot gets two runs, whatever clocks do, is for a unique constraint to see to.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal, TypeAlias

import msgspec
from msgspec.structs import replace

from penstock import errors
from penstock.core.schedules import Schedule, latest_occurrences, next_occurrence, occurrences

CatchUp: TypeAlias = Literal["latest", "all", "skip"]
Overlap: TypeAlias = Literal["allow", "skip", "queue_one", "cancel_running"]

MAX_LIMIT = 1000
MAX_COUNTED = 1000
"""How far the slots of a `NotRun` are counted."""
ONCE_AT_MOST = 20
"""More slots than this at once are paced, too, when they are on time."""
CLOCK_TOLERANCE = timedelta(minutes=1)


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What to do with slots that were missed, and with slots that come while an earlier run is unfinished."""

    catchup: CatchUp = "latest"
    """Missed slots: run the last one, run all of them (oldest first), or skip them."""
    limit: int = 100
    """With ``all``: at most so many; the newest ones are taken."""
    window: timedelta = timedelta(hours=24)
    """With ``all``: none that is older."""
    batch: int = 10
    """With ``all``: so many at once …"""
    pace: timedelta = timedelta(seconds=1)
    """… and so long until the next ones."""
    grace: timedelta = timedelta(seconds=10)
    """A slot that is older than this has been missed, unless somebody was looking all the time since."""
    overlap: Overlap = "allow"
    """While an earlier run is unfinished: start anyhow, skip, let one wait for it to end, or cancel it."""

    def __post_init__(self) -> None:
        for option, known in (("catchup", ("latest", "all", "skip")), ("overlap", OVERLAPS)):
            if (given := getattr(self, option)) not in known:
                raise errors.UsageError(f"{option} is one of {', '.join(known)}: `{given}`")
        for option, most in (("limit", MAX_LIMIT), ("batch", MAX_LIMIT)):
            if not 1 <= (given := getattr(self, option)) <= most:
                raise errors.UsageError(f"{option} has to be a whole number, 1 to {most}: `{given}`")
        for option in ("window", "pace", "grace"):
            if (given := getattr(self, option)) < timedelta(0):
                raise errors.UsageError(f"{option} cannot be negative: `{given}`")


OVERLAPS = ("allow", "skip", "queue_one", "cancel_running")


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller knows of the schedule's runs, and of who has been looking."""

    unfinished: int = 0
    """Runs of earlier slots that have not ended, without those that wait for one of them."""
    waiting: int = 0
    """Runs of earlier slots that wait for an unfinished one to end (``queue_one``)."""
    looking_since: datetime | None = None
    """Since when schedules have been looked at without a pause: slots from then on are not missed, however late
    the look. To be set anew after each pause, and when the clock jumps. None: not known, so `Policy.grace` decides."""


class Reason(StrEnum):
    """Why a slot did not become a run."""

    NOT_LATEST = "not_latest"
    CATCH_UP_OFF = "catch_up_off"
    OUTSIDE_WINDOW = "outside_window"
    OVER_LIMIT = "over_limit"
    STILL_RUNNING = "still_running"
    ALREADY_WAITING = "already_waiting"
    SUPERSEDED = "superseded"

    @property
    def sentence(self) -> str:
        return SENTENCES[self]


SENTENCES = {
    Reason.NOT_LATEST: "It was missed, and catch-up runs the latest missed slot only.",
    Reason.CATCH_UP_OFF: "It was missed, and catch-up is off.",
    Reason.OUTSIDE_WINDOW: "It was missed longer ago than catch-up goes back.",
    Reason.OVER_LIMIT: "It was missed, and more newer slots were than catch-up runs.",
    Reason.STILL_RUNNING: "The run of an earlier slot was unfinished.",
    Reason.ALREADY_WAITING: "A run was already waiting for an earlier one to end.",
    Reason.SUPERSEDED: "A later slot was due at the same time, and would have cancelled it.",
}


class Due(msgspec.Struct, frozen=True):
    """A slot that becomes a run."""

    slot: datetime
    waits: bool = False
    """Only after the unfinished run has ended."""


class NotRun(msgspec.Struct, frozen=True):
    """Slots that do not become runs: each one of the schedule's from ``first`` to ``last``, both included."""

    first: datetime
    last: datetime
    reason: Reason
    count: int | None
    """How many; None when there are more than were counted (`MAX_COUNTED`)."""


class Decision(msgspec.Struct, frozen=True):
    """What is to be recorded: every slot later than the old cursor, up to the new one, is in exactly one place."""

    due: tuple[Due, ...]
    not_run: tuple[NotRun, ...]
    cursor: datetime
    """Where the schedule's cursor belongs now. It goes back when the clock was put back."""
    look_again_at: datetime | None
    """When there is something to decide again; None: the schedule has come to its end."""
    cancels_unfinished: bool = False
    """The unfinished runs are to be cancelled before the due one starts."""


def decide(schedule: Schedule, cursor: datetime, now: datetime, policy: Policy, facts: Facts) -> Decision:
    """What becomes of the slots later than ``cursor``, up to and including ``now``.

    The same facts always give the same decision, and deciding again from the new cursor gives nothing new.
    However many slots were missed, only some hundred are looked at, and a long stretch that does not run is told
    by its ends.
    """
    if cursor > now:
        return _after_a_clock_put_back(schedule, cursor, now)
    missed_until = _missed_until(cursor, now, policy, facts)
    chosen, passed_over = _caught_up(schedule, cursor, missed_until, now, policy)
    on_time = list(occurrences(schedule, missed_until, now, ONCE_AT_MOST))
    if policy.catchup == "latest" and on_time:
        passed_over += [_not_run(schedule, slot, slot, Reason.NOT_LATEST) for slot in chosen]
        chosen = []
    batch = chosen[: policy.batch] if len(chosen) > policy.batch else [*chosen, *on_time]
    due, held_back, cancels = _without_overlap(schedule, batch, policy.overlap, facts)
    upto = max([cursor, *batch, *(one.last for one in passed_over)])
    return Decision(
        due=tuple(due),
        not_run=tuple(_joined(schedule, [*passed_over, *held_back])),
        cursor=upto,
        look_again_at=_next_look(schedule, upto, now, policy),
        cancels_unfinished=cancels,
    )


def _after_a_clock_put_back(schedule: Schedule, cursor: datetime, now: datetime) -> Decision:
    """Nothing is due. A cursor far in the future would hold the schedule up until then; so it goes back.

    Within a minute it is one of several servers whose clock is a little behind: what it sees has been decided.
    """
    back_to = cursor if cursor - now <= CLOCK_TOLERANCE else now
    return Decision((), (), back_to, next_occurrence(schedule, back_to))


def _missed_until(cursor: datetime, now: datetime, policy: Policy, facts: Facts) -> datetime:
    """The last instant at which a slot was missed. Those after it are on time."""
    if facts.looking_since is None or facts.looking_since > now:
        return max(cursor, now - policy.grace)
    return max(cursor, facts.looking_since - datetime.resolution)


def _caught_up(
    schedule: Schedule, cursor: datetime, until: datetime, now: datetime, policy: Policy
) -> tuple[list[datetime], list[NotRun]]:
    """The missed slots to run, and those not to: older ones, always, so that the two never mix."""
    if policy.catchup == "skip":
        return [], _stretch(schedule, cursor, until, Reason.CATCH_UP_OFF)
    if policy.catchup == "latest":
        chosen = latest_occurrences(schedule, cursor, until)
        return chosen, _stretch(schedule, cursor, until, Reason.NOT_LATEST, chosen)
    window_starts = min(max(cursor, now - policy.window - datetime.resolution), until)
    chosen = latest_occurrences(schedule, window_starts, until, policy.limit)
    too_old = _stretch(schedule, cursor, window_starts, Reason.OUTSIDE_WINDOW)
    return chosen, too_old + _stretch(schedule, window_starts, until, Reason.OVER_LIMIT, chosen)


def _stretch(
    schedule: Schedule, after: datetime, until: datetime, reason: Reason, chosen: list[datetime] | None = None
) -> list[NotRun]:
    """The slots of a window that come before the chosen ones, as one record; none if there are none."""
    end = chosen[0] - datetime.resolution if chosen else until
    last = latest_occurrences(schedule, after, end) if end > after else []
    first = next_occurrence(schedule, after) if last else None
    return [_not_run(schedule, first, last[0], reason)] if first else []


def _not_run(schedule: Schedule, first: datetime, last: datetime, reason: Reason) -> NotRun:
    before = first - datetime.resolution
    counted = sum(1 for _ in occurrences(schedule, before, last, MAX_COUNTED + 1))
    return NotRun(first, last, reason, counted if counted <= MAX_COUNTED else None)


def _without_overlap(
    schedule: Schedule, slots: list[datetime], overlap: Overlap, facts: Facts
) -> tuple[list[Due], list[NotRun], bool]:
    """Which of the slots start, which wait, which are held back; and whether what is unfinished is cancelled."""
    if overlap == "allow" or not slots:
        return [Due(slot) for slot in slots], [], False
    if overlap == "cancel_running":
        *earlier, last = slots
        cancels = facts.unfinished + facts.waiting > 0
        return [Due(last)], [_not_run(schedule, slot, slot, Reason.SUPERSEDED) for slot in earlier], cancels
    starts = 0 if facts.unfinished or facts.waiting else 1
    waits = 1 if overlap == "queue_one" and not facts.waiting else 0
    reason = Reason.ALREADY_WAITING if overlap == "queue_one" else Reason.STILL_RUNNING
    due = [Due(slot, waits=number >= starts) for number, slot in enumerate(slots[: starts + waits])]
    return due, [_not_run(schedule, slot, slot, reason) for slot in slots[starts + waits :]], False


def _joined(schedule: Schedule, not_run: list[NotRun]) -> list[NotRun]:
    """In order, those that follow each other for the same reason as one."""
    joined: list[NotRun] = []
    for one in sorted(not_run, key=lambda one: one.first):
        before = joined[-1] if joined else None
        if before and before.reason is one.reason and next_occurrence(schedule, before.last) == one.first:
            count = None if before.count is None or one.count is None else before.count + one.count
            joined[-1] = replace(before, last=one.last, count=count)
        else:
            joined.append(one)
    return joined


def _next_look(schedule: Schedule, cursor: datetime, now: datetime, policy: Policy) -> datetime | None:
    following = next_occurrence(schedule, cursor)
    return following if following is None or following > now else now + policy.pace
