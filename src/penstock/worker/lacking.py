"""Which deployments a worker leaves to others for a while, as it could not get what their runs need."""

from __future__ import annotations

import threading
from collections.abc import Callable

from penstock.core.work import MAX_EXCEPTED

LEFT_SECONDS = 15.0
"""A worker that has what is needed takes the run meanwhile; where nobody has it, the run is tried here again."""


class Lacking:
    """Safe to use from any thread. ``elapsed`` says the time, in seconds."""

    def __init__(self, elapsed: Callable[[], float]) -> None:
        self._elapsed = elapsed
        self._mutex = threading.Lock()
        self._until: dict[str, float] = {}

    def note(self, deployment_id: str) -> None:
        """A run of this deployment could not begin here. When there are too many, the oldest are tried again."""
        with self._mutex:
            self._until.pop(deployment_id, None)
            self._until[deployment_id] = self._elapsed() + LEFT_SECONDS
            if len(self._until) > MAX_EXCEPTED:
                del self._until[next(iter(self._until))]

    def deployments(self) -> tuple[str, ...]:
        """The ids of those that are left to others at present."""
        with self._mutex:
            now = self._elapsed()
            self._until = {each: until for each, until in self._until.items() if until > now}
            return tuple(self._until)

    def seconds(self) -> float:
        """In how many the first of them is not left to others any more; infinity without any."""
        with self._mutex:
            return min(self._until.values(), default=float("inf")) - self._elapsed()
