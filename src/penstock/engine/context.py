"""What is known inside a run: its context, and the attempt that it is a part of."""

from __future__ import annotations

import os
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from penstock.core import addresses

if TYPE_CHECKING:
    from penstock.engine.attempt import Attempt


class RunContext:
    """A run that can call tasks: a flow run, or a task run. Tasks called in it have it as scope.

    ``flow`` is the flow run that it belongs to: itself, for a flow run.
    """

    __slots__ = ("attempt", "depth", "flow", "id", "key", "log_prints", "name", "seen", "source_id", "tags")

    id: str
    name: str
    attempt: Attempt
    flow: Any
    tags: frozenset[str]
    log_prints: bool
    depth: int
    """How many runs this one was called within."""

    def __init__(self, run_id: str, source_id: str | None) -> None:
        self.id = run_id
        self.key = run_id.encode()
        self.source_id = source_id
        self.seen: dict[bytes | str, int] = {}
        """How many calls of a task with the same inputs there were, and how many runs of one name."""

    def address_of(self, task_digest: bytes, fingerprint: bytes) -> bytes:
        """The address of the next call of a task with these inputs in this scope."""
        # Two threads that get here at once with equal inputs may come in either order: the calls
        # are interchangeable. The dictionary's own operations are atomic.
        pair = task_digest + fingerprint
        seen = self.seen
        occurrence = seen.setdefault(pair, 0)
        with self.attempt.lock:
            occurrence = seen[pair]
            seen[pair] = occurrence + 1
        return addresses.address(task_digest, fingerprint, occurrence)

    def source_run_id(self, address: bytes) -> str | None:
        """In a fork: the id that the task run at ``address`` has in the run that was forked."""
        return None if self.source_id is None else addresses.task_run_id(self.source_id.encode(), address)


_current: ContextVar[RunContext | None] = ContextVar("penstock_run", default=None)


def current() -> RunContext | None:
    """The run whose code is being executed here, if any.

    In a forked child of a run's process there is none for flows: it would write the parent's journal.
    """
    return _current.get()


def is_own_process(context: RunContext) -> bool:
    """Whether the context was made in this process, and not inherited through a fork."""
    return context.attempt.pid == os.getpid()


enter = _current.set
leave = _current.reset
