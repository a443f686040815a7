"""Ending with whoever is at the other end of a pipe: who started this process (its stdin), or who reads its stdout."""

from __future__ import annotations

import os
import select
import signal
import stat
import threading
from typing import Annotated, TextIO

from cyclopts import Parameter

from penstock.cli import exit_codes

UntilStdinEnds = Annotated[
    bool,
    Parameter(negative=(), help="Stop when stdin ends: give it a pipe, and it ends with you, even if you are killed."),
]


def hold() -> None:
    """Tell this process to stop, by SIGTERM, once its stdin has ended."""
    threading.Thread(target=_wait, name="penstock-lifeline", daemon=True).start()


def _wait() -> None:
    try:
        while os.read(0, 4096):
            pass
    except OSError:
        pass  # it was closed from the beginning
    os.kill(os.getpid(), signal.SIGTERM)


def end_with_reader(out: TextIO) -> None:
    """End this process once nobody reads what it writes: one that follows may have nothing to write for long.

    It ends at once, so it has to be one that only looks.
    """
    try:
        descriptor = out.fileno()
        mode = os.fstat(descriptor).st_mode
    except (OSError, ValueError):
        return  # it is closed, or no file
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
        threading.Thread(target=_watch, args=(descriptor,), name="penstock-reader", daemon=True).start()


def _watch(descriptor: int) -> None:
    watched = select.poll()
    watched.register(descriptor, 0)  # waits for nothing but the other end's being gone
    if any(found & (select.POLLERR | select.POLLHUP) for _, found in watched.poll()):
        os._exit(exit_codes.BROKEN_PIPE)
