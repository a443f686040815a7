"""``penstock flow-run``: runs of flows."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from penstock.cli import arguments, flow_run_page, humanize, output, tree, views
from penstock.cli.output import AS_FITS, OutputOptions
from penstock.cli.session import Here
from penstock.orchestration import overview

app = tree.group("flow-run", "Runs of flows: look at them, ask why, resume, rerun, fork, delete.")

NOTHING = "There are no flow runs"


@app.command(name=("ls", "list"))
def ls(
    *,
    flow: Annotated[str | None, Parameter(metavar="NAME", help="Only runs of this flow.")] = None,
    state: arguments.States = (),
    tag: Annotated[
        tuple[str, ...], Parameter(metavar="TAG", help="Only runs with this tag, and each other given.")
    ] = (),
    name: Annotated[str | None, Parameter(metavar="TEXT", help="Only runs whose name begins like this.")] = None,
    since: arguments.Since = None,
    roots: Annotated[bool, Parameter(help="Leave out subflow runs.")] = False,
    limit: arguments.Limit = 20,
    out: OutputOptions = AS_FITS,
    here: Here,
) -> None:
    """List flow runs, newest first."""
    with here.asking() as tx:
        page = overview.flow_runs(
            tx,
            flow=flow,
            states=state or None,
            tags=tag,
            name=name,
            since=humanize.moment(since, here.clock.now()) if since else None,
            parent=None if roots else ...,
            limit=limit,
        )
    asked = any((flow, state, tag, name, since, roots))
    nothing = NOTHING + (" like that" if asked else " yet")
    hint = "" if asked else "`penstock init` writes a flow to start with, `penstock quickstart` runs one"
    output.show_list(here, out, page.items, views.FLOW_RUNS, nothing=nothing, hint=hint)
    if page.next and here.terminal.out_is_tty:
        here.terminal.hint(f"these are the newest {limit}; `--limit` shows more")


@app.command
def inspect(run: arguments.FlowRun, /, *, out: OutputOptions = AS_FITS, here: Here) -> None:
    """Show a run: its state, attempts, times, parameters, task runs, failures, artifacts, and how to go on."""
    with here.asking() as tx:
        found = overview.flow_run(tx, run)
        facts = flow_run_page.Facts(
            found,
            overview.state_counts(tx, found.id),
            overview.task_runs(tx, found.id, states=flow_run_page.FAILURES, limit=flow_run_page.MAX_FAILURES).items,
            overview.artifacts(tx, flow_run_id=found.id, subflows=True).items,
        )
    output.show_one(here, out, flow_run_page.as_fields(facts), lambda: flow_run_page.page(here, facts))
    if out.format is None:
        here.terminal.hint(flow_run_page.next_steps(found))


tree.add_below(app)
