"""Where the code of deployments lies: folders and repositories."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from penstock import errors
from penstock.core import deployments
from penstock.core.deployments import LocalFolder
from penstock.filesystems import GitHub, GitRepository, LocalFileSystem
from penstock.sdk import code_sources


def git(folder: Path, *words: str) -> str:
    command = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", "-C", str(folder), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with two commits, the first of which has the tag v1."""
    folder = tmp_path / "repository"
    (folder / "flows").mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "config", "uploadpack.allowAnySHA1InWant", "true")
    for number in (1, 2):
        (folder / "flows" / "etl.py").write_text(f"VERSION = {number}\n")
        git(folder, "add", ".")
        git(folder, "commit", "--quiet", "-m", str(number))
        if number == 1:
            git(folder, "tag", "v1")
    return folder


def test_the_code_is_in_a_folder_without_a_storage():
    assert code_sources.code_of(None, "/flows") == LocalFolder("/flows")
    assert LocalFileSystem("/share").code("flows/gcp") == LocalFolder("/share/flows/gcp")


@pytest.mark.parametrize(
    ("storage", "path", "expected"),
    [
        (GitHub(repository="https://github.com/a/b"), "", ("https://github.com/a/b", "HEAD", "")),
        (
            GitHub(repository="https://github.com/a/b", reference="main"),
            "flows",
            ("https://github.com/a/b", "main", "flows"),
        ),
        (GitRepository("https://x.org/r", branch="dev"), ".", ("https://x.org/r", "dev", "")),
        (GitRepository("https://x.org/r", ref="v1", folder="a"), "b", ("https://x.org/r", "v1", "a/b")),
    ],
)
def test_the_code_is_in_a_repository(storage: Any, path: str, expected: tuple[str, str, str]):
    url, ref, folder = expected

    assert storage.code(path) == deployments.GitRepository(url=url, ref=ref, folder=folder)


def test_storages_are_known_again_from_code():
    storage, path = code_sources.storage_of(deployments.GitRepository("https://x.org/r", "v1", "a"))

    assert storage is not None
    assert storage.code(path) == deployments.GitRepository("https://x.org/r", "v1", "a")
    assert code_sources.storage_of(LocalFolder("/x")) == (None, "/x")


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: GitRepository("--upload-pack=evil"), "Not the url of a git repository"),
        (lambda: GitRepository("https://x.org/r", ref="-x"), "Not the ref of a git repository"),
        (lambda: GitRepository("https://x.org/r", "main", ref="v1"), "not at both"),
        (lambda: GitRepository("https://x.org/r").code("../x"), "A folder of a repository is below its root"),
        (lambda: GitRepository("https://x.org/r").code("/x"), "below its root, not: `/x`"),
        (lambda: GitHub("https://github.com/a/b", access_token="secret"), "Repositories that need an access token"),
        (lambda: GitHub.load("zoom"), "there is no: `GitHub.load('zoom')`"),
        (lambda: GitHub("https://github.com/a/b").save("zoom", overwrite=True), "there is no: `GitHub.save('zoom')`"),
        (lambda: LocalFileSystem.load("x"), "there is no: `LocalFileSystem.load('x')`"),
        (lambda: code_sources.code_of("s3://x", ""), "Not a storage of code: `'s3://x'`"),
    ],
)
def test_what_cannot_be_is_refused_by_name(make: Callable[[], Any], told: str):
    with pytest.raises(errors.UsageError) as refused:
        make()

    assert told in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(("ref", "version"), [(None, 2), ("main", 2), ("v1", 1)])
def test_a_repository_is_copied_as_it_is_at_a_ref(tmp_path: Path, repository: Path, ref: str | None, version: int):
    GitHub(repository=str(repository), reference=ref).get_directory(local_path=str(tmp_path / "to"))

    assert (tmp_path / "to/flows/etl.py").read_text() == f"VERSION = {version}\n"
    assert not (tmp_path / "to/.git").exists()


def test_a_folder_of_a_repository_is_copied_at_a_commit(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
):
    commit = git(repository, "rev-parse", "v1")
    (tmp_path / "to").mkdir()
    monkeypatch.chdir(tmp_path / "to")

    GitRepository(str(repository), ref=commit).get_directory(from_path="flows")

    assert (tmp_path / "to/etl.py").read_text() == "VERSION = 1\n"


@pytest.mark.parametrize("where", [("none", "HEAD"), ("repository", "no-such-branch")])
def test_a_repository_that_cannot_be_had_is_told(tmp_path: Path, repository: Path, where: tuple[str, str]):
    folder, ref = where

    with pytest.raises(errors.FlowFileError, match=f"git could not get `{ref}` of"):
        GitRepository(str(tmp_path / folder), ref=ref).get_directory(local_path=str(tmp_path / "to"))


def test_a_folder_takes_and_gives_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    project = tmp_path / "project"
    (project / "flows").mkdir(parents=True)
    (project / "flows/etl.py").write_text("x")
    (project / ".env").write_text("SECRET=1")
    share = LocalFileSystem(tmp_path / "share")
    monkeypatch.chdir(project)

    assert share.put_directory(to_path="v1") == 1
    share.get_directory("v1/flows", str(tmp_path / "back"))

    assert (tmp_path / "back/etl.py").read_text() == "x"
    assert not (tmp_path / "share/v1/.env").exists()
    assert share.read_path(share.write_path("notes/a.txt", b"hello")) == b"hello"


def test_paths_stay_within_a_folder(tmp_path: Path):
    share = LocalFileSystem(tmp_path / "share")

    with pytest.raises(errors.UsageError, match="A path leads out of the folder"):
        share.read_path("../secret")
    with pytest.raises(errors.NotFound):
        share.read_path("none")
    with pytest.raises(errors.NotFound):
        share.get_directory("none")
