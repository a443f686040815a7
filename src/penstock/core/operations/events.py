"""What happened."""

from __future__ import annotations

from penstock.core.operations import Page, Permission, Request, operation
from penstock.core.runs import Event


@operation("GET", "/events", Permission.READ)
class ListEvents(Request[Page[Event]], frozen=True, kw_only=True):
    """Events in the order in which they were recorded, after a cursor. ``/api/events/stream`` tells them live."""

    run: str | None = None
    """The id of a flow run."""
    name: str | None = None
    """``flow_run.completed``, for example."""
    since: int | None = None
    tail: bool = False
    """The last ``limit`` events, not the first."""
    limit: int = 100
    after: str | None = None
    """The sequence of the last one seen, as text."""
    wait_seconds: float = 0
    """When there is nothing, the answer waits for so long."""

    def topic(self) -> str:
        return "events"
