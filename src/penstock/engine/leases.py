"""No new task starts while nobody can tell whether this attempt is still the run's only one."""

from __future__ import annotations

import os
from collections.abc import Generator

from penstock import clock
from penstock.core import log_levels, states
from penstock.engine import moves, run_logs
from penstock.engine.context import RunContext
from penstock.engine.effects import Effect, Sleep
from penstock.engine.runs import FlowRun
from penstock.journal.lease import Held

LOOK_SECONDS = 0.05
"""How often it is looked at whether the attempt's lease was renewed."""


def wait(run: RunContext, lease: Held) -> Generator[Effect, None, None]:
    """Return once the lease holds, and nobody has paused the run."""
    while not lease.holds():
        yield from _until_resumed(run.flow, lease) if lease.is_paused else _until_heard_of(run, lease)


def _until_resumed(flow: FlowRun, lease: Held) -> Generator[Effect, None, None]:
    while flow.parent is not None:
        flow = flow.parent.flow
    with moves.shown(flow, states.Paused("No new task starts until it is resumed")):
        while lease.is_paused:
            yield Sleep(LOOK_SECONDS)


def _until_heard_of(run: RunContext, lease: Held) -> Generator[Effect, None, None]:
    """Wait for the worker. When its lease has been over for too long, the process ends itself."""
    attempt = run.attempt
    # A lease that the attempt has not had yet is on its way.
    if lease.deadline and attempt.complain_once("lease", ""):
        message = "The worker has not heard of the server in time: no new task starts until it has"
        run_logs.say(run.flow, log_levels.WARNING, run_logs.FLOW_RUNS, message)
    began = clock.boottime()
    is_told = False
    while not lease.holds() and not lease.is_paused:
        over = clock.boottime() - (lease.deadline or began)
        if over > attempt.settings.offline_grace_seconds and not is_told:
            is_told = True
            message = f"The worker has not heard of the server for {over:.0f} seconds: this attempt stops itself"
            run_logs.say(run.flow, log_levels.ERROR, run_logs.FLOW_RUNS, message)
            os.kill(os.getpid(), _terminate())
        yield Sleep(LOOK_SECONDS)


def _terminate() -> int:
    import signal  # noqa: PLC0415  a small saving at import

    return signal.SIGTERM
