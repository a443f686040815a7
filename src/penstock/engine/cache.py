"""The cache: results of earlier task runs, by key, in the folder of results.

An entry is a file named by the digest of its key. While a run computes the value of a key it
holds a lock on the entry, so that others wait for the value instead of computing it too.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Generator
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from penstock import errors
from penstock.core import caching, log_levels, plain_text
from penstock.core.result_records import ResultRecord
from penstock.engine import run_logs
from penstock.engine.effects import Sleep
from penstock.engine.inputs import digest_of
from penstock.engine.runs import TaskRun
from penstock.files.local import folder_of, make_folder, write_whole
from penstock.journal import folder

FIRST_WAIT_SECONDS = 0.005
LONGEST_WAIT_SECONDS = 0.5


class CacheEntry(msgspec.Struct, frozen=True):
    """A cached result: whose, and until when it may be used (microseconds since 1970; 0: for ever)."""

    key: str
    task_run_id: str
    flow_run_id: str
    created_at: int
    expires_at: int
    result: ResultRecord
    components: list[caching.Component] = []


class Question:
    """What a task run asks of the cache: its key, where the entry lies, and how the key came about."""

    __slots__ = ("components", "key", "path", "text")

    def __init__(self, key: str | None, components: list[caching.Component], path: Path | None) -> None:
        self.key = key
        self.components = components
        self.path = path
        self.text = ""


def question(run: TaskRun) -> Question | None:
    """The task run's question, or None when it does not use the cache."""
    spec = run.spec
    if not spec.caches:
        return None
    context = caching.CacheContext(
        task=spec.owner,
        task_key=spec.key,
        task_run=run,
        flow_run_id=run.flow.id,
        flow_parameters=run.flow.arguments,
        source=lambda: _source(spec.fn),
        digest=digest_of,
    )
    arguments = run.arguments
    if spec.cache_key_fn is not None:
        components = _explained(context, arguments) if spec.cache_key_fn is caching.task_input_hash else []
        key = _text(spec.cache_key_fn(context, arguments), spec.name)
    else:
        assert spec.cache_policy is not None
        components = spec.cache_policy.components(context, arguments) if spec.cache_policy.parts else []
        key = caching.key_of(components) if components else None
    if key is None:
        missing = [component.name for component in components if component.digest is None]
        if missing and run.attempt.complain_once(spec.key, str(missing)):
            named = ", ".join(f"`{name}`" for name in missing)
            message = f"Task `{spec.name}` is not cached: a digest cannot be made of {named}"
            run_logs.say(run, log_levels.WARNING, run_logs.TASK_RUNS, message)
        return Question(None, components, None)
    if len(key) > caching.MAX_KEY_LENGTH:
        raise errors.UsageError(
            f"Task `{spec.name}` gave a cache key of more than {caching.MAX_KEY_LENGTH} characters: `{key[:80]}…`",
            hint="a digest of it will do",
        )
    root = run.attempt.settings.cache if spec.result_storage is None else folder_of(spec.result_storage) / "cache"
    digest = blake2b(key.encode(), digest_size=16).hexdigest()
    return Question(key, components, root / digest[:2] / digest)


def _text(key: Any, task: str) -> str | None:
    if key is not None and not isinstance(key, str):
        raise errors.UsageError(f"The cache_key_fn of task `{task}` gave no text: `{key!r}`")
    return key and plain_text.in_utf8(key)


def _explained(context: caching.CacheContext, arguments: dict[str, Any]) -> list[caching.Component]:
    return (caching.INPUTS + caching.TASK_SOURCE).components(context, arguments)


def _source(fn: Any) -> str:
    """What a function does, as text that is the same in every process."""
    code = getattr(fn, "__code__", None)
    return f"{fn!r}" if code is None else _text_of(code)


def _text_of(constant: Any) -> str:
    """The text of a constant of compiled code; functions within a function are such constants too."""
    if hasattr(constant, "co_code"):
        constants = [_text_of(each) for each in constant.co_consts]
        return f"{constant.co_code.hex()} {constants} {constant.co_names!r} {constant.co_freevars!r}"
    if isinstance(constant, tuple):
        return f"({[_text_of(each) for each in constant]})"
    if isinstance(constant, frozenset):
        return f"{{{sorted(map(_text_of, constant))}}}"
    return repr(constant)


