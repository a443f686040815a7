"""Which deployments a worker leaves to others for a while, as it could not get the code of their runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

from penstock.core.work import MAX_EXCEPTED

LEFT_SECONDS = 15.0
"""A worker that has the code takes the run meanwhile; where nobody has it, the run is tried here again."""


class Lacking:
    """Safe to use from any thread. ``elapsed`` says the time, in seconds."""

    def __init__(self, elapsed: Callable[[], float]) -> None:
        self._elapsed = elapsed
        self._mutex = threading.Lock()
        self._left: dict[str, _Left] = {}

    def note(self, deployment_id: str, why: str) -> None:
        """A run of this deployment could not begin here. When there are too many, the oldest are tried again."""
        with self._mutex:
            self._left.pop(deployment_id, None)
            self._left[deployment_id] = _Left(self._elapsed() + LEFT_SECONDS, why)
            if len(self._left) > MAX_EXCEPTED:
                del self._left[next(iter(self._left))]

    def deployments(self) -> dict[str, str]:
        """The ids of those that are left to others at present, and why."""
        with self._mutex:
            now = self._elapsed()
            self._left = {each: left for each, left in self._left.items() if left.until > now}
            return {each: left.why for each, left in self._left.items()}

    def seconds(self) -> float:
        """In how many the first of them is not left to others any more; infinity without any."""
        with self._mutex:
            return min((left.until for left in self._left.values()), default=float("inf")) - self._elapsed()


class _Left(NamedTuple):
    until: float
    why: str
