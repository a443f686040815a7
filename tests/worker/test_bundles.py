"""Code from bundles: what was packed comes out, and nothing else can."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from penstock import errors
from penstock.core.deployments import Bundle
from penstock.files.local import digest_of
from penstock.worker.bundles import Bundles, unpack


class Kept:
    """A server that has one bundle."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.asked = 0

    def get_bundle(self, digest: str, path: Path) -> None:
        self.asked += 1
        path.write_bytes(self.data)


def archive(*entries: tuple[str, Any]) -> bytes:
    """An archive of files (bytes), folders (None), links (text), or whatever `TarInfo` can be."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        for name, content in entries:
            about = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            if content is None:
                about.type = tarfile.DIRTYPE
            elif isinstance(content, str):
                about.type, about.linkname = tarfile.SYMTYPE, content
            elif isinstance(content, bytes):
                about.size = len(content)
            tar.addfile(about, io.BytesIO(content) if isinstance(content, bytes) else None)
    return target.getvalue()


def special(name: str, kind: bytes, linkname: str = "") -> tarfile.TarInfo:
    about = tarfile.TarInfo(name)
    about.type, about.linkname = kind, linkname
    return about


def unpacked(tmp_path: Path, data: bytes, **limits: int) -> Path:
    path, target = tmp_path / "a.tar", tmp_path / "target"
    path.write_bytes(data)
    target.mkdir(exist_ok=True)
    unpack(path, target, **limits)
    return target


def test_a_bundle_is_fetched_once_and_its_files_are_in_place(tmp_path: Path):
    data = archive(("flow.py", b"code"), ("lib/a.py", b"more"), ("empty", None), ("link.py", "lib/a.py"))
    path = tmp_path / "x"
    path.write_bytes(data)
    server: Any = Kept(data)
    store = Bundles(tmp_path / "home", server)
    bundle = Bundle(digest_of(path), len(data))

    first, second = store.get(bundle), store.get(bundle)
    assert first.folder == second.folder
    assert server.asked == 1
    assert (first.folder / "flow.py").read_bytes() == b"code"
    assert (first.folder / "link.py").read_bytes() == b"more"
    assert (first.folder / "empty").is_dir()
    assert os.listdir(first.folder.parent) == [bundle.digest]


def test_a_bundle_that_is_not_what_its_digest_says_is_refused(tmp_path: Path):
    server: Any = Kept(archive(("flow.py", b"other")))
    store = Bundles(tmp_path / "home", server)

    with pytest.raises(errors.FlowFileError, match="something else"):
        store.get(Bundle("0" * 64))
    assert os.listdir(tmp_path / "home" / "code" / "bundles") == []
    with pytest.raises(errors.FlowFileError, match="Not the digest"):
        store.get(Bundle("../../x"))


EVIL = {
    "a name that leads out": [("../x", b"")],
    "an absolute name": [("/tmp/x", b"")],
    "a name that leads out on the way": [("a/../../x", b"")],
    "a backslash": [("..\\x", b"")],
    "a link that leads out": [("x", "../../outside")],
    "an absolute link": [("x", "/etc/passwd")],
    "links that lead out together": [("a/b", "../c/d/e"), ("c/d/e/f", b""), ("y", "a/b/../../../..")],
    "a file below a link": [("a", "b"), ("b", None), ("a/x", "y")],
    "a hard link": [("x", special("x", tarfile.LNKTYPE, "/etc/passwd"))],
    "a device": [("x", special("x", tarfile.CHRTYPE))],
    "a pipe": [("x", special("x", tarfile.FIFOTYPE))],
    "the same file twice": [("x", b"1"), ("x", b"2")],
}


@pytest.mark.parametrize("entries", EVIL.values(), ids=EVIL)
def test_an_archive_that_should_not_be_trusted_is_refused(tmp_path: Path, entries: list[tuple[str, Any]]):
    with pytest.raises(errors.FlowFileError):
        unpacked(tmp_path, archive(*entries))
    assert sorted(os.listdir(tmp_path)) == ["a.tar", "target"]


def test_an_archive_that_is_none_is_refused(tmp_path: Path):
    whole = archive(("flow.py", b"x" * 10_000))
    for data in (b"", b"no archive", whole[:700], whole[:5000]):
        with pytest.raises(errors.FlowFileError):
            unpacked(tmp_path / str(len(data)), data) if (tmp_path / str(len(data))).mkdir() is None else None


def test_an_archive_takes_no_more_room_than_it_may(tmp_path: Path):
    data = archive(*((f"{number}.py", b"x" * 100) for number in range(10)))

    with pytest.raises(errors.FlowFileError, match="bytes"):
        unpacked(tmp_path, data, most_bytes=950)
    (tmp_path / "again").mkdir()
    with pytest.raises(errors.FlowFileError, match="entries"):
        unpacked(tmp_path / "again", data, most_entries=9)