class Lease:
    """Held while the value of a key is being computed. Given back by the system if the process dies."""

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(f"{path.name}.lock")
        self._descriptor = -1

    def take(self) -> bool:
        """Try to become the one who computes."""
        make_folder(self._path.parent)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        if not folder.lock(descriptor, wait=False) or not self._is_in_place(descriptor):
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        _held.add(self)
        return True

    def _is_in_place(self, descriptor: int) -> bool:
        """Whether the file is still the one that others see: its last holder may have removed it."""
        try:
            return os.path.samestat(os.fstat(descriptor), self._path.stat())
        except FileNotFoundError:
            return False

    def give_back(self) -> None:
        """Let others compute or read. Giving it back twice does nothing."""
        if self._descriptor >= 0:
            with suppress(OSError):
                self._path.unlink()
            self.let_go()

    def let_go(self) -> None:
        """Close the lock's file, which stays: in a forked child, which is not to outlive its parent as its holder."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


_held: weakref.WeakSet[Lease] = weakref.WeakSet()


def _let_go_after_fork() -> None:
    for lease in list(_held):
        lease.let_go()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_after_fork)

_computing: dict[Path, set[str]] = {}
_computing_lock = threading.Lock()


def ask(run: TaskRun, asked: Question) -> Generator[Any, Any, CacheEntry | Lease | None]:
    """The entry, or a lease to compute it; None when the run computes without the cache.

    Waits for another run that is computing the same key, unless that run waits for this one.
    """
    path = asked.path
    if path is None:
        asked.text = _told("no key", asked.components)
        return None
    if run.spec.refresh_cache:
        asked.text = _told("refresh", asked.components)
    wait_seconds = FIRST_WAIT_SECONDS
    while True:
        if not run.spec.refresh_cache:
            entry, why = _read(path, asked, run.attempt.clock.now())
            if entry is not None:
                asked.text = _told(f"hit: computed by task run {entry.task_run_id}", asked.components)
                return entry
            asked.text = _told(f"miss: {why}", asked.components)
        lease = Lease(path)
        if lease.take():
            # Between the look at the entry and the lease, somebody may have put it there.
            if not run.spec.refresh_cache and _read(path, asked, run.attempt.clock.now())[0] is not None:
                lease.give_back()
                continue
            with _computing_lock:
                _computing.setdefault(path, set()).add(run.id)
            return lease
        callers = _callers(run)
        _waiting[run.id] = (callers, path)
        try:
            if _would_wait_for_itself(callers, path, set()):
                return None
            yield Sleep(wait_seconds)
        finally:
            _waiting.pop(run.id, None)
        wait_seconds = min(wait_seconds * 2, LONGEST_WAIT_SECONDS)


_waiting: dict[str, tuple[frozenset[str], Path]] = {}
"""The task runs that wait for an entry: the runs within which each was called, and where the entry lies."""


def _callers(run: TaskRun) -> frozenset[str]:
    """The runs within which a task run was called."""
    found: list[str] = []
    scope: Any = run.parent
    while scope is not None:
        found.append(scope.id)
        scope = getattr(scope, "parent", None)
    return frozenset(found)


def _would_wait_for_itself(callers: frozenset[str], path: Path, seen: set[Path]) -> bool:
    """Whether an entry is computed by one of these callers, or by a run within which one waits for them: for ever."""
    with _computing_lock:
        holders = frozenset(_computing.get(path, ()))
    if holders & callers:
        return True
    seen.add(path)
    return any(
        other not in seen and holders & inside and _would_wait_for_itself(callers, other, seen)
        for inside, other in list(_waiting.values())
    )


def give_back(run: TaskRun, asked: Question, lease: Lease) -> None:
    """The run has ended; whether or not it computed the value, others need not wait."""
    assert asked.path is not None
    with _computing_lock:
        holders = _computing.get(asked.path)
        if holders is not None:
            holders.discard(run.id)
            if not holders:
                del _computing[asked.path]
    lease.give_back()


def put(run: TaskRun, asked: Question, result: ResultRecord) -> None:
    """Keep a computed value under the key."""
    assert asked.path is not None
    assert asked.key is not None
    if not result.kept:
        return
    now = run.attempt.clock.now()
    expiration = run.spec.cache_expiration
    expires_at = 0 if expiration is None else now + int(expiration.total_seconds() * 1_000_000)
    entry = CacheEntry(asked.key, run.id, run.flow.id, now, expires_at, result, asked.components)
    write_whole(asked.path, msgspec.msgpack.encode(entry))


_decode = msgspec.msgpack.Decoder(CacheEntry).decode


def _read(path: Path, asked: Question, now: int) -> tuple[CacheEntry | None, str]:
    try:
        entry = _decode(path.read_bytes())
    except FileNotFoundError:
        return None, "no run has computed this key"
    except (OSError, msgspec.DecodeError) as error:
        return None, f"the entry cannot be read ({error})"
    if entry.key != asked.key:
        return None, "no run has computed this key"
    if entry.expires_at and entry.expires_at <= now:
        return None, f"expired; it was computed by task run {entry.task_run_id}"
    return entry, ""


def _told(outcome: str, components: list[caching.Component]) -> str:
    parts = ", ".join(f"{each.name}={each.digest[:12] if each.digest else 'cannot be hashed'}" for each in components)
    return f"{outcome} [{parts}]" if parts else outcome
