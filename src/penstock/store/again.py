"""What the database could not finish, and left nothing of, is tried again."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import TypeVar

from penstock import errors, telemetry
from penstock.clock import Clock

T = TypeVar("T")

AGAIN_SECONDS = 3.0
"""For so long. A statement that is never answered takes 12 more: 15 altogether, and then the caller hears of it."""

CONFLICT_SECONDS = 15.0
"""For so long after conflicts, each of which Postgres may take a second to find."""

MAX_TRIES = 10
FIRST_PAUSE_SECONDS = 0.01
LONGEST_PAUSE_SECONDS = 0.5


def until_done(attempt: Callable[[], T], clock: Clock) -> T:
    """Call ``attempt`` until it returns: again after a conflict, or when the database could not be reached.

    Raises what it raised last, when that goes on for too long; and at once whatever else it raises.
    """
    kind, started = None, clock.elapsed()
    for tries in count(1):
        tried_at = clock.elapsed()
        try:
            return attempt()
        except (errors.TransactionConflict, errors.StoreUnreachable) as error:
            if type(error) is not kind:  # an outage after conflicts has all of its own time
                kind, started = type(error), tried_at
            pause = _pause(tries, clock)
            limit = CONFLICT_SECONDS if kind is errors.TransactionConflict else AGAIN_SECONDS
            if tries == MAX_TRIES or clock.elapsed() - started + pause > limit:
                raise
            telemetry.emit("store.tried_again", tries=tries, error=error.message)
        clock.sleep(pause)
    raise AssertionError


def _pause(tries: int, clock: Clock) -> float:
    """Longer each time, and by chance, so that those who met each other do not meet again."""
    return min(FIRST_PAUSE_SECONDS * 2**tries, LONGEST_PAUSE_SECONDS) * (0.5 + clock.chance())
