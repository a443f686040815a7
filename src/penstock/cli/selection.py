"""Which runs a command is about: those that are named, or all that meet conditions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from penstock import errors
from penstock.cli import arguments, completion, humanize
from penstock.cli.session import Session
from penstock.cli.terminal import one_line
from penstock.core.operations.flow_runs import GetFlowRun, ListFlowRuns
from penstock.core.runs import FlowRun
from penstock.core.states import NAMES, StateType

MOST = 10_000
"""So many runs at most are acted on in one go."""

SHOWN = 20
"""Of more than these, the rest is only counted."""

Runs = Annotated[
    tuple[str, ...],
    Parameter(metavar="RUN", help="Runs: names, ids or beginnings of ids.", completer=completion.flow_runs),
]


@Parameter(name="*")
@dataclass(frozen=True)
class Conditions:
    """Runs instead of names: all that meet each condition given. Subflow runs go with the run that called them."""

    flow: Annotated[str | None, Parameter(metavar="NAME", help="All runs of this flow.")] = None
    deployment: Annotated[
        str | None, Parameter(metavar="NAME", help="All runs of this deployment.", completer=completion.deployments)
    ] = None
    pool: Annotated[str | None, Parameter(metavar="POOL", help="All runs of this work pool.")] = None
    state: arguments.States = ()
    tag: Annotated[tuple[str, ...], Parameter(metavar="TAG", help="All runs with this tag, and each other given.")] = ()
    older_than: Annotated[
        str | None, Parameter(metavar="SPAN", help="All runs that were created longer ago than this, as in `30d`.")
    ] = None

    @property
    def are_given(self) -> bool:
        return self != NONE


NONE = Conditions()


def chosen(
    here: Session, names: Sequence[str], conditions: Conditions, *, states: Sequence[StateType]
) -> list[FlowRun]:
    """The runs that are meant; by conditions, only those in one of these states. Raises `UsageError` for neither."""
    if names and conditions.are_given:
        raise errors.UsageError("Name runs, or say which by conditions: not both")
    if names:
        found = {each.id: each for each in (here.ask(GetFlowRun(run=name)) for name in names)}
        return list(found.values())
    if not conditions.are_given:
        raise errors.UsageError("Which runs? Name some, or give a condition", hint="for example `--state failed`")
    types, names = arguments.parted(conditions.state or states)
    request = ListFlowRuns(
        flow=conditions.flow,
        deployment=conditions.deployment,
        pool=conditions.pool,
        state=tuple(each for each in types if each in states),
        state_name=tuple(each for each in names if set(NAMES[each]) <= set(states)),
        tag=conditions.tag,
        roots=True,
    )
    if not request.state and not request.state_name:
        can = ", ".join(each.value.lower() for each in states)
        raise errors.UsageError("No run in such a state can be meant", hint=f"one of: {can}")
    page = here.listed(request, MOST)
    if page.next is not None:
        here.terminal.warn(f"These are the newest {MOST:,}; there are more")
    if conditions.older_than is None:
        return page.items
    before = here.clock.now() - round(humanize.span(conditions.older_than) * humanize.SECOND)
    return [run for run in page.items if run.created_at < before]


def show(here: Session, found: Sequence[FlowRun]) -> None:
    """Say which they are."""
    for run in found[:SHOWN]:
        here.terminal.say(f"{one_line(run.name)}  {run.state_name}, of flow {one_line(run.flow_name)}, {run.id}")
    if len(found) > SHOWN:
        here.terminal.say(f"and {humanize.counted(len(found) - SHOWN, 'other run')}")
