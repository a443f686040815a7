"""The sockets of a server."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Generator

from penstock import errors

TAKEN = "Something else listens there already"


class PortTaken(errors.UsageError):
    """Somebody else listens there."""


def is_taken(host: str, port: int) -> bool:
    """Whether somebody else listens there."""
    try:
        with listening(host, port):
            return False
    except PortTaken:
        return True


@contextlib.contextmanager
def listening(host: str, port: int) -> Generator[list[socket.socket]]:
    """The sockets. On this machine alone, both of its own addresses: browsers try either for `localhost`.

    Raises `PortTaken` when somebody else listens there, `UsageError` when nobody can.
    """
    hosts = ["127.0.0.1", "::1"] if host in {"127.0.0.1", "localhost"} else [host]
    sockets: list[socket.socket] = []
    try:
        for each in hosts:
            # Port 0 is any, and the same for both.
            wanted = sockets[0].getsockname()[1] if sockets else port
            if (made := _bound(each, wanted, optional=bool(sockets))) is not None:
                sockets.append(made)
        yield sockets
    finally:
        for made in sockets:
            made.close()


def _bound(host: str, port: int, *, optional: bool) -> socket.socket | None:
    made: socket.socket | None = None
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        made = socket.socket(family, kind, protocol)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
        made.listen(2048)
        made.setblocking(False)
    except OSError as error:
        if made is not None:
            made.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(
                f"{TAKEN}: `{host}` port `{port}`",
                hint="`--port` takes another one, and `--port 0` any that is free",
            ) from None
        if optional:
            return None  # a machine without IPv6
        raise errors.UsageError(
            f"Nobody can listen there ({error.strerror}): `{host}` port `{port}`",
            hint="`--host` is an address of this machine",
        ) from None
    return made
