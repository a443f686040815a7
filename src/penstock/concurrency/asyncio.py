"""``async with concurrency("db"):`` and ``await rate_limit("api")``."""

from __future__ import annotations

from penstock.sdk.concurrency import concurrency
from penstock.sdk.concurrency import rate_limit_async as rate_limit

__all__ = ["concurrency", "rate_limit"]
