"""``penstock --install-completion``, and what is known of names when a shell asks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from penstock import errors
from penstock.cli.session import Here

if TYPE_CHECKING:
    from cyclopts import App
    from cyclopts.completion._engine import CompletionContext

Shell = Literal["bash", "zsh", "fish", "powershell"]


def install(
    *,
    shell: Annotated[Shell | None, Parameter(help="For this shell. Without it: the one that you are in.")] = None,
    output: Annotated[
        Path | None,
        Parameter(name=("-o", "--output"), metavar="FILE", help="Write the script here, and change nothing else."),
    ] = None,
    dry_run: Annotated[bool, Parameter(help="Print the script, and write nothing.")] = False,
    here: Here,
) -> None:
    """Let the shell complete commands, options and names of runs.

    Writes a script where the shell looks for such, and makes bash, zsh or PowerShell read it when it starts.
    """
    from penstock.cli import tree  # noqa: PLC0415  the tree names this module

    app = tree.build()
    chosen = shell or _detected()
    if dry_run:
        here.terminal.write(app.generate_completion(shell=chosen))
        return
    path = _written(app, chosen, output)
    here.terminal.write(str(path))
    if output is None:
        here.terminal.hint(f"start a new {chosen} to use it")


def _written(app: App, shell: Shell, output: Path | None) -> Path:
    return app.install_completion(shell=shell, output=output, add_to_startup=output is None)


def _detected() -> Shell:
    from cyclopts.completion import ShellDetectionError, detect_shell  # noqa: PLC0415  only here

    try:
        return detect_shell()
    except ShellDetectionError:
        name = os.path.basename(os.environ.get("SHELL", "")) or "unknown"
        raise errors.UsageError(
            f"It is not clear which shell this is: `{name}`", hint="say `--shell bash`, `zsh`, `fish` or `powershell`"
        ) from None


def flow_runs(context: CompletionContext) -> Iterator[tuple[str, str]]:
    """Names of the latest runs, each with its flow and state, for a shell that completes ``RUN``."""
    from penstock import clock, settings  # noqa: PLC0415  a shell waits for this: nothing that is not needed
    from penstock.orchestration import local, overview  # noqa: PLC0415  for those who look back

    with local.open_home(settings.load(), clock.SYSTEM, write=False) as home, home.reading() as tx:
        for run in overview.flow_runs(tx, name=context.incomplete or None, limit=50).items:
            yield run.name, f"{run.flow_name}, {run.state_name}"
