"""``penstock flow-run delete``: forget runs."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from penstock.cli import arguments, completion, humanize
from penstock.cli.session import Here
from penstock.cli.terminal import one_line
from penstock.orchestration import overview, runs


def delete(
    run: Annotated[
        tuple[str, ...],
        Parameter(metavar="RUN", help="Runs: names, ids or beginnings of ids.", completer=completion.flow_runs),
    ],
    /,
    *,
    yes: arguments.Yes = False,
    dry_run: arguments.DryRun = False,
    here: Here,
) -> None:
    """Delete runs, with their subflow runs, logs, artifacts, and results that no other run uses.

    A run that a process is executing is refused. Prints the ids of the runs that were deleted.
    """
    terminal = here.terminal
    with here.home() as home:
        with home.reading() as tx:
            found = {each.id: each for each in (overview.flow_run(tx, name) for name in run)}
        for each in found.values():
            terminal.say(f"{one_line(each.name)}  {each.state_name}, of flow {one_line(each.flow_name)}, {each.id}")
        if dry_run:
            terminal.hint("nothing was deleted")
            return
        terminal.confirm(f"Delete {humanize.counted(len(found), 'run')} for good?", yes=yes)
        for run_id in found:
            runs.delete_flow_run(home, run_id)
            terminal.write(run_id)
