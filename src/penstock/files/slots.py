"""Slots of this machine, for runs that have no server: a taken slot is a locked file, which the system unlocks.

``slots/<place>/<number>`` is locked by whoever holds that slot, and says who it is. ``slots/waiting`` has a named pipe
for everyone who waits, whose name says in which order and for which places; whoever releases slots writes into the
first of them. A pipe that nobody reads is that of a dead process, and is removed. What is decided is decided by one
process at a time, which holds the lock of ``slots/turn``.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import threading
from collections.abc import Callable, Generator, Iterable
from functools import lru_cache
from pathlib import Path
from struct import Struct
from typing import Any, NamedTuple

import msgspec

from penstock import errors
from penstock.clock import SYSTEM, Clock
from penstock.core.concurrency import Bucket, Place, SlotHolder, Taken, take_tokens

LOOK_SECONDS = 0.2
"""How often those who wait look whether a holder has died. Those who release slots tell them at once."""
MAX_PLACES = 16
"""As many as fit into the name of a file."""

_MIDDLE_PRIORITY = 1 << 31
_BUCKET = Struct("<qq")
_FLAGS = os.O_RDWR | getattr(os, "O_CLOEXEC", 0)


class Wish(NamedTuple):
    """So many slots of a place that has ``of`` of them."""

    place: Place
    slots: int
    of: int


class SlotFolder:
    """The slots of a home. Safe to use from any thread."""

    def __init__(self, path: Path, clock: Clock = SYSTEM) -> None:
        self._path = str(path)
        self._clock = clock
        self._mutex = threading.Lock()
        self._turn = -1
        self._pid = 0

    def book(
        self, wishes: Iterable[Wish], holder: SlotHolder, renewed: Callable[[list[Wish]], list[Wish]] = list
    ) -> LocalBooking:
        """Take slots of all these places, or get in line for them. ``holder`` is what others are told.

        Whoever waits looks now and then what has become of its wishes: ``renewed(wishes)`` says.
        """
        wanted = sorted(wishes)
        if len(wanted) > MAX_PLACES:
            raise errors.UsageError(f"Slots of {MAX_PLACES} limits at most can be had at once, not of: `{len(wanted)}`")
        booking = LocalBooking(self, wanted, holder, renewed, self._clock)
        with self.deciding():
            booking.decide()
        return booking

    def take_tokens(
        self, place: Place, tokens: int, *, capacity: int, per_second: float, at_most: float | None
    ) -> Taken:
        """Take tokens of a rate limit, unless they would come later than in ``at_most`` seconds."""
        path = f"{self._path}/{digest(place)}.rate"
        with self.deciding():
            descriptor = os.open(path, _FLAGS | os.O_CREAT, 0o600)
            try:
                data = os.pread(descriptor, _BUCKET.size, 0)
                known = Bucket(*_BUCKET.unpack(data)) if len(data) == _BUCKET.size else None
                taken = take_tokens(
                    known, now=self._clock.now(), tokens=tokens, capacity=capacity, per_second=per_second
                )
                if at_most is None or taken.wait <= at_most * 1e6:
                    os.pwrite(descriptor, _BUCKET.pack(*taken.bucket), 0)
            finally:
                os.close(descriptor)
        return taken

    def holders(self) -> list[SlotHolder]:
        """Who holds slots here now, by place, the longest first."""
        found: list[SlotHolder] = []
        for folder in self._folders():
            with contextlib.suppress(OSError):
                found += [each for name in os.listdir(folder) if (each := _holder_in(f"{folder}/{name}"))]
        return sorted(found, key=lambda each: (each.limit, each.key, each.held_since or 0))

    def forget(self, limit: str) -> None:
        """Let the slots of a limit be free, whoever holds them, and its tokens be there."""
        with self.deciding():
            for folder in self._folders():
                for name in os.listdir(folder):
                    holder = _holder_in(f"{folder}/{name}")
                    if holder is not None and holder.limit == limit:
                        os.unlink(f"{folder}/{name}")  # its holder goes on, with the lock of a file that is gone

    def _folders(self) -> list[str]:
        try:
            with os.scandir(self._path) as entries:
                return [each.path for each in entries if each.is_dir() and each.name != "waiting"]
        except OSError:
            return []

    @contextlib.contextmanager
    def deciding(self) -> Generator[None]:
        """Held while it is decided who has which slots: nobody else decides meanwhile."""
        fcntl = _fcntl()
        with self._mutex:
            if self._pid != os.getpid():  # a lock that was inherited would be the parent's as well
                self._turn = self._opened()
                self._pid = os.getpid()
            fcntl.flock(self._turn, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._turn, fcntl.LOCK_UN)

    def _opened(self) -> int:
        try:
            os.makedirs(f"{self._path}/waiting", mode=0o700, exist_ok=True)
            return os.open(f"{self._path}/turn", _FLAGS | os.O_CREAT, 0o600)
        except OSError as error:
            raise errors.StorageFull(
                f"No slots can be had in the home ({error.strerror}): `{self._path}`",
                hint="make it writable, or set PENSTOCK_HOME to a folder that is",
            ) from error

    # What follows is done while deciding.

    def take(self, wishes: Iterable[Wish], about: SlotHolder) -> list[int] | None:
        """Lock slots for all wishes; None when they are not free. Returns the open files."""
        taken: list[int] = []
        for wish in wishes:
            if not self._take(wish, about, taken):
                for descriptor in taken:
                    release(descriptor)
                return None
        return taken

    def _take(self, wish: Wish, about: SlotHolder, taken: list[int]) -> bool:
        folder = f"{self._path}/{digest(wish.place)}"
        slots = min(wish.slots, wish.of) if wish.of else wish.slots
        known = _numbers(folder)
        if any(number >= wish.of for number in known):  # the limit was lowered: those who came before count, too
            held = sum(is_locked(f"{folder}/{number}") for number in known)
            if held + slots > wish.of:
                return False
        for number in range(wish.of):
            if not slots:
                break
            descriptor = _locked(f"{folder}/{number}")
            if descriptor < 0:
                continue
            taken.append(descriptor)
            _opened_here.add(descriptor)
            slots -= 1
            told = msgspec.structs.replace(about, limit=wish.place.limit, key=wish.place.key, slots=1)
            with contextlib.suppress(OSError):  # a full disk: the lock holds all the same
                data = msgspec.json.encode(told)
                os.pwrite(descriptor, data, 0)
                os.ftruncate(descriptor, len(data))
        return not slots

    def line_up(self, wishes: Iterable[Wish], holder: SlotHolder) -> Waiting:
        """Get in line."""
        places = ".".join(digest(wish.place) for wish in wishes)
        name = f"{holder.priority + _MIDDLE_PRIORITY:010}-{holder.arrived_at:020}-{holder.booking[-12:]}.{places}"
        path = f"{self._path}/waiting/{name}"
        os.mkfifo(path, 0o600)
        descriptor = os.open(path, _FLAGS | os.O_NONBLOCK)
        _opened_here.add(descriptor)
        return Waiting(name, path, descriptor)

    def is_first(self, name: str | None, wishes: Iterable[Wish]) -> bool:
        """Whether nobody who lives waits for one of these places, and comes before ``name``."""
        wanted = {digest(wish.place) for wish in wishes}
        for other in self._line():
            if other == name:
                return True
            if not wanted.isdisjoint(other.split(".")[1:]) and self._lives(other):
                return False
        return True

    def wake(self, wishes: Iterable[Wish]) -> None:
        """Tell those who wait first for these places to look again."""
        line = self._line()
        for wish in wishes if line else ():
            place = digest(wish.place)
            for name in line:
                if place in name.split(".")[1:] and self._lives(name, tell=True):
                    break

    def ahead_of(self, name: str, wishes: Iterable[Wish]) -> int:
        """How many come before ``name``."""
        wanted = {digest(wish.place) for wish in wishes}
        return sum(other < name and not wanted.isdisjoint(other.split(".")[1:]) for other in self._line())

    def _line(self) -> list[str]:
        return sorted(os.listdir(f"{self._path}/waiting"))

    def _lives(self, name: str, *, tell: bool = False) -> bool:
        """Whether somebody reads this pipe; if not, it is removed."""
        path = f"{self._path}/waiting/{name}"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0))
        except OSError as error:
            if error.errno == errno.ENXIO:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
            return False
        try:
            if tell:
                with contextlib.suppress(BlockingIOError):
                    os.write(descriptor, b".")
        finally:
            os.close(descriptor)
        return True


class Waiting(NamedTuple):
    """A place in the line."""

    name: str
    path: str
    descriptor: int


class LocalBooking:
    """Slots that are held, or waited for. See `core.ports.Booking`."""

    def __init__(
        self,
        folder: SlotFolder,
        wishes: list[Wish],
        holder: SlotHolder,
        renewed: Callable[[list[Wish]], list[Wish]],
        clock: Clock,
    ) -> None:
        self._folder = folder
        self.wishes = wishes
        """What it wants, or has."""
        self._holder = holder
        self._renewed = renewed
        self._clock = clock
        self._taken: list[int] | None = None
        self._waiting: Waiting | None = None
        self._pid = os.getpid()

    @property
    def is_held(self) -> bool:
        return self._taken is not None

    def decide(self) -> None:
        """Take the slots, if it is its turn and they are free; else be in line. Done while deciding."""
        folder = self._folder
        now = self._clock.now()
        name = None if self._waiting is None else self._waiting.name
        if folder.is_first(name, self.wishes):
            about = msgspec.structs.replace(self._holder, is_held=True, held_since=now)
            self._taken = folder.take(self.wishes, about)
        if self._taken is None:
            if self._waiting is None:
                self._holder = msgspec.structs.replace(self._holder, arrived_at=now)
                self._waiting = folder.line_up(self.wishes, self._holder)
        elif self._waiting is not None:
            self._leave_line()
            folder.wake(self.wishes)  # there may be room for one more

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the slots are held, at most so many seconds; says whether they are."""
        import select  # noqa: PLC0415  only for those who wait

        deadline = None if timeout is None else self._clock.elapsed() + timeout
        while self._waiting is not None:
            seconds = self._pause(deadline)
            if seconds <= 0:
                break
            poll = select.poll()
            poll.register(self._waiting.descriptor, select.POLLIN)
            poll.poll(seconds * 1000)
            self._look()
        return self.is_held

    async def wait_async(self, timeout: float | None = None) -> bool:
        """As `wait`, letting other coroutines run."""
        import asyncio  # noqa: PLC0415  keeps asyncio off the import path

        deadline = None if timeout is None else self._clock.elapsed() + timeout
        loop = asyncio.get_running_loop()
        told = asyncio.Event()
        while self._waiting is not None:
            seconds = self._pause(deadline)
            if seconds <= 0:
                break
            descriptor = self._waiting.descriptor
            told.clear()
            loop.add_reader(descriptor, told.set)
            try:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(told.wait(), seconds)
            finally:
                loop.remove_reader(descriptor)
            self._look()
        return self.is_held

    def release(self) -> None:
        """Give the slots back, or the place in the line. Doing so twice does nothing."""
        if self._pid != os.getpid() or (self._taken is None and self._waiting is None):
            return
        with self._folder.deciding():
            for descriptor in self._taken or ():
                release(descriptor)
            self._taken = None
            if self._waiting is not None:
                self._leave_line()
            self._folder.wake(self.wishes)

    def holders(self) -> list[SlotHolder]:
        """Who holds what it waits for."""
        places = {wish.place for wish in self.wishes}
        return [each for each in self._folder.holders() if each.place in places]

    def ahead(self) -> int:
        """How many come before it."""
        return 0 if self._waiting is None else self._folder.ahead_of(self._waiting.name, self.wishes)

    def _pause(self, deadline: float | None) -> float:
        return LOOK_SECONDS if deadline is None else min(LOOK_SECONDS, deadline - self._clock.elapsed())

    def _look(self) -> None:
        assert self._waiting is not None
        with contextlib.suppress(BlockingIOError):
            os.read(self._waiting.descriptor, 4096)
        self.wishes = self._renewed(self.wishes)
        with self._folder.deciding():
            self.decide()

    def _leave_line(self) -> None:
        assert self._waiting is not None
        waiting, self._waiting = self._waiting, None
        with contextlib.suppress(FileNotFoundError):
            os.unlink(waiting.path)
        _close(waiting.descriptor)


