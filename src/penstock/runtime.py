"""What is known of the run whose code is being executed."""

from __future__ import annotations

from penstock.sdk.runtime import deployment, flow_run, task_run

__all__ = ["deployment", "flow_run", "task_run"]
