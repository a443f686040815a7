"""Handles on submitted task runs."""

from __future__ import annotations

from penstock.engine.futures import AsyncFuture, Future, MappedFutures, as_completed, wait

__all__ = ["AsyncFuture", "Future", "MappedFutures", "as_completed", "wait"]
