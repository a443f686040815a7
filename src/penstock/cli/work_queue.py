"""``penstock work-queue``: lanes of work pools."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from penstock import errors
from penstock.cli import arguments, humanize, output, run_views, table, tree, views, work_views
from penstock.cli.output import AS_FITS, OutputOptions
from penstock.cli.session import Here, Session
from penstock.cli.table import Cell
from penstock.cli.terminal import one_line
from penstock.core.deployments import DEFAULT_POOL, DEFAULT_QUEUE
from penstock.core.operations.work_pools import NO_LIMIT, DeleteWorkQueue, ListWorkQueues, PreviewWork, SaveWorkQueue
from penstock.core.suggestions import did_you_mean
from penstock.core.work import WorkQueue

app = tree.group("work-queue", "Work queues: lanes of work pools, some before others.")

Pool = Annotated[
    str,
    Parameter(name=("-p", "--pool"), metavar="POOL", help="The work pool that it is a lane of."),
]

Limit = Annotated[
    int | None,
    Parameter(
        name=("-l", "--limit"),
        metavar="N",
        help="Execute at most so many of its runs at once.",
        validator=arguments.between(0),
    ),
]

Priority = Annotated[
    int | None,
    Parameter(metavar="N", help="A lower number is claimed first; 1 unless given.", validator=arguments.between(1)),
]


@app.command
def create(
    name: Annotated[str, Parameter(metavar="NAME", help="Its name.")],
    /,
    *,
    pool: Pool = DEFAULT_POOL,
    limit: Limit = None,
    priority: Priority = None,
    tag: Annotated[tuple[str, ...], Parameter(name=("-t", "--tag"), metavar="TAG", help="Refused: see below.")] = (),
    here: Here,
) -> None:
    """Make a work queue.

    A queue takes the runs of the deployments that name it: it does not look at tags.
    """
    if tag:
        raise errors.UsageError(
            "Queues do not look at tags",
            hint=f"let deployments name the queue: `penstock deployment build … -q {name}`",
        )
    if any(each.name == name for each in here.ask(ListWorkQueues(pool=pool, name=name))):
        raise errors.AlreadyExists(
            f"There is a work queue of that name already: `{name}`", hint="`penstock work-queue update` changes it"
        )
    made = here.ask(SaveWorkQueue(pool=pool, queue=name, concurrency_limit=limit, priority=priority))
    others = "" if pool == DEFAULT_POOL else f" -p '{pool}'"
    here.terminal.tell(
        "\n".join(
            [
                "Created work queue with properties:",
                f"    name - {made.name!r}",
                f"    work pool - {made.pool!r}",
                f"    priority - {made.priority}",
                f"    concurrency limit - {made.concurrency_limit}",
                "Start an agent to pick up flow runs from the work queue:",
                f"    penstock agent start -q '{made.name}'{others}",
                "Inspect the work queue:",
                f"    penstock work-queue inspect '{made.name}'{others}",
            ]
        )
    )


@app.command(name=("ls", "list"))
def ls(
    *,
    pool: Annotated[str | None, Parameter(name=("-p", "--pool"), help="Only queues of this work pool.")] = None,
    work_queue_prefix: Annotated[
        str | None,
        Parameter(name=("-w", "--work-queue-prefix"), metavar="TEXT", help="Only those that begin like this."),
    ] = None,
    out: OutputOptions = AS_FITS,
    here: Here,
) -> None:
    """List work queues by pool and priority, and how many runs wait and run in each."""
    found = here.ask(ListWorkQueues(pool=pool, name=work_queue_prefix))
    output.show_list(here, out, found, work_views.WORK_QUEUES, nothing="There are no work queues like that")


@app.command
def inspect(
    name: arguments.WorkQueue, /, *, pool: Pool = DEFAULT_POOL, out: OutputOptions = AS_FITS, here: Here
) -> None:
    """Show a work queue."""
    found = _queue(here, pool, name)
    rows = [
        ("work pool", Cell(found.pool)),
        ("priority", Cell(str(found.priority))),
        ("limit", Cell("none" if found.concurrency_limit is None else str(found.concurrency_limit))),
        ("description", Cell(found.description)),
        ("waiting", Cell(humanize.counted(found.waiting, "run"))),
        ("running", Cell(humanize.counted(found.running, "run"))),
    ]
    status = here.terminal.paint("paused", "yellow") if found.paused else ""
    head = f"{here.terminal.paint(one_line(found.name), 'bold')}  {status}".rstrip()
    output.show_one(
        here, out, views.fields(found), lambda: f"{head}\n\n{table.pairs(here.terminal, rows, indent='  ')}"
    )


@app.command
def update(
    name: arguments.WorkQueue,
    /,
    *,
    pool: Pool = DEFAULT_POOL,
    limit: Limit = None,
    priority: Priority = None,
    description: Annotated[str | None, Parameter(metavar="TEXT", help="What it is for.")] = None,
    here: Here,
) -> None:
    """Change a work queue: what is given."""
    if limit is None and priority is None and description is None:
        raise errors.UsageError("There is nothing to change", hint="say `--limit`, `--priority` or `--description`")
    found = _queue(here, pool, name)
    here.ask(
        SaveWorkQueue(
            pool=found.pool, queue=found.name, concurrency_limit=limit, priority=priority, description=description
        )
    )
    here.terminal.tell(f"Updated work queue {found.name!r}")


@app.command
def pause(name: arguments.WorkQueue, /, *, pool: Pool = DEFAULT_POOL, here: Here) -> None:
    """Let workers claim no runs of a queue until it is resumed. Runs under way go on."""
    found = _queue(here, pool, name)
    here.ask(SaveWorkQueue(pool=found.pool, queue=found.name, paused=True))
    here.terminal.tell(f"Paused work queue {found.name!r}")


@app.command
def resume(name: arguments.WorkQueue, /, *, pool: Pool = DEFAULT_POOL, here: Here) -> None:
    """Let workers claim runs of a queue again."""
    found = _queue(here, pool, name)
    here.ask(SaveWorkQueue(pool=found.pool, queue=found.name, paused=False))
    here.terminal.tell(f"Resumed work queue {found.name!r}")


@app.command(name="set-concurrency-limit")
def set_concurrency_limit(
    name: arguments.WorkQueue, limit: arguments.Slots, /, *, pool: Pool = DEFAULT_POOL, here: Here
) -> None:
    """Let workers execute at most so many runs of a queue at once."""
    found = _queue(here, pool, name)
    here.ask(SaveWorkQueue(pool=found.pool, queue=found.name, concurrency_limit=limit))
    here.terminal.tell(f"Concurrency limit of {limit} set on work queue {found.name!r}")


@app.command(name="clear-concurrency-limit")
def clear_concurrency_limit(name: arguments.WorkQueue, /, *, pool: Pool = DEFAULT_POOL, here: Here) -> None:
    """Let workers execute as many runs of a queue as they can."""
    found = _queue(here, pool, name)
    here.ask(SaveWorkQueue(pool=found.pool, queue=found.name, concurrency_limit=NO_LIMIT))
    here.terminal.tell(f"Concurrency limits removed on work queue {found.name!r}")


@app.command
def preview(
    name: arguments.WorkQueue = DEFAULT_QUEUE,
    /,
    *,
    pool: Pool = DEFAULT_POOL,
    hours: arguments.Hours = 1,
    limit: arguments.PreviewLimit = 50,
    out: OutputOptions = AS_FITS,
    here: Here,
) -> None:
    """List the runs of a queue that workers would claim next, in the order of their turn."""
    found = here.ask(PreviewWork(pool=pool, queue=name, hours=hours, limit=limit))
    nothing = f"No run of work queue {name!r} is due within {hours:g} h"
    output.show_list(here, out, found, run_views.DUE_FLOW_RUNS, nothing=nothing)


@app.command
def delete(
    name: arguments.WorkQueue,
    /,
    *,
    pool: Pool = DEFAULT_POOL,
    yes: arguments.Yes = False,
    dry_run: arguments.DryRun = False,
    here: Here,
) -> None:
    """Forget a work queue. Refused while unfinished runs name it."""
    found = _queue(here, pool, name)
    if dry_run:
        here.terminal.say(f"Work queue {found.name!r} would be deleted")
        return
    here.terminal.confirm(f"Delete work queue {found.name!r}?", yes=yes)
    here.ask(DeleteWorkQueue(pool=found.pool, queue=found.name))
    here.terminal.tell(f"Deleted work queue {found.name!r}")


def _queue(here: Session, pool: str, name: str) -> WorkQueue:
    """The queue of that name. Raises `NotFound`: nothing here makes one by mistake."""
    queues = here.ask(ListWorkQueues(pool=pool))
    for each in queues:
        if each.name == name:
            return each
    hint = did_you_mean(name, (each.name for each in queues)) or f"`penstock work-queue ls -p '{pool}'` lists them"
    raise errors.NotFound(f"The work pool `{pool}` has no queue: `{name}`", hint=hint)
