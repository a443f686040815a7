"""Ports of this machine, for programs that are told which one to take, and take it again when they are restarted."""

from __future__ import annotations

import socket
from pathlib import Path
from random import SystemRandom  # noqa: TID251  the tests' own chance is the same in each of their processes

LOWEST = 10_000
HIGHEST = 29_999


def free_port() -> int:
    """A port at which nobody listens now, and which the system gives to nobody who has not asked for it.

    It gives others for port 0, and to connections: some other test has one of those as soon as it is free for a moment.
    """
    chance = SystemRandom()
    while True:
        port = chance.randint(LOWEST, _highest())
        if _is_free(port):
            return port


def _highest() -> int:
    try:
        told = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()
    except OSError:
        return HIGHEST  # elsewhere they begin at 32768 or above
    lowest_of_others = int(told.split()[0])
    return min(HIGHEST, lowest_of_others - 1) if lowest_of_others > LOWEST else HIGHEST


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
