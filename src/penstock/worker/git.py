"""Code from git repositories: fetched into ``<home>/code/git``, checked out once for each commit.

git is run with a clean environment and no configuration of the user's but for what ssh knows; what a deployment says
reaches it as arguments that cannot be options. Credentials are handed to it when it asks, and lie in no argument, no
URL and no file of the repository's.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

from penstock import clock, errors
from penstock.core.deployments import GitRepository
from penstock.files.local import make_folder
from penstock.journal.folder import lock
from penstock.worker.checkouts import Checkout, checked_folder, install, opened

if TYPE_CHECKING:
    from collections.abc import Generator

SECONDS = 600.0
"""git may take this long."""
LOOK_SECONDS = 0.1

_REF = re.compile(r"[A-Za-z0-9._/][A-Za-z0-9._/+@#-]{0,199}")
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_FULL_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_BY_SSH = re.compile(r"(?P<user>[A-Za-z0-9._-]+)@(?P<host>[A-Za-z0-9][A-Za-z0-9.-]*):(?P<path>[^/:-][^:]*)")
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9a-fA-F:.]+\]")
_UNFIT = re.compile(r"[\x00-\x20\x7f]")

_KEPT = frozenset("PATH HOME USER LOGNAME SSH_AUTH_SOCK SSL_CERT_FILE SSL_CERT_DIR TMPDIR".split())
_PROXIES = frozenset("http_proxy https_proxy no_proxy all_proxy HTTPS_PROXY NO_PROXY ALL_PROXY".split())

_ASKPASS = """#!/bin/sh
case "$1" in
    Username*) printf '%s\\n' "$PENSTOCK_GIT_USERNAME" ;;
    *) printf '%s\\n' "$PENSTOCK_GIT_PASSWORD" ;;
esac
"""

_OPTIONS = (
    "-c",
    "protocol.ext.allow=never",
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "credential.helper=",
    "-c",
    "submodule.recurse=false",
    "-c",
    "fetch.recurseSubmodules=false",
    "-c",
    "gc.auto=0",
)

FETCHED = "refs/penstock/fetched"


class Address(NamedTuple):
    """Where a repository is, without what opens it."""

    url: str
    username: str = ""
    password: str = ""


class Repositories:
    """The repositories that this worker knows."""

    def __init__(self, home: Path, environ: Mapping[str, str]) -> None:
        self._folder = home / "code" / "git"
        self._askpass = home / "code" / "askpass"
        self._credentials = home / "git-credentials"
        self._environ = environ

    def get(self, wanted: GitRepository, commit: str | None, is_wanted: Callable[[], bool]) -> Checkout:
        """The repository's files at a commit; without one, at the one that its ref stands for now.

        Raises `FlowFileError` when git cannot get them, or what is asked for must not be handed to git.
        """
        address = address_of(wanted.url, self._known_credentials)
        ref = checked_ref(wanted.ref)
        if commit is not None and not _FULL_COMMIT.fullmatch(commit):
            raise errors.FlowFileError(f"Not a commit: `{commit}`")
        folder = self._folder / blake2b(address.url.encode(), digest_size=16).hexdigest()
        make_folder(folder)
        found = None if commit is None else opened(folder / commit)
        with _locked(folder / "lock", is_wanted):
            git = Git(folder / "repository", self._environment(address), is_wanted)
            if found is None:
                if commit is None:
                    commit = git.fetch(address.url, ref)
                elif not git.has(commit):
                    git.fetch_commit(address.url, commit)
                found = opened(folder / commit) or install(
                    folder / commit, lambda target: git.check_out(str(commit), target)
                )
        found.commit = commit
        try:
            found.folder = checked_folder(found.folder, wanted.folder)
        except BaseException:
            found.close()
            raise
        return found

    def _environment(self, address: Address) -> dict[str, str]:
        if not self._askpass.exists():
            temporary = self._askpass.with_name(f".askpass.{os.getpid()}")
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o700)
            with open(descriptor, "w", encoding="ascii") as file:
                file.write(_ASKPASS)
            os.replace(temporary, self._askpass)
        return {
            **{name: value for name, value in self._environ.items() if name in _KEPT or name in _PROXIES},
            "LC_ALL": "C",
            "GIT_ALLOW_PROTOCOL": "https:ssh:file",
            "GIT_ASKPASS": str(self._askpass),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_LFS_SKIP_SMUDGE": "1",
            "GIT_SSH_COMMAND": "ssh -o BatchMode=yes",
            "GIT_TERMINAL_PROMPT": "0",
            "PENSTOCK_GIT_USERNAME": address.username,
            "PENSTOCK_GIT_PASSWORD": address.password,
        }

    def _known_credentials(self, scheme: str, host: str) -> tuple[str, str]:
        """What ``<home>/git-credentials`` has for a host: lines like ``https://user:token@host``."""
        try:
            lines = self._credentials.read_text("utf-8").splitlines()
        except OSError:
            return "", ""
        for line in lines:
            try:
                known = urlsplit(line.strip())
            except ValueError:
                continue
            if known.scheme == scheme and known.netloc.rpartition("@")[2] == host:
                return unquote(known.username or ""), unquote(known.password or "")
        return "", ""


