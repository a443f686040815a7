"""Processes."""

from __future__ import annotations

from penstock.sdk.infrastructure import Process

__all__ = ["Process"]
