"""``penstock flow``: flows that have run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter

from penstock.cli import arguments, completion, deployment_views, humanize, output, run_views, table, tree, views
from penstock.cli.output import AS_FITS, OutputOptions
from penstock.cli.session import Here, Session
from penstock.cli.table import Cell, Column
from penstock.cli.terminal import one_line
from penstock.core.deployments import Deployment
from penstock.core.operations.deployments import ListDeployments
from penstock.core.operations.flow_runs import ListFlowRuns
from penstock.core.operations.flows import GetFlow, ListFlows
from penstock.core.runs import FlowRun, FlowSummary

app = tree.group("flow", "Flows that have run.")

LATEST = 5
"""So many of a flow's newest runs are shown with it."""


def _flow_rows(found: Sequence[FlowSummary], style: views.Style) -> list[list[Cell]]:
    return [
        [
            Cell(flow.name),
            Cell(str(flow.runs)),
            style.time(flow.last_run_at),
            run_views.state(flow.last_state_type, flow.last_state_name),
            Cell(flow.entrypoint),
        ]
        for flow in found
    ]


FLOWS = views.View[FlowSummary](
    (
        Column("NAME"),
        Column("RUNS", right=True, shrinks=False),
        Column("LAST RUN", shrinks=False),
        Column("STATE", shrinks=False),
        Column("ENTRYPOINT"),
    ),
    _flow_rows,
)


@app.command(name=("ls", "list"))
def ls(
    *,
    limit: arguments.Limit = 1000,
    out: OutputOptions = AS_FITS,
    here: Here,
) -> None:
    """List the flows that have run, each with its latest run."""
    page = here.listed(ListFlows(), limit)
    output.show_page(
        here,
        out,
        page,
        FLOWS,
        limit=limit,
        nothing="No flow has run yet",
        hint="`penstock init` writes a flow to start with, `penstock quickstart` runs one",
    )


@app.command
def inspect(
    flow: Annotated[str, Parameter(metavar="FLOW", help="The flow's name.", completer=completion.flows)],
    /,
    *,
    out: OutputOptions = AS_FITS,
    here: Here,
) -> None:
    """Show a flow: what it does, its deployments and its latest runs."""
    found = here.ask(GetFlow(flow=flow))
    deployments = here.ask(ListDeployments(flow=found.name)).items
    latest = here.ask(ListFlowRuns(flow=found.name, limit=LATEST)).items
    values = views.fields(found)
    values["deployments"] = [deployment_views.fields(each) for each in deployments]
    values["latest_runs"] = [views.fields(each) for each in latest]
    output.show_one(here, out, values, lambda: _page(here, found, deployments, latest))


def _page(here: Session, found: FlowSummary, deployments: list[Deployment], latest: list[FlowRun]) -> str:
    terminal = here.terminal
    style = views.Style(human=terminal.out_is_tty, now=here.clock.now())
    rows = [
        ("description", Cell(found.description)),
        ("entrypoint", Cell(found.entrypoint)),
        ("runs", Cell(f"{found.runs:,}")),
        ("deployments", Cell("\n".join(each.full_name for each in deployments))),
    ]
    ran = [
        (one_line(run.name), Cell(f"{run.state_name}, {_when(run, style)}", run_views.STATE_STYLES[run.state_type]))
        for run in latest
    ]
    return "\n\n".join(
        [
            terminal.paint(one_line(found.name), "bold"),
            table.pairs(terminal, rows, indent="  "),
            f"{terminal.paint('Latest runs', 'bold')}\n{table.pairs(terminal, ran, indent='  ')}",
        ]
    )


def _when(run: FlowRun, style: views.Style) -> str:
    if run.started_at is None:
        return f"due {humanize.due(run.due_at or run.created_at, style.now)}"
    return style.time(run.started_at).text
