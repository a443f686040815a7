"""``penstock worker``: processes that execute runs of deployments."""

from __future__ import annotations

import os
import platform
from typing import Annotated, Literal

from cyclopts import Parameter

from penstock import errors
from penstock.cli import lifeline, output, table, tree, views, work_views
from penstock.cli.output import AS_FITS, OutputOptions
from penstock.cli.session import Here
from penstock.cli.table import Cell
from penstock.core.deployments import DEFAULT_POOL
from penstock.core.operations.work_pools import ListWorkers
from penstock.core.work import Worker

app = tree.group("worker", "Workers: processes that execute runs of deployments.")

Type = Literal["process"]


@app.command
def start(
    *,
    pool: Annotated[str, Parameter(name=("-p", "--pool"), help="The work pool to serve.")] = DEFAULT_POOL,
    work_queue: Annotated[
        tuple[str, ...],
        Parameter(name=("-q", "--work-queue"), negative=(), help="Only this queue of it."),
    ] = (),
    type: Annotated[Type, Parameter(name=("-t", "--type"), help="How runs are executed.")] = "process",  # noqa: A002  as the option is called
    limit: Annotated[
        int | None, Parameter(name=("-l", "--limit"), help="Execute at most so many runs at once.")
    ] = None,
    name: Annotated[
        str | None,
        Parameter(name=("-n", "--name"), help="How it is called; as the machine, if not given."),
    ] = None,
    run_once: Annotated[bool, Parameter(help="Take what is due now, see it through, and stop.")] = False,
    api: Annotated[str | None, Parameter(metavar="URL", help="The API of the server; PENSTOCK_API_URL.")] = None,
    until_stdin_ends: lifeline.UntilStdinEnds = False,
    here: Here,
) -> None:
    """Start a worker, which executes the runs of a work pool until it is told to stop.

    Queues that do not exist are made. SIGTERM or Ctrl-C lets runs be interrupted, to go on with another worker at once;
    a second one does not wait for them to end.
    """
    from penstock.cli import working  # noqa: PLC0415  the other commands need none of it
    from penstock.worker.worker import Wanted  # noqa: PLC0415  as above

    assert type == "process"
    if until_stdin_ends:
        lifeline.hold()
    named = name or f"{platform.node()}-{os.getpid()}"
    queues = f", queue(s): {working.listed(work_queue, ())}" if work_queue else ""
    wanted = Wanted(pool, named, work_queue, (), limit, run_once)
    started = f"Worker '{named}' started! Looking for work in pool '{pool}'{queues}..."
    working.work(here, "worker", wanted, api=api, started=started, hide_welcome=False)


@app.command(name=("ls", "list"))
def ls(
    *,
    pool: Annotated[str | None, Parameter(name=("-p", "--pool"), help="Only workers of this work pool.")] = None,
    out: OutputOptions = AS_FITS,
    here: Here,
) -> None:
    """List the workers that were seen of late."""
    found = here.ask(ListWorkers(pool=pool))
    output.show_list(
        here,
        out,
        found,
        work_views.WORKERS,
        nothing="There are no workers",
        hint=f"start one: `penstock worker start -p {pool or DEFAULT_POOL}`",
    )


@app.command
def inspect(
    worker: Annotated[str, Parameter(metavar="WORKER", help="Its name, its id, or a beginning of the id.")],
    /,
    *,
    out: OutputOptions = AS_FITS,
    here: Here,
) -> None:
    """Show a worker."""
    found = _named(here.ask(ListWorkers()), worker)
    style = views.Style(human=here.terminal.out_is_tty, now=here.clock.now())
    rows = [
        ("name", Cell(found.name)),
        ("id", Cell(found.id)),
        ("status", Cell(found.status, work_views.WORKER_STYLES[found.status])),
        ("pool", Cell(found.pool)),
        ("queues", Cell(", ".join(found.queues) or "all")),
        ("type", Cell(found.type)),
        ("limit", Cell("none" if found.limit is None else str(found.limit))),
        ("host", Cell(found.host)),
        ("version", Cell(found.version)),
        ("started", style.time(found.started_at)),
        ("seen", style.time(found.seen_at)),
    ]
    output.show_one(here, out, views.fields(found), lambda: table.pairs(here.terminal, rows))


def _named(found: list[Worker], name: str) -> Worker:
    """The worker of that name or id; of several with one name, the one that was seen last."""
    fitting = [each for each in found if name in (each.name, each.id) or (len(name) >= 4 and each.id.startswith(name))]
    if not fitting:
        known = ", ".join(sorted({each.name for each in found})) or "there are none"
        raise errors.NotFound(f"There is no worker: `{name}`", hint=f"those seen of late: {known}")
    return max(fitting, key=lambda each: each.seen_at)
