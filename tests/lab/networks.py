"""Machines with a network between them, on this one: network namespaces, which only root can make.

All that is made is in these namespaces, whose names carry the number of this process; nothing else is touched.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import count
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

import pytest

P = ParamSpec("P")
T = TypeVar("T")

_NUMBERS = count(1)
_CLONE_NEWNET = 0x40000000


class Host:
    """A machine in a network: what is started in it, or called, knows no other network."""

    def __init__(self, name: str, namespace: str, address: str) -> None:
        self.name = name
        self.namespace = namespace
        self.address = address
        self.before = ["ip", "netns", "exec", namespace]
        """What goes before the command line of a program that runs there."""
        self._inside = ThreadPoolExecutor(1, f"inside-{name}", initializer=self._enter)

    def call(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call something whose sockets are to be opened there."""
        return self._inside.submit(work, *args, **kwargs).result()

    def close(self) -> None:
        self._inside.shutdown()

    def _enter(self) -> None:
        """Have this thread belong to the host."""
        with open(f"/run/netns/{self.namespace}", "rb") as file:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.setns(file.fileno(), _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")


class Network:
    """``with Network(["server", "near"]) as network:`` joins hosts as a switch would. Skips without root."""

    def __init__(self, hosts: Sequence[str]) -> None:
        if os.geteuid() != 0 or shutil.which("ip") is None:
            pytest.skip("only root, with `ip` of iproute2, can make network namespaces")
        self._prefix = f"penstock-{os.getpid()}-{next(_NUMBERS)}"
        self._switch = f"{self._prefix}-switch"
        self._made: list[str] = []
        self.hosts: dict[str, Host] = {}
        self._names = list(hosts)

    def __enter__(self) -> Self:
        try:
            self._make(self._switch)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces are refused here: {error.stderr.strip()}")
        try:
            self._run("-n", self._switch, "link", "add", "bridge", "type", "bridge")
            self._run("-n", self._switch, "link", "set", "bridge", "up")
            for number, name in enumerate(self._names, 1):
                self._join(name, f"10.77.0.{number}")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def cut(self, name: str) -> None:
        """What the host sends goes nowhere, and nothing reaches it; nobody is told."""
        self._run("-n", self._switch, "link", "set", name, "nomaster")

    def heal(self, name: str) -> None:
        self._run("-n", self._switch, "link", "set", name, "master", "bridge")

    def close(self) -> None:
        for host in self.hosts.values():
            host.close()
        for namespace in self._made:
            subprocess.run(["ip", "netns", "del", namespace], check=False, capture_output=True)

    def _join(self, name: str, address: str) -> None:
        namespace = f"{self._prefix}-{name}"
        self._make(namespace)
        cable = ["type", "veth", "peer", "name", name, "netns", self._switch]
        self._run("link", "add", "eth0", "netns", namespace, *cable)
        self._run("-n", namespace, "link", "set", "lo", "up")
        self._run("-n", namespace, "address", "add", f"{address}/24", "dev", "eth0")
        self._run("-n", namespace, "link", "set", "eth0", "up")
        self._run("-n", self._switch, "link", "set", name, "master", "bridge")
        self._run("-n", self._switch, "link", "set", name, "up")
        self.hosts[name] = Host(name, namespace, address)

    def _make(self, namespace: str) -> None:
        self._run("netns", "add", namespace)
        self._made.append(namespace)

    @staticmethod
    def _run(*line: str) -> None:
        subprocess.run(["ip", *line], check=True, capture_output=True, text=True)


@cache
def elsewhere() -> list[str]:
    """What makes a worker see its own processes only, as one on another machine does. Skips where that is refused."""
    line = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    try:
        subprocess.run([*line, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("only root may have workers that do not see each other's processes, as on two machines")
    return line
