"""``penstock run``: a flow of a file, here and now."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from penstock.cli import arguments, parameters, running
from penstock.cli.session import Here


def run(
    file: Annotated[
        str, Parameter(metavar="FILE[:FLOW]", help="A Python file, and which of its flows if there are several.")
    ],
    /,
    *,
    param: parameters.One = (),
    params: parameters.All = None,
    dry_run: arguments.DryRun = False,
    here: Here,
) -> int:
    """Run a flow of a file, here and now.

    Parameters are checked before anything runs. What the flow prints goes to stdout; its log and progress go to
    stderr, unless `--quiet`. Exits with 0 when the run completed, with 1 when it failed.
    """
    given = parameters.read(here.terminal, param, params)
    with running.loaded(here, file) as flow:
        checked = flow.validate_parameters(given)
        if dry_run:
            shown = ", ".join(f"{name}={value!r}" for name, value in checked.items())
            here.terminal.say(f"Flow `{flow.name}` would run with {shown or 'no parameters'}")
            return 0
        return running.execute(here, lambda: flow(**given, return_state=True))
