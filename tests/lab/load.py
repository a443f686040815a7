"""Clients that never rest: each creates one run after the other, patiently, while things break around it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import count
from types import TracebackType
from typing import Any, Self

from tests.lab.lab import Client, Lab
from tests.lab.waiting import until

from penstock import errors


class Load:
    """``with Load(lab, "tiny/lab", [client, …]) as load:`` creates runs until the end of the block, or ``most`` runs.

    Each run has a number of its own as its parameter, so that one that was made twice shows.
    """

    def __init__(
        self, lab: Lab, deployment: str, clients: Sequence[Client], *, most: int | None = None, pause_seconds: float = 0
    ) -> None:
        self.lab = lab
        self.deployment = deployment
        self.most = most
        self._pause_seconds = pause_seconds
        self._numbers = count()
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._create_on, args=(each,), daemon=True) for each in clients]

    @property
    def created(self) -> int:
        """How many runs were acknowledged."""
        return len(self.lab.acks.created)

    def until_more(self, runs: int, *, seconds: float = 60) -> None:
        """Return when so many more were acknowledged."""
        before = self.created
        until(lambda: self.created >= before + runs, f"that {runs} more runs are accepted", seconds=seconds)

    @property
    def is_busy(self) -> bool:
        """Whether there are still runs to be asked for, up to ``most``."""
        return any(each.is_alive() for each in self._threads)

    def _create_on(self, client: Client) -> None:
        try:
            while not self._stopped.wait(self._pause_seconds):
                number = next(self._numbers)
                if self.most is not None and number >= self.most:
                    return
                try:
                    client.create(self.deployment, parameters={"number": number})
                except errors.PenstockError:
                    pass  # it is in the client's ledger, and the scenario says what it thinks of it
        finally:
            client.close()

    def __enter__(self) -> Self:
        for each in self._threads:
            each.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        for each in self._threads:
            each.join(120)


def numbers(runs: Sequence[Any]) -> list[int]:
    """The numbers of these runs, sorted."""
    return sorted(each.parameters["number"] for each in runs)
