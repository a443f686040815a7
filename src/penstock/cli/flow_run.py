"""``penstock flow-run``: runs of flows."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from penstock.cli import arguments, completion, humanize, output, run_views, tree
from penstock.cli.output import AS_FITS, OutputOptions
from penstock.cli.session import Here, refuse_together
from penstock.core.operations.flow_runs import ListDueFlowRuns, ListFlowRuns

app = tree.group("flow-run", "Runs of flows: look at them, watch, cancel, retry, resume, rerun, fork, delete.")

NOTHING = "There are no flow runs"


@app.command(name=("ls", "list"))
def ls(
    *,
    flow: Annotated[str | None, Parameter(metavar="NAME", help="Only runs of this flow.")] = None,
    deployment: Annotated[
        str | None,
        Parameter(metavar="NAME", help="Only runs of this deployment.", completer=completion.deployments),
    ] = None,
    pool: Annotated[
        str | None, Parameter(metavar="POOL", help="Only runs of this work pool.", completer=completion.work_pools)
    ] = None,
    queue: Annotated[str | None, Parameter(metavar="QUEUE", help="Only runs of this work queue.")] = None,
    state: arguments.States = (),
    tag: Annotated[
        tuple[str, ...], Parameter(metavar="TAG", help="Only runs with this tag, and each other given.")
    ] = (),
    name: Annotated[str | None, Parameter(metavar="TEXT", help="Only runs whose name begins like this.")] = None,
    since: arguments.Since = None,
    roots: Annotated[bool, Parameter(help="Leave out subflow runs.")] = False,
    due: Annotated[bool, Parameter(help="Runs that wait for their time or for a worker, soonest first.")] = False,
    limit: arguments.Limit = 20,
    out: OutputOptions = AS_FITS,
    here: Here,
) -> None:
    """List flow runs, newest first."""
    if due:
        conditions = {"--flow": flow, "--state": state, "--tag": tag, "--name": name, "--since": since}
        for option, value in conditions.items():
            refuse_together({"--due": due, option: value})
        waiting = here.listed(ListDueFlowRuns(deployment=deployment, pool=pool, queue=queue), limit)
        output.show_page(here, out, waiting, run_views.DUE_FLOW_RUNS, limit=limit, nothing="No flow run waits")
        return
    types, names = arguments.parted(state)
    request = ListFlowRuns(
        flow=flow,
        deployment=deployment,
        pool=pool,
        queue=queue,
        state=types,
        state_name=names,
        tag=tag,
        name=name,
        since=humanize.moment(since, here.clock.now()) if since else None,
        roots=roots,
    )
    page = here.listed(request, limit)
    asked = request != ListFlowRuns()
    nothing = NOTHING + (" like that" if asked else " yet")
    hint = "" if asked else "`penstock init` writes a flow to start with, `penstock quickstart` runs one"
    output.show_page(here, out, page, run_views.FLOW_RUNS, limit=limit, nothing=nothing, hint=hint, which="newest")


tree.add_below(app)
