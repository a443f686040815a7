"""What a run says: log lines of its loggers, and its prints."""

from __future__ import annotations

import builtins
import logging
import sys
from typing import TYPE_CHECKING, Any

from penstock.core import records
from penstock.engine.context import RunContext, current, is_own_process

if TYPE_CHECKING:
    from collections.abc import Callable

FLOW_RUNS = "penstock.flow_runs"
TASK_RUNS = "penstock.task_runs"


class RunLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger whose lines belong to one run."""

    def __init__(self, context: RunContext) -> None:
        super().__init__(
            _logger(_logger_of(context), context.attempt.settings.logging_level), {"penstock_run": context}
        )

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


def _logger_of(context: RunContext) -> str:
    return FLOW_RUNS if context is context.flow else TASK_RUNS


def _logger(name: str, level: str) -> logging.Logger:
    logger = logging.getLogger(name)
    if not any(isinstance(handler, RunHandler) for handler in logger.handlers):
        logger.addHandler(RunHandler())
        logger.propagate = False
    logger.setLevel(level)
    return logger


def say(context: RunContext, level: int, logger: str, message: str) -> None:
    """Record a line of the run's log, and show it to whoever watches."""
    attempt = context.attempt
    at = attempt.clock.now()
    if not is_own_process(context):  # a forked child: it cannot record, but need not be silent
        sys.stderr.write(f"{message}\n")
        return
    task_run_id = None if context is context.flow else context.id
    message = message.encode("utf-8", "backslashreplace").decode() if not message.isascii() else message
    attempt.journal.append(records.LogLine(at, context.flow.id, task_run_id, level, logger, message))
    attempt.log(context, at, level, message)


def say_about_exception(context: RunContext, error: BaseException) -> None:
    """Record the traceback of the user's code, without the engine's own frames."""
    import traceback  # noqa: PLC0415  only when something failed

    trace = traceback.TracebackException.from_exception(error)
    _drop_own_frames(trace, set())
    text = "".join(trace.format() if trace.stack else trace.format_exception_only()).rstrip()
    say(context, logging.ERROR, _logger_of(context), f"Encountered an exception:\n{text}")


def _drop_own_frames(trace: Any, seen: set[int]) -> None:
    import traceback  # noqa: PLC0415  as above

    if trace is None or id(trace) in seen:
        return
    seen.add(id(trace))
    kept = [frame for frame in trace.stack if not is_own_file(frame.filename)]
    trace.stack = traceback.StackSummary.from_list(kept)
    _drop_own_frames(trace.__cause__, seen)
    _drop_own_frames(trace.__context__, seen)


_OWN = __file__.rpartition("engine")[0]


def is_own_file(name: str) -> bool:
    """Whether a source file is Penstock's machinery, of which a traceback need not tell."""
    return name.startswith(_OWN) and "/examples/" not in name


_print: Callable[..., None] = builtins.print


def capture_prints() -> None:
    """From now on, ``print`` in a run with ``log_prints`` becomes a log line. Doing it again is harmless."""
    if builtins.print is not _print_or_log:
        global _print  # noqa: PLW0603  whatever print was, also if somebody else replaced it
        _print = builtins.print
        builtins.print = _print_or_log


def _print_or_log(
    *values: Any, sep: str | None = " ", end: str | None = "\n", file: Any = None, flush: bool = False
) -> None:
    context = current()
    if context is None or not context.log_prints or file not in (None, sys.stdout, sys.stderr):
        _print(*values, sep=sep, end=end, file=file, flush=flush)
        return
    message = (" " if sep is None else sep).join(str(value) for value in values)
    say(context, logging.INFO, _logger_of(context), message)
