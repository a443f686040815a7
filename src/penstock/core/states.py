"""Where a run is now: its state, and the words for it."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from penstock import errors


class StateType(StrEnum):
    """What kind of state it is. ``State.name`` is the finer word."""

    SCHEDULED = "SCHEDULED"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    CANCELLING = "CANCELLING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CRASHED = "CRASHED"
    CANCELLED = "CANCELLED"

    @property
    def is_final(self) -> bool:
        return self in FINAL


FINAL = frozenset({StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CANCELLED})


NAMES: dict[str, tuple[StateType, ...]] = {
    "Late": (StateType.SCHEDULED,),
    "AwaitingRetry": (StateType.SCHEDULED,),
    "Resuming": (StateType.SCHEDULED,),
    "AwaitingConcurrencySlot": (StateType.SCHEDULED, StateType.RUNNING),
    "Retrying": (StateType.RUNNING,),
    "Suspended": (StateType.PAUSED,),
    "Cached": (StateType.COMPLETED,),
    "TimedOut": (StateType.FAILED,),
    "NotReady": (StateType.FAILED,),
    "Interrupted": (StateType.CRASHED, StateType.FAILED),
    "Poison": (StateType.CRASHED,),
}
"""The finer words for states, and the types that each is a name of."""


def meant(word: str) -> StateType | str:
    """The type or the name of `NAMES` that somebody means: `CRASHED`, `crashed`, `Timed out`, `timed-out`.

    Raises `UsageError` for any other word.
    """
    known = {_plain(each): each for each in (*StateType, *NAMES)}
    if (found := known.get(_plain(word))) is not None:
        return found
    from penstock.core.suggestions import nearest  # noqa: PLC0415  only in the error case

    near = nearest(_plain(word), known)
    every = ", ".join(map(_shown, known.values()))
    hint = f"one of: {every}" if near is None else f"did you mean `{_shown(known[near])}`?"
    raise errors.UsageError(f"There is no state: `{word}`", hint=hint)


def _plain(word: str) -> str:
    return word.replace(" ", "").replace("-", "").replace("_", "").lower()


def _shown(state: StateType | str) -> str:
    return state.value.lower() if isinstance(state, StateType) else state


class Unloaded:
    """A result that is kept somewhere, as a state's data until somebody asks for it."""

    __slots__ = ()

    def load(self) -> Any:
        """Read the value back. Raises `MissingResult` if it cannot be."""
        raise errors.MissingResult("This state keeps no result")


