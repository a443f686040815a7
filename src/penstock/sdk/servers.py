"""Waiting for a server, in the words of users."""

from __future__ import annotations

from penstock import clock, settings


def wait_for_server(timeout: float = 30) -> str:
    """Return the URL of the API as soon as a server is ready: that of PENSTOCK_API_URL, or the one that keeps the home.

    Raises `ServerUnreachable` when none is within ``timeout`` seconds.
    """
    from penstock.sdk import connect  # noqa: PLC0415  keeps the client off the import path

    return connect.wait_for_server(settings.load(), clock.SYSTEM, timeout_seconds=timeout)
