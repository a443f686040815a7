"""Packing the code of a deployment into an archive that is named by what it holds.

The same files, names and executable bits give the same bytes, on any machine and at any time: a tar file with sorted
names, no owners and no times. It is not compressed, as what compressors make of the same bytes differs.
"""

from __future__ import annotations

import io
import os
import shutil
import stat
import tarfile
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from penstock import errors
from penstock.core import ignore
from penstock.core.deployments import LARGEST_BUNDLE, Bundle
from penstock.core.ignore import Ignores

SHOWN = 5


class Packed(NamedTuple):
    """An archive, ready to be sent."""

    bundle: Bundle
    archive: bytes
    file_count: int


def pack(folder: Path, ignores: Ignores) -> Packed:
    """The folder as an archive, without what is ignored.

    Raises `FlowFileError` when it is too large, naming the largest files, and for a link that leads out of it.
    """
    entries = sorted(_walk(folder, ignores))
    _check_size(folder, entries)
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry in entries:
            _add(archive, folder, entry)
    data = target.getvalue()
    bundle = Bundle(blake2b(data, digest_size=32).hexdigest(), len(data))
    return Packed(bundle, data, sum(1 for entry in entries if not entry.is_folder))


def copy(folder: Path, target: Path, ignores: Ignores) -> int:
    """Copy the folder, without what is ignored, to where it may be in part already; returns how many files."""
    count = 0
    for entry in _walk(folder, ignores):
        where = target / entry.path
        if entry.is_folder:
            where.mkdir(parents=True, exist_ok=True)
            continue
        where.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(folder / entry.path, where, follow_symlinks=not entry.link)
        count += 1
    return count


class Entry(NamedTuple):
    """A file, a link, or a folder without anything in it."""

    path: str
    """Relative, with ``/``."""
    size: int
    is_folder: bool = False
    is_executable: bool = False
    link: str = ""
    """Where a link leads, relative to its place."""


def _walk(root: Path, ignores: Ignores, below: str = "") -> Iterator[Entry]:
    with os.scandir(root / below) as opened:
        inside = list(opened)
    for found in inside:
        path = f"{below}/{found.name}" if below else found.name
        if "\\" in found.name and not ignores(path):
            raise errors.FlowFileError(
                f"A name holds a backslash, which leads elsewhere on other systems: `{root / path}`",
                hint="rename it, or name it in `.penstockignore`",
            )
        if found.is_symlink():
            if not ignores(path) and not ignores(f"{path}/"):
                yield _link(root, path)
        elif found.is_dir():
            if not ignores(f"{path}/"):
                yield from _walk(root, ignores, path)
        elif found.is_file() and not ignores(path):  # sockets and pipes are no code
            about = found.stat()
            yield Entry(path, about.st_size, is_executable=bool(about.st_mode & stat.S_IXUSR))
    if not inside and below:
        yield Entry(below, 0, is_folder=True)


def _link(root: Path, path: str) -> Entry:
    target = os.readlink(root / path)
    place = os.path.normpath(os.path.join(os.path.dirname(path), target))
    if os.path.isabs(target) or place.split(os.sep)[0] == os.pardir:
        raise errors.FlowFileError(
            f"A link leads out of the folder that is to be packed: `{root / path}`",
            hint="name it in `.penstockignore`, or put what it leads to into the folder",
        )
    return Entry(path, 0, link=target)


def _check_size(folder: Path, entries: list[Entry]) -> None:
    size = sum(_size_in_archive(entry) for entry in entries) + tarfile.RECORDSIZE
    if size <= LARGEST_BUNDLE:
        return
    largest = sorted(entries, key=lambda entry: -entry.size)[:SHOWN]
    told = ", ".join(f"{entry.path} ({_mebibytes(entry.size)})" for entry in largest)
    raise errors.FlowFileError(
        f"The folder is too large to be packed, {_mebibytes(size)} of at most {_mebibytes(LARGEST_BUNDLE)}: `{folder}`",
        hint=f"name what is no code in `.penstockignore`; the largest files are: {told}",
    )


def _size_in_archive(entry: Entry) -> int:
    """With its header, in whole blocks."""
    return tarfile.BLOCKSIZE * (1 + -(-entry.size // tarfile.BLOCKSIZE))


def _mebibytes(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB"


def _add(archive: tarfile.TarFile, folder: Path, entry: Entry) -> None:
    about = tarfile.TarInfo(entry.path)
    about.mode = 0o755 if entry.is_folder or entry.is_executable else 0o644
    if entry.is_folder:
        about.type = tarfile.DIRTYPE
        archive.addfile(about)
    elif entry.link:
        about.type, about.linkname, about.mode = tarfile.SYMTYPE, entry.link, 0o777
        archive.addfile(about)
    else:
        data = (folder / entry.path).read_bytes()  # its size may have changed since it was seen
        about.size = len(data)
        archive.addfile(about, io.BytesIO(data))


def ignores_of(folder: Path, file: str | None = None) -> Ignores:
    """What leaves out paths of a folder: its ignore file, or another; the usual things where there is none.

    Raises `NotFound` for a file that was named and is not there, `UsageError` for a line that is no pattern.
    """
    path = folder / (file or ignore.FILE_NAME)
    try:
        return ignore.ignores(path.read_text("utf-8"))
    except FileNotFoundError:
        if file in (None, ignore.FILE_NAME):
            return ignore.ignores()
        raise errors.NotFound(f"There is no such file of patterns: `{path}`") from None
