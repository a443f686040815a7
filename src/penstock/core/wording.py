"""Words that messages share."""

from __future__ import annotations


def counted(count: int, one: str, many: str | None = None) -> str:
    """``1 run``, ``1,024 runs``; ``many`` is the plural of a noun that does not just take an s."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
