"""What a run says: log lines of its loggers, and its prints."""

from __future__ import annotations

import builtins
import contextlib
import sys
from typing import TYPE_CHECKING, Any

from penstock.core import plain_text, records
from penstock.core.log_levels import ERROR, INFO
from penstock.engine.context import RunContext, current, is_own_process

if TYPE_CHECKING:
    from collections.abc import Callable

FLOW_RUNS = "penstock.flow_runs"
TASK_RUNS = "penstock.task_runs"


def logger_of(context: RunContext) -> str:
    """The name of the logger to which a run's own lines belong."""
    return FLOW_RUNS if context is context.flow else TASK_RUNS


MAX_TEXT = 1 << 20
"""A line of the log is cut off after so many characters."""


def say(context: RunContext, level: int, logger: str, message: str) -> None:
    """Record a line of the run's log, and show it to whoever watches."""
    attempt = context.attempt
    at = attempt.clock.now()
    if not is_own_process(context):  # a forked child: it cannot record, but need not be silent
        sys.stderr.write(f"{message}\n")
        return
    task_run_id = None if context is context.flow else context.id
    if len(message) > MAX_TEXT:
        message = f"{message[:MAX_TEXT]}… ({len(message)} characters)"
    message = plain_text.in_utf8(message)
    attempt.journal.append(records.LogLine(at, context.flow.id, task_run_id, level, logger, message))
    attempt.log(context, at, level, message)


def about_retry(tries: int, retries: int, delay_seconds: float) -> str:
    """That a try has failed and another follows."""
    when = f" in {delay_seconds:.3g} s" if delay_seconds else ""
    return f"Try {tries} of {retries + 1} failed; the next one follows{when}"


def say_about_exception(context: RunContext, error: BaseException) -> None:
    """Record the traceback of the user's code, without the engine's own frames; once for each exception."""
    if getattr(error, "__penstock_told__", None) == context.attempt.run_id:
        return
    with contextlib.suppress(AttributeError, TypeError):
        error.__penstock_told__ = context.attempt.run_id  # type: ignore[attr-defined]  a mark of our own
    from penstock.engine import tracebacks  # noqa: PLC0415  only when something failed

    say(context, ERROR, logger_of(context), f"Encountered an exception:\n{tracebacks.of_user(error)}")


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
    say(context, INFO, logger_of(context), message)
