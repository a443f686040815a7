"""``penstock work-pool``: where runs of deployments wait for workers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, cast

from cyclopts import Parameter

from penstock import errors
from penstock.cli import arguments, output, parameters, run_views, table, tree, views, work_views
from penstock.cli.output import AS_FITS, OutputOptions
from penstock.cli.session import Here, Session
from penstock.cli.table import Cell, Column
from penstock.cli.terminal import one_line
from penstock.core.deployments import DEFAULT_POOL
from penstock.core.operations.work_pools import (
    NO_LIMIT,
    CreateWorkPool,
    DeleteWorkPool,
    GetWorkPool,
    ListWorkers,
    ListWorkPools,
    ListWorkQueues,
    PreviewWork,
    UpdateWorkPool,
)
from penstock.core.work import Worker, WorkPool, WorkQueue

app = tree.group("work-pool", "Work pools: where runs of deployments wait for workers.")

Type = Literal["process"]

Template = Annotated[
    str | None,
    Parameter(
        name="--base-job-template",
        metavar="FILE",
        allow_leading_hyphen=True,
        help="A JSON file with what infrastructure of deployments is laid over: `env`, `working_dir` and so on.",
    ),
]

Limit = Annotated[
    int | None,
    Parameter(
        name=("-l", "--concurrency-limit"),
        metavar="N",
        help="Execute at most so many of its runs at once.",
        validator=arguments.between(0),
    ),
]

Description = Annotated[str | None, Parameter(metavar="TEXT", help="What it is for.")]


def _work_pool_rows(found: Sequence[WorkPool], style: views.Style) -> list[list[Cell]]:  # noqa: ARG001  as all views
    return [
        [
            Cell(pool.name),
            Cell(pool.type),
            work_views.limit(pool.concurrency_limit),
            work_views.claimed(is_paused=pool.paused),
            Cell(pool.description),
        ]
        for pool in found
    ]


WORK_POOLS = views.View[WorkPool](
    (
        Column("NAME"),
        Column("TYPE", shrinks=False),
        Column("LIMIT", right=True, shrinks=False),
        Column("STATUS", shrinks=False),
        Column("DESCRIPTION"),
    ),
    _work_pool_rows,
)


@app.command
def create(
    name: Annotated[str, Parameter(metavar="NAME", help="Its name.")],
    /,
    *,
    type: Annotated[Type, Parameter(name=("-t", "--type"), help="How runs are executed.")] = "process",  # noqa: A002  as the option is called
    description: Description = None,
    base_job_template: Template = None,
    concurrency_limit: Limit = None,
    paused: Annotated[bool, Parameter(help="Let workers claim nothing until it is resumed.")] = False,
    overwrite: Annotated[bool, Parameter(help="Change the pool of that name, if there is one.")] = False,
    here: Here,
) -> None:
    """Make a work pool."""
    made = here.ask(
        CreateWorkPool(
            name=name,
            type=type,
            description=description or "",
            job_template=_read(here, base_job_template) or {},
            concurrency_limit=concurrency_limit,
            paused=paused,
            overwrite=overwrite,
        )
    )
    here.terminal.tell(f"Created work pool {made.name!r}.")
    here.terminal.hint(f"start a worker for it: `penstock worker start -p '{made.name}'`")


@app.command(name=("ls", "list"))
def ls(*, out: OutputOptions = AS_FITS, here: Here) -> None:
    """List the work pools."""
    output.show_list(here, out, here.ask(ListWorkPools()), WORK_POOLS, nothing="There are no work pools")


@app.command
def inspect(name: arguments.WorkPool = DEFAULT_POOL, /, *, out: OutputOptions = AS_FITS, here: Here) -> None:
    """Show a work pool, its queues and its workers."""
    found = here.ask(GetWorkPool(pool=name))
    queues = here.ask(ListWorkQueues(pool=name))
    workers = here.ask(ListWorkers(pool=name))
    values = views.fields(found)
    values["queues"] = [views.fields(each) for each in queues]
    values["workers"] = [views.fields(each) for each in workers]
    output.show_one(here, out, values, lambda: _page(here, found, queues, workers))


@app.command
def update(
    name: arguments.WorkPool,
    /,
    *,
    description: Description = None,
    base_job_template: Template = None,
    concurrency_limit: Limit = None,
    here: Here,
) -> None:
    """Change a work pool: what is given."""
    if description is None and base_job_template is None and concurrency_limit is None:
        raise errors.UsageError(
            "There is nothing to change", hint="say `--description`, `--base-job-template` or `--concurrency-limit`"
        )
    here.ask(
        UpdateWorkPool(
            pool=name,
            description=description,
            job_template=_read(here, base_job_template),
            concurrency_limit=concurrency_limit,
        )
    )
    here.terminal.tell(f"Updated work pool {name!r}")


@app.command
def pause(name: arguments.WorkPool, /, *, here: Here) -> None:
    """Let workers claim no runs of a pool until it is resumed. Runs under way go on."""
    here.ask(UpdateWorkPool(pool=name, paused=True))
    here.terminal.tell(f"Paused work pool {name!r}")


@app.command
def resume(name: arguments.WorkPool, /, *, here: Here) -> None:
    """Let workers claim runs of a pool again."""
    here.ask(UpdateWorkPool(pool=name, paused=False))
    here.terminal.tell(f"Resumed work pool {name!r}")


@app.command(name="set-concurrency-limit")
def set_concurrency_limit(name: arguments.WorkPool, concurrency_limit: arguments.Slots, /, *, here: Here) -> None:
    """Let workers execute at most so many runs of a pool at once."""
    here.ask(UpdateWorkPool(pool=name, concurrency_limit=concurrency_limit))
    here.terminal.tell(f"Set concurrency limit for work pool {name!r} to {concurrency_limit}")


@app.command(name="clear-concurrency-limit")
def clear_concurrency_limit(name: arguments.WorkPool, /, *, here: Here) -> None:
    """Let workers execute as many runs of a pool as they can."""
    here.ask(UpdateWorkPool(pool=name, concurrency_limit=NO_LIMIT))
    here.terminal.tell(f"Cleared concurrency limit for work pool {name!r}")


@app.command
def preview(
    name: arguments.WorkPool = DEFAULT_POOL,
    /,
    *,
    hours: arguments.Hours = 1,
    limit: arguments.PreviewLimit = 50,
    out: OutputOptions = AS_FITS,
    here: Here,
) -> None:
    """List the runs of a pool that workers would claim next, in the order of their turn."""
    found = here.ask(PreviewWork(pool=name, hours=hours, limit=limit))
    nothing = f"No run of work pool {name!r} is due within {hours:g} h"
    output.show_list(here, out, found, run_views.DUE_FLOW_RUNS, nothing=nothing)


@app.command
def delete(
    name: arguments.WorkPool, /, *, yes: arguments.Yes = False, dry_run: arguments.DryRun = False, here: Here
) -> None:
    """Forget a work pool and its queues. Refused while deployments or unfinished runs name it."""
    found = here.ask(GetWorkPool(pool=name))
    if dry_run:
        here.terminal.say(f"Work pool {found.name!r} would be deleted")
        return
    here.terminal.confirm(f"Delete work pool {found.name!r}, with its queues?", yes=yes)
    here.ask(DeleteWorkPool(pool=found.name))
    here.terminal.tell(f"Deleted work pool {found.name!r}")


def _page(here: Session, found: WorkPool, queues: Sequence[WorkQueue], workers: Sequence[Worker]) -> str:
    terminal = here.terminal
    style = views.Style(human=terminal.out_is_tty, now=here.clock.now())
    status = terminal.paint("paused", "yellow") if found.paused else ""
    rows = [
        ("type", Cell(found.type)),
        ("description", Cell(found.description)),
        ("limit", Cell("none" if found.concurrency_limit is None else str(found.concurrency_limit))),
        (
            "job template",
            Cell("\n".join(f"{key} = {output.as_json(value)}" for key, value in found.job_template.items())),
        ),
        ("created", style.time(found.created_at or None)),
    ]
    parts = [
        f"{terminal.paint(one_line(found.name), 'bold')}  {status}".rstrip(),
        table.pairs(terminal, rows, indent="  "),
    ]
    for title, view, items in (("Queues", work_views.WORK_QUEUES, queues), ("Workers", work_views.WORKERS, workers)):
        if items:
            listed = cast("views.View[Any]", view)
            drawn = table.draw(terminal, listed.columns, listed.rows(items, style), width=terminal.room)
            parts.append(f"{terminal.paint(title, 'bold')}\n{drawn}")
    return "\n\n".join(parts)


def _read(here: Session, template: str | None) -> dict[str, Any] | None:
    if template is None:
        return None
    return parameters.document(here.terminal, template, one="default", option="--base-job-template")
