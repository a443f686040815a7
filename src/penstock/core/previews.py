"""Short texts that stand for values, for people who look at a run."""

from __future__ import annotations

from typing import Any

LIMIT = 200
_PLAIN = frozenset({int, float, bool, type(None), complex})


def preview(value: Any, limit: int = LIMIT) -> str:
    """At most about ``limit`` characters that tell what a value is.

    Data frames and arrays tell their columns and shape; containers their first elements; other
    objects their repr. Never raises, and never runs through a large value.
    """
    kind = type(value)
    try:
        return _render(value, kind, limit, 0)
    except Exception as error:  # noqa: BLE001  a broken __repr__ is the user's, and no reason to fail a run
        return f"<{kind.__name__} (its repr raises {type(error).__name__})>"


def _render(value: Any, kind: type, limit: int, depth: int) -> str:
    if kind in _PLAIN:
        return repr(value)[:limit]
    if kind is str:
        return repr(value) if len(value) <= limit else f"{value[:limit]!r}… ({len(value)} characters)"
    if kind is bytes or kind is bytearray:
        return repr(value) if len(value) <= limit // 4 else f"{bytes(value[: limit // 4])!r}… ({len(value)} bytes)"
    if kind in (list, tuple, set, frozenset):
        return _sequence(value, kind, limit, depth)
    if kind is dict:
        return _mapping(value, limit, depth)
    if (shape := getattr(value, "shape", None)) is not None and isinstance(shape, tuple):
        return _tabular(value, kind, shape, limit)
    return _shorten(repr(value), limit)


def _sequence(value: Any, kind: type, limit: int, depth: int) -> str:
    opening, closing = {list: "[]", tuple: "()", set: "{}", frozenset: "{}"}[kind]
    shown: list[str] = []
    room = limit
    for item in value:
        if room <= 0 or depth > 3 or len(shown) >= 20:
            shown.append(f"… {len(value)} in all")
            break
        text = _render(item, type(item), room, depth + 1)
        room -= len(text) + 2
        shown.append(text)
    return f"{opening}{', '.join(shown)}{closing}"


def _mapping(value: dict[Any, Any], limit: int, depth: int) -> str:
    shown: list[str] = []
    room = limit
    for key, item in value.items():
        if room <= 0 or depth > 3 or len(shown) >= 20:
            shown.append(f"… {len(value)} in all")
            break
        text = f"{_render(key, type(key), room, depth + 1)}: {_render(item, type(item), room, depth + 1)}"
        room -= len(text) + 2
        shown.append(text)
    return f"{{{', '.join(shown)}}}"


def _tabular(value: Any, kind: type, shape: tuple[Any, ...], limit: int) -> str:
    size = " × ".join(str(length) for length in shape)
    columns = getattr(value, "columns", None)
    if columns is None:
        return f"<{kind.__name__} {size} {getattr(value, 'dtype', '')}>".replace(" >", ">")
    dtypes = getattr(value, "dtypes", None)
    described = []
    for position, column in enumerate(list(columns)[:20]):
        dtype = dtypes.iloc[position] if dtypes is not None and hasattr(dtypes, "iloc") else ""
        described.append(f"{column}: {dtype}".rstrip(": "))
    return _shorten(f"<{kind.__name__} {size}; {', '.join(described)}>", limit * 3)


def _shorten(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"
