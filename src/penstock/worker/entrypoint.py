"""What runs in the process of a run: reads its assignment, loads the flow, executes the attempt.

``python -m penstock.worker.entrypoint`` where a process is executed; the fork server calls `main` in its children.
The assignment lies in a file that only this account can read: ``PENSTOCK_JOB`` names it.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from msgspec import structs

from penstock import clock, errors, settings
from penstock.client.past import JournalPast
from penstock.core import assignments
from penstock.core.assignments import Assignment
from penstock.core.parameters import Signature
from penstock.core.specs import FlowSpec
from penstock.core.states import State
from penstock.sdk import entrypoints, runs

JOB = "PENSTOCK_JOB"
"""The variable that names the file of the assignment."""

COMPLETED, FAILED = 0, 1


def main(environ: Mapping[str, str] | None = None) -> int:
    """Execute what the environment assigns; returns what to exit with."""
    environ = os.environ if environ is None else environ
    assignment = _taken(environ)
    chosen = settings.load(environ)
    chosen = structs.replace(chosen, api_url=assignment.api_url, api_key=assignment.key or None, progress="off")
    runs.use_environment(runs.Environment(chosen, clock.SYSTEM))
    state = execute(assignment, chosen)
    return COMPLETED if state.is_completed() or state.is_paused() else FAILED


def warm() -> None:
    """Do once, for all children of this process, what is made when it is first asked for: decoders of settings."""
    settings.load({"PENSTOCK_HOME": os.devnull})
    told = Assignment(run_id="", attempt=1, name="", flow_name="", entrypoint="", folder="")
    assignments.decode(assignments.encode(told))


def execute(assignment: Assignment, chosen: settings.Settings) -> State:
    """Run the flow. One that cannot be loaded is a run that fails, and says why."""
    past = JournalPast(chosen.journals)
    try:
        loading = entrypoints.loaded(assignment.entrypoint, root=assignment.folder)
        flow = loading.__enter__()
    except errors.PenstockError as error:
        return _awaited(runs.execute(_in_place_of(assignment, error), assignment, past))
    # What is loaded stays so: threads of the flow may still import from its folder as the process ends.
    return _awaited(runs.execute(flow.spec, assignment, past))


def _taken(environ: Mapping[str, str]) -> Assignment:
    """The assignment, whose file is then gone."""
    path = Path(environ.get(JOB) or _refuse(f"{JOB} names no file: this is started by a worker"))
    try:
        data = path.read_bytes()
        path.unlink(missing_ok=True)
    except OSError as error:
        _refuse(f"The assignment cannot be read ({error.strerror}): `{path}`")
    return assignments.decode(data)


def _refuse(message: str) -> NoReturn:
    raise SystemExit(f"penstock: {message}")


def _in_place_of(assignment: Assignment, trouble: errors.PenstockError) -> FlowSpec:
    """A flow in place of one that could not be loaded: it raises what loading it has raised."""

    def absent(**_: Any) -> None:
        told = trouble.__cause__
        # The traceback that helps is that of the code which did not import.
        raise errors.FlowFileError(_explained(trouble)) from told

    name = assignment.flow_name
    return FlowSpec(
        fn=absent,
        kind="sync",
        signature=Signature.of(absent),
        name=name,
        key=name,
        digest=bytes(16),
        entrypoint=assignment.entrypoint,
        validate_parameters=False,
    )


def _explained(trouble: errors.PenstockError) -> str:
    cause = trouble.__cause__
    why = "" if cause is None else f": {''.join(traceback.format_exception_only(cause)).strip()}"
    return f"The flow could not be loaded. {trouble.message}{why}" + (f" ({trouble.hint})" if trouble.hint else "")


def _awaited(outcome: Any) -> State:
    if isinstance(outcome, State):
        return outcome
    import asyncio  # noqa: PLC0415  only for flows that are async

    async def wait() -> State:
        return await outcome

    return asyncio.run(wait())


if __name__ == "__main__":
    sys.exit(main())
