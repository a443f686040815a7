"""``penstock --install-completion``, and what is known of names when a shell asks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from cyclopts import Parameter

from penstock import errors
from penstock.cli.session import Here

if TYPE_CHECKING:
    from cyclopts import App
    from cyclopts.completion._engine import CompletionContext

    from penstock.core.operations import Request

R = TypeVar("R")

# In cyclopts' own order: `typing` gives one object for `… | None` of literals that differ in order alone.
Shell = Literal["zsh", "bash", "fish", "powershell"]


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
    from penstock.core.operations.flow_runs import ListFlowRuns  # noqa: PLC0415  a shell waits: nothing unneeded

    for run in _ask(ListFlowRuns(name=context.incomplete or None, limit=50)).items:
        yield run.name, f"{run.flow_name}, {run.state_name}"


def flows(context: CompletionContext) -> Iterator[tuple[str, str]]:
    """Names of flows, each with what it does, for a shell that completes ``FLOW``."""
    from penstock.core.operations.flows import ListFlows  # noqa: PLC0415  as above

    for flow in _ask(ListFlows(name=context.incomplete or None, limit=50)).items:
        yield flow.name, flow.description.partition("\n")[0]


def deployments(context: CompletionContext) -> Iterator[tuple[str, str]]:
    """Names of deployments, each with its description, for a shell that completes ``NAME``."""
    from penstock.core.operations.deployments import ListDeployments  # noqa: PLC0415  as above

    for found in _ask(ListDeployments(search=context.incomplete or None, limit=50)).items:
        yield found.full_name, found.spec.description.partition("\n")[0]


def states(context: CompletionContext) -> Iterator[tuple[str, str]]:
    """Types and names of states, for a shell that completes ``STATE``."""
    from penstock.core.states import NAMES, StateType  # noqa: PLC0415  as above

    for kind in StateType:
        if kind.value.lower().startswith(context.incomplete.lower()):
            yield kind.value.lower(), ""
    for name, kinds in NAMES.items():
        if name.lower().startswith(context.incomplete.lower()):
            yield name, " or ".join(kind.value.lower() for kind in kinds)


def work_pools(context: CompletionContext) -> Iterator[tuple[str, str]]:
    """Names of work pools, each with its description, for a shell that completes ``POOL``."""
    from penstock.core.operations.work_pools import ListWorkPools  # noqa: PLC0415  as above

    for pool in _ask(ListWorkPools()):
        if pool.name.startswith(context.incomplete):
            yield pool.name, pool.description


def work_queues(context: CompletionContext) -> Iterator[tuple[str, str]]:
    """Names of work queues, each with its pool, for a shell that completes ``QUEUE``."""
    from penstock.core.operations.work_pools import ListWorkQueues  # noqa: PLC0415  as above

    for queue in _ask(ListWorkQueues(name=context.incomplete or None)):
        yield queue.name, f"of pool {queue.pool}"


def _ask(request: Request[R]) -> R:
    """The answer, of what is known already: who completes a word does not wait for journals to be folded."""
    from penstock import clock, settings  # noqa: PLC0415  as above
    from penstock.sdk import connect  # noqa: PLC0415  as above

    with connect.asking(settings.load(), clock.SYSTEM, patience_seconds=0, fold=False) as orchestrator:
        return orchestrator.ask(request)
