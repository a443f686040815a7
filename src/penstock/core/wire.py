"""How requests travel over HTTP: which of their fields lie in the path, which in the query or body, and back again.

`client` takes requests apart with it, `api` puts them together.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import msgspec

from penstock import errors
from penstock.core import plain_text
from penstock.core.operations import Operation, Request, operation_of

DEEPEST = 64
"""How many lists and objects may lie within each other."""

_LARGEST = 1 << 63
"""What databases keep as a whole number is less than this."""

_LONG_NUMBER = re.compile(rb"[0-9]{19}")
"""What could be a number that is larger."""


class Parts(NamedTuple):
    """A request as HTTP has it."""

    path: str
    """With its query, below ``/api``."""
    body: bytes | None


def parts(request: Request[Any]) -> Parts:
    """Take a request apart. Raises `UsageError` for a value that cannot be carried."""
    check(request)
    operation = operation_of(request)
    path = operation.path
    for name in operation.path_fields:
        path = path.replace(f"{{{name}}}", escaped(name, str(getattr(request, name))))
    rest = {
        field.name: value
        for field in msgspec.structs.fields(type(request))
        if field.name not in operation.path_fields and (value := getattr(request, field.name)) != field.default
    }
    if not has_body(operation):
        query = urlencode([pair for name, value in rest.items() for pair in _pairs(name, value)])
        return Parts(f"{path}?{query}" if query else path, None)
    return Parts(path, msgspec.json.encode(rest))


def check(request: Request[Any]) -> None:
    """Raise `UsageError` for values of the right type that no database and no JSON takes."""
    _check(request, "")
    try:
        msgspec.json.encode(request)
    except UnicodeEncodeError as error:
        raise plain_text.not_utf8(error) from None


def has_body(operation: Operation) -> bool:
    """Whether the fields that the path does not name travel as JSON, and not in the query."""
    return operation.method not in ("GET", "DELETE")


def escaped(name: str, value: str) -> str:
    """A value as one segment of a path: as in a JSON Pointer (RFC 6901), then percent-encoded."""
    if not value or value in {".", ".."}:
        raise errors.UsageError(f"`{name}` cannot be: `{value}`")
    return quote(value.replace("~", "~0").replace("/", "~1"), safe="")


def unescaped(segment: str) -> str:
    """The value of a path's segment, which HTTP has percent-decoded already."""
    return segment.replace("~1", "/").replace("~0", "~")


def from_body(operation: Operation, path: Mapping[str, str], body: bytes) -> Request[Any]:
    """The request of a path's values and a JSON body. Raises `UsageError` naming what does not fit."""
    return _request(operation, path, parsed(body) if body.strip() else {}, strict=True)


def from_query(operation: Operation, path: Mapping[str, str], query: Sequence[tuple[str, str]]) -> Request[Any]:
    """The request of a path's values and a query. Raises `UsageError` naming what does not fit."""
    many = _repeated(operation.request)
    values: dict[str, Any] = {}
    for name, value in query:
        if name in many:
            values.setdefault(name, []).append(value)
        elif name in values:
            raise errors.UsageError(f"May be given only once: `{name}`")
        else:
            values[name] = value
    return _request(operation, path, values, strict=False)


def parsed(body: bytes) -> Any:
    """What the JSON says. Raises `UsageError` when it is none, or too deep."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise errors.UsageError(f"The body is not JSON: {error}") from None
    except RecursionError:
        raise _too_deep() from None
    # What is less deep than this many brackets need not be walked.
    if body.count(b"[") + body.count(b"{") > DEEPEST:
        _check_depth(found)
    if _LONG_NUMBER.search(body):
        check_numbers(found)
    return found


def check_numbers(value: Any) -> None:
    """Raise `UsageError` when a whole number anywhere in the value has more than 64 bits: nothing keeps such a one."""
    left: list[Any] = [value]
    while left:
        each = left.pop()
        if isinstance(each, dict | list):
            left += _within(each)
        elif isinstance(each, int) and not -_LARGEST <= each < 2 * _LARGEST:
            raise errors.UsageError(
                f"A whole number has more than 64 bits, and is out of range: `{_short(each)}`", hint="send it as a text"
            )


def _request(operation: Operation, path: Mapping[str, str], values: Any, *, strict: bool) -> Request[Any]:
    if not isinstance(values, dict):
        raise errors.UsageError("The body is a JSON object, with the fields of the request")
    for name in operation.path_fields:
        if name in values:
            raise errors.UsageError(f"`{name}` is given by the path")
        values[name] = unescaped(path[name])
    try:
        request = msgspec.convert(values, operation.request, strict=strict)
    except msgspec.ValidationError as error:
        raise errors.UsageError(str(error)) from None
    _check(request, "")
    return request


def _check(value: Any, where: str) -> None:
    """Refuse what is of the right type, and yet no database keeps."""
    if isinstance(value, str):
        plain_text.checked(value, f"`{where}`")
    elif isinstance(value, int):
        if not -_LARGEST <= value < _LARGEST:
            raise errors.UsageError(f"`{where}` is out of range: `{value}`")
    elif isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):  # noqa: PLR0124  NaN is what differs from itself
            raise errors.UsageError(f"`{where}` is no number: `{value}`")
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            _check(getattr(value, name), f"{where}.{name}" if where else name)
    elif isinstance(value, list | tuple):
        for each in value:
            _check(each, where)


def _check_depth(value: Any) -> None:
    level: list[Any] = [value]
    for _ in range(DEEPEST + 1):
        level = [inner for each in level if isinstance(each, dict | list) for inner in _within(each)]
        if not level:
            return
    raise _too_deep()


def _within(value: dict[str, Any] | list[Any]) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value


def _short(number: int) -> str:
    """It may have a million digits, which Python refuses to write."""
    text = f"{number:#x}" if number.bit_length() > 256 else str(number)
    return f"{text[:40]}…" if len(text) > 40 else text


def _too_deep() -> errors.UsageError:
    return errors.UsageError(f"The body is nested too deeply: at most {DEEPEST} levels")


@cache
def _repeated(request: type[Request[Any]]) -> frozenset[str]:
    """The fields that a query may give several times."""
    info = msgspec.inspect.type_info(request)
    assert isinstance(info, msgspec.inspect.StructType)
    kinds = (msgspec.inspect.VarTupleType, msgspec.inspect.ListType)
    return frozenset(field.name for field in info.fields if isinstance(field.type, kinds))


def _pairs(name: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, tuple | list):
        return [(name, _text(each)) for each in value]
    return [] if value is None else [(name, _text(value))]


def _text(value: Any) -> str:
    plain = msgspec.to_builtins(value)
    if isinstance(plain, bool):
        return "true" if plain else "false"
    assert isinstance(plain, str | int | float), "a query carries text, numbers and lists of them"
    return str(plain)
