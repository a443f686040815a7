"""Where the code of a deployment lies: what `storage=` takes."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NoReturn, Self

from penstock import errors
from penstock.core import deployments
from penstock.core.deployments import Code, LocalFolder

CLONE_SECONDS = 300


class _Storage:
    """What all of them share."""

    def save(self, name: str, *, overwrite: bool = False) -> NoReturn:  # noqa: ARG002  as Prefect's
        """Not there yet: raises `UsageError`."""
        raise _no_blocks(f"{type(self).__name__}.save({name!r})", type(self).__name__)

    @classmethod
    def load(cls, name: str) -> Self:
        """Not there yet: raises `UsageError`."""
        raise _no_blocks(f"{cls.__name__}.load({name!r})", cls.__name__)

    def code(self, path: str) -> Code:
        """The code of a deployment whose ``path`` in this storage is given."""
        raise NotImplementedError


class LocalFileSystem(_Storage):
    """A folder that every worker of the pool has at the same path, such as a mounted share."""

    def __init__(self, basepath: str | os.PathLike[str] = ".") -> None:
        self.basepath = str(Path(basepath).expanduser().absolute())

    def code(self, path: str) -> LocalFolder:
        return LocalFolder(os.path.normpath(os.path.join(self.basepath, path)))

    def get_directory(self, from_path: str | None = None, local_path: str | None = None) -> None:
        """Copy what is below ``from_path`` in here to a folder; without one, to the working directory."""
        source = self._within(from_path or "")
        if not source.is_dir():
            raise errors.NotFound(f"There is no such folder: `{source}`")
        target = Path(local_path or ".").absolute()
        if source != target:
            shutil.copytree(source, target, dirs_exist_ok=True)

    def put_directory(
        self, local_path: str | None = None, to_path: str | None = None, ignore_file: str | None = None
    ) -> int:
        """Copy a folder to ``to_path`` in here, without what the ignore file names; returns how many files."""
        from penstock.sdk import bundles  # noqa: PLC0415  only where code is copied

        source, target = Path(local_path or ".").absolute(), self._within(to_path or "")
        return bundles.copy(source, target, bundles.ignores_of(source, ignore_file))

    def read_path(self, path: str) -> bytes:
        """The content of a file in here."""
        try:
            return self._within(path).read_bytes()
        except FileNotFoundError:
            raise errors.NotFound(f"There is no such file: `{self._within(path)}`") from None

    def write_path(self, path: str, content: bytes) -> str:
        """Write a file in here, and the folders above it; returns where it is."""
        file = self._within(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return str(file)

    def _within(self, path: str) -> Path:
        found = Path(os.path.normpath(os.path.join(self.basepath, path)))
        if not found.is_relative_to(self.basepath):
            raise errors.UsageError(f"A path leads out of the folder `{self.basepath}`: `{path}`")
        return found

    def __repr__(self) -> str:
        return f"LocalFileSystem(basepath={self.basepath!r})"


class GitRepository(_Storage):
    """A git repository that workers can clone. A run uses the commit that ``ref`` names when it is claimed."""

    def __init__(self, url: str, branch: str | None = None, *, ref: str | None = None, folder: str = "") -> None:
        if branch is not None and ref is not None:
            raise errors.UsageError("A repository is taken at a branch or at another ref, not at both")
        self.url = _checked("url", url)
        self.ref = _checked("ref", branch or ref or "HEAD")
        self.folder = folder

    def code(self, path: str) -> deployments.GitRepository:
        folder = os.path.normpath(os.path.join(self.folder, path)) if self.folder or path else ""
        if os.path.isabs(folder) or folder.split(os.sep)[0] == "..":
            raise errors.UsageError(f"A folder of a repository is below its root, not: `{folder}`")
        return deployments.GitRepository(url=self.url, ref=self.ref, folder="" if folder == "." else folder)

    def get_directory(self, from_path: str | None = None, local_path: str | None = None) -> None:
        """Copy the repository, or what is below ``from_path`` in it, to a folder; by default to this one.

        Raises `FlowFileError` when git cannot get it.
        """
        with tempfile.TemporaryDirectory(prefix="penstock-git-") as folder:
            _fetch(self.url, self.ref, folder)
            shutil.rmtree(os.path.join(folder, ".git"))
            LocalFileSystem(os.path.join(folder, self.folder)).get_directory(from_path, local_path or ".")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(url={self.url!r}, ref={self.ref!r})"


class GitHub(GitRepository):
    """A public repository on GitHub: ``GitHub(repository="https://github.com/owner/name")``."""

    def __init__(
        self,
        repository: str,
        reference: str | None = None,
        access_token: Any = None,
        *,
        include_git_objects: bool = True,
    ) -> None:
        if access_token is not None:
            raise errors.UsageError(
                "Repositories that need an access token come with blocks, which this version of Penstock does not have",
                hint="let git on the workers know it, as by a credential helper, and use GitRepository(url=…)",
            )
        del include_git_objects  # of a copy, git's own files are of no use here; runs are checked out with them
        super().__init__(repository, ref=reference)

    @property
    def repository(self) -> str:
        return self.url

    @property
    def reference(self) -> str:
        return self.ref


def code_of(storage: Any, path: str) -> Code:
    """The code that ``storage=`` and ``path`` name; without a storage, the folder. Raises `UsageError`."""
    if storage is None:
        return LocalFolder(path)
    if isinstance(storage, _Storage):
        return storage.code(path)
    raise errors.UsageError(
        f"Not a storage of code: `{storage!r}`",
        hint="`penstock.filesystems` has LocalFileSystem, GitHub and GitRepository; others come with blocks",
    )


def storage_of(code: Code) -> tuple[_Storage | None, str]:
    """The storage and path that stand for code that a deployment has."""
    if isinstance(code, deployments.GitRepository):
        return GitRepository(code.url, ref=code.ref), code.folder
    return None, code.path if isinstance(code, LocalFolder) else ""


def _fetch(url: str, ref: str, folder: str) -> None:
    """Put a repository, as it is at a branch, tag or commit, into an empty folder."""
    safely = ["git", "-c", "protocol.ext.allow=never", "-C", folder]
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    for words in (
        ["init", "--quiet"],
        ["fetch", "--quiet", "--depth=1", url, ref],
        ["checkout", "--quiet", "FETCH_HEAD"],
    ):
        try:
            done = subprocess.run(  # noqa: S603  url and ref begin with no dash
                [*safely, *words], capture_output=True, text=True, timeout=CLONE_SECONDS, env=environment, check=False
            )
        except FileNotFoundError:
            raise errors.FlowFileError("There is no git on this machine", hint="install it") from None
        except subprocess.TimeoutExpired:
            raise errors.FlowFileError(f"It took git more than {CLONE_SECONDS} seconds: `{url}`") from None
        if done.returncode:
            told = next(iter(done.stderr.strip().splitlines()), "").removeprefix("fatal: ")
            raise errors.FlowFileError(f"git could not get `{ref}` of `{url}`: {told}")


def _checked(what: str, given: str) -> str:
    if not isinstance(given, str) or not given or given.startswith("-") or not given.isprintable():  # pyright: ignore[reportUnnecessaryIsInstance]  from users
        raise errors.UsageError(f"Not the {what} of a git repository: `{given}`")
    return given


def _no_blocks(what: str, kind: str) -> errors.UsageError:
    return errors.UsageError(
        f"Blocks cannot be stored in this version of Penstock, so there is no: `{what}`",
        hint=f"write it where it is used: `storage={kind}(…)`",
    )
