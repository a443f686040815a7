"""Code from git: the commit that was pinned, and nothing that a name could talk git into."""

from __future__ import annotations

import os
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from penstock import errors
from penstock.core.deployments import GitRepository
from penstock.worker.git import Repositories, address_of, checked_ref

ENV = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    **{f"GIT_{who}_{what}": "a@b.test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}


class Origin:
    """A repository that workers fetch from."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"file://{folder}"
        folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *line: str) -> str:
        command = ["git", "-C", str(self.folder), *line]
        return subprocess.run(command, check=True, capture_output=True, text=True, env=ENV).stdout.strip()

    def commit(self, **files: str) -> str:
        for name, text in files.items():
            path = self.folder / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_suffix(".py").write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message=change")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return Origin(tmp_path / "origin")


@pytest.fixture
def repositories(tmp_path: Path) -> Repositories:
    return Repositories(tmp_path / "home", {"PATH": os.environ["PATH"], "HOME": str(tmp_path)})


def wanted() -> bool:
    return True


@pytest.mark.slow
def test_a_ref_stands_for_the_commit_that_it_names_now_and_the_pinned_one_stays(
    origin: Origin, repositories: Repositories
):
    first = origin.commit(flow="one")
    found = repositories.get(GitRepository(origin.url), None, wanted)
    second = origin.commit(flow="two")
    moved = repositories.get(GitRepository(origin.url, ref="main"), None, wanted)
    pinned = repositories.get(GitRepository(origin.url, ref="main"), first, wanted)

    assert (found.commit, (found.folder / "flow.py").read_text()) == (first, "one")
    assert (moved.commit, (moved.folder / "flow.py").read_text()) == (second, "two")
    assert (pinned.commit, pinned.folder) == (first, found.folder)
    assert not (found.folder / ".git").exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["branch", "tag", "commit", "short commit"])
def test_a_branch_a_tag_and_a_commit_are_refs(kind: str, origin: Origin, repositories: Repositories):
    commit = origin.commit(flow="wanted")
    origin.git("branch", "feature/x")
    origin.git("tag", "v1.0")
    origin.commit(flow="later")
    ref = {"branch": "feature/x", "tag": "v1.0", "commit": commit, "short commit": commit[:10]}[kind]

    found = repositories.get(GitRepository(origin.url, ref=ref), None, wanted)
    assert (found.commit, (found.folder / "flow.py").read_text()) == (commit, "wanted")


@pytest.mark.slow
def test_a_commit_that_was_pinned_is_fetched_though_no_branch_ends_there(origin: Origin, repositories: Repositories):
    commit = origin.commit(flow="old")
    origin.commit(flow="new")

    found = repositories.get(GitRepository(origin.url), commit, wanted)
    assert (found.folder / "flow.py").read_text() == "old"


@pytest.mark.slow
def test_a_folder_of_the_repository_is_where_the_entrypoint_begins(origin: Origin, repositories: Repositories):
    origin.commit(pipelines__flow="inside")
    os.symlink("/etc", origin.folder / "elsewhere")
    origin.commit()

    found = repositories.get(GitRepository(origin.url, folder="pipelines"), None, wanted)
    assert (found.folder / "flow.py").read_text() == "inside"
    for folder in ("nowhere", "../..", "elsewhere"):
        with pytest.raises(errors.FlowFileError, match="no such folder"):
            repositories.get(GitRepository(origin.url, folder=folder), None, wanted)


@pytest.mark.slow
def test_runs_that_start_at_once_share_one_checkout(origin: Origin, repositories: Repositories):
    commit = origin.commit(flow="shared")
    start = threading.Barrier(4)

    def get(_: int) -> Path:
        start.wait(10)
        return repositories.get(GitRepository(origin.url), commit, wanted).folder

    with ThreadPoolExecutor(4) as pool:
        folders = set(pool.map(get, range(4)))
    assert len(folders) == 1
    (folder,) = folders
    assert sorted(path.name for path in folder.parent.iterdir()) == sorted([commit, "lock", "repository"])


@pytest.mark.slow
def test_what_a_crash_left_half_checked_out_is_not_used(origin: Origin, repositories: Repositories, tmp_path: Path):
    commit = origin.commit(flow="whole")
    folder = repositories.get(GitRepository(origin.url), None, wanted).folder
    torn = folder.with_name(f".{commit}.1.aa")
    folder.rename(torn)
    (torn / "flow.py").write_text("ha")

    found = repositories.get(GitRepository(origin.url), commit, wanted)
    assert (found.folder.name, (found.folder / "flow.py").read_text()) == (commit, "whole")


@pytest.mark.slow
def test_hooks_and_filters_of_a_repository_do_nothing(origin: Origin, repositories: Repositories, tmp_path: Path):
    canary = tmp_path / "canary"
    (origin.folder / ".gitattributes").write_text("*.py filter=bad\n")
    (origin.folder / ".gitmodules").write_text(f'[submodule "m"]\n\tpath = m\n\turl = ext::touch {canary}\n')
    commit = origin.commit(flow="x")
    folder = repositories.get(GitRepository(origin.url), None, wanted).folder
    hook = folder.parent / "repository" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {canary}\n")
    hook.chmod(0o755)
    origin.commit(flow="y")
    repositories.get(GitRepository(origin.url), None, wanted)

    assert commit
    assert not canary.exists()


URLS = [
    "ext::sh -c touch% /tmp/canary",
    "--upload-pack=touch /tmp/canary",
    "-u touch",
    "http://example.test/x",
    "file://host/x",
    "ssh://-oProxyCommand=touch/x",
    "ssh://-oProxyCommand@host/x",
    "https://-host/x",
    "git@-oProxyCommand=x:y",
    "git@host:-x",
    "https://host/x\n--upload-pack=y",
    "https://host",
    "https://host/x?y=z",
    "/etc",
    "",
]


@pytest.mark.parametrize("url", URLS)
def test_a_url_that_git_could_take_for_something_else_is_refused(url: str):
    with pytest.raises(errors.FlowFileError, match="Not the URL"):
        address_of(url)


@pytest.mark.parametrize("ref", ["--upload-pack=x", "-x", "a..b", "a b", "a\nb", "@{u}", "a:b", "", "x~1", "a*"])
def test_a_ref_that_git_could_take_for_something_else_is_refused(ref: str):
    with pytest.raises(errors.FlowFileError, match="Not a branch, tag or commit"):
        checked_ref(ref)


def test_urls_that_people_write_are_understood():
    assert address_of("https://host.test/a/b.git") == ("https://host.test/a/b.git", "", "")
    assert address_of("git@host.test:a/b.git") == ("ssh://git@host.test/a/b.git", "", "")
    assert address_of("ssh://git@host.test:2222/a") == ("ssh://git@host.test:2222/a", "", "")
    assert address_of("file:///srv/a") == ("file:///srv/a", "", "")


def test_credentials_leave_the_url_and_are_found_in_a_file_of_the_home(repositories: Repositories, tmp_path: Path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "git-credentials").write_text("https://me:p%40ss@host.test\nhttps://you:other@elsewhere.test\n")
    known = repositories._known_credentials

    assert address_of("https://u:secret@host.test/a") == ("https://host.test/a", "u", "secret")
    assert address_of("https://host.test/a", known) == ("https://host.test/a", "me", "p@ss")
    assert address_of("https://host.test.evil.test/a", known) == ("https://host.test.evil.test/a", "", "")
    with pytest.raises(errors.FlowFileError) as refused:
        address_of("http://u:secret@host.test/a")
    assert "secret" not in str(refused.value)


@pytest.mark.slow
def test_a_password_is_in_no_argument_message_or_file(
    repositories: Repositories, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    lines: list[list[str]] = []
    popen = subprocess.Popen

    def noted(line: list[str], **options: object) -> object:
        lines.append(line)
        return popen(line, **options)  # pyright: ignore[reportCallIssue, reportArgumentType]  as given

    monkeypatch.setattr(subprocess, "Popen", noted)
    with pytest.raises(errors.FlowFileError, match="cannot be fetched") as failed:
        repositories.get(GitRepository("https://u:c4nary@127.0.0.1:1/x"), None, wanted)

    assert "c4nary" not in str(failed.value)
    assert not [word for line in lines for word in line if "c4nary" in word]
    for path in (tmp_path / "home").rglob("*"):
        assert not path.is_file() or b"c4nary" not in path.read_bytes()


@pytest.mark.slow
def test_git_is_ended_when_its_run_is_not_wanted_any_more(origin: Origin, tmp_path: Path):
    tools = tmp_path / "tools"
    tools.mkdir()
    slow = tools / "git"
    slow.write_text("#!/bin/sh\nsleep 60\n")
    slow.chmod(0o755)
    repositories = Repositories(tmp_path / "home", {"PATH": f"{tools}:{os.environ['PATH']}"})

    with pytest.raises(errors.FlowFileError, match="the run was stopped"):
        repositories.get(GitRepository(origin.url), None, lambda: False)
