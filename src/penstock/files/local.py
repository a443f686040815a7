"""Files of this machine, written so that they are there whole or not at all."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from penstock import errors

_CHUNK = 1 << 20
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def folder_of(storage: Any) -> Path:
    """The folder that an option such as ``result_storage`` names. Raises `UnknownOption` for anything else."""
    if isinstance(storage, str) and "://" in storage and not storage.startswith("file://"):
        raise errors.UnknownOption(
            f"Results can be kept in local folders only at present, not in: `{storage}`",
            hint="give a path; mount shared storage to share results and cache between machines",
        )
    if isinstance(storage, str | os.PathLike):
        return Path(str(storage).removeprefix("file://")).expanduser().absolute()
    base = getattr(storage, "basepath", None)
    if base is not None:
        return Path(base).expanduser().absolute()
    raise errors.UnknownOption(f"Not a folder in which results can be kept: `{storage!r}`")


def write_whole(path: Path, data: bytes) -> None:
    """Put a result in place whole.

    Raises `StorageFull` when there is no room or no right to write it, `JournalLost` when the disk fails.
    """
    try:
        replace(path, data)
    except OSError as error:
        message = f"A result of {len(data)} bytes could not be written ({error.strerror}): `{path}`"
        if error.errno == errno.EIO:
            hint = "mend the disk, then continue with `penstock flow-run resume`"
            raise errors.JournalLost(message, hint=hint) from error
        what = "free some space" if error.errno in _FULL else "let the folder be written"
        raise errors.StorageFull(message, hint=f"{what}, then continue with `penstock flow-run resume`") from error


def replace(path: Path, data: bytes) -> None:
    """Put a file in place whole, for its owner only: written aside, synced, renamed, and its folder synced."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{id(data):x}")
    try:
        make_folder(path.parent)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view[:_CHUNK]) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise


def digest_of(path: Path) -> str:
    """BLAKE2b-256 of a file, in hex."""
    from hashlib import blake2b  # noqa: PLC0415  loads OpenSSL, which who only writes files does not need

    digest = blake2b(digest_size=32)
    with open(path, "rb") as file:
        while piece := file.read(_CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def make_folder(path: Path) -> None:
    """Make a folder, and what is missing above it, for its owner only, whatever the umask is."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    with suppress(PermissionError):  # a folder that may be written and not read
        sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make the names in a folder survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
