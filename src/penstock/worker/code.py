"""The code of a run: a folder on this machine in which its entrypoint is found."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from pathlib import Path

from penstock import errors
from penstock.client.server import Server
from penstock.core.deployments import Bundle, Code, GitRepository, LocalFolder
from penstock.worker.bundles import Bundles
from penstock.worker.checkouts import Checkout
from penstock.worker.git import Repositories


class CodeStore:
    """Gets the code of runs, and keeps it in ``<home>/code`` for the next ones."""

    def __init__(self, home: Path, server: Server, environ: Mapping[str, str]) -> None:
        self._repositories = Repositories(home, environ)
        self._bundles = Bundles(home, server)

    def get(self, code: Code, commit: str | None, is_wanted: Callable[[], bool]) -> Checkout:
        """The code, at the commit that is pinned, if one is. Raises `FlowFileError` when it cannot be had.

        ``is_wanted`` is asked now and then whether it is still of use.
        """
        if isinstance(code, GitRepository):
            return self._repositories.get(code, commit, is_wanted)
        if isinstance(code, Bundle):
            return self._bundles.get(code)
        return local_folder(code)


def local_folder(code: LocalFolder) -> Checkout:
    """A folder that is there already."""
    folder = Path(code.path).expanduser()
    if not folder.is_dir():
        raise errors.FlowFileError(
            f"There is no such folder on the worker's machine, {platform.node()}: `{code.path}`",
            hint="put it there, start a worker where it is, or deploy with a git repository or `--upload`, "
            "which any worker can get",
        )
    return Checkout(folder.absolute())
