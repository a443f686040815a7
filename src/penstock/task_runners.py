"""Where submitted tasks execute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from penstock.engine.task_runners import ConcurrentTaskRunner, SequentialTaskRunner, TaskRunner, ThreadPoolTaskRunner

if TYPE_CHECKING:
    from penstock.engine.processes import ProcessPoolTaskRunner

__all__ = [
    "ConcurrentTaskRunner",
    "ProcessPoolTaskRunner",
    "SequentialTaskRunner",
    "TaskRunner",
    "ThreadPoolTaskRunner",
]


def __getattr__(name: str) -> Any:
    """Load what only some need when it is first used."""
    if name != "ProcessPoolTaskRunner":
        raise AttributeError(f"module 'penstock.task_runners' has no attribute {name!r}")
    from penstock.engine.processes import ProcessPoolTaskRunner  # noqa: PLC0415  few use it

    return ProcessPoolTaskRunner
