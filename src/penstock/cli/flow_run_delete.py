"""``penstock flow-run delete``: forget runs."""

from __future__ import annotations

from penstock.cli import arguments, humanize, selection
from penstock.cli.session import Here
from penstock.core.operations.flow_runs import DeleteFlowRun
from penstock.core.states import FINAL


def delete(
    run: selection.Runs = (),
    /,
    *,
    conditions: selection.Conditions = selection.NONE,
    yes: arguments.Yes = False,
    dry_run: arguments.DryRun = False,
    here: Here,
) -> None:
    """Delete runs, with their subflow runs, logs, artifacts, and results that no other run uses.

    Runs are named, or all that meet conditions and have ended. A run that has not ended is refused. Prints the ids of
    the runs that were deleted.
    """
    terminal = here.terminal
    found = selection.chosen(here, run, conditions, states=sorted(FINAL))
    if not found:
        terminal.say("There are no runs like that")
        return
    selection.show(here, found)
    if dry_run:
        terminal.hint("nothing was deleted")
        return
    terminal.confirm(f"Delete {humanize.counted(len(found), 'run')} for good?", yes=yes)
    for each in found:
        here.ask(DeleteFlowRun(run=each.id))
        terminal.write(each.id)
