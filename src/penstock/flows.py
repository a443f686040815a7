"""Flows."""

from __future__ import annotations

from penstock.sdk.flows import Flow, flow

__all__ = ["Flow", "flow"]
