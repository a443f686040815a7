"""The run whose code is being executed, as objects: for code that wants more than `runtime` tells."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from penstock import errors
from penstock.core import timestamps
from penstock.engine.context import RunContext, current
from penstock.engine.runs import FlowRun, TaskRun
from penstock.sdk import visualize


def here(what: str) -> RunContext | None:
    """The run for which ``what`` was called; None where a flow is only drawn, and nothing is recorded.

    Raises `MissingContext` outside of a run.
    """
    run = current()
    if run is None and not visualize.is_drawing():
        raise errors.MissingContext(
            f"There is no run here for {what}", hint="call it inside of a flow or task, while that is run"
        )
    return run


class FlowRunContext:
    """The flow run whose code, or one of whose tasks, is being executed."""

    def __init__(self, run: FlowRun) -> None:
        self.flow_run = run

    @property
    def flow(self) -> Any:
        """The `Flow`; for a task that was called outside of any flow, the `Task`."""
        return self.flow_run.spec.owner

    @property
    def parameters(self) -> dict[str, Any]:
        return self.flow_run.parameters

    @property
    def start_time(self) -> datetime:
        return timestamps.as_datetime(self.flow_run.started_at)

    @classmethod
    def get(cls) -> FlowRunContext | None:
        """The context of the current flow run, also within its tasks; None outside of a run."""
        run = current()
        return None if run is None else cls(run.flow)

    def __repr__(self) -> str:
        return f"<context of flow run {self.flow_run.name!r}>"


class TaskRunContext:
    """The task run whose code is being executed."""

    def __init__(self, run: TaskRun) -> None:
        self.task_run = run

    @property
    def task(self) -> Any:
        """The `Task`."""
        return self.task_run.spec.owner

    @property
    def parameters(self) -> dict[str, Any]:
        return self.task_run.parameters

    @classmethod
    def get(cls) -> TaskRunContext | None:
        """The context of the current task run; None where no task is being executed."""
        run = current()
        return cls(run) if isinstance(run, TaskRun) else None

    def __repr__(self) -> str:
        return f"<context of task run {self.task_run.name!r}>"


def get_run_context() -> FlowRunContext | TaskRunContext:
    """The context of the task run, or else of the flow run, whose code is being executed.

    Raises `MissingContext` outside of a run.
    """
    found = TaskRunContext.get() or FlowRunContext.get()
    if found is None:
        raise errors.MissingContext("There is no run here", hint="ask inside of a flow or task, while that is run")
    return found
