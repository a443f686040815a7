"""The processes that send what a home holds to the server elsewhere that its settings name."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

from penstock import processes


def of(home: Path) -> list[int]:
    """Those of a home that live."""
    found: list[int] = []
    for each in processes.every():
        with suppress(OSError):
            line = Path(f"/proc/{each.pid}/cmdline").read_bytes()
            environ = Path(f"/proc/{each.pid}/environ").read_bytes().split(b"\0")
            if b"home_shipper" in line and f"PENSTOCK_HOME={home}".encode() in environ and not each.is_dead:
                found.append(each.pid)
    return found


def tell(home: Path, number: signal.Signals) -> None:
    """Send those of a home a signal."""
    for pid in of(home):
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def end(home: Path) -> None:
    """Kill those of a home, whose server will not come back."""
    tell(home, signal.SIGKILL)
