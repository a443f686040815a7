"""What ``penstock flow-run inspect`` shows people: a run on one page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from penstock.cli import humanize, output, table, views
from penstock.cli.session import Session
from penstock.cli.table import Cell
from penstock.cli.terminal import one_line
from penstock.core.runs import Artifact, FlowRun, TaskRun
from penstock.core.states import StateType
from penstock.store.rows import StateCount

FAILURES = (StateType.FAILED, StateType.CRASHED)

MAX_FAILURES = 10
"""More failures than this are only counted: the rest is `penstock task-run ls --state failed`."""

MAX_VALUE = 300
"""A longer value of a parameter is cut; `--json` has it whole."""


class Facts(NamedTuple):
    """A flow run, and what belongs to it."""

    run: FlowRun
    counts: Sequence[StateCount]
    failures: Sequence[TaskRun]
    """The first few of them."""
    artifacts: Sequence[Artifact]


def as_fields(facts: Facts) -> dict[str, Any]:
    """The run as programs get it."""
    values = views.fields(facts.run)
    values["task_runs"] = {count.state_name: count.task_runs for count in facts.counts}
    values["failures"] = [views.fields(each) for each in facts.failures]
    values["artifacts"] = [views.fields(each) for each in facts.artifacts]
    return values


def page(session: Session, facts: Facts) -> str:
    """The run, its task runs by state, its failures, its artifacts."""
    terminal = session.terminal
    run = facts.run
    style = views.Style(human=terminal.out_is_tty, now=session.clock.now())
    state = terminal.paint(run.state_name, views.STYLES[run.state_type], "bold")
    parts = [
        f"{terminal.paint(one_line(run.name), 'bold')}  {state}",
        table.pairs(terminal, _rows(run, facts.counts, style), indent="  "),
    ]
    if facts.failures:
        rows = [(one_line(each.name), Cell(each.state_message or each.state_name, "red")) for each in facts.failures]
        more = sum(count.task_runs for count in facts.counts if count.state_type in FAILURES) - len(facts.failures)
        if more > 0:
            rows.append(("", Cell(f"and {more:,} more: `penstock task-run ls {run.name} --state failed`")))
        parts.append(f"{terminal.paint('Failures', 'bold')}\n{table.pairs(terminal, rows, indent='  ')}")
    if facts.artifacts:
        rows = [(one_line(each.key or each.id), Cell(_artifact(each))) for each in facts.artifacts]
        parts.append(f"{terminal.paint('Artifacts', 'bold')}\n{table.pairs(terminal, rows, indent='  ')}")
    return "\n\n".join(parts)


def next_steps(run: FlowRun) -> str:
    """How to go on with a run in this state."""
    if run.is_final and run.parent_flow_run_id is not None:
        return f"it ran as a part of another run, which can be run again: `penstock flow-run inspect {run.root_run_id}`"
    if run.state_type is StateType.COMPLETED:
        return f"run it again from one of its tasks: `penstock flow-run rerun {run.name} --from TASK`"
    if run.is_final:
        return f"go on from where it ended: `penstock flow-run resume {run.name}`"
    return f"see what it is doing: `penstock flow-run logs -f {run.name}`"


def _rows(run: FlowRun, counts: Sequence[StateCount], style: views.Style) -> list[tuple[str, Cell]]:
    rows = [
        ("flow", Cell(run.flow_name + (f" (version {run.flow_version})" if run.flow_version else ""))),
        ("id", Cell(run.id)),
        ("state", Cell(_state(run), views.STYLES[run.state_type])),
        ("attempt", Cell(_attempt(run))),
        ("created", style.time(run.created_at)),
        ("started", style.time(run.started_at)),
        ("ended", style.time(run.ended_at)),
        ("took", style.took(run.started_at, run.ended_at)),
        ("parameters", Cell("\n".join(f"{name} = {_value(value)}" for name, value in run.parameters.items()))),
        ("tags", Cell(", ".join(run.tags))),
        ("result", Cell(run.result.preview if run.result else "")),
        ("task runs", Cell(", ".join(f"{count.task_runs:,} {count.state_name}" for count in counts))),
        ("code", Cell(run.entrypoint)),
        ("subflow of", Cell(run.parent_flow_run_id or "")),
        ("fork of", Cell(run.forked_from or "")),
    ]
    return [(label, cell) for label, cell in rows if cell.text]


def _state(run: FlowRun) -> str:
    return f"{run.state_name}: {run.state_message}" if run.state_message else run.state_name


def _attempt(run: FlowRun) -> str:
    text = str(run.attempt)
    if run.run_count > 1:
        text += f", try {run.run_count}"
    if run.crashes:
        text += f", after {humanize.counted(run.crashes, 'crash', 'crashes')}"
    return text


def _value(value: object) -> str:
    text = output.as_json(value)
    return text if len(text) <= MAX_VALUE else text[:MAX_VALUE] + "…"


def _artifact(artifact: Artifact) -> str:
    return f"{artifact.kind}: {artifact.description}" if artifact.description else artifact.kind
