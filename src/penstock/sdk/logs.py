"""The log of the run whose code is being executed."""

from __future__ import annotations

import logging
from typing import Any

from penstock import errors
from penstock.engine.context import current
from penstock.engine.run_logs import RunHandler, RunLogger


def get_run_logger(**extra: Any) -> logging.LoggerAdapter[logging.Logger]:
    """A logger whose lines are recorded under the flow or task run that asks for it.

    Raises `UsageError` outside of a run.
    """
    context = current()
    if context is None:
        raise errors.UsageError(
            "There is no run here to log to", hint="call get_run_logger() inside of a flow or task"
        )
    logger = RunLogger(context)
    if extra:
        logger.extra = {**(logger.extra or {}), **extra}
    return logger


def get_logger(name: str | None = None) -> logging.Logger:
    """A logger below ``penstock``, whose lines are recorded while a run is being executed."""
    logger = logging.getLogger(f"penstock.{name}" if name else "penstock")
    if not any(isinstance(handler, RunHandler) for handler in logger.handlers):
        logger.addHandler(RunHandler())
    return logger


def disable_run_logger() -> Any:
    """A context in which loggers of runs are silent: for testing a task's ``fn`` by itself."""
    from contextlib import contextmanager  # noqa: PLC0415  only in tests

    @contextmanager
    def disabled() -> Any:
        names = ("penstock.flow_runs", "penstock.task_runs")
        before = {name: logging.getLogger(name).disabled for name in names}
        for name in names:
            logging.getLogger(name).disabled = True
        try:
            yield
        finally:
            for name, was in before.items():
                logging.getLogger(name).disabled = was

    return disabled()