def address_of(url: str, credentials: Callable[[str, str], tuple[str, str]] = lambda *_: ("", "")) -> Address:
    """The URL of a repository as git may be handed it. Raises `FlowFileError` for one that it must not be."""
    by_ssh = _BY_SSH.fullmatch(url)
    if by_ssh and "://" not in url:
        return Address(f"ssh://{by_ssh['user']}@{by_ssh['host']}/{by_ssh['path']}")
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        name = re.sub(r":\d+$", "", host)
    except ValueError:
        raise _unfit(url) from None
    if _UNFIT.search(url) or parts.query or parts.fragment:
        raise _unfit(url)
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
        return Address(url)
    if parts.scheme not in ("https", "ssh") or not _HOST.fullmatch(name) or not parts.path.strip("/"):
        raise _unfit(url)
    username, password = unquote(parts.username or ""), unquote(parts.password or "")
    if parts.scheme == "ssh":
        if not re.fullmatch(r"[A-Za-z0-9._-]*", username) or username.startswith("-"):
            raise _unfit(url)
        return Address(f"ssh://{username}@{host}{parts.path}" if username else f"ssh://{host}{parts.path}")
    if not username:
        username, password = credentials(parts.scheme, host)
    return Address(f"https://{host}{parts.path}", username, password)


def shown(url: str) -> str:
    """The URL without its credentials."""
    return re.sub(r"://[^/@]*@", "://", url)


def _unfit(url: str) -> errors.FlowFileError:
    return errors.FlowFileError(
        f"Not the URL of a repository that workers clone: `{shown(url)}`",
        hint="it begins with `https://`, `ssh://`, `git@host:` or `file:///`",
    )


def checked_ref(ref: str) -> str:
    """The ref, if it can be one: nothing that git would take for an option or for several refs."""
    if not _REF.fullmatch(ref) or ".." in ref or "@{" in ref or ref.endswith((".lock", "/", ".")):
        raise errors.FlowFileError(f"Not a branch, tag or commit: `{ref}`")
    return ref


