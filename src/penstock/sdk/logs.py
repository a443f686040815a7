"""The log of the run whose code is being executed."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from penstock.engine.loggers import RunHandler, RunLogger
from penstock.engine.run_logs import FLOW_RUNS, TASK_RUNS
from penstock.sdk import run_context

_SILENT = "penstock.silent"


def get_run_logger(**extra: Any) -> logging.LoggerAdapter[logging.Logger]:
    """A logger whose lines are recorded under the flow or task run that asks for it.

    Raises `MissingContext` outside of a run, unless within `disable_run_logger`.
    """
    if logging.getLogger(FLOW_RUNS).disabled and logging.getLogger(TASK_RUNS).disabled:
        return _silent()
    run = run_context.here("get_run_logger()")
    if run is None:
        return _silent()
    logger = RunLogger(run)
    if extra:
        logger.extra = {**(logger.extra or {}), **extra}
    return logger


def _silent() -> logging.LoggerAdapter[logging.Logger]:
    logger = logging.getLogger(_SILENT)
    logger.disabled = True
    return logging.LoggerAdapter(logger, {})


def get_logger(name: str | None = None) -> logging.Logger:
    """A logger below ``penstock``, whose lines are recorded while a run is being executed."""
    name = (name or "").removeprefix("penstock").removeprefix(".")
    logger = logging.getLogger("penstock")
    if not any(isinstance(handler, RunHandler) for handler in logger.handlers):
        logger.addHandler(RunHandler())
    return logger.getChild(name) if name else logger


@contextmanager
def disable_run_logger() -> Generator[None]:
    """Have loggers of runs say nothing: for testing a task's ``fn`` by itself, where there is no run."""
    loggers = [logging.getLogger(name) for name in (FLOW_RUNS, TASK_RUNS)]
    before = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    finally:
        for logger, was in zip(loggers, before, strict=True):
            logger.disabled = was
