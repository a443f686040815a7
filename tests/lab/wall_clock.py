"""A clock on the wall that a test may set, of programs that run: see `wall_clock.c`."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from penstock import clock


class WallClock:
    """Programs that are started with its ``environ`` find the time that it shows. Skips without a C compiler."""

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None or not sys.platform.startswith("linux"):
            pytest.skip("a clock that can be set needs Linux and a C compiler")
        library = folder / "wall_clock.so"
        source = Path(__file__).with_name("wall_clock.c")
        subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
        self._file = folder / "wall_clock"
        self._file.write_bytes(bytes(4096))
        self.environ = {"LD_PRELOAD": str(library), "WALL_CLOCK": str(self._file)}
        self._seconds = 0

    def now(self) -> datetime:
        """The time that it shows."""
        return datetime.fromtimestamp(clock.SYSTEM.now() / 1e6 + self._seconds, UTC)

    def turn(self, by: timedelta) -> None:
        """Put it forward or back, from what it shows, by whole seconds."""
        self._set(self._seconds + round(by.total_seconds()))

    def set_to(self, time: datetime) -> None:
        """Have it show this, within a second."""
        self._set(round(time.timestamp() - clock.SYSTEM.now() / 1e6))

    def right(self) -> None:
        """Have it show what is true."""
        self._set(0)

    def _set(self, seconds: int) -> None:
        self._seconds = seconds
        with self._file.open("r+b") as file:
            file.write(struct.pack("<q", seconds))