class Git:
    """One bare repository on this machine, and git to keep it."""

    def __init__(self, folder: Path, env: Mapping[str, str], is_wanted: Callable[[], bool]) -> None:
        self._folder = folder
        self._env = env
        self._is_wanted = is_wanted
        if not (folder / "HEAD").exists():
            shutil.rmtree(folder, ignore_errors=True)
            temporary = folder.with_name(f".{folder.name}")
            shutil.rmtree(temporary, ignore_errors=True)
            self._run("init", "--quiet", "--bare", "--template=", "--", str(temporary))
            os.replace(temporary, folder)

    def fetch(self, url: str, ref: str) -> str:
        """Get what a ref stands for now; returns the commit."""
        try:
            self._fetch(url, f"+{ref}:{FETCHED}", "--depth=1")
        except errors.FlowFileError as trouble:
            if not _COMMIT.fullmatch(ref) or not self._is_wanted():
                raise
            try:
                self._fetch_everything(url)
            except errors.FlowFileError:
                raise trouble from None
            return self._commit(ref)
        return self._commit(FETCHED)

    def fetch_commit(self, url: str, commit: str) -> None:
        """Get a commit. Servers may refuse to give one that no ref stands for: then everything is fetched."""
        try:
            self._fetch(url, commit, "--depth=1")
        except errors.FlowFileError:
            self._fetch_everything(url)
        self._commit(commit)

    def has(self, commit: str) -> bool:
        try:
            self._in("cat-file", "-e", f"{commit}^{{tree}}")
        except errors.FlowFileError:
            return False
        return True

    def check_out(self, commit: str, target: Path) -> None:
        """Write a commit's files into an empty folder."""
        index = target.with_name(f"{target.name}.index")
        env = {**self._env, "GIT_INDEX_FILE": str(index)}
        try:
            self._in("read-tree", "--end-of-options", commit, env=env)
            self._in("--work-tree", str(target), "checkout-index", "--all", "--force", "--quiet", env=env)
        finally:
            index.unlink(missing_ok=True)

    def _fetch_everything(self, url: str) -> None:
        depth = ("--unshallow",) if (self._folder / "shallow").exists() else ()
        refs = ("+refs/heads/*:refs/penstock/heads/*", "+refs/tags/*:refs/penstock/tags/*")
        self._in("fetch", "--quiet", "--no-tags", *depth, "--end-of-options", url, *refs)

    def _fetch(self, url: str, ref: str, *options: str) -> None:
        self._in("fetch", "--quiet", "--no-tags", *options, "--end-of-options", url, ref)

    def _commit(self, ref: str) -> str:
        found = self._in("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}").split()
        if not found or not _FULL_COMMIT.fullmatch(found[-1]):
            raise errors.FlowFileError(f"The repository has no such commit: `{ref}`")
        return found[-1]

    def _in(self, *line: str, env: Mapping[str, str] | None = None) -> str:
        return self._run("--git-dir", str(self._folder), *line, env=env)

    def _run(self, *line: str, env: Mapping[str, str] | None = None) -> str:
        try:
            process = subprocess.Popen(  # noqa: S603  arguments that were looked at, and no shell
                ["git", *_OPTIONS, *line],  # noqa: S607  the one on the worker's PATH
                env=env or self._env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        except FileNotFoundError:
            raise errors.FlowFileError("There is no git on the worker's machine", hint="install it") from None
        with process:
            out, err = self._awaited(process)
        if process.returncode:
            # A password is in none of git's arguments, so that it cannot be in what git says about them.
            told = "; ".join(dict.fromkeys(each.strip() for each in err.splitlines() if each.strip())) or "git failed"
            raise errors.FlowFileError(f"The code cannot be fetched: {told[:1000]}")
        return out

    def _awaited(self, process: subprocess.Popen[str]) -> tuple[str, str]:
        ends_at = clock.boottime() + SECONDS
        while True:
            try:
                return process.communicate(timeout=LOOK_SECONDS)
            except subprocess.TimeoutExpired:
                if self._is_wanted() and clock.boottime() < ends_at:
                    continue
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            why = f"git took longer than {SECONDS:.0f} seconds" if self._is_wanted() else "the run was stopped"
            raise errors.FlowFileError(f"The code cannot be fetched: {why}")


@contextmanager
def _locked(path: Path, is_wanted: Callable[[], bool]) -> Generator[None]:
    """One at a time, of all workers of this home."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        while not lock(descriptor, wait=False):
            if not is_wanted():
                raise errors.FlowFileError("The code cannot be fetched: the run was stopped")
            clock.SYSTEM.sleep(LOOK_SECONDS / 2)
        yield
    finally:
        os.close(descriptor)
