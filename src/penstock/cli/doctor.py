"""``penstock doctor``: is everything in order here?"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from penstock import __version__, errors
from penstock.cli import findings, humanize
from penstock.cli.findings import BAD, GOOD, WARNING, Finding
from penstock.cli.output import AS_FITS, OutputOptions
from penstock.cli.session import Here, Session
from penstock.client import shipper_process
from penstock.core.operations.work_pools import ListWorkPools
from penstock.journal.folder import JournalFolder, is_locked, lock
from penstock.journal.outbox import Outbox
from penstock.settings import Settings

LEAST_FREE = 256 << 20
LITTLE_FREE = 2 << 30
NETWORK_FILE_SYSTEMS = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "afs", "glusterfs", "ceph"})
OLDEST_CLOCK = 1_735_689_600_000_000
"""2025-01-01: an earlier time is that of a machine whose clock was never set."""


def doctor(*, out: OutputOptions = AS_FITS, here: Here) -> int:
    """Check that this installation and its home are in order.

    Looks at the version, the settings, the home (is it writable, private, on a local disk with room on it?), file
    locks, the clock, the server and the database. Exits with 1 when there is a problem.
    """
    return findings.show(here, out, list(_looked_at(here)))


def _looked_at(session: Session) -> Iterator[Finding]:
    """All that was looked at. Without settings that can be read, nothing else can be."""
    yield Finding("version", GOOD, f"Penstock {__version__}, Python {platform.python_version()}, {sys.platform}")
    yield from findings.strangers(session.given)
    try:
        settings = session.settings
    except errors.PenstockError as error:
        yield Finding("settings", BAD, error.message, error.hint or "")
        return
    yield Finding("settings", GOOD, f"profile {settings.profile}")
    yield _clock(session)
    if settings.api_url is not None or settings.home.is_dir():
        yield from _server(session)
    if not settings.home.exists():
        yield Finding("home", GOOD, f"{settings.home} is made with the first run")
        return
    if not settings.home.is_dir():
        yield Finding("home", BAD, f"not a folder: {settings.home}", "set PENSTOCK_HOME to a folder")
        return
    yield from _home(settings.home)
    yield from _outbox(settings)
    yield _store(session)


def _server(session: Session) -> Iterator[Finding]:
    """Whoever keeps the runs, if that is a server: does it answer?"""
    from penstock.sdk import connect  # noqa: PLC0415  where settings are wrong, nobody is asked

    address = connect.server(session.settings)
    if address is None:
        return
    try:
        pools = session.ask(ListWorkPools())
    except errors.PenstockError as error:
        yield Finding("server", BAD, error.message, error.hint or "")
    else:
        yield Finding("server", GOOD, f"{address.url}, with {humanize.counted(len(pools), 'work pool')}")


def _clock(session: Session) -> Finding:
    now = session.clock.now()
    if now < OLDEST_CLOCK:
        return Finding("clock", BAD, f"it says {humanize.local(now)}", "set this machine's clock")
    return Finding("clock", GOOD, humanize.local(now))


def _home(home: Path) -> Iterator[Finding]:
    if not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        yield Finding("home", BAD, f"not readable and writable: {home}", f"`chown` or `chmod u+rwx {home}`")
        return
    private = home.stat().st_mode & 0o077 == 0 or sys.platform == "win32"
    others = "" if private else ", and others may look into it"
    yield Finding(
        "home",
        GOOD if private else WARNING,
        f"{home}{others}",
        "" if private else f"`chmod 700 {home}` keeps it private",
    )
    yield _room(home)
    yield _file_system(home)
    yield _locks(home)
    yield _journals(home)


def _room(home: Path) -> Finding:
    free = shutil.disk_usage(home).free
    what = f"{humanize.size(free)} free"
    hint = "make room, or let `penstock db prune` forget old runs"
    if free < LEAST_FREE:
        return Finding("disk", BAD, what, hint)
    return Finding("disk", WARNING, what, hint) if free < LITTLE_FREE else Finding("disk", GOOD, what)


def _file_system(home: Path) -> Finding:
    kind = _kind_of_file_system(home)
    if kind in NETWORK_FILE_SYSTEMS:
        return Finding(
            "file system",
            BAD,
            f"{kind}: SQLite and locks cannot be trusted on a network",
            "set PENSTOCK_HOME to a folder on a local disk",
        )
    return Finding("file system", GOOD, kind or "local, as far as can be told")


def _kind_of_file_system(path: Path) -> str:
    """The kind of the file system that holds ``path``; empty where the system does not say."""
    try:
        mounts = Path("/proc/self/mounts").read_text("utf-8")
    except OSError:
        return ""
    best = ("", "")
    place = path.resolve()
    for line in mounts.splitlines():
        _, point, kind, *_ = line.split(" ")
        point = point.replace("\\040", " ")
        if place.is_relative_to(point) and len(point) >= len(best[0]):
            best = (point, kind)
    return best[1]


def _locks(home: Path) -> Finding:
    """Whether a second lock on a file is refused: the state of a run is derived from that."""
    first = os.open(home, os.O_RDONLY)
    second = os.open(home, os.O_RDONLY)
    try:
        if not lock(first, wait=False):
            return Finding("locks", GOOD, "held by another process")
        if lock(second, wait=False):
            return Finding("locks", BAD, "files cannot be locked here", "set PENSTOCK_HOME to a folder on a local disk")
    finally:
        os.close(first)
        os.close(second)
    return Finding("locks", GOOD, "files can be locked")


def _journals(home: Path) -> Finding:
    folder = JournalFolder(home / "journals")
    count = sum(1 for _ in folder.run_ids())
    return Finding("journals", GOOD, f"of {humanize.counted(count, 'run')}")


def _outbox(settings: Settings) -> Iterator[Finding]:
    """What servers elsewhere are to get. While a run is under way, that is nothing to worry about."""
    journals = JournalFolder(settings.journals)
    waiting = [
        entry
        for entry in Outbox(settings.outbox).entries()
        if not any(each.is_locked for each in journals.journals(entry.run_id))
    ]
    for url, count in sorted(Counter(entry.url for entry in waiting).items()):
        what = f"what {humanize.counted(count, 'attempt')} of runs recorded is not sent yet to {url}"
        if is_locked(shipper_process.path_of(settings, url)):
            trouble, seconds = shipper_process.trouble(settings, url), settings.offline_grace_seconds
            what += f"; a process tries to, for PENSTOCK_OFFLINE_GRACE_SECONDS ({seconds:g}) at most"
            what += f": {trouble}" if trouble else ""
        yield Finding("outbox", WARNING, what, "`penstock flow-run ship` sends it")


def _store(session: Session) -> Finding:
    chosen = session.settings
    if chosen.postgres_url is None and not chosen.store.exists():
        return Finding("database", GOOD, "made with the first question")
    try:
        with session.home() as home, home.reading():
            size = home.size()
    except errors.PenstockError as error:
        return Finding("database", BAD, error.message, error.hint or "`penstock fsck` tells more")
    return Finding("database", GOOD, f"{chosen.where}, {humanize.size(size)}")
