"""Code from bundles: archives kept by the server, each named by what it holds, unpacked once.

What an archive may hold: files, folders, and links within. It is unpacked by hand, so that nothing in it can lie
anywhere else, be anything else, or take more room than it may.
"""

from __future__ import annotations

import os
import tarfile
from pathlib import Path, PurePosixPath

from penstock import errors
from penstock.client.server import Server
from penstock.core.deployments import Bundle
from penstock.files.local import digest_of, make_folder
from penstock.worker.checkouts import Checkout, install, opened

MAX_BYTES = 1 << 30
"""All files of an archive together."""
MAX_ENTRIES = 100_000

_CHUNK = 1 << 20


class Bundles:
    """The bundles that this worker has unpacked."""

    def __init__(self, home: Path, server: Server) -> None:
        self._folder = home / "code" / "bundles"
        self._server = server

    def get(self, bundle: Bundle) -> Checkout:
        """The files of a bundle. Raises `FlowFileError` when it is damaged, or holds what it must not."""
        if len(bundle.digest) != 64 or not set(bundle.digest) <= set("0123456789abcdef"):
            raise errors.FlowFileError(f"Not the digest of a bundle: `{bundle.digest}`")
        folder = self._folder / bundle.digest
        found = opened(folder)
        if found is not None:
            return found
        make_folder(self._folder)
        archive = self._folder / f".{bundle.digest}.{os.getpid()}.{id(folder):x}.tar"
        try:
            self._server.get_bundle(bundle.digest, archive)
            if digest_of(archive) != bundle.digest:
                raise errors.FlowFileError(f"The server has something else in place of the bundle: `{bundle.digest}`")
            return install(folder, lambda target: unpack(archive, target))
        except errors.NotFound as error:
            raise errors.FlowFileError(f"The server does not have the bundle: `{bundle.digest}`") from error
        finally:
            archive.unlink(missing_ok=True)


def unpack(archive: Path, target: Path, *, most_bytes: int = MAX_BYTES, most_entries: int = MAX_ENTRIES) -> None:
    """Unpack into an empty folder. Raises `FlowFileError` for an archive that is none, or should not be trusted."""
    room = most_bytes
    links: dict[Path, str] = {}
    try:
        with tarfile.open(archive, "r:*") as tar:
            for number, entry in enumerate(tar):
                if number >= most_entries:
                    raise errors.FlowFileError(f"The bundle has more than {most_entries} entries")
                path = _place(target, entry.name)
                if entry.issym():
                    links[path] = entry.linkname
                elif entry.isdir():
                    path.mkdir(mode=0o700, parents=True, exist_ok=True)
                elif entry.isreg():
                    room -= entry.size
                    if room < 0:
                        raise errors.FlowFileError(f"The files of the bundle have more than {most_bytes} bytes")
                    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                    _write(tar, entry, path)
                else:
                    raise errors.FlowFileError(f"The bundle holds what is no file: `{entry.name}`")
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise errors.FlowFileError(f"The bundle cannot be unpacked: {error}") from error
    # Only now, so that nothing was written through one.
    _link(target, links)


def _place(target: Path, name: str) -> Path:
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\0" in name or "\\" in name:
        raise errors.FlowFileError(f"The bundle holds a name that leads out of it: `{name}`")
    return target.joinpath(*parts)


def _write(tar: tarfile.TarFile, entry: tarfile.TarInfo, path: Path) -> None:
    mode = 0o700 if entry.mode & 0o100 else 0o600
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), mode)
    with open(descriptor, "wb") as file:
        source = tar.extractfile(entry)
        assert source is not None
        left = entry.size
        while left and (piece := source.read(min(left, _CHUNK))):
            file.write(piece)
            left -= len(piece)
    if left:
        raise errors.FlowFileError(f"The bundle ends in the middle of a file: `{entry.name}`")


def _link(target: Path, links: dict[Path, str]) -> None:
    root = target.resolve()
    for path, leads_to in links.items():
        if os.path.isabs(leads_to) or "\0" in leads_to or _is_below_link(path, links):
            raise _leads_out(path, target)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            os.symlink(leads_to, path)
        except OSError as error:
            raise errors.FlowFileError(f"The bundle cannot be unpacked: {error}") from error
    for path in links:
        if not Path(os.path.realpath(path)).is_relative_to(root):
            raise _leads_out(path, target)


def _is_below_link(path: Path, links: dict[Path, str]) -> bool:
    return any(parent in links for parent in path.parents)


def _leads_out(path: Path, target: Path) -> errors.FlowFileError:
    return errors.FlowFileError(f"The bundle holds a link that leads out of it: `{path.relative_to(target)}`")
