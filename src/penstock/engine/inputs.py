"""The inputs of a task run: what they depend on, and a fingerprint by which replay matches.

Futures, and values that a task of this run returned, count by the address of the task run that
they come from. Plain data and pydantic models count by content, in a canonical encoding; other
objects by their pickle, below a size limit. What cannot be hashed has no fingerprint: such calls
are matched by their order alone.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, is_dataclass, replace
from hashlib import blake2b
from typing import Any, Protocol, cast

import msgspec

from penstock.engine.futures import AsyncFuture, Future, MappedFutures

MAX_PICKLE = 16 << 20
"""Objects whose pickle is longer are not hashed."""

PLAIN = frozenset({int, str, float, bool, type(None), bytes})
UNHASHABLE = b"?"


class Annotated:
    """Base of `unmapped`, `allow_failure` and `quote`: a value with a word about how to treat it."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def unwrap(self) -> Any:
        return self.value

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value!r})"


class unmapped(Annotated):  # noqa: N801  the name people know
    """``task.map(xs, unmapped(y))``: y is passed to each task run as it is."""

    __slots__ = ()


class allow_failure(Annotated):  # noqa: N801  as above
    """``task(allow_failure(future))``: runs even if the input failed; then it is given the exception."""

    __slots__ = ()


class quote(Annotated):  # noqa: N801  as above
    """``task(quote(data))``: the data are not searched for futures, and not hashed."""

    __slots__ = ()

    def unquote(self) -> Any:
        return self.value


class Inputs:
    """What was found in the arguments of one call."""

    __slots__ = ("fingerprint", "futures", "has_wrappers", "tolerated", "upstream")

    def __init__(self) -> None:
        self.fingerprint = UNHASHABLE
        self.futures: list[Future | MappedFutures] = []
        self.tolerated: set[int] = set()
        self.upstream: list[str] = []
        self.has_wrappers = False

    @property
    def is_plain(self) -> bool:
        """Whether the arguments can be passed as they are."""
        return not self.futures and not self.has_wrappers


def examine(arguments: dict[str, Any], values: Values) -> Inputs:
    """What the arguments of a call depend on, and their fingerprint."""
    for value in arguments.values():
        if type(value) not in _SURE:
            return Examiner(values).examine(arguments)
    found = Inputs()
    try:
        found.fingerprint = blake2b(_encode_plain(arguments), digest_size=16).digest()
    except Exception:  # noqa: BLE001  an int of more than 64 bits, a lone surrogate
        return Examiner(values).examine(arguments)
    return found


_SURE = frozenset({int, float, bool, type(None)})
_encode_plain = msgspec.msgpack.Encoder(order="deterministic").encode


class Values(Protocol):
    """Which task run returned an object. `attempt.Values` is one."""

    def origin(self, value: Any) -> tuple[bytes, str] | None: ...

    def holder(self, value: Any) -> str | None: ...


class Examiner:
    """Examines arguments. ``values`` tells which task run returned an object. Serves one call."""

    __slots__ = ("_encoder", "_found", "_origin", "_values")

    def __init__(self, values: Values) -> None:
        self._values = values
        self._origin = values.origin
        self._found = Inputs()
        self._encoder = msgspec.msgpack.Encoder(enc_hook=self._encode, order="deterministic")

    def examine(self, arguments: dict[str, Any]) -> Inputs:
        """Look for futures and origins, and take the fingerprint."""
        found = self._found
        values: dict[str, Any] | None = None
        for name, value in arguments.items():
            if (origin := self._origin(value)) is not None:
                found.upstream.append(origin[1])
                if values is None:
                    values = dict(arguments)
                values[name] = ("upstream", origin[0])
            elif (holder := self._values.holder(value)) is not None:
                found.upstream.append(holder)
        try:
            encoded = self._encoder.encode(arguments if values is None else values)
        except Exception:  # noqa: BLE001  whatever a user's object raises when it is looked at
            self._find_what_the_encoder_missed(arguments)
        else:
            found.fingerprint = blake2b(encoded, digest_size=16).digest()
        return found

    def _encode(self, value: Any) -> Any:
        found = self._found
        if isinstance(value, AsyncFuture):
            value = value.sync
        if isinstance(value, Future):
            found.futures.append(value)
            found.upstream.append(value.id)
            return ("upstream", value.address)
        if isinstance(value, MappedFutures):
            found.futures.append(value)
            return ("mapped", value.address)
        if isinstance(value, Annotated):
            found.has_wrappers = True
            if isinstance(value, quote):
                return ("quote", _content(value.value))
            if isinstance(value, allow_failure):
                found.tolerated.add(id(value.value))
            return value.value
        if (origin := self._origin(value)) is not None:
            found.upstream.append(origin[1])
            return ("upstream", origin[0])
        return _content(value)

    def _find_what_the_encoder_missed(self, arguments: dict[str, Any]) -> None:
        """After an encoding that broke off: the futures still have to be found."""
        found = self._found
        found.futures.clear()
        found.upstream.clear()
        for value in _walk(arguments, set()):
            if isinstance(value, Future | MappedFutures):
                found.futures.append(value)
                if isinstance(value, Future):
                    found.upstream.append(value.id)
            elif isinstance(value, Annotated):
                found.has_wrappers = True
                if isinstance(value, allow_failure):
                    found.tolerated.add(id(value.value))
            elif (origin := self._origin(value)) is not None:
                found.upstream.append(origin[1])


