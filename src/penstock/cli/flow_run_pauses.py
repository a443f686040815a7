"""``penstock flow-run pause | suspend``, and the part of ``resume`` that lets go on who waits for somebody."""

from __future__ import annotations

from typing import Any

from penstock import errors
from penstock.cli import arguments, parameters
from penstock.cli.session import Here, Session
from penstock.cli.terminal import one_line
from penstock.core.operations.flow_runs import GetFlowRun
from penstock.core.operations.pauses import ListRunInputs, PauseFlowRun, ResumeFlowRun, SuspendFlowRun
from penstock.core.runs import FlowRun
from penstock.core.states import StateType
from penstock.orchestration import by_hand
from penstock.sdk import connect


def pause(run: arguments.FlowRun, /, *, here: Here) -> None:
    """Let no new task of a run start until it is resumed. Tasks under way end; its process waits."""
    found = here.ask(PauseFlowRun(run=run, by=here.user))
    here.terminal.tell(f"Paused flow run '{one_line(found.name)}'")


def suspend(run: arguments.FlowRun, /, *, here: Here) -> None:
    """End the process of a run, which goes on where it stopped, with any worker, when it is resumed."""
    found = here.ask(SuspendFlowRun(run=run, by=here.user))
    here.terminal.tell(f"Suspended flow run '{one_line(found.name)}'")


def let_go_on(session: Session, run: str, given: tuple[str, ...], *, dry_run: bool) -> bool:
    """Resume a run that waits for somebody. False if there is more to do: it does not, or is to be executed here."""
    try:
        found = session.ask(GetFlowRun(run=run))
    except (errors.NotFound, errors.ServerUnreachable):
        # A run of this machine goes on without the server, and before that has heard of it.
        if given or connect.elsewhere(session.settings) is None:
            raise
        return False
    value = _input(session, given)
    if found.state_type is not StateType.PAUSED:
        if given:
            raise errors.UsageError(
                f"Flow run `{found.name}` waits for no input: it is {found.state_name}",
                hint=f"`penstock flow-run why {found.name}` says what it waits for",
            )
        return False
    is_executed_here = _is_executed_here(session, found)
    waits = session.ask(ListRunInputs(run=found.id))
    if dry_run:
        session.terminal.say(f"Flow run `{one_line(found.name)}` would be resumed")
        return True
    if waits or not is_executed_here:
        session.ask(ResumeFlowRun(run=found.id, input=value, by=session.user))
        session.terminal.tell(f"Resumed flow run '{one_line(found.name)}'")
    return not is_executed_here


def _is_executed_here(session: Session, run: FlowRun) -> bool:
    """Whether the run is suspended, and no worker goes on with it."""
    if run.state_name != "Suspended" or not run.is_by_hand:
        return False
    if run.work_pool is None:
        return True
    with session.asking() as tx:
        return not by_hand.is_with_workers(tx, run.id)


def _input(session: Session, given: tuple[str, ...]) -> dict[str, Any] | None:
    if not given:
        return None
    whole = [each for each in given if each.lstrip().startswith("{")]
    value: dict[str, Any] = {}
    for each in whole:
        value |= parameters.document(session.terminal, each, one="input", option="--input")
    singles = [each for each in given if each not in whole]
    return value | parameters.values(singles, one="an input", option="--input")
