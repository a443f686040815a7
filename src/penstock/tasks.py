"""Tasks, and what their options take."""

from __future__ import annotations

from penstock.core.caching import task_input_hash
from penstock.core.retries import exponential_backoff
from penstock.sdk.tasks import Task, task

__all__ = ["Task", "exponential_backoff", "task", "task_input_hash"]
