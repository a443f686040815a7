"""How long an attempt may start new tasks: ``<attempt>.lease``, beside the attempt's journal.

Whoever supervises the attempt holds a lock on the file while it lives, and writes into it until when, on the clock
that goes on while the machine sleeps (`clock.boottime`), the attempt is known to be the run's only one. An attempt
without such a file is supervised by nobody, and does as it likes.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from struct import Struct
from typing import Any, Literal

import msgspec

from penstock import clock
from penstock.journal import folder

_DEADLINE = Struct("<d")
_WISH_AT = 8
_PAUSED_AT = 9
_OWNER_AT = 64
SIZE = 4096

Wish = Literal["", "cancel", "yield", "time out"]
"""Why the attempt is told to end: for good, or so that another one can go on at once, or as it took too long."""
_WISHES: tuple[Wish, ...] = ("", "cancel", "yield", "time out")


class Lease:
    """The supervisor's end. It holds the lock; `close` gives it back, and removes the file."""

    def __init__(self, path: Path, descriptor: int, owner: dict[str, Any]) -> None:
        self.path = path
        self.owner = owner
        """What the supervisor says about itself, for whoever finds the file after its death."""
        self.deadline = 0.0
        self._descriptor = descriptor

    @classmethod
    def begin(cls, path: Path, owner: dict[str, Any]) -> Lease:
        """Take an attempt into care. It may start no task before the lease is extended for the first time."""
        # Under its name it is locked and whole from the first moment on.
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.unlink(missing_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
        descriptor = os.open(temporary, flags, 0o600)
        folder.lock(descriptor, wait=True)
        os.ftruncate(descriptor, SIZE)
        os.pwrite(descriptor, msgspec.json.encode(owner), _OWNER_AT)
        os.replace(temporary, path)
        return cls(path, descriptor, owner)

    @classmethod
    def inherited(cls, path: Path) -> Lease | None:
        """Take over what a supervisor has left that died; None while it lives."""
        try:
            descriptor = os.open(path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
        except OSError:
            return None
        if not folder.lock(descriptor, wait=False):
            os.close(descriptor)
            return None
        data = os.pread(descriptor, SIZE, _OWNER_AT).rstrip(b"\0")
        try:
            owner = msgspec.json.decode(data, type=dict[str, Any])
        except msgspec.DecodeError:
            owner = {}
        return cls(path, descriptor, owner)

    def extend(self, deadline: float) -> None:
        """New tasks may start until then. Never takes back what was given."""
        if deadline > self.deadline:
            self.deadline = deadline
            os.pwrite(self._descriptor, _DEADLINE.pack(deadline), 0)

    def wish(self, wish: Wish) -> None:
        """Say why the attempt is about to be told to end."""
        os.pwrite(self._descriptor, bytes([_WISHES.index(wish)]), _WISH_AT)

    def pause(self, is_paused: bool) -> None:  # noqa: FBT001  what is written
        """Say whether new tasks have to wait for somebody, however long that takes."""
        os.pwrite(self._descriptor, bytes([is_paused]), _PAUSED_AT)

    def close(self) -> None:
        """The attempt is supervised no more: all that it recorded is where it belongs. Closing twice does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            self.path.unlink(missing_ok=True)
            os.close(descriptor)


class Held:
    """The engine's end: looks at the file at each question, which costs no system call."""

    def __init__(self, path: str) -> None:
        self.path = path
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        try:
            self._map = mmap.mmap(descriptor, SIZE, access=mmap.ACCESS_READ)
        finally:
            os.close(descriptor)

    @property
    def deadline(self) -> float:
        return _DEADLINE.unpack_from(self._map)[0]

    def holds(self) -> bool:
        """Whether a new task may start now."""
        return clock.boottime() < _DEADLINE.unpack_from(self._map)[0] and not self._map[_PAUSED_AT]

    @property
    def is_paused(self) -> bool:
        """Whether new tasks wait for somebody to resume the run; else for the worker, which may come back or not."""
        return bool(self._map[_PAUSED_AT]) and clock.boottime() < self.deadline

    @property
    def wish(self) -> Wish:
        number = self._map[_WISH_AT]
        return _WISHES[number] if number < len(_WISHES) else ""
