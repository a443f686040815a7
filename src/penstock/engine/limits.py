"""Timeouts that end the work.

On the main thread a signal interrupts the code; elsewhere the code runs in a thread of its own,
which is sent an exception, and is left behind if it does not return (C code cannot be
interrupted): whatever it still returns is refused.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import Any

from penstock import errors
from penstock.clock import SYSTEM
from penstock.core.outcomes import Interruption
from penstock.engine.futures import crew_of_thread

GRACE_SECONDS = 1.0
"""How long code that was interrupted may take to clean up before it is left behind."""


def call_within(seconds: float, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call ``fn``; raises `TimedOut` if it has not returned after so many seconds."""
    if seconds <= 0:
        raise timed_out(seconds)
    if threading.current_thread() is threading.main_thread() and _can_signal():
        return _call_with_alarm(seconds, fn, args, kwargs)
    return _call_in_thread(seconds, fn, args, kwargs)


class TimeIsUp(errors.TimedOut):
    """Tells a run's life that its own time is up, and not that of something that it called.

    The life makes a plain `TimedOut` of it.
    """


def timed_out(seconds: float) -> TimeIsUp:
    return TimeIsUp(f"Exceeded its timeout of {float(seconds)} seconds")


def _can_signal() -> bool:
    import signal  # noqa: PLC0415  only for those who set timeouts

    return hasattr(signal, "setitimer")


_deadlines: list[float] = []
"""Ends of the calls under way on the main thread, outermost first."""


def _call_with_alarm(seconds: float, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    import signal  # noqa: PLC0415  as above

    ends_at = SYSTEM.elapsed() + seconds
    handler = signal.signal(signal.SIGALRM, _on_alarm)
    try:
        _deadlines.append(ends_at)
        _set_alarm()
        value = fn(*args, **kwargs)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if SYSTEM.elapsed() < ends_at:  # the user's own, or an outer call's time is up
            raise
        raise timed_out(seconds) from (None if isinstance(error, Interruption) else error)
    finally:
        _put_back(ends_at, handler)
        _set_alarm()
    if SYSTEM.elapsed() >= ends_at:  # the code swallowed the interruption, or could not be interrupted
        raise timed_out(seconds)
    return value


def _put_back(ends_at: float, handler: Any) -> None:
    """Forget a deadline, even if an alarm goes off meanwhile."""
    import signal  # noqa: PLC0415  as above

    while True:
        try:
            signal.setitimer(signal.ITIMER_REAL, 0)
            if ends_at in _deadlines:
                _deadlines.remove(ends_at)
            signal.signal(signal.SIGALRM, handler)
        except Interruption:  # no other comes before the alarm is set again
            continue
        return


def _set_alarm() -> None:
    import signal  # noqa: PLC0415  as above

    if _deadlines:
        left = max(min(_deadlines) - SYSTEM.elapsed(), 1e-6)
        signal.setitimer(signal.ITIMER_REAL, left, GRACE_SECONDS)  # again and again, should it be swallowed
    else:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _on_alarm(*_: Any) -> None:
    if _deadlines and SYSTEM.elapsed() >= min(_deadlines):
        raise Interruption


def _call_in_thread(seconds: float, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    outcome: list[tuple[bool, Any]] = []
    ended = threading.Lock()
    ended.acquire()
    context = contextvars.copy_context()
    crew = getattr(crew_of_thread, "crew", None)

    def run() -> None:
        crew_of_thread.crew = crew  # what waits in here keeps a worker waiting
        try:
            outcome.append((True, context.run(fn, *args, **kwargs)))
        except BaseException as error:  # noqa: BLE001  handed over to the caller's thread
            outcome.append((False, error))
        finally:
            ended.release()

    thread = threading.Thread(target=run, name="penstock-timed", daemon=True)
    thread.start()
    if not ended.acquire(timeout=seconds):
        interrupt(thread)
        ended.acquire(timeout=GRACE_SECONDS)
        raise timed_out(seconds)
    succeeded, value = outcome[0]
    if succeeded:
        return value
    if isinstance(value, Interruption):
        raise timed_out(seconds)
    raise value


def interrupt(thread: threading.Thread) -> None:
    """Raise an `Interruption` in another thread, at its next Python instruction."""
    if thread.ident is not None and thread.is_alive():
        import ctypes  # noqa: PLC0415  only for those who set timeouts, or stop runs

        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(Interruption))
