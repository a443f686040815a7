"""Packing a folder: the same content gives the same archive, and nothing that is ignored is in it."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import errors
from penstock.core import ignore
from penstock.sdk import bundles

EVERYTHING = ignore.ignores("")


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_py", ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def names(packed: bundles.Packed) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(packed.archive)) as archive:
        return archive.getnames()


def test_the_same_content_is_the_same_archive_wherever_and_whenever_it_is_packed(tmp_path: Path):
    one = write(tmp_path / "one", flows__etl_py="x = 1\n", readme="hello")
    two = write(tmp_path / "two", readme="hello", flows__etl_py="x = 1\n")
    os.utime(two / "readme", (1, 1))
    (two / "readme").chmod(0o600)

    first, second = bundles.pack(one, EVERYTHING), bundles.pack(two, EVERYTHING)

    assert first == second
    assert len(first.bundle.digest) == 64
    assert first.bundle.size == len(first.archive)
    assert first.file_count == 2


@pytest.mark.parametrize("change", ["content", "name", "mode", "empty folder"])
def test_what_matters_to_the_code_makes_another_archive(tmp_path: Path, change: str):
    folder = write(tmp_path, a_py="x", b_py="y")
    before = bundles.pack(folder, EVERYTHING).bundle.digest

    if change == "content":
        (folder / "a.py").write_text("z")
    elif change == "name":
        (folder / "a.py").rename(folder / "c.py")
    elif change == "mode":
        (folder / "a.py").chmod(0o755)
    else:
        (folder / "data").mkdir()

    assert bundles.pack(folder, EVERYTHING).bundle.digest != before


def test_it_can_be_unpacked_as_it_was(tmp_path: Path):
    folder = write(tmp_path / "from", run="#!/bin/sh\n", deep__er__etl_py="ü")
    (folder / "run").chmod(0o755)
    (folder / "out").mkdir()
    (folder / "deep" / "link.py").symlink_to("er/etl.py")
    long = folder / ("n" * 150) / ("m" * 150)
    long.parent.mkdir()
    long.write_text("long")

    packed = bundles.pack(folder, EVERYTHING)
    with tarfile.open(fileobj=io.BytesIO(packed.archive)) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # Debian 12's Python has none yet
        archive.extractall(tmp_path / "to")

    to = tmp_path / "to"
    assert (to / "deep/er/etl.py").read_text() == (to / "deep/link.py").read_text() == "ü"
    assert os.access(to / "run", os.X_OK)
    assert (to / "out").is_dir()
    assert (to / long.relative_to(folder)).read_text() == "long"


def test_what_is_ignored_is_left_out_with_all_below_it(tmp_path: Path):
    folder = write(tmp_path, etl_py="", data__big="", keep__data="", __pycache__x="")
    (folder / ".env").write_text("SECRET=1")
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("")

    packed = names(bundles.pack(folder, ignore.ignores("/data/\n.env\n.git/\n")))
    assert "data/big" not in packed
    assert ".env" not in packed
    assert not any(name.startswith(".git") for name in packed)
    assert "keep/data" in packed


def test_without_an_ignore_file_the_usual_things_are_left_out(tmp_path: Path):
    folder = write(tmp_path, etl_py="")
    (folder / ".env").write_text("SECRET=1")

    assert names(bundles.pack(folder, bundles.ignores_of(folder))) == ["etl.py"]


def test_the_folder_s_own_ignore_file_counts_and_another_one_can_be_named(tmp_path: Path):
    folder = write(tmp_path, etl_py="", notes="")
    (folder / ".penstockignore").write_text("notes\n")
    (folder / "other").write_text("etl.py\n")

    assert "notes" not in names(bundles.pack(folder, bundles.ignores_of(folder)))
    assert "etl.py" not in names(bundles.pack(folder, bundles.ignores_of(folder, "other")))
    with pytest.raises(errors.NotFound, match="There is no such file of patterns"):
        bundles.ignores_of(folder, "none")


def test_a_folder_that_is_too_large_is_refused_with_its_largest_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bundles, "LARGEST_BUNDLE", 1 << 20)
    folder = write(tmp_path, etl_py="x")
    (folder / "trips.csv").write_bytes(bytes(2 << 20))
    (folder / "zones.csv").write_bytes(bytes(1 << 20))

    with pytest.raises(errors.FlowFileError) as refused:
        bundles.pack(folder, EVERYTHING)

    assert f"The folder is too large to be packed, 3.0 MiB of at most 1.0 MiB: `{folder}`" in str(refused.value)
    assert "the largest files are: trips.csv (2.0 MiB), zones.csv (1.0 MiB), etl.py (0.0 MiB)" in str(refused.value)


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "deep/../../outside"])
def test_a_link_that_leads_out_of_the_folder_is_refused(tmp_path: Path, target: str):
    folder = write(tmp_path / "code", etl_py="")
    (folder / "link").symlink_to(target)

    with pytest.raises(errors.FlowFileError, match="A link leads out of the folder"):
        bundles.pack(folder, EVERYTHING)
    assert names(bundles.pack(folder, ignore.ignores("link"))) == ["etl.py"]


def test_a_name_that_means_something_else_on_other_systems_is_refused(tmp_path: Path):
    (tmp_path / "a\\b.py").write_text("")

    with pytest.raises(errors.FlowFileError, match="A name holds a backslash"):
        bundles.pack(tmp_path, EVERYTHING)


def test_pipes_and_sockets_are_no_code(tmp_path: Path):
    folder = write(tmp_path, etl_py="")
    os.mkfifo(folder / "pipe")

    assert names(bundles.pack(folder, EVERYTHING)) == ["etl.py"]


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\\\0"), min_size=1, max_size=20).filter(
    lambda name: name not in (".", "..")
)


@given(files=st.dictionaries(NAMES, st.binary(max_size=2000), max_size=5))
def test_any_names_and_bytes_come_back(tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]):
    folder = tmp_path_factory.mktemp("code")
    for name, data in files.items():
        (folder / name).write_bytes(data)

    packed = bundles.pack(folder, EVERYTHING)
    with tarfile.open(fileobj=io.BytesIO(packed.archive)) as archive:
        back = {each.name: archive.extractfile(each).read() for each in archive}  # type: ignore[union-attr]  it is one that has it

    assert back == files
    assert (
        len(packed.archive)
        <= sum(512 + 512 * -(-len(data) // 512) + 2048 for data in files.values()) + tarfile.RECORDSIZE
    )
