"""Penstock: plain Python workflows that survive `kill -9`. A run is a journal."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penstock.core.caching import task_input_hash
    from penstock.core.retries import exponential_backoff
    from penstock.core.states import State
    from penstock.engine.futures import Future, as_completed, wait
    from penstock.engine.inputs import allow_failure, quote, unmapped
    from penstock.engine.processes import ProcessPoolTaskRunner
    from penstock.engine.task_runners import SequentialTaskRunner, ThreadPoolTaskRunner
    from penstock.sdk import runtime
    from penstock.sdk.artifacts import (
        create_image_artifact,
        create_link_artifact,
        create_markdown_artifact,
        create_progress_artifact,
        create_table_artifact,
        update_progress_artifact,
    )
    from penstock.sdk.clients import get_client
    from penstock.sdk.concurrency import concurrency, rate_limit
    from penstock.sdk.events import emit_event
    from penstock.sdk.flows import Flow, flow
    from penstock.sdk.logs import get_run_logger
    from penstock.sdk.pauses import pause_flow_run, resume_flow_run, suspend_flow_run
    from penstock.sdk.servers import wait_for_server
    from penstock.sdk.tags import tags
    from penstock.sdk.tasks import Task, task
    from penstock.worker.serving import serve

from penstock.version import __version__

_WHERE = {
    "Flow": "sdk.flows",
    "Future": "engine.futures",
    "ProcessPoolTaskRunner": "engine.processes",
    "SequentialTaskRunner": "engine.task_runners",
    "State": "core.states",
    "Task": "sdk.tasks",
    "ThreadPoolTaskRunner": "engine.task_runners",
    "allow_failure": "engine.inputs",
    "as_completed": "engine.futures",
    "concurrency": "sdk.concurrency",
    "create_image_artifact": "sdk.artifacts",
    "create_link_artifact": "sdk.artifacts",
    "create_markdown_artifact": "sdk.artifacts",
    "create_progress_artifact": "sdk.artifacts",
    "create_table_artifact": "sdk.artifacts",
    "emit_event": "sdk.events",
    "exponential_backoff": "core.retries",
    "flow": "sdk.flows",
    "get_client": "sdk.clients",
    "get_run_logger": "sdk.logs",
    "pause_flow_run": "sdk.pauses",
    "quote": "engine.inputs",
    "rate_limit": "sdk.concurrency",
    "resume_flow_run": "sdk.pauses",
    "serve": "worker.serving",
    "suspend_flow_run": "sdk.pauses",
    "tags": "sdk.tags",
    "task": "sdk.tasks",
    "task_input_hash": "core.caching",
    "unmapped": "engine.inputs",
    "update_progress_artifact": "sdk.artifacts",
    "wait": "engine.futures",
    "wait_for_server": "sdk.servers",
}

__all__ = [
    "Flow",
    "Future",
    "ProcessPoolTaskRunner",
    "SequentialTaskRunner",
    "State",
    "Task",
    "ThreadPoolTaskRunner",
    "__version__",
    "allow_failure",
    "as_completed",
    "concurrency",
    "create_image_artifact",
    "create_link_artifact",
    "create_markdown_artifact",
    "create_progress_artifact",
    "create_table_artifact",
    "emit_event",
    "exponential_backoff",
    "flow",
    "get_client",
    "get_run_logger",
    "pause_flow_run",
    "quote",
    "rate_limit",
    "resume_flow_run",
    "runtime",
    "serve",
    "suspend_flow_run",
    "tags",
    "task",
    "task_input_hash",
    "unmapped",
    "update_progress_artifact",
    "wait",
    "wait_for_server",
]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used."""
    if name in _WHERE:
        value = getattr(import_module(f"penstock.{_WHERE[name]}"), name)
    elif name == "runtime":
        value = import_module("penstock.runtime")
    else:
        raise AttributeError(f"module 'penstock' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
