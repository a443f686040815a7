"""Containers of Docker."""

from __future__ import annotations

from penstock.sdk.infrastructure import DockerContainer

__all__ = ["DockerContainer"]
