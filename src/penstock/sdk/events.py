"""Telling that something happened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock import errors
from penstock.core import plain_text, records
from penstock.sdk import plain_json, run_context

MAX_BYTES = 1 << 20


def emit_event(event: str, resource: Mapping[str, Any] | None = None, payload: Mapping[str, Any] | None = None) -> str:
    """Record under the current run that ``event`` happened to ``resource``; returns the event's id.

    ``resource`` and ``payload`` are names and values; what is no JSON but has an obvious form in it,
    as a date has, is given that. Raises `MissingContext` outside of a run, `UsageError` for the rest.
    """
    if not isinstance(event, str) or not event:  # pyright: ignore[reportUnnecessaryIsInstance]  users' code
        raise errors.UsageError(f"An event is named by text, not by: `{event!r}`")
    plain_text.checked(event, "The name of an event")
    about = {str(name): value if isinstance(value, str) else str(value) for name, value in (resource or {}).items()}
    details = plain_json.of(dict(payload or {}), f"The payload of event `{event}`", MAX_BYTES)
    run = run_context.here("emit_event()")
    if run is None:
        return "00000000-0000-8000-b000-000000000000"  # the flow is only drawn
    event_id = run.attempt.clock.new_id()
    task_run_id = None if run is run.flow else run.id
    run.attempt.journal.append(
        records.EventEmitted(run.attempt.clock.now(), event_id, run.flow.id, task_run_id, event, about, details)
    )
    return event_id
