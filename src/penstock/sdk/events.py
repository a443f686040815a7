"""Telling that something happened."""

from __future__ import annotations

from typing import Any

from penstock.core import records
from penstock.engine.context import current
from penstock import errors


def emit_event(event: str, resource: dict[str, str] | None = None, payload: dict[str, Any] | None = None) -> str:
    """Record under the current run that ``event`` happened to ``resource``; returns the event's id.

    Raises `UsageError` outside of a run.
    """
    context = current()
    if context is None:
        raise errors.UsageError("There is no run here to emit an event from", hint="call emit_event() inside of a flow or task")
    attempt = context.attempt
    event_id = attempt.clock.new_id()
    task_run_id = None if context is context.flow else context.id
    attempt.journal.append(
        records.EventEmitted(
            attempt.clock.now(), event_id, context.flow.id, task_run_id, str(event), dict(resource or {}), dict(payload or {})
        )
    )
    return event_id
