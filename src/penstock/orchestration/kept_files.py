"""Files that others sent to be kept: bundles of code, and results of runs elsewhere. Each is named by what it holds.

Bundles are in the store, so that all its servers have them, and a backup too. Results are files in the home, where runs
on this machine look for them; in the store when that is in Postgres, as its servers are on several machines.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from penstock import errors
from penstock.core.deployments import Bundle, Code
from penstock.files.local import make_folder, sync_folder
from penstock.settings import Settings
from penstock.store.deployments import DeploymentRow
from penstock.store.interface import Store, Transaction
from penstock.store.kept_files import Kind

PART_BYTES = 1 << 20
"""So much of a file is in memory at once."""

_HOUR = 3600 * 1_000_000
_DAY = 24 * _HOUR
_PORTION = 200
_EVER = 1 << 62
_KINDS: tuple[Kind, ...] = ("bundle", "result")


class KeptFile(NamedTuple):
    """A file's size, and its bytes part by part."""

    size: int
    parts: Iterator[bytes]


def keep_bundle(store: Store, digest: str, archive: Path | bytes) -> None:
    """Keep a copy of an archive of code."""
    _keep(store, "bundle", digest, archive)


def bundle(store: Store, digest: str) -> KeptFile | None:
    """An archive of code; None if there is none of this digest."""
    return _kept(store, "bundle", digest)


def keep_result(settings: Settings, store: Store, digest: str, file: Path) -> None:
    """Keep the file of a result. The file that is given may be gone afterwards."""
    if settings.postgres_url is not None:
        _keep(store, "result", digest, file)
        return
    place = settings.results / digest[:2] / digest
    make_folder(place.parent)
    try:
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(file, place)
        sync_folder(place.parent)
    except OSError as error:
        raise errors.StorageFull(f"A result could not be kept ({error.strerror}): `{place}`") from error


def result(settings: Settings, store: Store, digest: str) -> KeptFile | None:
    """The file of a result, whether it came from elsewhere or was made here; None if there is none of this digest."""
    place = settings.results / digest[:2] / digest
    with suppress(FileNotFoundError):
        return KeptFile(place.stat().st_size, _parts_of(place))
    return _kept(store, "result", digest) if settings.postgres_url is not None else None


def _keep(store: Store, kind: Kind, digest: str, file: Path | bytes) -> None:
    size = len(file) if isinstance(file, bytes) else file.stat().st_size

    def work(tx: Transaction) -> None:
        tx.lock(f"{kind}:{digest}")
        known = tx.kept_files.size(kind, digest)
        tx.kept_files.add(kind, digest, size, tx.now)
        if known is None:
            for number, part in enumerate(_parts_of(file)):
                tx.kept_files.add_part(kind, digest, number, part)

    store.run(work)


def _kept(store: Store, kind: Kind, digest: str) -> KeptFile | None:
    with store.reading() as tx:
        size = tx.kept_files.size(kind, digest)
    return None if size is None else KeptFile(size, _parts_in(store, kind, digest))


def _parts_in(store: Store, kind: Kind, digest: str) -> Iterator[bytes]:
    number = 0
    while True:
        with store.reading() as tx:
            part = tx.kept_files.part(kind, digest, number)
        if part is None:
            return
        yield part
        number += 1


def _parts_of(file: Path | bytes) -> Iterator[bytes]:
    with io.BytesIO(file) if isinstance(file, bytes) else open(file, "rb") as opened:
        while part := opened.read(PART_BYTES):
            yield part


def forget_incomplete(store: Store) -> int:
    """Forget files of which not all can be had, so that they are sent again; says how many."""
    count = 0
    for kind in _KINDS:
        with store.reading() as tx:
            digests = [digest for digest, _ in tx.kept_files.unused(kind, _EVER)]
        bad = [digest for digest in digests if _digest(_parts_in(store, kind, digest)) != digest]
        store.run(lambda tx, kind=kind, bad=bad: tx.kept_files.forget(kind, bad))
        count += len(bad)
    store.run(lambda tx: tx.kept_files.forget_stray_parts())
    return count


def _digest(parts: Iterable[bytes]) -> str:
    digest = blake2b(digest_size=32)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def lacking_code(tx: Transaction) -> Iterator[DeploymentRow]:
    """The deployments whose code was sent, and is not here any more."""
    for row in tx.deployments.every():
        for digest in _digests([row.deployment_spec().code]):
            if tx.kept_files.size("bundle", digest) is None:
                yield row


def sweep(store: Store, days: float) -> int:
    """Forget bundles for which nobody had a use for so long, and results that no run names; says how many.

    There is a use for a bundle while a deployment names it, or a run that has not ended.
    """
    with store.reading() as tx:
        used = _bundles_in_use(tx)
    store.run(lambda tx: tx.kept_files.use("bundle", sorted(used), tx.now))
    with store.reading() as tx:
        doomed: dict[Kind, list[str]] = {
            "bundle": [digest for digest, _ in tx.kept_files.unused("bundle", int(max(tx.now - days * _DAY, 0)))],
            "result": _without_referrers(tx, [each for each, _ in tx.kept_files.unused("result", tx.now - _HOUR)]),
        }
    for kind, digests in doomed.items():
        for start in range(0, len(digests), _PORTION):
            some = digests[start : start + _PORTION]
            store.run(lambda tx, kind=kind, some=some: tx.kept_files.forget(kind, some))
    return sum(map(len, doomed.values()))


def _bundles_in_use(tx: Transaction) -> set[str]:
    found = set(_digests(row.deployment_spec().code for row in tx.deployments.every()))
    found.update(_digests(job.code for job in tx.work.unfinished_jobs()))
    return found


def _digests(codes: Iterable[Code]) -> Iterator[str]:
    return (code.digest for code in codes if isinstance(code, Bundle))


def _without_referrers(tx: Transaction, digests: list[str]) -> list[str]:
    named = tx.result_files.referrers(f"{digest[:2]}/{digest}" for digest in digests)
    return [digest for digest in digests if f"{digest[:2]}/{digest}" not in named]
