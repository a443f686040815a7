"""``penstock deployment``: flows that the server knows, and runs of them."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from penstock import errors
from penstock.cli import arguments, deployment_views, output, schedule_options, table, tree, views
from penstock.cli.output import AS_FITS, OutputOptions
from penstock.cli.session import Here, Session
from penstock.cli.table import Cell
from penstock.cli.terminal import one_line
from penstock.core import deployments, schedule_words
from penstock.core.deployments import Deployment
from penstock.core.operations.deployments import (
    ApplyDeployment,
    DeleteDeployment,
    GetDeployment,
    ListDeployments,
    PauseDeployment,
    ResumeDeployment,
)

app = tree.group("deployment", "Deployments: flows that the server knows, and when and where they run.")

MAX_VALUE = 300
"""A longer value of a parameter is cut; `--json` has it whole."""


@app.command(name=("ls", "list"))
def ls(
    *,
    flow: Annotated[str | None, Parameter(metavar="NAME", help="Only deployments of this flow.")] = None,
    tag: Annotated[str | None, Parameter(metavar="TAG", help="Only deployments with this tag.")] = None,
    pool: Annotated[str | None, Parameter(metavar="POOL", help="Only deployments of this work pool.")] = None,
    limit: arguments.Limit = 100,
    out: OutputOptions = AS_FITS,
    here: Here,
) -> None:
    """List deployments, by flow and name."""
    page = here.listed(ListDeployments(flow=flow, tag=tag, pool=pool), limit)
    asked = any((flow, tag, pool))
    hint = "" if asked else "`penstock deployment build FILE:FLOW -n NAME --apply` makes one"
    nothing = f"There are no deployments{' like that' if asked else ' yet'}"
    output.show_page(here, out, page, deployment_views.DEPLOYMENTS, limit=limit, nothing=nothing, hint=hint)


@app.command
def inspect(deployment: arguments.Deployment, /, *, out: OutputOptions = AS_FITS, here: Here) -> None:
    """Show a deployment: its code, parameters, schedules, and where it runs."""
    found = here.ask(GetDeployment(deployment=deployment))
    output.show_one(here, out, deployment_views.fields(found), lambda: _page(here, found))
    if out.format is None:
        here.terminal.hint(f"run it: `penstock deployment run '{found.full_name}'`")


@app.command
def pause(deployment: arguments.Deployment, /, *, here: Here) -> None:
    """Let the schedules of a deployment make no runs until it is resumed."""
    found = here.ask(PauseDeployment(deployment=deployment))
    here.terminal.tell(f"Paused schedule for deployment {found.full_name}")


@app.command
def resume(deployment: arguments.Deployment, /, *, here: Here) -> None:
    """Let the schedules of a deployment make runs again, from now on."""
    found = here.ask(ResumeDeployment(deployment=deployment))
    here.terminal.tell(f"Resumed schedule for deployment {found.full_name}")


app.command(pause, name="pause-schedule")
app.command(resume, name="resume-schedule")


@app.command(name="set-schedule")
def set_schedule(
    deployment: arguments.Deployment,
    /,
    *,
    cron: schedule_options.OneCron = None,
    interval: schedule_options.OneInterval = None,
    rrule: schedule_options.OneRRule = None,
    anchor_date: schedule_options.AnchorDate = None,
    timezone: schedule_options.Timezone = None,
    no_schedule: Annotated[bool, Parameter(help="Take all schedules away.")] = False,
    here: Here,
) -> None:
    """Give a deployment one schedule, instead of those that it has."""
    chosen = schedule_options.one(cron, interval, rrule, anchor_date, timezone)
    if (chosen is None) is not no_schedule:
        raise errors.UsageError(
            "A deployment is given one schedule", hint="say `--cron`, `--interval`, `--rrule` or `--no-schedule`"
        )
    found = here.ask(GetDeployment(deployment=deployment))
    schedules = () if chosen is None else (chosen,)
    here.ask(ApplyDeployment(spec=msgspec.structs.replace(found.spec, schedules=schedules)))
    here.terminal.tell("Updated deployment schedule!")
    if chosen is not None:
        here.terminal.say(schedule_words.describe(chosen.schedule))


@app.command
def delete(
    deployment: Annotated[
        str | None, Parameter(metavar="NAME", help="The deployment, as `flow/name` or by its id.")
    ] = None,
    /,
    *,
    id: Annotated[str | None, Parameter(metavar="ID", help="The deployment of this id.")] = None,  # noqa: A002  as Prefect's option
    dry_run: arguments.DryRun = False,
    here: Here,
) -> None:
    """Forget a deployment and its schedules. Its runs stay, but those that have not begun are cancelled."""
    found = here.ask(GetDeployment(deployment=named(deployment, id)))
    if dry_run:
        here.terminal.say(f"Deployment '{found.full_name}' would be deleted")
        return
    here.ask(DeleteDeployment(deployment=found.id))
    here.terminal.tell(f"Deleted deployment '{found.full_name}'.")


def named(name: str | None, id: str | None) -> str:  # noqa: A002  as above
    """The one of both that was given. Raises `UsageError`."""
    if (name is None) is (id is None):
        raise errors.UsageError("Which deployment? Give its name, as `flow/name`, or `--id`")
    return name or id or ""


def _page(here: Session, found: Deployment) -> str:
    terminal = here.terminal
    style = views.Style(human=terminal.out_is_tty, now=here.clock.now())
    state = terminal.paint("paused", "yellow") if found.paused else ""
    parts = [
        f"{terminal.paint(one_line(found.full_name), 'bold')}  {state}".rstrip(),
        table.pairs(terminal, _rows(found, style), indent="  "),
    ]
    if found.schedules:
        rows = [(each.name, Cell(_schedule(found, each, style))) for each in found.schedules]
        parts.append(f"{terminal.paint('Schedules', 'bold')}\n{table.pairs(terminal, rows, indent='  ')}")
    return "\n\n".join(parts)


def _rows(found: Deployment, style: views.Style) -> list[tuple[str, Cell]]:
    spec = found.spec
    limit = spec.concurrency_limit
    return [
        ("id", Cell(found.id)),
        ("description", Cell(spec.description)),
        ("version", Cell(spec.version)),
        ("tags", Cell(", ".join(spec.tags))),
        ("code", Cell(deployment_views.code(spec.code))),
        ("entrypoint", Cell(spec.entrypoint)),
        ("parameters", Cell(_values(spec.parameters))),
        ("takes", Cell(", ".join(spec.parameter_schema.get("properties", {})))),
        ("work pool", Cell(spec.work_pool)),
        ("work queue", Cell(spec.work_queue)),
        ("infrastructure", Cell(_values(spec.infrastructure))),
        ("runs at once", Cell("" if limit is None else str(limit))),
        ("after a crash", Cell("" if spec.on_crash == "resume" else "it is Crashed")),
        ("time limit", Cell("" if spec.timeout_seconds is None else f"{spec.timeout_seconds:g} s")),
        ("created", style.time(found.created_at)),
        ("changed", style.time(found.updated_at)),
    ]


def _values(given: dict[str, Any]) -> str:
    lines = [f"{name} = {output.as_json(value)}" for name, value in given.items()]
    return "\n".join(line if len(line) <= MAX_VALUE else line[:MAX_VALUE] + "…" for line in lines)


def _schedule(found: Deployment, state: deployments.ScheduleState, style: views.Style) -> str:
    text = schedule_words.describe(state.spec.schedule)
    if state.spec.parameters:
        text += f", with {output.as_json(state.spec.parameters)}"
    if state.paused:
        text += " (paused)"
    elif not found.paused:
        text += f"; next: {style.time(state.next_at).text or 'never'}"
    return f"{text}\n{state.trouble}" if state.trouble else text


tree.add_below(app)
