"""Whom to ask: the server that the settings name, the one that keeps this home, or this process itself."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from penstock import errors
from penstock.clock import Clock
from penstock.settings import Settings

if TYPE_CHECKING:
    from penstock.core.ports import Orchestrator

POLL_SECONDS = 0.1
STARTING_SECONDS = 10.0
"""So long is waited for a server of this home that is about to listen."""


class Address(NamedTuple):
    """Where a server's API is, and the key to show there."""

    url: str
    key: str | None
    is_own: bool = False
    """Whether it is the server of this home."""


def server(settings: Settings) -> Address | None:
    """The server that the settings name, or else the one that keeps this home; None when there is none to ask.

    An ``api_url`` that is this home's own server is no reason to fail while that is not running: then there is none.
    """
    from penstock.client import home_server  # noqa: PLC0415  who asks nobody pays nothing

    running = home_server.running(settings.home)
    url = settings.api_url or (running.api_url if running else None)
    if url is None:
        return None
    is_own = running is not None and home_server.is_at(running, url)
    if not is_own and running is None:
        last = home_server.last(settings.home)
        if last is not None and home_server.is_at(last, url) and home_server.is_loopback(url):
            return None
    # The owner's key is for the server of this home alone: any other address may be somebody else's.
    return Address(url, settings.api_key or (home_server.token(settings.home) if is_own else None), is_own)


def orchestrator(
    settings: Settings, clock: Clock, *, patience_seconds: float | None = None, fold: bool = True
) -> Orchestrator:
    """Whoever keeps deployments, schedules and runs: a `server`, else this process, with the home's own store.

    With ``fold=False``, this process answers out of what is in the store already. A server that is just starting is
    waited for: it has the store already.
    """
    address = _settled(settings, clock)
    if address is None:
        from penstock.orchestration.local_orchestrator import LocalOrchestrator  # noqa: PLC0415  loads sqlite3

        return LocalOrchestrator(settings, clock, fold=fold)
    from penstock.client import orchestrator as client  # noqa: PLC0415  as above

    patience = client.PATIENCE_SECONDS if patience_seconds is None else patience_seconds
    return client.HttpOrchestrator(address.url, address.key, clock, patience_seconds=patience)


def _settled(settings: Settings, clock: Clock) -> Address | None:
    from penstock.client import home_server  # noqa: PLC0415  as above

    deadline = clock.elapsed() + STARTING_SECONDS
    while True:
        address = server(settings)
        is_here = address is None or address.is_own
        if not is_here or not home_server.is_starting(settings.home) or clock.elapsed() >= deadline:
            return address
        clock.sleep(POLL_SECONDS)


def again(settings: Settings, clock: Clock, asked: Orchestrator) -> Orchestrator:
    """Whom to ask after ``asked`` has not answered: another one when a server of this home is there at another port."""
    address = server(settings)
    if address is None or address.url == getattr(asked, "url", None):
        return asked
    asked.close()
    return orchestrator(settings, clock)


def elsewhere(settings: Settings) -> str | None:
    """The URL of the API that is asked, if what it keeps is not this home."""
    address = server(settings)
    return None if address is None or address.is_own else address.url


@contextmanager
def asking(
    settings: Settings, clock: Clock, *, patience_seconds: float | None = None, fold: bool = True
) -> Generator[Orchestrator]:
    """As `orchestrator`, for a ``with`` block, at whose end its connection is closed."""
    found = orchestrator(settings, clock, patience_seconds=patience_seconds, fold=fold)
    try:
        yield found
    finally:
        found.close()


def wait_for_server(settings: Settings, clock: Clock, *, timeout_seconds: float = 30) -> str:
    """Wait until a server is ready, and return the URL of its API. Raises `ServerUnreachable` when none is in time."""
    from penstock.client import home_server  # noqa: PLC0415  as above

    deadline = clock.elapsed() + timeout_seconds
    while True:
        running = home_server.running(settings.home)
        url = settings.api_url or (running.api_url if running else None)
        if url is not None and is_ready(url, clock):
            return url
        left = deadline - clock.elapsed()
        if left <= 0:
            where = f"at `{url}`" if url else f"for the home `{settings.home}`"
            raise errors.ServerUnreachable(
                f"No server was ready within {timeout_seconds:g} s {where}",
                hint="`penstock server start` starts one",
            )
        clock.sleep(min(POLL_SECONDS, left))


def is_ready(url: str, clock: Clock) -> bool:
    """Whether a server answers at the URL of an API, and its store does."""
    from penstock.client.http import Http  # noqa: PLC0415  as above

    http = Http(url, None, clock, patience_seconds=0)
    try:
        return http.send("GET", "/ready").status == 200
    except errors.ServerUnreachable:
        return False
    finally:
        http.close()
