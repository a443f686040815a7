"""Asks a server over HTTP, with the standard library alone."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    """``from penstock.client import get_client``, as in Prefect: it lies above all else that is here."""
    if name == "get_client":
        return import_module("penstock.sdk.clients").get_client
    raise AttributeError(f"module 'penstock.client' has no attribute {name!r}")
