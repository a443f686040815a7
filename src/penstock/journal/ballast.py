"""Ballast: a file that takes up room, given back when the disk is full so that ends can be written."""

from __future__ import annotations

import os
from pathlib import Path

SIZE = 16 << 20


class Ballast:
    """``<home>/ballast``: 16 MiB that are really allocated, not a hole."""

    def __init__(self, path: Path, size: int = SIZE) -> None:
        self.path = path
        self.size = size

    def ensure(self) -> bool:
        """Make the file when there is none and room for it; says whether it is there now."""
        if self.path.exists():
            return True
        temporary = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, self.size)
            finally:
                os.close(descriptor)
            os.replace(temporary, self.path)
        except (OSError, AttributeError):
            temporary.unlink(missing_ok=True)
            return False
        return True

    def release(self) -> bool:
        """Give the room back; False if there was no ballast (any more)."""
        try:
            self.path.unlink()
        except OSError:
            return False
        return True
