"""Whether a flow's file is being imported only to get at its flow, so that nothing in it should begin to work."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

_under_way = 0


def is_under_way() -> bool:
    """Whether such an import is under way: by a worker, or by a command."""
    return _under_way > 0


@contextmanager
def under_way() -> Generator[None]:
    """While in force, a flow's file is being imported."""
    global _under_way  # noqa: PLW0603  imports come one within the other
    _under_way += 1
    try:
        yield
    finally:
        _under_way -= 1
