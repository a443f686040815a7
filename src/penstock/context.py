"""The run whose code is being executed, as objects; and tags."""

from __future__ import annotations

from penstock.errors import MissingContext as MissingContextError
from penstock.sdk.run_context import FlowRunContext, TaskRunContext, get_run_context
from penstock.sdk.tags import tags

__all__ = ["FlowRunContext", "MissingContextError", "TaskRunContext", "get_run_context", "tags"]
