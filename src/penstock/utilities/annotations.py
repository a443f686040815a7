"""Words about how an argument is to be treated."""

from __future__ import annotations

from penstock.engine.inputs import allow_failure, quote, unmapped

__all__ = ["allow_failure", "quote", "unmapped"]
