"""Gates: files at which flows wait until a test lets them pass."""

from __future__ import annotations

import fcntl
from pathlib import Path


class Gate:
    """Closed until it is opened. If the test dies, the system opens it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("wb")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def open(self) -> None:
        """Let everybody pass, now and later."""
        self._file.close()

    def __str__(self) -> str:
        return str(self.path)
