"""What the life of a run asks for and cannot do itself, because sync and async do it differently.

A life is a generator of effects (`task_run.life`, `flow_run.life`). `sync_driver` and
`async_driver` perform each effect and send its outcome back in: a value, or an exception.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from penstock.engine.futures import crew_of_thread

if TYPE_CHECKING:
    from penstock.core.states import State
    from penstock.engine.context import RunContext

Life = Generator["Effect", Any, "State"]


class Effect:
    """Something to be done by a driver."""

    __slots__ = ()


class Call(Effect):
    """Call a function of the user's, in the context of the run; its value is the outcome."""

    __slots__ = ("args", "context", "fn", "kind", "kwargs", "timeout_seconds")

    def __init__(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        context: RunContext,
        kind: str = "sync",
        timeout_seconds: float | None = None,
    ) -> None:
        self.fn = fn
        self.args = args
        self.kwargs = kwargs
        self.context = context
        self.kind = kind
        self.timeout_seconds = timeout_seconds


class Sleep(Effect):
    """Wait for so many seconds, by the run's clock."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


def aside() -> AbstractContextManager[None]:
    """Held while a thread waits: a worker that waits is replaced meanwhile."""
    crew = getattr(crew_of_thread, "crew", None)
    return nullcontext() if crew is None else crew.replaced()


class WaitFor(Effect):
    """Wait until ``waitable`` is done; its ``wait`` and ``wait_async`` say how."""

    __slots__ = ("waitable",)

    def __init__(self, waitable: Any) -> None:
        self.waitable = waitable
