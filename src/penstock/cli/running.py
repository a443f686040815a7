"""Running a flow in this process, and telling how it ended."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from penstock import errors
from penstock.cli.exit_codes import FAILURE, OK
from penstock.cli.session import Session
from penstock.core.states import State
from penstock.engine import tracebacks
from penstock.sdk import entrypoints, runs
from penstock.sdk.entrypoints import AnyFlow


@contextmanager
def loaded(session: Session, entrypoint: str, *, known_as: str = "") -> Generator[AnyFlow]:
    """See `entrypoints.loaded`. What the code prints, when it is imported and later, is seen among its log."""
    session.terminal.show_each_line()
    with entrypoints.loaded(entrypoint, known_as=known_as) as flow:
        yield flow


def execute(session: Session, call: Callable[[], Any]) -> int:
    """Run a flow by ``call``, which returns its final state, in the home of this session; tell how it ended.

    Returns what to exit with.
    """
    environment = runs.use_environment(runs.Environment(session.settings, session.clock))
    quiet = runs.quiet.set(session.terminal.quiet)
    try:
        outcome = call()
        if inspect.isawaitable(outcome):
            outcome = _awaited(outcome)
    finally:
        runs.quiet.reset(quiet)
        runs.reset_environment(environment)
    return _report(session, outcome)


def _awaited(outcome: Any) -> Any:
    import asyncio  # noqa: PLC0415  only for flows that are async

    async def wait() -> Any:
        return await outcome

    return asyncio.run(wait())


def _report(session: Session, state: State) -> int:
    """Say how the run failed, if it did and its progress display has not said so."""
    if state.is_completed():
        return OK
    error, terminal, chosen = state.data, session.terminal, session.settings
    code = error.exit_code if isinstance(error, errors.TimedOut | errors.PausedRun) else FAILURE
    if not terminal.quiet and chosen.progress != "off" and chosen.logging_to_terminal:
        return code
    if isinstance(error, BaseException) and not isinstance(error, errors.PenstockError):
        terminal.err.write(tracebacks.of_user(error) + "\n")
    hint = getattr(error, "hint", None)
    why = f": {state.message}" if state.message else ""
    terminal.complain(errors.RunError(f"The flow run is {state.name}{why}", hint=hint))
    return code
