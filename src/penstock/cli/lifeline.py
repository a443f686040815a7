"""Ending with whoever started this process: its stdin is a pipe that the system closes when the starter is gone."""

from __future__ import annotations

import os
import signal
import threading
from typing import Annotated

from cyclopts import Parameter

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
