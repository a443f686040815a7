"""Connections that never say what they want, or take their time, are not waited for."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from tests.api.serving import TOKEN, Served, serving

from penstock.api import bodies
from penstock.clock import SYSTEM
from penstock.server import protocol
from penstock.store.sqlite import SqliteStore


@pytest.fixture
def served(home: Path) -> Iterator[Served]:
    home.mkdir()
    with SqliteStore.open(home / "penstock.db", write=True) as store, serving(store) as served:
        yield served


@pytest.fixture
def hasten(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From when it is called, what is waited for must come within 0.3 seconds."""

    def hasten() -> None:
        monkeypatch.setattr(protocol, "SLOWEST_SECONDS", 0.3)
        monkeypatch.setattr(bodies, "SLOWEST_SECONDS", 0.3)

    return hasten


def rest_of(connection: socket.socket) -> bytes:
    """What is still said before the other side hangs up."""
    said = b""
    try:
        while piece := connection.recv(4096):
            said += piece
    except ConnectionResetError:
        pass
    return said


def until(connection: socket.socket, what: bytes) -> bytes:
    """What is said up to this."""
    said = b""
    while what not in said:
        piece = connection.recv(4096)
        assert piece, said
        said += piece
    return said


@pytest.mark.parametrize("said", [b"", b"GET", b"GET /api/health HTTP/1.1\r\nHost: localhost\r\nX-Slow: "])
def test_headers_that_do_not_come_are_not_waited_for(served: Served, hasten: Callable[[], None], said: bytes):
    hasten()
    with closing(socket.create_connection(("127.0.0.1", served.port), timeout=20)) as connection:
        connection.sendall(said)
        began = SYSTEM.elapsed()
        assert rest_of(connection) == b""

    assert SYSTEM.elapsed() - began < 10


def test_the_second_request_of_a_connection_is_no_other(served: Served, hasten: Callable[[], None]):
    with closing(socket.create_connection(("127.0.0.1", served.port), timeout=20)) as connection:
        connection.sendall(b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        until(connection, b"true")
        hasten()
        connection.sendall(b"GET /api/health HTTP/1.1\r\nHost:")
        assert rest_of(connection) == b""


def test_between_requests_there_is_more_time(served: Served, hasten: Callable[[], None]):
    request = b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with closing(socket.create_connection(("127.0.0.1", served.port), timeout=20)) as connection:
        for _ in range(2):
            connection.sendall(request)
            until(connection, b"true")
            hasten()
            SYSTEM.sleep(0.5)  # longer than headers may take, and no signal tells that nothing happens


def test_a_body_that_does_not_come_is_told_of(served: Served, hasten: Callable[[], None]):
    head = f"POST /api/work-pools HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
    with closing(socket.create_connection(("127.0.0.1", served.port), timeout=20)) as connection:
        connection.sendall(b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        until(connection, b"true")
        hasten()
        connection.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{{".encode())
        said = until(connection, b"came too slowly")

    assert said.startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize(
    "said",
    [
        b"GET /" + b"a" * 1_000_000,
        b"GET /api/health HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 1_000_000,
        b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 200_000,
    ],
)
def test_headers_without_end_are_refused(served: Served, said: bytes):
    with closing(socket.create_connection(("127.0.0.1", served.port), timeout=20)) as connection:
        with suppress(ConnectionError):  # it may have hung up by then
            connection.sendall(said)
        assert rest_of(connection)[:12] in (b"HTTP/1.1 431", b"")


def test_a_large_body_is_not_taken_for_headers(served: Served):
    head = f"POST /api/work-pools HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
    with closing(socket.create_connection(("127.0.0.1", served.port), timeout=20)) as connection:
        for _ in range(2):
            connection.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 2000000\r\n\r\n".encode())
            connection.sendall(b" " * 2_000_000)
            assert until(connection, b"missing required field").startswith(b"HTTP/1.1 422")
