"""Waiting for what a test is about, with a deadline."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import pytest

from penstock import clock

T = TypeVar("T")

DEADLINE_SECONDS = 60.0


def until(probe: Callable[[], T], what: str, *, seconds: float = DEADLINE_SECONDS, pause_seconds: float = 0.01) -> T:
    """Ask again and again until the answer is one. Fails when that takes too long."""
    ends_at = clock.boottime() + seconds
    while not (answer := probe()):
        if clock.boottime() > ends_at:
            pytest.fail(f"{what} did not happen within {seconds:g} seconds")
        threading.Event().wait(pause_seconds)
    return answer


def last(seconds: float) -> None:
    """Let a fault last for so long. (To wait for something, there is `until`.)"""
    threading.Event().wait(seconds)


class Stopwatch:
    """How long something takes, on the clock that does not jump."""

    def __init__(self) -> None:
        self._began_at = clock.boottime()

    @property
    def seconds(self) -> float:
        return clock.boottime() - self._began_at