def digest_of(value: Any) -> str | None:
    """A digest of a value's content, the same in every process; None if it cannot be hashed."""
    try:
        encoded = msgspec.msgpack.Encoder(enc_hook=_content, order="deterministic").encode(value)
    except Exception:  # noqa: BLE001  as above
        return None
    return blake2b(encoded, digest_size=16).hexdigest()


class _Unhashable(Exception):
    pass


def _content(value: Any) -> Any:
    """A canonical stand-in for an object that the encoder does not know."""
    kind = type(value)
    name = f"{kind.__module__}.{kind.__qualname__}"
    dump = getattr(value, "model_dump", None)
    if dump is not None and hasattr(kind, "model_fields"):
        return (name, dump())
    if kind is complex:
        return (name, value.real, value.imag)
    if isinstance(value, int):  # too large for the encoder
        return (name, str(value))
    if _is_simple_object(kind):
        return (name, vars(value))
    return (name, blake2b(_pickled(value), digest_size=16).digest())


def _is_simple_object(kind: type) -> bool:
    """Whether an instance is nothing but its attributes, as far as pickle is concerned."""
    built_in = next(base for base in kind.__mro__ if not base.__flags__ & _MADE_BY_CLASS)
    return (
        built_in is object  # a function, or a class that extends a built-in one, is more than its attributes
        and kind.__reduce_ex__ is object.__reduce_ex__
        and kind.__reduce__ is object.__reduce__
        and getattr(kind, "__getstate__", None) is getattr(object, "__getstate__", None)
        and not hasattr(kind, "__slots__")
        and hasattr(kind, "__dict__")
        and not issubclass(kind, type)
    )


_MADE_BY_CLASS = 1 << 9
"""Py_TPFLAGS_HEAPTYPE of CPython."""


class _LimitedBuffer(io.BytesIO):
    def write(self, data: Any) -> int:
        if self.tell() + len(data) > MAX_PICKLE:
            raise _Unhashable
        return super().write(data)


class _CanonicalPickler(pickle.Pickler):
    """Writes equal objects alike: whichever of their parts are one object, whatever order a set gives its own."""

    def persistent_id(self, obj: Any) -> Any:
        if type(obj) is set or type(obj) is frozenset:
            return type(obj).__name__, sorted(map(_pickled, obj))
        return None


def _pickled(value: Any) -> bytes:
    buffer = _LimitedBuffer()
    pickler = _CanonicalPickler(buffer, protocol=5)
    pickler.fast = True  # no references back: an object that holds itself cannot be hashed
    pickler.dump(value)
    return buffer.getvalue()


def resolve(value: Any, settle: Callable[[Any], Any]) -> Any:
    """The value with ``settle(future)`` in place of each future in it, and wrappers taken off.

    Looks into lists, tuples, sets, dicts and dataclasses; what holds no future is passed as it is.
    """
    kind = type(value)
    if kind in PLAIN:
        return value
    if isinstance(value, Future | MappedFutures):
        return settle(value)
    if isinstance(value, AsyncFuture):
        return settle(value.sync)
    if isinstance(value, Annotated):
        return value.value if isinstance(value, quote) else resolve(value.value, settle)
    if isinstance(value, list | tuple | set):
        return _resolve_items(value, kind, settle)
    if kind is dict:
        pairs = {key: resolve(item, settle) for key, item in value.items()}
        return value if all(pairs[key] is item for key, item in value.items()) else pairs
    if is_dataclass(value) and not isinstance(value, type):
        return _resolve_fields(value, settle)
    return value


def _resolve_items(value: Any, kind: type, settle: Callable[[Any], Any]) -> Any:
    items = [resolve(item, settle) for item in value]
    if all(new is old for new, old in zip(items, value, strict=True)):
        return value
    return kind(*items) if hasattr(value, "_fields") else kind(items)


def _resolve_fields(value: Any, settle: Callable[[Any], Any]) -> Any:
    changed: dict[str, Any] = {}
    for field in fields(value):
        old = getattr(value, field.name, None)
        if field.init and (new := resolve(old, settle)) is not old:
            changed[field.name] = new
    return replace(value, **changed) if changed else value


def _walk(value: Any, visited: set[int]) -> Iterator[Any]:
    """The value and all that lies in it, each container once, however deep it lies."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, AsyncFuture):
            value = value.sync
        yield value
        if type(value) in PLAIN or isinstance(value, quote | Future | MappedFutures) or id(value) in visited:
            continue
        visited.add(id(value))
        waiting.extend(reversed(_parts(value)))


def _parts(value: Any) -> list[Any]:
    """What lies directly in a value."""
    if isinstance(value, Annotated):
        return [value.value]
    if isinstance(value, dict):
        return list(cast("dict[Any, Any]", value).values())
    if isinstance(value, list | tuple | set | frozenset):
        return list(cast("Iterable[Any]", value))
    if is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, field.name, None) for field in fields(value)]
    return []


def futures_in(value: Any) -> Iterator[Future | MappedFutures]:
    """All futures in a value, wherever they lie."""
    return (each for each in _walk(value, set()) if isinstance(each, Future | MappedFutures))
