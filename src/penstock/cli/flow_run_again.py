"""``penstock flow-run resume | rerun | fork``: go on with a run, or begin another from what it has finished."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from penstock import errors
from penstock.cli import arguments, completion, flow_run_pauses, humanize, parameters, running
from penstock.cli.session import Here, Session, refuse_together
from penstock.cli.terminal import one_line
from penstock.core.operations.flow_runs import GetFlowRun
from penstock.core.runs import FlowRun
from penstock.core.states import StateType
from penstock.orchestration import by_hand, overview
from penstock.sdk import connect

File = Annotated[
    str | None, Parameter(metavar="FILE[:FLOW]", help="Where the flow's code is now, if it is not where it was.")
]


def resume(
    run: Annotated[
        str | None,
        Parameter(metavar="RUN", help="The run: name, id, or beginning of the id.", completer=completion.flow_runs),
    ] = None,
    /,
    *,
    last: Annotated[bool, Parameter(help="The newest run.")] = False,
    input: Annotated[  # noqa: A002  as the option is called
        tuple[str, ...],
        Parameter(
            name="--input",
            metavar="NAME=VALUE",
            negative=(),
            help="What a paused run waits for; the value is JSON, or else a text.",
        ),
    ] = (),
    file: File = None,
    dry_run: arguments.DryRun = False,
    here: Here,
) -> int:
    """Go on with a run that was interrupted or failed, where it ended, or that waits to be resumed.

    Tasks that were finished are not executed again: what they returned was recorded. `penstock flow-run why` says which
    input a paused run waits for.
    """
    refuse_together({"RUN": run, "--last": last})
    if run is None and not last:
        raise errors.UsageError("Missing: `RUN`", hint="name a run, or say `--last`")
    if flow_run_pauses.let_go_on(here, run or _found(here, None)[0].id, input, dry_run=dry_run):
        return 0
    found, finished = _found(here, run, goes_on=True)
    if found.state_type is StateType.COMPLETED:
        raise errors.UsageError(
            f"Flow run `{found.name}` has completed",
            hint=f"run it again from a task: `penstock flow-run rerun {found.name} --from TASK`, "
            f"or with other parameters: `penstock flow-run fork {found.name} -p NAME=VALUE`",
        )
    if dry_run:
        reused = humanize.counted(finished, "finished task run")
        return _rehearsed(here, f"Flow run `{one_line(found.name)}` would go on, with the results of {reused}")
    with running.loaded(here, _code(found, file), known_as=_module(found)) as flow:
        return running.execute(here, lambda: flow.resume(found.id, return_state=True))


def rerun(
    run: arguments.FlowRun,
    /,
    *,
    from_task: Annotated[
        str,
        Parameter(name="--from", metavar="TASK", help="The task run to begin with (name or id), or the task."),
    ],
    file: File = None,
    dry_run: arguments.DryRun = False,
    here: Here,
) -> int:
    """Run again from a task on: that task, and every task that could have seen its result.

    All other tasks keep what they returned. It stays the same run, in its next attempt.
    """
    found, _ = _found(here, run, goes_on=True)
    if dry_run:
        return _rehearsed(here, f"Flow run `{one_line(found.name)}` would run again from `{from_task}` on")
    with running.loaded(here, _code(found, file), known_as=_module(found)) as flow:
        return running.execute(here, lambda: flow.rerun(found.id, from_task=from_task, return_state=True))


def fork(
    run: arguments.FlowRun,
    /,
    *,
    param: parameters.One = (),
    params: parameters.All = None,
    file: File = None,
    dry_run: arguments.DryRun = False,
    here: Here,
) -> int:
    """Begin a new run with the parameters of a past one, some of them changed.

    Tasks whose inputs are the same use what the past run has recorded.
    """
    given = parameters.read(here.terminal, param, params)
    found, _ = _found(here, run)
    with running.loaded(here, _code(found, file), known_as=_module(found)) as flow:
        if dry_run:
            flow.validate_parameters({**found.parameters, **given})
            changed = ", ".join(given) or "no parameters"
            return _rehearsed(here, f"Flow run `{one_line(found.name)}` would be forked, with {changed} changed")
        return running.execute(here, lambda: flow.fork(found.id, parameters=given, return_state=True))


def _found(session: Session, run: str | None, *, goes_on: bool = False) -> tuple[FlowRun, int]:
    """The run (None: the newest), and how many of its task runs have completed. Subflow runs are refused.

    With ``goes_on``, so are runs that are with workers, or another home's.
    """
    with session.asking() as tx:
        try:
            found = overview.last_flow_run(tx) if run is None else overview.flow_run(tx, run)
        except errors.NotFound as error:
            if run is not None:
                _refuse_elsewhere(session, run, error)
            raise
        if found.parent_flow_run_id is not None:
            root = overview.flow_run(tx, found.root_run_id)
            raise errors.UsageError(
                f"Flow run `{found.name}` is a subflow run of `{root.name}`", hint=f"name that run: `{root.name}`"
            )
        if goes_on:
            by_hand.refuse_if_others(tx, found)
        counts = overview.state_counts(tx, found.id)
    return found, sum(count.task_runs for count in counts if count.state_type is StateType.COMPLETED)


def _refuse_elsewhere(session: Session, run: str, error: errors.NotFound) -> None:
    """Raise what is more to the point than that this home has no such run, if the server knows it."""
    if connect.elsewhere(session.settings) is None:
        return
    try:
        found = session.ask(GetFlowRun(run=run))
    except errors.PenstockError:
        raise error from None
    name = one_line(found.name)
    if found.work_pool is not None:
        raise errors.RunsElsewhere(
            f"Workers execute this run: `{name}`", hint=f"`penstock flow-run retry {name}` lets one go on with it"
        )
    raise by_hand.elsewhere(name)


def _code(run: FlowRun, file: str | None) -> str:
    where, _, flow = run.entrypoint.rpartition(":")
    if file is not None:
        return file if ":" in file else f"{file}:{flow}".rstrip(":")
    if not run.entrypoint:
        raise errors.UsageError(
            f"The flow of run `{run.name}` was not defined in a file", hint="say where it is now: `--file FILE:FLOW`"
        )
    if where.endswith(".py") and not Path(where).is_file():
        hint = "say where it is now: `--file FILE:FLOW`"
        if run.work_pool is not None:
            name = one_line(run.name)
            hint = f"`penstock flow-run retry {name}` lets a worker go on with it; to do so here, {hint}"
        raise errors.FlowFileError(f"There is no file of flows: `{where}`", hint=hint)
    return run.entrypoint


def _module(run: FlowRun) -> str:
    """The name of the module that held the flow, by which its tasks are known, whatever the file is called now."""
    return Path(run.entrypoint.rpartition(":")[0]).stem


def _rehearsed(session: Session, text: str) -> int:
    session.terminal.say(text)
    return 0
