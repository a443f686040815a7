"""Emit once, render elsewhere: what Penstock itself has to say.

``emit("store.folded", records=12)`` calls the subscribers of that process, if any. It never raises
and costs a dictionary when somebody listens, nothing otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Subscriber = Callable[[str, dict[str, Any]], None]

_subscribers: list[Subscriber] = []


def subscribe(subscriber: Subscriber) -> Callable[[], None]:
    """Call ``subscriber(event, details)`` for all that is emitted; returns the way to stop it."""
    _subscribers.append(subscriber)
    return lambda: _subscribers.remove(subscriber)


def emit(event: str, **details: Any) -> None:
    """Tell the subscribers that something happened. A subscriber that raises is ignored."""
    for subscriber in tuple(_subscribers):
        try:
            subscriber(event, details)
        except Exception:  # noqa: BLE001, S110  telemetry must not break what it watches
            pass
