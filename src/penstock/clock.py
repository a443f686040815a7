"""Time, waiting, ids and chance: the only module that asks the machine for them."""

from __future__ import annotations

import os
import time
from typing import Protocol


class Clock(Protocol):
    """What Penstock needs of time and chance. Tests hand in one that they control."""

    def now(self) -> int:
        """Microseconds since 1970 UTC."""
        ...

    def elapsed(self) -> float:
        """Seconds since some fixed point; unlike `now`, it never jumps."""
        ...

    def sleep(self, seconds: float) -> None:
        """Block this thread for that long."""
        ...

    async def sleep_async(self, seconds: float) -> None:
        """Let other coroutines run for that long."""
        ...

    def new_id(self) -> str:
        """A UUID of version 7: ids made later sort later (RFC 9562 §5.7)."""
        ...

    def chance(self) -> float:
        """A number from [0, 1), evenly distributed."""
        ...


class SystemClock:
    """The machine's own time and chance."""

    __slots__ = ()

    def now(self) -> int:
        return time.time_ns() // 1000

    def elapsed(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    async def sleep_async(self, seconds: float) -> None:
        import asyncio  # noqa: PLC0415  keeps asyncio off the import path

        await asyncio.sleep(seconds)

    def new_id(self) -> str:
        return uuid7(time.time_ns() // 1_000_000, os.urandom(10))

    def chance(self) -> float:
        return int.from_bytes(os.urandom(6), "little") / (1 << 48)


def time_of_day(at: int) -> str:
    """``03:37:56.125``, in the zone of this machine: the beginning of a line that people read as it is written."""
    seconds, rest = divmod(at, 1_000_000)
    return f"{time.strftime('%H:%M:%S', time.localtime(seconds))}.{rest // 1000:03d}"


def uuid7(milliseconds: int, noise: bytes) -> str:
    """The UUID of version 7 made of a time (Unix milliseconds) and ten random bytes."""
    digits = f"{milliseconds:012x}{noise.hex()}"
    variant = "89ab"[noise[2] >> 6]
    return f"{digits[:8]}-{digits[8:12]}-7{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"


if hasattr(time, "CLOCK_BOOTTIME"):

    def boottime() -> float:
        """Seconds since the machine was started, those included that it slept. The same for all its processes."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

else:  # macOS, whose monotonic clock is the same for all processes too, but stands still while it sleeps

    def boottime() -> float:
        """Seconds since the machine was started. The same for all its processes."""
        return time.monotonic()


def cpu_seconds() -> float:
    """How long processors have worked for this process."""
    return time.process_time()


def boot_id() -> str:
    """What tells this boot of the machine from others; empty where the system has no such id."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


SYSTEM = SystemClock()
