"""Names that users of Prefect import, and that are not here: said with what to write instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn


def refuse(module: str, name: str, instead: Mapping[str, str]) -> NoReturn:
    """Raise `ImportError` for a name that people know, with the hint ``instead`` has for it; else `AttributeError`."""
    if name in instead:
        # No AttributeError: of that, `from … import …` would not show the message.
        raise ImportError(f"There is no `{name}` in {module}\nhint: {instead[name]}", name=module)
    raise AttributeError(f"module {module!r} has no attribute {name!r}")
