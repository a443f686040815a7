"""``penstock deployment schedule``: the schedules of a deployment, and when they come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
from cyclopts import Parameter

from penstock import errors
from penstock.cli import arguments, humanize, output, parameters, schedule_options, tree, views
from penstock.cli.output import AS_FITS, OutputOptions
from penstock.cli.session import Here, Session
from penstock.cli.table import Cell, Column
from penstock.core import schedule_words
from penstock.core.deployments import Deployment, ScheduleState
from penstock.core.operations.deployments import (
    ApplyDeployment,
    DeleteSchedule,
    GetDeployment,
    ListSlots,
    Occurrence,
    PauseSchedule,
    PreviewOccurrences,
    ResumeSchedule,
    SaveSchedule,
    Slot,
)
from penstock.core.slots import CatchUp, Overlap, Policy

app = tree.group("schedule", "The schedules of a deployment, and when they come.")

Name = Annotated[str, Parameter(metavar="SCHEDULE", help="The schedule's name.")]
Count = Annotated[int, Parameter(name=("-n", "--count"), help="So many.", validator=arguments.between(1, 1000))]


def _schedule_rows(found: Sequence[ScheduleState], style: views.Style) -> list[list[Cell]]:
    return [
        [
            Cell(each.name),
            Cell(schedule_words.describe(each.spec.schedule)),
            Cell("paused", "yellow") if each.paused else Cell("active", "green"),
            style.time(each.next_at),
            Cell(", ".join((f"catch up {each.spec.policy.catchup}", f"overlap {each.spec.policy.overlap}"))),
        ]
        for each in found
    ]


SCHEDULES = views.View[ScheduleState](
    (
        Column("NAME"),
        Column("WHEN"),
        Column("STATE", shrinks=False),
        Column("NEXT RUN", shrinks=False),
        Column("POLICY", drops=True),
    ),
    _schedule_rows,
)


def _occurrence_rows(found: Sequence[Occurrence], style: views.Style) -> list[list[Cell]]:
    return [
        [
            Cell(each.schedule),
            Cell(f"{each.local.replace('T', ' ')} {each.timezone}" if style.human else each.local),
            Cell(humanize.iso(each.at)[: 19 if style.human else None].replace("T", " " if style.human else "T")),
            Cell(f"in {humanize.duration(each.at - style.now)}" if style.human else each.timezone),
        ]
        for each in found
    ]


OCCURRENCES = views.View[Occurrence](
    (Column("SCHEDULE"), Column("LOCAL TIME"), Column("UTC"), Column("WHEN")), _occurrence_rows
)


def _slot_rows(found: Sequence[Slot], style: views.Style) -> list[list[Cell]]:
    return [
        [
            Cell(each.schedule),
            style.time(each.slot),
            Cell("" if each.count == 1 else "many" if each.count is None else str(each.count)),
            Cell(f"run {each.run_id}" if each.run_id else each.reason or ""),
        ]
        for each in found
    ]


SLOTS = views.View[Slot](
    (Column("SCHEDULE"), Column("TIME"), Column("TIMES", right=True), Column("CAME TO")), _slot_rows
)


@app.command(name=("ls", "list"))
def ls(deployment: arguments.Deployment, /, *, out: OutputOptions = AS_FITS, here: Here) -> None:
    """List the schedules of a deployment."""
    found = here.ask(GetDeployment(deployment=deployment))
    output.show_list(here, out, found.schedules, SCHEDULES, nothing="The deployment has no schedules")
    if out.format is None:
        _tell_if_paused(here, found)


@app.command
def create(
    deployment: arguments.Deployment,
    /,
    *,
    cron: schedule_options.OneCron = None,
    interval: schedule_options.OneInterval = None,
    rrule: schedule_options.OneRRule = None,
    anchor_date: schedule_options.AnchorDate = None,
    timezone: schedule_options.Timezone = None,
    name: Annotated[
        str | None, Parameter(metavar="SCHEDULE", help="Its name; a schedule of that name is replaced.")
    ] = None,
    param: parameters.One = (),
    catchup: Annotated[CatchUp, Parameter(help="What becomes of times that were missed.")] = "latest",
    overlap: Annotated[Overlap, Parameter(help="What becomes of a time while an earlier run is unfinished.")] = "allow",
    paused: Annotated[bool, Parameter(help="It makes no runs until it is resumed.")] = False,
    here: Here,
) -> None:
    """Add a schedule to a deployment, or replace the one of that name.

    Parameters are those of its runs, instead of the deployment's, one by one.
    """
    chosen = schedule_options.one(cron, interval, rrule, anchor_date, timezone)
    if chosen is None:
        raise errors.UsageError("When? Say `--cron`, `--interval` or `--rrule`")
    found = here.ask(GetDeployment(deployment=deployment))
    spec = msgspec.structs.replace(
        chosen,
        name=name or _free_name(found, chosen.name),
        parameters=parameters.values(param),
        paused=paused,
        policy=Policy(catchup=catchup, overlap=overlap),
    )
    here.ask(SaveSchedule(deployment=found.id, schedule=spec))
    here.terminal.tell(f"Created deployment schedule '{spec.name}'!")
    here.terminal.say(schedule_words.describe(spec.schedule))
    _tell_if_paused(here, found)


@app.command
def delete(
    deployment: arguments.Deployment, schedule: Name, /, *, dry_run: arguments.DryRun = False, here: Here
) -> None:
    """Delete a schedule of a deployment."""
    if dry_run:
        here.ask(PreviewOccurrences(deployment=deployment, schedule=schedule, count=1))  # raises for one that is not
        here.terminal.say(f"Schedule '{schedule}' would be deleted")
        return
    here.ask(DeleteSchedule(deployment=deployment, schedule=schedule))
    here.terminal.tell(f"Deleted deployment schedule '{schedule}'")


@app.command
def pause(deployment: arguments.Deployment, schedule: Name, /, *, here: Here) -> None:
    """Let a schedule make no runs until it is resumed."""
    found = here.ask(PauseSchedule(deployment=deployment, schedule=schedule))
    here.terminal.tell(f"Paused schedule '{schedule}' for deployment {found.full_name}")


@app.command
def resume(deployment: arguments.Deployment, schedule: Name, /, *, here: Here) -> None:
    """Let a schedule make runs again, from now on."""
    found = here.ask(ResumeSchedule(deployment=deployment, schedule=schedule))
    here.terminal.tell(f"Resumed schedule '{schedule}' for deployment {found.full_name}")
    _tell_if_paused(here, found)


@app.command
def clear(deployment: arguments.Deployment, /, *, yes: arguments.Yes = False, here: Here) -> None:
    """Delete all schedules of a deployment."""
    found = here.ask(GetDeployment(deployment=deployment))
    here.terminal.confirm(f"Delete {len(found.schedules)} schedules of {found.full_name}?", yes=yes)
    here.ask(ApplyDeployment(spec=msgspec.structs.replace(found.spec, schedules=())))
    here.terminal.tell(f"Cleared all schedules for deployment {found.full_name}")


@app.command
def preview(
    deployment: arguments.Deployment,
    /,
    *,
    schedule: Annotated[str | None, Parameter(metavar="SCHEDULE", help="Only of this schedule.")] = None,
    count: Count = 10,
    out: OutputOptions = AS_FITS,
    here: Here,
) -> None:
    """Show the next times at which a deployment runs, in each schedule's own zone and in UTC."""
    found = here.ask(PreviewOccurrences(deployment=deployment, schedule=schedule, count=count))
    output.show_list(here, out, found, OCCURRENCES, nothing="It never runs by itself")


@app.command
def history(
    deployment: arguments.Deployment,
    /,
    *,
    schedule: Annotated[str | None, Parameter(metavar="SCHEDULE", help="Only of this schedule.")] = None,
    limit: arguments.Limit = 20,
    out: OutputOptions = AS_FITS,
    here: Here,
) -> None:
    """Show what became of past times: the run that each one made, or why it made none."""
    page = here.ask(ListSlots(deployment=deployment, schedule=schedule, limit=min(limit, 200)))
    output.show_list(here, out, page.items, SLOTS, nothing="No scheduled time has come yet")


def _tell_if_paused(here: Session, found: Deployment) -> None:
    """None of its schedules makes runs then."""
    if found.paused:
        here.terminal.hint(f"the deployment is paused: `penstock deployment resume '{found.full_name}'`")


def _free_name(found: Deployment, wanted: str) -> str:
    taken = {each.name for each in found.schedules}
    number, name = 1, wanted
    while name in taken:
        number += 1
        name = f"{wanted}-{number}"
    return name
