"""States that a run is in while its code is being executed, and waits: recorded, and shown until the wait is over."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager

from penstock.core import records, states
from penstock.core.states import State
from penstock.engine.runs import FlowRun, TaskRun


@contextmanager
def shown(run: FlowRun | TaskRun, state: State) -> Generator[None]:
    """Held while a run whose code is being executed waits: its state says so, until its last wait is over."""
    with _lock:
        _waiting[run.id] += 1
        move(run, state)
    try:
        yield
    finally:
        with _lock:
            _waiting[run.id] -= 1
            if not _waiting[run.id]:
                del _waiting[run.id]
                move(run, under_way(run))


_lock = threading.Lock()
_waiting: Counter[str] = Counter()
"""For how much the code of a run waits, in all its threads and coroutines."""


def under_way(run: FlowRun | TaskRun) -> State:
    """The state of a run whose code is being executed."""
    return states.Running() if run.run_count <= 1 else states.Retrying()


def move(run: FlowRun | TaskRun, state: State) -> None:
    """Record that a run is in a state that is not its last one."""
    attempt = run.attempt
    how = (state.type.value, state.name, state.message, run.run_count)
    if isinstance(run, FlowRun):
        attempt.journal.append(records.FlowRunMoved(attempt.clock.now(), run.id, *how))
    else:
        attempt.journal.append(records.TaskRunMoved(attempt.clock.now(), run.id, *how))
