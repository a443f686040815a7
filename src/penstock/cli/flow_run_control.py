"""``penstock flow-run cancel | retry | set-state``: act on runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from penstock import errors
from penstock.cli import arguments, exit_codes, flow_run_watch, following, humanize, selection
from penstock.cli.session import Here, Session
from penstock.cli.terminal import one_line
from penstock.core.operations.flow_runs import (
    CancelFlowRun,
    FollowFlowRun,
    GetFlowRun,
    RetryFlowRun,
    SetFlowRunState,
)
from penstock.core.runs import FlowRun
from penstock.core.states import FINAL, StateType

if TYPE_CHECKING:
    from penstock.orchestration.ending import Ended

PAUSE_SECONDS = 0.05

_UNHEARD = "no server runs here: `penstock server start` starts one, which tells the worker"

Final = Literal["completed", "failed", "crashed", "cancelled"]

Message = Annotated[str | None, Parameter(metavar="TEXT", help="Why; it is shown with the state.")]


def cancel(
    run: selection.Runs = (),
    /,
    *,
    conditions: selection.Conditions = selection.NONE,
    message: Message = None,
    wait: Annotated[bool, Parameter(help="Until all their processes are gone.")] = False,
    yes: arguments.Yes = False,
    dry_run: arguments.DryRun = False,
    here: Here,
) -> int:
    """Cancel runs: those that wait at once, and those under way by ending their processes.

    Runs are named, or all that meet conditions and have not ended: then it asks. A process is told to end by SIGTERM,
    and killed if it has not 30 seconds later. A run is Cancelled only when it is gone, and Cancelling until then.
    """
    terminal = here.terminal
    found = selection.chosen(here, run, conditions, states=[each for each in StateType if each not in FINAL])
    if not found:
        terminal.say("There are no runs like that")
        return exit_codes.OK
    if dry_run or conditions.are_given:
        selection.show(here, found)
    if dry_run:
        terminal.hint("nothing was cancelled")
        return exit_codes.OK
    if conditions.are_given:
        terminal.confirm(f"Cancel {humanize.counted(len(found), 'run')}?", yes=yes)
    asked = [here.ask(CancelFlowRun(run=each.id, by=here.user, message=message)) for each in found]
    by_hand = [each.id for each in asked if each.is_by_hand and not each.is_final]
    if by_hand and getattr(here.orchestrator, "url", None) is None:
        # Nobody else is there to end processes of this machine.
        _end_here(here, by_hand)
    return max(_ended(here, each, wait=wait) for each in asked)


def retry(
    run: arguments.FlowRun,
    /,
    *,
    watch: Annotated[bool, Parameter(help="Print its log until it has ended, and exit as it did.")] = False,
    dry_run: arguments.DryRun = False,
    here: Here,
) -> int:
    """Let a deployment's run that has ended, and not completed, go on where it stopped, on any worker.

    Tasks that were finished are not executed again. `penstock flow-run resume` does so here, for runs that were started
    by hand.
    """
    found = here.ask(GetFlowRun(run=run))
    if dry_run:
        here.terminal.say(f"Flow run '{found.name}', which is {found.state_name}, would go on where it stopped")
        return exit_codes.OK
    made = here.ask(RetryFlowRun(run=found.id, by=here.user))
    here.terminal.tell(f"Flow run '{made.name}' is {made.state_name}: it goes on where it stopped")
    return flow_run_watch.to_its_end(here, made) if watch else exit_codes.OK


def set_state(
    run: arguments.FlowRun,
    state: Annotated[
        Final,
        Parameter(
            metavar="STATE", converter=arguments.any_case, help="`completed`, `failed`, `crashed` or `cancelled`."
        ),
    ],
    /,
    *,
    name: Annotated[
        str | None, Parameter(metavar="NAME", help="What the state is called, `Mended` for example.")
    ] = None,
    message: Message = None,
    dry_run: arguments.DryRun = False,
    here: Here,
) -> None:
    """Give a run that nobody executes another final state.

    That this was done, and by whom, is recorded.
    """
    found = here.ask(GetFlowRun(run=run))
    kind = StateType(state.upper())
    if dry_run:
        here.terminal.say(
            f"Flow run '{found.name}', which is {found.state_name}, would be {name or state.capitalize()}"
        )
        return
    made = here.ask(SetFlowRunState(run=found.id, type=kind, name=name, message=message, by=here.user))
    here.terminal.tell(f"Flow run '{made.name}' is {made.state_name}")


def _ended(here: Session, run: FlowRun, *, wait: bool) -> int:
    """Say what has become of a cancelled run."""
    is_unserved = flow_run_watch.is_unserved(here, run)
    if is_unserved:
        here.terminal.hint(f"{_UNHEARD}. So there is nothing to wait for" if wait else _UNHEARD)
    if not run.is_final:
        run = _waited_for(here, run) if wait and not is_unserved else here.ask(GetFlowRun(run=run.id))
    name = one_line(run.name)
    if run.is_final:
        here.terminal.tell(f"Flow run '{name}' is {run.state_name}")
        return exit_codes.OK if run.state_type is StateType.CANCELLED else exit_codes.FAILURE
    who = f"worker {run.worker} ends its processes" if run.worker else "its processes are being ended"
    if is_unserved:
        who = f"worker {run.worker} hears of it when a server runs here"
    here.terminal.tell(f"Flow run '{name}' is {run.state_name}: {who}")
    return errors.ServerUnreachable.exit_code if wait and is_unserved else exit_codes.OK


def _waited_for(here: Session, run: FlowRun) -> FlowRun:
    for progress in following.follow(here, FollowFlowRun(run=run.id, level=100)):
        run = progress.run
    return run


def _end_here(here: Session, run_ids: list[str]) -> None:
    """End the processes of cancelled runs that were started on this machine."""
    from penstock.orchestration.ending import Ender  # noqa: PLC0415  only where no server does it

    home = here.home()
    ender = Ender(home)
    while True:
        with home.writing() as store:
            done = ender.run_once(store)
        _say(here, done)
        if not done.left or not any(each in ender.under_way for each in run_ids):
            break
        here.clock.sleep(PAUSE_SECONDS)
    home.close()


def _say(here: Session, done: Ended) -> None:
    for run_id in done.told:
        here.terminal.detail(f"The process of run {run_id} is told to end")
    if done.killed:
        here.terminal.say("It has not ended in time, and is killed")
