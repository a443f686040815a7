"""A file of a flow that cannot even be imported by a process that wants to live."""

from __future__ import annotations

import os
import signal

from penstock import flow

os.kill(os.getpid(), signal.SIGKILL)


@flow
def never() -> None:
    return
