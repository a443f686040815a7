"""How often a failed run is tried again, and how long to wait before each try."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from penstock import errors

MAX_DELAYS = 50
"""No more delays than this can be listed, as in Prefect; the last one repeats."""


class RetryPolicy(msgspec.Struct, frozen=True):
    """When to try again. Made by `RetryPolicy.of` from the options that users write."""

    retries: int = 0
    delays: tuple[float, ...] = ()
    jitter_factor: float = 0.0

    @classmethod
    def of(cls, retries: Any = 0, retry_delay_seconds: Any = None, retry_jitter_factor: Any = None) -> RetryPolicy:
        """The policy that the options of a decorator ask for.

        ``retry_delay_seconds`` is a number (or timedelta) for all retries, a list with one for each
        (the last one repeats), or a function that makes the list from the number of retries, such as
        `exponential_backoff`. Raises `UsageError` for what makes no sense.
        """
        retries = 0 if retries is None else retries
        if isinstance(retries, bool) or not isinstance(retries, int) or retries < 0:
            raise errors.UsageError(f"retries has to be a whole number, 0 or more: `{retries!r}`")
        jitter_factor = 0.0 if retry_jitter_factor is None else _number(retry_jitter_factor, "retry_jitter_factor")
        return cls(retries, _delays(retry_delay_seconds, retries), jitter_factor)

    def allows(self, try_number: int) -> bool:
        """Whether there may be a try of that number. The first try is number 1."""
        return try_number <= self.retries + 1

    def delay_before(self, try_number: int, chance: float = 0.5) -> float:
        """Seconds to wait before a try, fractions included. The first, number 1, does not wait.

        ``chance``, in 0…1, is the luck of the draw for the jitter; 0.5 gives the plain delay. With
        jitter factor j, a delay d becomes one between ``d * (1 - min(j, 1))`` and ``d * (1 + j)``,
        half of the draws on either side of d, evenly.

        The bound ``d * (1 + j)``, and a delay that stays the same on average, are what Prefect
        promises of its retry_jitter_factor. It clamps an exponential distribution to get there; two
        straight lines keep the bound and the middle, and can be checked by hand.
        """
        if try_number <= 1 or not self.delays:
            return 0.0
        delay = self.delays[min(try_number - 2, len(self.delays) - 1)]
        swing = 2 * chance - 1
        return delay * (1 + swing * (self.jitter_factor if swing > 0 else min(self.jitter_factor, 1.0)))


NO_RETRIES = RetryPolicy()


def exponential_backoff(backoff_factor: float) -> Callable[[int], list[float]]:
    """Delays that double: ``backoff_factor`` seconds, then 2, 4, 8 … times as much.

    For ``retry_delay_seconds=exponential_backoff(10)``: 10, 20, 40 … seconds.
    """
    factor = _number(backoff_factor, "backoff_factor")

    def delays(retries: int) -> list[float]:
        return [factor * 2**n for n in range(min(retries, MAX_DELAYS))]

    return delays


def _delays(given: Any, retries: int) -> tuple[float, ...]:
    if callable(given):
        given = given(retries)
    if given is None:
        return ()
    if not isinstance(given, Sequence) or isinstance(given, str | bytes):
        return (_number(given, "retry_delay_seconds"),)
    if len(given) > MAX_DELAYS:
        raise errors.UsageError(
            f"retry_delay_seconds can list at most {MAX_DELAYS} delays: `{len(given)}`",
            hint="the last delay repeats, so later ones that are equal can be left out",
        )
    return tuple(_number(delay, "retry_delay_seconds") for delay in given)


def _number(given: Any, option: str) -> float:
    if hasattr(given, "total_seconds"):
        given = given.total_seconds()
    try:
        number = float("nan") if isinstance(given, str | bytes | bool) else float(given)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not 0 <= number < float("inf"):
        raise errors.UsageError(f"{option} has to be a number, 0 or more: `{given!r}`")
    return number
