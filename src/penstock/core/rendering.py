"""Values as short JSON that may be recorded and shown: masked, shortened, and never an error."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, cast

from penstock.core import hints, plain_text

MASK = "********"
"""What is shown in place of a secret."""

_SHOWN_CHARACTERS = 200
_SHOWN_ITEMS = 50
_SHOWN_IN_ALL = 500
_SHOWN_DEPTH = 5


def rendered(values: Mapping[str, Any], *, hidden: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The values as JSON, shortened to what a person looks at. Plain values of ``hidden`` names are masked."""
    renderer = _Renderer()
    return {
        _text(name): MASK if name in hidden and _is_plain(value) else renderer.safely(value)
        for name, value in values.items()
    }


def short_repr(value: Any, limit: int = 80) -> str:
    """``repr`` that is at most ``limit`` characters long and never raises."""
    if isinstance(value, str | bytes) and len(value) > limit:
        value = value[: limit + 1]
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001  a broken repr must not break what is being shown
        text = f"<{type(value).__name__}, whose repr raised {type(error).__name__}>"
    return _text(text, limit)


def _text(text: Any, limit: int = _SHOWN_CHARACTERS) -> str:
    text = text if type(text) is str else str(text)
    if len(text) > limit:
        text = f"{text[: limit - 1]}…"
    return plain_text.in_utf8(text)


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | bytes | int | float | list | tuple | dict | set | frozenset)


class _Renderer:
    """Renders values until it has shown enough."""

    def __init__(self) -> None:
        self._left = _SHOWN_IN_ALL

    def safely(self, value: Any) -> Any:
        try:
            return self.render(value)
        except Exception as error:  # noqa: BLE001  a value that breaks when asked must not break what shows it
            return f"<{type(value).__name__}, which raised {type(error).__name__} when it was to be shown>"

    def render(self, value: Any, depth: int = 0) -> Any:
        self._left -= 1
        kind = type(value)
        if hasattr(kind, "get_secret_value"):
            return MASK
        if isinstance(value, Enum):
            return self.render(value.value, depth)
        if value is None or isinstance(value, bool | int | float | str):
            return _scalar(value)
        if depth < _SHOWN_DEPTH:
            if isinstance(value, dict):
                return self._object(value.items(), len(value), depth)
            if isinstance(value, list | tuple | set | frozenset):
                return self._array(value, depth)
            if (fields := _fields_of(value)) is not None:
                return self._object(fields, len(fields), depth)
        return _named(value, kind)

    def _object(self, items: Any, count: int, depth: int) -> dict[str, Any]:
        shown: dict[str, Any] = {}
        for key, value in items:
            if len(shown) == _SHOWN_ITEMS or self._left <= 0:
                shown["…"] = f"{count - len(shown)} more"
                break
            shown[_text(key)] = self.render(value, depth + 1)
        return shown

    def _array(self, values: Any, depth: int) -> list[Any]:
        if isinstance(values, set | frozenset) and len(values) <= _SHOWN_ITEMS:
            # The order of a set differs from process to process.
            values = sorted(cast("set[Any]", values), key=short_repr)
        shown: list[Any] = []
        for value in values:
            if len(shown) == _SHOWN_ITEMS or self._left <= 0:
                shown.append(f"… {len(values) - len(shown)} more")
                break
            shown.append(self.render(value, depth + 1))
        return shown


def _scalar(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        # Larger ones fit neither msgpack nor most databases; and a very large one has no decimal form.
        bits = value.bit_length()
        return int(value) if bits < 64 else str(int(value)) if bits <= 512 else f"int of {bits} bits"
    return float(value) if value - value == 0 else str(float(value))


def _fields_of(value: Any) -> list[tuple[str, Any]] | None:
    """Names and values of a model's, dataclass's or Struct's fields; hidden ones are masked."""
    kind = type(value)
    if struct_fields := getattr(kind, "__struct_fields__", None):
        return [(name, getattr(value, name, None)) for name in struct_fields]
    for mark in hints.FIELD_LISTS:
        fields: Any = getattr(kind, mark, None)
        if isinstance(fields, dict):
            return [
                (name, getattr(value, name, None) if getattr(field, "repr", True) else MASK)
                for name, field in cast("dict[str, Any]", fields).items()
            ]
        if isinstance(fields, tuple):
            named = cast("tuple[Any, ...]", fields)
            return [(f.name, getattr(value, f.name, None) if f.repr else MASK) for f in named]
    return None


_SPOKEN = frozenset({"pathlib", "pathlib._local", "uuid", "decimal", "ipaddress", "fractions"})


def _named(value: Any, kind: type) -> str:
    if hasattr(kind, "isoformat"):
        return _text(value.isoformat())
    if kind.__module__ in _SPOKEN:
        return _text(value)
    return _text(f"{kind.__name__}: {short_repr(value, _SHOWN_CHARACTERS)}")
