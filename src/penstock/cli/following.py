"""Following a run: what happens to it and what it says, as it comes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

from penstock import errors
from penstock.cli.session import Session
from penstock.core.operations import Request
from penstock.core.operations.flow_runs import ExplainFlowRun, FollowFlowRun, Progress
from penstock.core.runs import FlowRun
from penstock.core.states import StateType

R = TypeVar("R")
Waits = set[tuple[str, Any]]
"""Pauses: where, and since when."""

WAIT_SECONDS = 20.0
"""How long an answer may wait for something to tell."""

PAUSE_SECONDS = 1.0
PATIENCE_SECONDS = 600.0
"""A server may be away for so long: the run goes on meanwhile."""


def follow(here: Session, request: FollowFlowRun, *, first_wait_seconds: float = WAIT_SECONDS) -> Iterator[Progress]:
    """All that is new of a run, until it has ended and all is told. A server that is away is waited for.

    Whoever follows is told how to let a run go on that waits for somebody. Until the run has begun, an answer comes at
    least every ``first_wait_seconds``.
    """
    wait_seconds = first_wait_seconds
    waits: Waits = set()
    while True:
        progress = _patiently(here, msgspec.structs.replace(request, wait_seconds=wait_seconds))
        yield progress
        if progress.run.is_final and not progress.events and not progress.logs:
            return
        waits = _told(here, progress.run, waits)
        wait_seconds = first_wait_seconds if progress.run.started_at is None else WAIT_SECONDS
        request = msgspec.structs.replace(request, after=progress.next)


def _told(here: Session, run: FlowRun, known: Waits) -> Waits:
    """Hint at what the run waits for that somebody has to give it, unless it is known; returns all of that."""
    if run.state_type is not StateType.PAUSED:
        return set()
    reasons = _patiently(here, ExplainFlowRun(run=run.id)).reasons
    waits = {(each.subject, each.details.get("asked_at")): each.message for each in reasons if each.kind == "input"}
    for each, message in waits.items():
        if each not in known:
            here.terminal.hint(message[0].lower() + message[1:].removesuffix("."))
    return known.union(waits)


def _patiently(here: Session, request: Request[R]) -> R:
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
            here.look_again()
