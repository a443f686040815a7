"""Telling that something happened."""

from __future__ import annotations

from penstock.sdk.events import emit_event

__all__ = ["emit_event"]