@lru_cache(1000)
def digest(place: Place) -> str:
    """The name of a place's folder."""
    return hashlib.blake2b(f"{place.limit}\0{place.key}".encode("utf-8", "surrogatepass"), digest_size=5).hexdigest()


def release(descriptor: int) -> None:
    """Unlock the file of a slot, and close it."""
    fcntl = _fcntl()
    # Unlocked and not only closed: a forked child may have a copy of the descriptor.
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    _close(descriptor)


def is_locked(path: str) -> bool:
    """Whether somebody holds the slot of this file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except OSError:
        return False
    try:
        return not _lock(descriptor)
    finally:
        os.close(descriptor)


def _locked(path: str) -> int:
    """The file of a slot, open and locked; -1 if another holds it."""
    try:
        descriptor = os.open(path, _FLAGS | os.O_CREAT, 0o600)
    except FileNotFoundError:
        os.mkdir(os.path.dirname(path), 0o700)
        descriptor = os.open(path, _FLAGS | os.O_CREAT, 0o600)
    if _lock(descriptor):
        return descriptor
    os.close(descriptor)
    return -1


def _lock(descriptor: int) -> bool:
    fcntl = _fcntl()
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _numbers(folder: str) -> list[int]:
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    return [int(name) for name in names if name.isdecimal()]


def _holder_in(path: str) -> SlotHolder | None:
    """Who holds the slot of this file, if anybody does."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except OSError:
        return None
    try:
        return None if _lock(descriptor) else msgspec.json.decode(os.read(descriptor, 1 << 16), type=SlotHolder)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    finally:
        os.close(descriptor)


_opened_here: set[int] = set()
"""The files of slots and pipes that this process has open."""


def _close(descriptor: int) -> None:
    _opened_here.discard(descriptor)
    os.close(descriptor)


def _after_fork() -> None:
    """A child holds no slots, and waits for none: those are its parent's, and end with that."""
    for descriptor in list(_opened_here):
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _opened_here.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _fcntl() -> Any:
    try:
        import fcntl  # noqa: PLC0415  POSIX only
    except ImportError:  # pragma: no cover  Windows
        raise errors.UsageError(
            "Slots without a server need file locks, which this system does not have",
            hint="start a server: `penstock server start`",
        ) from None
    return fcntl
