"""``with concurrency("db"):`` and ``rate_limit("api")``."""

from __future__ import annotations

from penstock.sdk.concurrency import concurrency, rate_limit

__all__ = ["concurrency", "rate_limit"]
