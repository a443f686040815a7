"""``penstock flow-run inspect``: a run on one page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from penstock import errors
from penstock.cli import arguments, humanize, output, run_views, table, views
from penstock.cli.output import AS_FITS, OutputOptions
from penstock.cli.session import Here, Session
from penstock.cli.table import Cell
from penstock.cli.terminal import one_line
from penstock.core.operations.artifacts import ListArtifacts
from penstock.core.operations.deployments import GetDeployment
from penstock.core.operations.events import ListEvents
from penstock.core.operations.flow_runs import GetFlowRun
from penstock.core.operations.task_runs import CountTaskRuns, ListTaskRuns
from penstock.core.runs import Artifact, Event, FlowRun, StateCount, TaskRun
from penstock.core.states import StateType

FAILURES = (StateType.FAILED, StateType.CRASHED)

MAX_FAILURES = 10
"""More failures than this are only counted: the rest is `penstock task-run ls --state failed`."""

MAX_VALUE = 300
"""A longer value of a parameter is cut; `--json` has it whole."""


MAX_STEPS = 40
"""So many of the last things that happened to a run are shown."""

MAX_ARTIFACTS = 50


class Facts(NamedTuple):
    """A flow run, and what belongs to it."""

    run: FlowRun
    deployment: str | None
    """Its full name, or its id when it is gone."""
    counts: Sequence[StateCount]
    failures: Sequence[TaskRun]
    """The first few of them."""
    artifacts: Sequence[Artifact]
    steps: Sequence[Event]
    """What happened to it, if that is more than that it began and ended."""


def inspect(run: arguments.FlowRun, /, *, out: OutputOptions = AS_FITS, here: Here) -> None:
    """Show a run: its state, attempts, times, parameters, task runs, failures, artifacts, and how to go on."""
    facts = _facts(here, here.ask(GetFlowRun(run=run)))
    output.show_one(here, out, _as_fields(facts), lambda: _page(here, facts))
    if out.format is None:
        here.terminal.hint(_next_steps(facts.run))


def _facts(session: Session, run: FlowRun) -> Facts:
    """Ask for all of it."""
    ask = session.ask
    return Facts(
        run,
        _deployment(session, run),
        ask(CountTaskRuns(run=(run.id,))),
        ask(ListTaskRuns(run=run.id, state=FAILURES, limit=MAX_FAILURES)).items,
        ask(ListArtifacts(run=run.id, limit=MAX_ARTIFACTS)).items,
        ask(ListEvents(run=run.id, tail=True, limit=MAX_STEPS)).items if _has_a_history(run) else (),
    )


def _deployment(session: Session, run: FlowRun) -> str | None:
    if run.deployment_id is None:
        return None
    try:
        return session.ask(GetDeployment(deployment=run.deployment_id)).full_name
    except errors.NotFound:
        return run.deployment_id


def _has_a_history(run: FlowRun) -> bool:
    return run.work_pool is not None or run.attempt > 1 or run.crashes > 0 or run.state_type is StateType.CANCELLED


def _as_fields(facts: Facts) -> dict[str, Any]:
    """The run as programs get it."""
    values = views.fields(facts.run)
    values["task_runs"] = {count.state_name: count.task_runs for count in facts.counts}
    values["failures"] = [views.fields(each) for each in facts.failures]
    values["artifacts"] = [views.fields(each) for each in facts.artifacts]
    values["deployment"] = facts.deployment
    values["history"] = [_step_as_fields(each) for each in facts.steps]
    return values


def _page(session: Session, facts: Facts) -> str:
    """The run, its task runs by state, its failures, its artifacts."""
    terminal = session.terminal
    run = facts.run
    style = views.Style(human=terminal.out_is_tty, now=session.clock.now())
    state = terminal.paint(run.state_name, run_views.STATE_STYLES[run.state_type], "bold")
    parts = [
        f"{terminal.paint(one_line(run.name), 'bold')}  {state}",
        table.pairs(terminal, _rows(facts, style), indent="  "),
    ]
    if facts.steps:
        rows = [(style.time(each.at).text, Cell(run_views.step(each))) for each in facts.steps]
        parts.append(f"{terminal.paint('History', 'bold')}\n{table.pairs(terminal, rows, indent='  ')}")
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


def _next_steps(run: FlowRun) -> str:
    """How to go on with a run in this state."""
    if run.is_final and run.parent_flow_run_id is not None:
        return f"it ran as a part of another run, which can be run again: `penstock flow-run inspect {run.root_run_id}`"
    if run.state_type is StateType.COMPLETED:
        return f"run it again from one of its tasks: `penstock flow-run rerun {run.name} --from TASK`"
    if run.is_final:
        command = "resume" if run.work_pool is None else "retry"
        return f"go on from where it ended: `penstock flow-run {command} {run.name}`"
    return f"see what it is doing: `penstock flow-run logs -f {run.name}`"


def _rows(facts: Facts, style: views.Style) -> list[tuple[str, Cell]]:
    run, counts = facts.run, facts.counts
    return [
        ("flow", Cell(run.flow_name + (f" (version {run.flow_version})" if run.flow_version else ""))),
        ("id", Cell(run.id)),
        ("deployment", Cell(facts.deployment or "")),
        ("work pool", Cell("" if run.work_pool is None else f"{run.work_pool}, queue {run.work_queue}")),
        ("worker", Cell(run.worker or "")),
        ("state", Cell(_state(run), run_views.STATE_STYLES[run.state_type])),
        ("attempt", Cell(_attempt(run))),
        ("created", style.time(run.created_at)),
        ("due", Cell(_due(run, style))),
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


def _due(run: FlowRun, style: views.Style) -> str:
    if run.due_at is None:
        return ""
    text = style.time(run.due_at).text
    waits = run.state_type in {StateType.SCHEDULED, StateType.PENDING}
    return f"{text}, {humanize.due(run.due_at, style.now)}" if waits and style.human else text


def _step_as_fields(event: Event) -> dict[str, Any]:
    return {"at": humanize.iso(event.at), "event": event.event, **event.payload}


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
