"""What the processes of runs write to stdout and stderr: taken in at once, so that it never holds up a run.

It becomes lines of the run's log, in a journal of the supervisor's own. Lines that come faster than they can be kept
are dropped, counted, and told of.
"""

from __future__ import annotations

import os
import re
import selectors
import threading
from collections.abc import Callable
from contextlib import suppress

from penstock.clock import Clock

MAX_BYTES = 16 << 10
"""A longer line is cut off."""
READ_BYTES = 1 << 16

LINES_A_SECOND = 2000.0
"""How many lines of a run are kept, if it goes on writing them."""
LINES_AT_ONCE = 20_000.0
"""How many it may write at once."""

STDOUT, STDERR = "penstock.stdout", "penstock.stderr"

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f]")
"""Everything that is not to be shown; the escape character starts colours, and who shows them decides about it."""

Sink = Callable[[str, list[str]], None]
"""Takes the logger's name and lines."""


class Lines:
    """Makes lines of a stream of bytes, whatever these are."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._cut = 0
        self._is_back = False
        """Whether what comes next on this line is written over what there is of it."""

    def feed(self, data: bytes) -> list[str]:
        """The lines that are whole now."""
        *whole, rest = data.split(b"\n")
        found: list[str] = []
        for piece in whole:
            self._add(piece)
            found.append(self._taken())
        self._add(rest)
        return found

    def end(self) -> list[str]:
        """What came after the last line break."""
        return [self._taken()] if self._rest or self._cut else []

    def skip(self, data: bytes) -> int:
        """Pass over whole lines unseen; says how many."""
        count = data.count(b"\n")
        if count:
            self._rest.clear()
            self._cut = 0
            data = data[data.rindex(b"\n") + 1 :]
        self._add(data)
        return count

    def _add(self, piece: bytes) -> None:
        drawn = piece.rstrip(b"\r")
        if drawn:
            last = drawn.rpartition(b"\r")[2]
            if self._is_back or len(last) < len(drawn):
                self._rest.clear()
                self._cut = 0
            self._is_back = len(drawn) < len(piece)
            self._keep(last)
        elif piece:
            self._is_back = True

    def _keep(self, piece: bytes) -> None:
        room = MAX_BYTES - len(self._rest)
        self._rest += piece[:room]
        self._cut += max(len(piece) - room, 0)

    def _taken(self) -> str:
        text = printable(bytes(self._rest))
        if self._cut:
            text = f"{text}… ({len(self._rest) + self._cut} bytes)"
        self._rest.clear()
        self._cut = 0
        self._is_back = False
        return text


def printable(line: bytes) -> str:
    """A line as text: what was drawn over is left out, and what is no text shows as such."""
    line = line.rstrip(b"\r")
    if b"\r" in line:
        line = line.rpartition(b"\r")[2]
    return _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", line.decode("utf-8", "backslashreplace"))


class Allowance:
    """How many lines of a run may be kept now."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._left = LINES_AT_ONCE
        self._is_out = False
        self._at = clock.elapsed()

    def take(self, wanted: int) -> bool:
        """Whether so many may be kept; if so, they count."""
        now = self._clock.elapsed()
        self._left = min(self._left + (now - self._at) * LINES_A_SECOND, LINES_AT_ONCE)
        self._at = now
        # Once out, it takes some time until lines are kept again: not one here and one there.
        self._is_out = self._left < (max(wanted, LINES_A_SECOND) if self._is_out else wanted)
        if self._is_out:
            return False
        self._left -= wanted
        return True


class Stream:
    """The reading end of the pipe to which a run's processes write."""

    def __init__(self, logger: str, sink: Sink, allowance: Allowance) -> None:
        self._logger = logger
        self._sink = sink
        self._allowance = allowance
        self._lines = Lines()
        self._dropped = 0
        self.ended = threading.Event()
        self.reading, self.writing = os.pipe()
        os.set_blocking(self.reading, False)

    def read(self) -> bool:
        """Take in what is there; says whether there may be more later."""
        try:
            data = os.read(self.reading, READ_BYTES)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        if not data:
            self._end()
            return False
        if self._allowance.take(data.count(b"\n")):
            self._tell_of_dropped()
            found = self._lines.feed(data)
            if found:
                self._sink(self._logger, found)
        else:
            self._dropped += self._lines.skip(data)
        return True

    def drain(self) -> None:
        """Take in what is there now, though somebody may still hold the other end."""
        while not self.ended.is_set() and self._has_data() and self.read():
            pass
        if not self.ended.is_set():
            self._end()

    def _has_data(self) -> bool:
        with selectors.DefaultSelector() as selector:
            selector.register(self.reading, selectors.EVENT_READ)
            return bool(selector.select(0))

    def _end(self) -> None:
        self._tell_of_dropped()
        last = self._lines.end()
        if last:
            self._sink(self._logger, last)
        self.ended.set()

    def _tell_of_dropped(self) -> None:
        if self._dropped:
            self._sink(self._logger, [f"({self._dropped} lines were dropped: they came faster than they can be kept)"])
            self._dropped = 0


class Reader:
    """A thread that reads the output of all runs."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._woken, False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._new: list[Stream] = []
        self._gone: list[Stream] = []
        self._lock = threading.Lock()
        self._closing = False
        self._thread = threading.Thread(target=self._read_on, name="penstock-output", daemon=True)
        self._thread.start()

    def add(self, stream: Stream) -> None:
        """Read this from now on."""
        with self._lock:
            self._new.append(stream)
        os.write(self._waker, b".")

    def finish(self, stream: Stream, seconds: float) -> None:
        """Have all read that was written by now, and let go of it."""
        if not stream.ended.wait(seconds):
            # Somebody who is no part of the run holds the other end, and may for ever.
            with self._lock:
                self._gone.append(stream)
            os.write(self._waker, b".")
            stream.ended.wait(seconds)

    def close(self) -> None:
        """End the thread."""
        self._closing = True
        os.write(self._waker, b".")
        self._thread.join()
        self._selector.close()
        os.close(self._woken)
        os.close(self._waker)

    def _read_on(self) -> None:
        while not self._closing:
            for key, _ in self._selector.select():
                if key.fileobj == self._woken:
                    self._look_around()
                elif not key.data.read():
                    self._let_go(key.data)

    def _look_around(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._woken, 4096)
        with self._lock:
            new, self._new = self._new, []
            gone, self._gone = self._gone, []
        for stream in new:
            self._selector.register(stream.reading, selectors.EVENT_READ, stream)
        for stream in gone:
            if not stream.ended.is_set():
                stream.drain()
                self._let_go(stream)

    def _let_go(self, stream: Stream) -> None:
        self._selector.unregister(stream.reading)
        os.close(stream.reading)
