"""Files of results and entries of the cache: which may go, because nothing that is kept refers to them."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec

from penstock.core.result_records import ResultRecord
from penstock.orchestration.local import Home
from penstock.store.interface import Store

MIN_AGE_SECONDS = 3600
"""Younger files stay: a run may be about to record that it has written (or touched) them."""

_LOCATION = re.compile(r"[0-9a-f]{2}/[0-9a-f]{64}")
_ENTRY = re.compile(r"[0-9a-f]{2}/[0-9a-f]{32}")
_CHUNK = 500


class Removed(NamedTuple):
    """What was deleted, or would be."""

    files: int = 0
    bytes: int = 0


class CacheSweep(NamedTuple):
    """What the cache holds: the results that it refers to, and how many entries had expired."""

    locations: set[str]
    expired: int


class _CacheEntry(msgspec.Struct):
    """What matters here of an entry of the cache (see `engine.cache`)."""

    expires_at: int
    result: ResultRecord


_decode = msgspec.msgpack.Decoder(_CacheEntry).decode


def remove_unreferenced(home: Home, store: Store, locations: Iterable[str]) -> Removed:
    """Delete those of the result files that neither a run nor the cache refers to."""
    wanted = list(locations)
    if not wanted:
        return Removed()
    cached = sweep_cache(home, remove=False).locations
    return _remove(home, store, wanted, cached, doomed=frozenset(), remove=True)


def sweep_results(home: Home, store: Store, cached: set[str], *, doomed: Collection[str], remove: bool) -> Removed:
    """Delete (or count) all result files that nothing refers to. Runs that are ``doomed`` do not count."""
    found = _files(home.settings.results, _LOCATION)
    total = Removed()
    while some := list(islice(found, _CHUNK)):
        removed = _remove(home, store, some, cached, doomed=doomed, remove=remove)
        total = Removed(total.files + removed.files, total.bytes + removed.bytes)
    return total


def sweep_cache(home: Home, *, remove: bool) -> CacheSweep:
    """Which results the cache refers to; entries that have expired are deleted with ``remove``."""
    root = home.settings.cache
    now = home.clock.now()
    locations: set[str] = set()
    expired = 0
    for name in _files(root, _ENTRY):
        path = root / name
        try:
            entry = _decode(path.read_bytes())
        except (OSError, msgspec.DecodeError):
            continue  # another version's, or gone meanwhile
        if entry.expires_at and entry.expires_at <= now:
            expired += 1
            if remove:
                path.unlink(missing_ok=True)
        elif entry.result.location is not None:
            locations.add(entry.result.location)
    return CacheSweep(locations, expired)


def sweep_leftovers(home: Home, *, remove: bool) -> int:
    """Delete (or count) what processes that died left half written beside results and cache entries."""
    count = 0
    for root in (home.settings.results, home.settings.cache):
        for name in _files(root, re.compile(r"[0-9a-f]{2}/\..+")):
            if _size_if_old(home, root / name) is not None:
                count += 1
                if remove:
                    (root / name).unlink(missing_ok=True)
    return count


def _remove(
    home: Home, store: Store, locations: list[str], cached: set[str], *, doomed: Collection[str], remove: bool
) -> Removed:
    with store.reading() as tx:
        referrers = tx.result_files.referrers(locations)
    count = size = 0
    for location in locations:
        if location in cached or any(run_id not in doomed for run_id in referrers.get(location, ())):
            continue
        path = home.settings.results / location
        freed = _size_if_old(home, path)
        if freed is None:
            continue
        if remove:
            path.unlink(missing_ok=True)
        count += 1
        size += freed
    return Removed(count, size)


def _size_if_old(home: Home, path: Path) -> int | None:
    """The file's size; None when it is too young to be judged, or gone."""
    try:
        found = path.stat()
    except OSError:
        return None
    age_seconds = home.clock.now() / 1e6 - found.st_mtime
    return found.st_size if age_seconds > MIN_AGE_SECONDS else None


def _files(root: Path, pattern: re.Pattern[str]) -> Iterator[str]:
    """Files two levels below ``root`` whose ``folder/name`` fits the pattern."""
    try:
        folders = sorted(entry.name for entry in os.scandir(root) if entry.is_dir())
    except FileNotFoundError:
        return
    for folder in folders:
        for name in sorted(os.listdir(root / folder)):
            if pattern.fullmatch(f"{folder}/{name}"):
                yield f"{folder}/{name}"
