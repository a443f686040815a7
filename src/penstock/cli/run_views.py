"""How runs are shown, and what happened to them."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.cli import humanize
from penstock.cli.table import Cell, Column
from penstock.cli.terminal import one_line
from penstock.cli.views import Style, View
from penstock.core.runs import Event, FlowRun, TaskRun
from penstock.core.states import StateType

STATE_STYLES = {
    StateType.SCHEDULED: "yellow",
    StateType.PENDING: "yellow",
    StateType.RUNNING: "blue",
    StateType.PAUSED: "magenta",
    StateType.CANCELLING: "magenta",
    StateType.COMPLETED: "green",
    StateType.FAILED: "red",
    StateType.CRASHED: "red",
    StateType.CANCELLED: "dim",
}


def state(kind: StateType, name: str) -> Cell:
    """A state in its colour."""
    return Cell(name, STATE_STYLES[kind])


def _flow_run_rows(found: Sequence[FlowRun], style: Style) -> list[list[Cell]]:
    return [
        [
            Cell(run.name),
            Cell(run.flow_name),
            state(run.state_type, run.state_name),
            _started(run, style),
            style.took(run.started_at, run.ended_at),
            identity,
        ]
        for run, identity in zip(found, style.ids([run.id for run in found]), strict=True)
    ]


def _started(run: FlowRun, style: Style) -> Cell:
    """When it began; if it has not, for people when it is to. Nothing of a run that ended before."""
    if run.started_at is None and run.is_final:
        return Cell("")
    if run.started_at is None and run.due_at is not None and style.human:
        return Cell(f"due {humanize.due(run.due_at, style.now)}")
    return style.time(run.started_at or run.due_at or run.created_at)


FLOW_RUNS = View[FlowRun](
    (
        Column("NAME"),
        Column("FLOW"),
        Column("STATE", shrinks=False),
        Column("STARTED", shrinks=False),
        Column("TOOK", right=True, shrinks=False),
        Column("ID", drops=True),
    ),
    _flow_run_rows,
)


def _due_flow_run_rows(found: Sequence[FlowRun], style: Style) -> list[list[Cell]]:
    return [
        [
            Cell(run.name),
            Cell(run.flow_name),
            state(run.state_type, run.state_name),
            style.time(run.due_at),
            Cell(humanize.due(run.due_at or run.created_at, style.now)),
            Cell(f"{run.work_pool}/{run.work_queue}"),
            identity,
        ]
        for run, identity in zip(found, style.ids([run.id for run in found]), strict=True)
    ]


DUE_FLOW_RUNS = View[FlowRun](
    (
        Column("NAME"),
        Column("FLOW"),
        Column("STATE", shrinks=False),
        Column("DUE", shrinks=False, drops=True),
        Column("", shrinks=False),
        Column("WORK POOL/QUEUE", drops=True),
        Column("ID", drops=True),
    ),
    _due_flow_run_rows,
)


def _task_run_rows(found: Sequence[TaskRun], style: Style) -> list[list[Cell]]:
    return [
        [
            Cell(run.name),
            Cell(run.task_name),
            state(run.state_type, run.state_name),
            style.time(run.started_at),
            style.took(run.started_at, run.ended_at),
            Cell(str(run.run_count)),
            identity,
        ]
        for run, identity in zip(found, style.ids([run.id for run in found]), strict=True)
    ]


TASK_RUNS = View[TaskRun](
    (
        Column("NAME"),
        Column("TASK", drops=True),
        Column("STATE", shrinks=False),
        Column("STARTED", shrinks=False),
        Column("TOOK", right=True, shrinks=False),
        Column("TRIES", right=True, shrinks=False),
        Column("ID"),
    ),
    _task_run_rows,
)


def step(event: Event) -> str:
    """What happened to a run, and why: ``crashed, attempt 2: Worker w1 was not heard of …``."""
    name = event.event.removeprefix("flow_run.").replace("_", " ")
    who, message = _who_and_why(event)
    text = ", ".join([name, *who])
    return one_line(f"{text}: {message}" if message else text)


def details(event: Event) -> str:
    """The same without what happened: ``attempt 2: Worker w1 was not heard of …``; may be empty."""
    who, message = _who_and_why(event)
    return one_line(": ".join(each for each in (", ".join(who), message) if each))


def _who_and_why(event: Event) -> tuple[list[str], str]:
    told = event.payload
    who = [f"attempt {told['attempt']}"] if told.get("attempt") else []
    if told.get("by"):
        who.append(f"by {told['by']}")
    return who, str(told.get("message") or told.get("reason") or told.get("detail") or "")