class State(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run is: a type, a finer name, a message, and its data.

    ``data`` is the returned value of a completed run, and the exception of a failed one.
    ``at`` is when the state was entered, in microseconds since 1970 UTC (0: not yet recorded).
    """

    type: StateType
    name: str = ""
    message: str | None = None
    data: Any = None
    at: int = 0

    def __post_init__(self) -> None:
        if not self.name:
            msgspec.structs.force_setattr(self, "name", self.type.value.capitalize())

    @property
    def is_final(self) -> bool:
        return self.type in FINAL

    def is_scheduled(self) -> bool:
        return self.type is StateType.SCHEDULED

    def is_pending(self) -> bool:
        return self.type is StateType.PENDING

    def is_running(self) -> bool:
        return self.type is StateType.RUNNING

    def is_paused(self) -> bool:
        return self.type is StateType.PAUSED

    def is_completed(self) -> bool:
        return self.type is StateType.COMPLETED

    def is_failed(self) -> bool:
        return self.type is StateType.FAILED

    def is_crashed(self) -> bool:
        return self.type is StateType.CRASHED

    def is_cancelled(self) -> bool:
        return self.type is StateType.CANCELLED

    @property
    def timestamp(self) -> Any:
        """When the state was entered, as an aware ``datetime`` in UTC."""
        from penstock.core import timestamps  # noqa: PLC0415  only for people who ask

        return timestamps.as_datetime(self.at)

    def result(self, raise_on_failure: bool = True) -> Any:  # noqa: FBT001, FBT002  as Prefect's
        """The run's value; of a run that did not complete, its exception is raised.

        With ``raise_on_failure=False`` the exception is returned instead.
        """
        if self.type is StateType.COMPLETED:
            return self.data.load() if isinstance(self.data, Unloaded) else self.data
        error = self.error()
        if raise_on_failure:
            raise error
        return error

    def error(self) -> BaseException:
        """The exception that explains a state without a result."""
        if isinstance(self.data, BaseException):
            return self.data
        text = self.message or f"The run is {self.name}"
        return _ERRORS.get(self.type, errors.UnfinishedRun)(text)

    def __str__(self) -> str:
        return f"{self.name}({self.message!r})" if self.message else f"{self.name}()"


_ERRORS: dict[StateType, type[errors.RunError]] = {
    StateType.FAILED: errors.FailedRun,
    StateType.CRASHED: errors.CrashedRun,
    StateType.CANCELLED: errors.CancelledRun,
    StateType.PAUSED: errors.PausedRun,
}


def Scheduled(message: str | None = None, *, name: str = "Scheduled") -> State:
    return State(type=StateType.SCHEDULED, name=name, message=message)


def AwaitingRetry(message: str | None = None) -> State:
    """Failed, and waiting for its next try."""
    return State(type=StateType.SCHEDULED, name="AwaitingRetry", message=message)


def AwaitingConcurrencySlot(message: str | None = None, *, began: bool = False) -> State:
    """Waiting for a slot of a concurrency limit; ``began``: with some of its code executed already."""
    kind = StateType.RUNNING if began else StateType.SCHEDULED
    return State(type=kind, name="AwaitingConcurrencySlot", message=message)


def Pending(message: str | None = None) -> State:
    return State(type=StateType.PENDING, message=message)


def Running(message: str | None = None) -> State:
    return State(type=StateType.RUNNING, message=message)


def Retrying(message: str | None = None) -> State:
    """Running again after a failed try."""
    return State(type=StateType.RUNNING, name="Retrying", message=message)


def Completed(message: str | None = None, data: Any = None, *, name: str = "Completed") -> State:
    return State(type=StateType.COMPLETED, name=name, message=message, data=data)


def Cached(data: Any = None, message: str | None = None) -> State:
    """Completed with a value that an earlier run had computed."""
    return State(type=StateType.COMPLETED, name="Cached", message=message, data=data)


def Failed(message: str | None = None, data: Any = None, *, name: str = "Failed") -> State:
    return State(type=StateType.FAILED, name=name, message=message, data=data)


def TimedOut(message: str | None = None, data: Any = None) -> State:
    return State(type=StateType.FAILED, name="TimedOut", message=message, data=data)


def NotReady(message: str | None = None, data: Any = None) -> State:
    """Never started, because a task that it depends on did not complete."""
    return State(type=StateType.FAILED, name="NotReady", message=message, data=data)


def Crashed(message: str | None = None, data: Any = None, *, name: str = "Crashed") -> State:
    return State(type=StateType.CRASHED, name=name, message=message, data=data)


def Interrupted(message: str | None = None, data: Any = None) -> State:
    """Stopped from outside before it could end; a resume continues it."""
    return State(type=StateType.CRASHED, name="Interrupted", message=message, data=data)


def Cancelled(message: str | None = None, data: Any = None) -> State:
    return State(type=StateType.CANCELLED, message=message, data=data)


def Paused(message: str | None = None) -> State:
    """Waiting for somebody to resume it, while its process waits as well."""
    return State(type=StateType.PAUSED, message=message)


def Suspended(message: str | None = None, data: Any = None) -> State:
    """Waiting for somebody to resume it, without a process meanwhile."""
    return State(type=StateType.PAUSED, name="Suspended", message=message, data=data)
