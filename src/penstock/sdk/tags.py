"""Tags for what is begun within a block."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from penstock.core import plain_text
from penstock.engine.calls import added_tags


@contextmanager
def tags(*names: str) -> Generator[set[str]]:
    """Give these tags to all flow and task runs that begin within the block. Blocks nest.

    ``with tags("nightly"): …``
    """
    token = added_tags.set(added_tags.get() | {plain_text.checked(str(name), "A tag") for name in names})
    try:
        yield set(added_tags.get())
    finally:
        added_tags.reset(token)
