"""``penstock task-run``: runs of tasks."""

from __future__ import annotations

from penstock.cli import arguments, output, run_views, table, tree, views
from penstock.cli.output import AS_FITS, OutputOptions
from penstock.cli.session import Here, Session
from penstock.cli.table import Cell
from penstock.cli.terminal import one_line
from penstock.core.operations.flow_runs import GetFlowRun
from penstock.core.operations.task_runs import GetTaskRun, ListTaskRuns
from penstock.core.runs import TaskRun

app = tree.group("task-run", "Runs of tasks, and why they ran or did not.")


@app.command(name=("ls", "list"))
def ls(
    run: arguments.FlowRun,
    /,
    *,
    state: arguments.States = (),
    limit: arguments.Limit = 100,
    out: OutputOptions = AS_FITS,
    here: Here,
) -> None:
    """List the task runs of a flow run, in the order in which they began."""
    parent = here.ask(GetFlowRun(run=run))
    types, names = arguments.parted(state)
    page = here.listed(ListTaskRuns(run=parent.id, state=types, state_name=names), limit)
    nothing = f"Flow run `{one_line(parent.name)}` has no task runs{' like that' if state else ''}"
    output.show_page(here, out, page, run_views.TASK_RUNS, limit=limit, nothing=nothing)


@app.command
def inspect(task_run: arguments.TaskRun, /, *, out: OutputOptions = AS_FITS, here: Here) -> None:
    """Show a task run: its state, times, inputs, result, and whether it was reused or cached."""
    found = here.ask(GetTaskRun(task_run=task_run))
    output.show_one(here, out, views.fields(found), lambda: _page(here, found))
    if out.format is None:
        here.terminal.hint(f"see why it ran, or did not: `penstock task-run why {found.id}`")


tree.add_below(app)


def _page(session: Session, run: TaskRun) -> str:
    terminal = session.terminal
    style = views.Style(human=terminal.out_is_tty, now=session.clock.now())
    state = f"{run.state_name}: {run.state_message}" if run.state_message else run.state_name
    rows = [
        ("task", Cell(run.task_name if run.kind == "task" else f"{run.task_name} ({run.kind})")),
        ("id", Cell(run.id)),
        ("flow run", Cell(run.flow_run_id)),
        ("state", Cell(state, run_views.STATE_STYLES[run.state_type])),
        ("attempt", Cell(f"{run.attempt}, try {run.run_count}" if run.run_count > 1 else str(run.attempt))),
        ("started", style.time(run.started_at)),
        ("ended", style.time(run.ended_at)),
        ("took", style.took(run.started_at, run.ended_at)),
        ("tags", Cell(", ".join(run.tags))),
        ("result", Cell(run.result.preview if run.result else "")),
        ("reused from", Cell(run.reused_from or "")),
        ("cache", Cell(run.cache)),
        ("upstream", Cell("\n".join(run.upstream))),
    ]
    head = terminal.paint(run.state_name, run_views.STATE_STYLES[run.state_type], "bold")
    return f"{terminal.paint(one_line(run.name), 'bold')}  {head}\n\n{table.pairs(terminal, rows, indent='  ')}"
