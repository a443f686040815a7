"""The log of the run whose code is being executed."""

from __future__ import annotations

from penstock.engine.loggers import RunHandler
from penstock.sdk.logs import disable_run_logger, get_logger, get_run_logger

__all__ = ["RunHandler", "disable_run_logger", "get_logger", "get_run_logger"]
