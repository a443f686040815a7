"""What users hand in to be shown, as plain JSON: exact where JSON has a form for it, refused where not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

import msgspec

from penstock import errors
from penstock.core import plain_text

_SPOKEN = frozenset({"datetime", "decimal", "uuid", "pathlib", "pathlib._local", "fractions", "ipaddress"})
_MAX_DEPTH = 50


def of(value: Any, what: str, max_bytes: int) -> Any:
    """The value as JSON. Not-a-number becomes null; decimals, times, paths and ids become text.

    ``what`` begins the message of the `UsageError` that is raised, naming the place, for what has no
    form in JSON, and for more than ``max_bytes`` of it.
    """
    plain = _plain(value, what, "", 0)
    size = len(msgspec.json.encode(plain))
    if size > max_bytes:
        raise errors.UsageError(
            f"{what} is {size:,} bytes long, and at most {max_bytes:,} are kept",
            hint="keep the first rows, or a summary; large data belongs into a file, to be linked to",
        )
    return plain


def _plain(value: Any, what: str, place: str, depth: int) -> Any:
    kind = type(value)
    if value is None or kind in (bool, str, int, float):
        return _scalar(value)
    if depth > _MAX_DEPTH:
        raise errors.UsageError(f"{what} is nested more than {_MAX_DEPTH} deep, or contains itself{place}")
    if isinstance(value, Mapping):
        return {_scalar(str(key)): _plain(item, what, f"{place} at {key!r}", depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, what, f"{place} at {number}", depth + 1) for number, item in enumerate(value)]
    if isinstance(value, set | frozenset):
        return sorted((_plain(item, what, place, depth + 1) for item in value), key=repr)
    return _plain(_simpler(value, kind, what, place), what, place, depth + 1)


def _scalar(value: Any) -> Any:
    if isinstance(value, str):
        return plain_text.in_utf8(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(value)
    return value


def _simpler(value: Any, kind: type, what: str, place: str) -> Any:
    """The same value in terms that are nearer to JSON."""
    if isinstance(value, Enum):
        return value.value
    for base in (str, int, float):
        if isinstance(value, base):  # subclasses, which JSON does not tell apart
            return base(value)
    if hasattr(kind, "isoformat") or kind.__module__ in _SPOKEN or kind.__name__ in ("NAType", "NaTType"):
        return None if _is_missing(value) else value.isoformat() if hasattr(kind, "isoformat") else str(value)
    if kind.__module__.partition(".")[0] == "numpy" and hasattr(value, "tolist"):
        return value.tolist()
    if (fields := _fields_of(value, kind)) is not None:
        return fields
    if hasattr(kind, "get_secret_value"):
        raise errors.UsageError(f"{what} holds a secret{place}", hint="what is shown to people must not hold secrets")
    raise errors.UsageError(
        f"{what} holds something that has no form in JSON{place}: `{kind.__module__}.{kind.__qualname__}`",
        hint="give text, numbers, lists and dicts",
    )


def _fields_of(value: Any, kind: type) -> dict[str, Any] | None:
    """Names and values of a pydantic model, a dataclass or a Struct."""
    if hasattr(kind, "model_fields") and hasattr(value, "model_dump"):
        return value.model_dump()
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return msgspec.structs.asdict(value) if isinstance(value, msgspec.Struct) else None


def _is_missing(value: Any) -> bool:
    """Whether it stands for no value: decimal's NaN, pandas' NaT and NA. These do not equal themselves."""
    try:
        return bool(value != value)  # noqa: PLR0124  see above
    except Exception:  # noqa: BLE001  a signalling NaN, and NA, refuse to be compared
        return True
