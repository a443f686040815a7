"""Loggers of the ``logging`` module whose lines belong to runs."""

from __future__ import annotations

import logging
from typing import Any

from penstock.engine.context import RunContext, current
from penstock.engine.run_logs import logger_of, say


class RunLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger whose lines belong to one run."""

    def __init__(self, context: RunContext) -> None:
        super().__init__(_logger(logger_of(context), context.attempt.settings.logging_level), {"penstock_run": context})

    def process(self, msg: Any, kwargs: Any) -> tuple[Any, Any]:
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return msg, kwargs


class RunHandler(logging.Handler):
    """Records log lines under the run that they belong to, or that is being executed.

    Attach it to a logger of your own to have its lines recorded:
    ``logging.getLogger("mine").addHandler(RunHandler())``.
    """

    def emit(self, record: logging.LogRecord) -> None:
        context = getattr(record, "penstock_run", None) or current()
        if context is None:
            return
        try:
            message = self.format(record)
        except Exception:  # noqa: BLE001  a log call with the wrong arguments must not fail the run
            message = f"{record.msg!r} (could not be formatted with {record.args!r})"
        say(context, record.levelno, record.name, message)


def _logger(name: str, level: str) -> logging.Logger:
    logger = logging.getLogger(name)
    if not any(isinstance(handler, RunHandler) for handler in logger.handlers):
        logger.addHandler(RunHandler())
        logger.propagate = False
    logger.setLevel(level)
    return logger
