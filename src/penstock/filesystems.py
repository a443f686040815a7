"""Where the code of a deployment lies: what ``storage=`` takes."""

from __future__ import annotations

from typing import NoReturn

from penstock.sdk import absent
from penstock.sdk.code_sources import GitHub, GitRepository, LocalFileSystem

__all__ = ["GitHub", "GitRepository", "LocalFileSystem"]


def __getattr__(name: str) -> NoReturn:
    instead = "`upload=True` keeps a deployment's code at the server, `GitRepository` takes it from a repository"
    absent.refuse(__name__, name, dict.fromkeys(("Azure", "GCS", "RemoteFileSystem", "S3", "SMB"), instead))
