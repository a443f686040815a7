"""What state a run ends in, by what its code returned or raised.

The rules are those of Prefect 2: a returned state counts as it is; returned states and futures
count together; nothing returned means that all task runs count; any other value is success.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from penstock import errors
from penstock.core import plain_text, states
from penstock.core.states import State, StateType

MAX_TEXT = 10_000
"""So many characters of what an exception says are recorded as a state's message."""


class Interruption(BaseException):
    """Sent into code whose time is up. Not an Exception, so that ``except Exception`` does not eat it."""


class Terminated(KeyboardInterrupt):
    """The process was told to end (SIGTERM)."""


class Suspension(BaseException):
    """Sent through the code of a flow run that is suspended. Not an Exception, as above."""


class StateCounts:
    """How many runs ended in which state. `add` is called with a lock held, or by one thread only."""

    __slots__ = ("cancelled", "completed", "crashed", "failed", "not_ready", "unfinished")

    def __init__(self) -> None:
        self.completed = self.failed = self.crashed = self.cancelled = self.not_ready = self.unfinished = 0

    @property
    def total(self) -> int:
        return self.completed + self.failed + self.crashed + self.cancelled + self.not_ready + self.unfinished

    def add(self, state: State) -> None:
        kind = state.type
        if kind is StateType.COMPLETED:
            self.completed += 1
        elif state.name == "NotReady":
            self.not_ready += 1
        elif kind is StateType.FAILED:
            self.failed += 1
        elif kind is StateType.CRASHED:
            self.crashed += 1
        elif kind is StateType.CANCELLED:
            self.cancelled += 1
        else:
            self.unfinished += 1


def together(counts: StateCounts, data: Any = None) -> State:
    """The state of many runs taken together."""
    total = counts.total
    if counts.completed == total:
        return states.Completed("All states completed.", data)
    not_ready = f", {counts.not_ready} not ready" if counts.not_ready else ""
    if counts.cancelled:
        return states.Cancelled(f"{counts.cancelled}/{total} states cancelled{not_ready}.", data)
    failed = counts.failed + counts.crashed
    if failed:
        return states.Failed(f"{failed}/{total} states failed{not_ready}.", data)
    if counts.not_ready:
        return states.Failed(f"{counts.not_ready}/{total} states are not ready.", data)
    return states.Failed(f"{counts.unfinished}/{total} states are not final.", data)


def of_value(value: Any, counts: StateCounts | None) -> State:
    """The final state of a run whose code returned ``value``, with futures replaced by their states.

    ``counts`` are those of its task runs: they decide when nothing was returned (flows only).
    """
    if isinstance(value, State):
        return value
    if value is None:
        return states.Completed() if counts is None or not counts.total else together(counts)
    if isinstance(value, list | tuple | set | frozenset) and value and all(isinstance(each, State) for each in value):
        return together(count(value), value)
    return states.Completed(data=value)


def count(many: Iterable[State]) -> StateCounts:
    counts = StateCounts()
    for state in many:
        counts.add(state)
    return counts


def of_exception(error: BaseException, kind: str, timeout_seconds: float | None = None) -> State:
    """The final state of a ``kind`` ("Flow" or "Task") of run whose code raised.

    With ``timeout_seconds`` it is the run's own time that is up.
    """
    if timeout_seconds is not None:
        message = f"{kind} run exceeded timeout of {float(timeout_seconds)} seconds"
        told = errors.TimedOut(message).with_traceback(error.__traceback__)
        told.__cause__ = error.__cause__
        return states.TimedOut(message, told)
    if isinstance(error, KeyboardInterrupt):
        how = "because the process was told to end" if isinstance(error, Terminated) else "from the keyboard"
        return states.Interrupted(f"{kind} run was interrupted {how}", error)
    if isinstance(error, Interruption):
        return states.Interrupted(f"{kind} run was interrupted, because what called it was stopped", error)
    if type(error).__name__ == "CancelledError":
        return states.Cancelled(f"{kind} run was cancelled", error)
    if isinstance(error, errors.CrashedRun):
        return states.Crashed(error.message, error)
    return states.Failed(f"{kind} run encountered an exception. {describe(error)}", error)


def describe(error: BaseException) -> str:
    """The exception in one line: its type, and what it says."""
    if isinstance(error, SystemExit):
        return f"SystemExit: sys.exit({error.code!r}) was called"
    try:
        text = error.message if isinstance(error, errors.PenstockError) else str(error)
    except Exception as broken:  # noqa: BLE001  the user's __str__
        text = f"(its text raises {type(broken).__name__})"
    if len(text) > MAX_TEXT:
        text = f"{text[:MAX_TEXT]}… ({len(text)} characters)"
    text = plain_text.in_utf8(text)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
