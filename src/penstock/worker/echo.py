"""What whoever watches a worker is shown: lines that never hold up the one who says them."""

from __future__ import annotations

import threading
from collections import deque
from typing import TextIO

MAX_LINES = 10_000
"""So many may wait to be written; further ones are dropped, and counted."""


class Echo:
    """Writes lines to a stream, from a thread of its own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._changed = threading.Condition()
        self._lines: deque[str] = deque()
        self._dropped = 0
        self._closing = False
        self._thread = threading.Thread(target=self._write_on, name="penstock-echo", daemon=True)
        self._thread.start()

    def write(self, text: str) -> None:
        """Have a line (or several) written."""
        with self._changed:
            if len(self._lines) >= MAX_LINES:
                self._dropped += text.count("\n") + 1
                return
            self._lines.append(text)
            self._changed.notify()

    def close(self, seconds: float = 2.0) -> None:
        """Write what waits, unless nobody reads it."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(seconds)

    def _write_on(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines or self._closing)
                if not self._lines:
                    return
                lines, dropped = list(self._lines), self._dropped
                self._lines.clear()
                self._dropped = 0
            if dropped:
                lines.append(f"({dropped} lines were not shown: they came faster than they are read)")
            try:
                self._stream.write("".join([f"{line}\n" for line in lines]))
                self._stream.flush()
            except (OSError, ValueError):  # nobody reads it any more
                continue
