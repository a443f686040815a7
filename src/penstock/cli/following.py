"""Following a run: what happens to it and what it says, as it comes."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from penstock import errors
from penstock.cli.session import Session
from penstock.core.operations.flow_runs import FollowFlowRun, Progress

WAIT_SECONDS = 20.0
"""How long an answer may wait for something to tell."""

PAUSE_SECONDS = 1.0
PATIENCE_SECONDS = 600.0
"""A server may be away for so long: the run goes on meanwhile."""


def follow(here: Session, request: FollowFlowRun, *, first_wait_seconds: float = WAIT_SECONDS) -> Iterator[Progress]:
    """All that is new of a run, until it has ended and all is told. A server that is away is waited for.

    Until the run has begun, an answer comes at least every ``first_wait_seconds``.
    """
    wait_seconds = first_wait_seconds
    while True:
        progress = _patiently(here, msgspec.structs.replace(request, wait_seconds=wait_seconds))
        yield progress
        if progress.run.is_final and not progress.events and not progress.logs:
            return
        wait_seconds = first_wait_seconds if progress.run.started_at is None else WAIT_SECONDS
        request = msgspec.structs.replace(request, after=progress.next)


def _patiently(here: Session, request: FollowFlowRun) -> Progress:
    since = here.clock.elapsed()
    has_told = False
    while True:
        try:
            return here.ask(request)
        except (errors.ServerUnreachable, errors.StoreBusy) as error:
            if here.clock.elapsed() - since > PATIENCE_SECONDS:
                raise
            if not has_told:
                here.terminal.warn(f"{error.message}. Waiting for it to come back")
                has_told = True
            here.clock.sleep(PAUSE_SECONDS)
