"""A Postgres for tests: a cluster of our own, on a free port of this machine, for as long as the tests run.

Take the fixture ``postgres_url``: the URL of an empty database, for that test alone. Who restarts the
server, or looks what survives that, takes ``own_postgres``.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from tests.ports import free_port

PASSWORD = "a-secret-of-tests"
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",  # of no use after a power failure, and three times as fast
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "shared_buffers": "16MB",
    "max_connections": "50",
}


class Cluster:
    """A running Postgres, and its databases."""

    def __init__(self, port: int, pg_ctl: list[Any], options: str, who: dict[str, Any]) -> None:
        self.port = port
        self._pg_ctl = pg_ctl
        self._options = options
        self._who = who
        self._numbers = count(1)

    def start(self) -> None:
        self._call("-o", self._options, "start")

    def stop(self, mode: str = "fast") -> None:
        """``fast`` tells clients and ends their transactions; ``immediate`` is as good as a crash."""
        self._call("-m", mode, "stop")

    def restart(self, mode: str = "fast") -> None:
        self.stop(mode)
        self.start()

    def _call(self, *arguments: str) -> None:
        subprocess.run([*self._pg_ctl, *arguments], check=True, cwd="/", **self._who)

    def url(self, database: str) -> str:
        """The URL of a database, for SQLAlchemy; its superuser is ``tests``."""
        return f"postgresql+psycopg://tests:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """Make an empty database; returns its URL."""
        import psycopg

        name = f"test_{next(self._numbers)}"
        with psycopg.connect(self.url("postgres").replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return self.url(name)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A cluster that these tests have started. Skips, with the reason, where none can be."""
    with cluster() as running:
        yield running


@pytest.fixture
def own_postgres() -> Iterator[Cluster]:
    """A cluster for this test alone, which keeps what it has acknowledged when its processes are killed."""
    with cluster({"synchronous_commit": "on"}) as running:
        yield running


@contextmanager
def cluster(settings: Mapping[str, str] | None = None, kept_in: Path | None = None) -> Generator[Cluster]:
    """A new cluster, for as long as the block lasts; or the one of a folder, which is made there the first time."""
    pytest.importorskip("psycopg")
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="penstock-postgres-")) if kept_in is None else kept_in
    folder.mkdir(exist_ok=True)
    who: dict[str, Any] = _not_root(folder)
    guard = _guard(programs / "pg_ctl", folder, who, is_kept=kept_in is not None)
    try:
        if not (folder / "data").exists():
            _initialise(programs / "initdb", folder, who)
        port = free_port()
        every = {**SETTINGS, "port": port, **(settings or {})}
        options = " ".join(f"-c {name}={value}" for name, value in every.items())
        line = [programs / "pg_ctl", "-D", folder / "data", "-l", folder / "log", "-w", "-s"]
        running = Cluster(port, line, f"{options} -k {folder}", who)
        running.start()
        yield running
    finally:
        guard.communicate()
        if kept_in is None:
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres: Cluster) -> str:
    """The URL of an empty Postgres database, for this test alone."""
    return postgres.new_database()


def _programs() -> Path:
    """Where initdb and pg_ctl are. Debian does not put them on the PATH."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda place: -float(place.parent.name))
    if shutil.which("pg_config"):
        told = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=True)
        places.append(Path(told.stdout.strip()))
    for place in places:
        if (place / "initdb").exists() and (place / "pg_ctl").exists():
            return place
    pytest.skip("there is no Postgres on this machine: no initdb and pg_ctl")


def _not_root(folder: Path) -> dict[str, Any]:
    """Arguments of subprocess.run: Postgres refuses to be run by root, so that it is another user's then."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        os.chown(folder, user.pw_uid, user.pw_gid)
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    pytest.skip("root may not run Postgres, and there is no user who could")


def _guard(pg_ctl: Path, folder: Path, who: dict[str, Any], *, is_kept: bool) -> subprocess.Popen[Any]:
    """A process that stops and removes the cluster when its stdin is closed, so at the latest when this one dies.

    One that is kept is stopped as it should be.
    """
    stopped = '"$1" -D "$2/data" -m "$3" -w -s -t 600 stop'
    script = f"read _; {stopped}" if is_kept else f'read _; {stopped}; rm -rf "$2"'
    return subprocess.Popen(
        ["sh", "-c", script, "guard", pg_ctl, folder, "fast" if is_kept else "immediate"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,  # an interrupt from the keyboard is not for it
        **who,
    )


def _initialise(initdb: Path, folder: Path, who: dict[str, Any]) -> None:
    secret = folder / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o644)  # in a folder that is its user's alone
    line = [initdb, "-D", folder / "data", "-U", "tests", "-A", "scram-sha-256", "--pwfile", secret]
    line += ["--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]
    subprocess.run(line, check=True, capture_output=True, cwd=folder, **who)
