"""Task runs."""

from __future__ import annotations

from penstock.core.operations import Page, Permission, Request, operation
from penstock.core.runs import Explanation, StateChange, StateCount, TaskRun
from penstock.core.states import StateType


@operation("GET", "/flow-runs/{run}/task-runs", Permission.READ)
class ListTaskRuns(Request[Page[TaskRun]], frozen=True, kw_only=True):
    """Task runs of a flow run, in the order in which they began."""

    run: str
    state: tuple[StateType, ...] = ()
    """Any of these."""
    state_name: tuple[str, ...] = ()
    """Or any of these, as `Late` or `TimedOut`."""
    limit: int = 100
    after: str | None = None


@operation("GET", "/task-run-counts", Permission.READ)
class CountTaskRuns(Request[list[StateCount]], frozen=True, kw_only=True):
    """How many task runs of flow runs are in which state."""

    run: tuple[str, ...]
    """Ids of flow runs, up to 200."""


@operation("GET", "/task-runs/{task_run}", Permission.READ)
class GetTaskRun(Request[TaskRun], frozen=True, kw_only=True):
    """The task run of that id, or beginning of an id that no other has."""

    task_run: str


@operation("GET", "/task-runs/{task_run}/why", Permission.READ)
class ExplainTaskRun(Request[Explanation], frozen=True, kw_only=True):
    """Why a task run is in its state: its tries, what it waited for, what replay and cache answered."""

    task_run: str


@operation("GET", "/task-runs/{task_run}/states", Permission.READ)
class ListTaskRunStates(Request[list[StateChange]], frozen=True, kw_only=True):
    """The states that a task run was in, oldest first. Takes a while for a run of many thousand tasks."""

    task_run: str
