"""``penstock deploy``: the deployments of a project's file."""

from __future__ import annotations

import fnmatch
import os
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from penstock import errors
from penstock.cli import deployment_diff
from penstock.cli.deployment_build import Upload
from penstock.cli.session import Here, Session
from penstock.core import project_files
from penstock.core.deployment_files import WrittenDeployment
from penstock.core.deployments import GitRepository, LocalFolder
from penstock.core.operations.deployments import Applied
from penstock.sdk import code_sources, entrypoints, infrastructure
from penstock.sdk.deployments import Deployment

FALLBACK = "prefect.yaml"
"""What is read where there is no file of ours."""


def deploy(
    *,
    name: Annotated[
        tuple[str, ...],
        Parameter(name=("-n", "--name"), metavar="NAME", help="Only this deployment; `*` stands for anything."),
    ] = (),
    all_: Annotated[bool, Parameter(name="--all", help="All deployments of the file.")] = False,
    file: Annotated[
        Path | None, Parameter(name=("-f", "--file"), metavar="FILE", help="Read this file, and not `penstock.yaml`.")
    ] = None,
    upload: Upload = False,
    dry_run: Annotated[bool, Parameter(help="Show what would change, and change nothing.")] = False,
    here: Here,
) -> None:
    """Let the server know the deployments of `penstock.yaml`, whatever it knew of them.

    Doing it again changes nothing. Each flow's file is imported here, to know its name and parameters; no server ever
    does that. Prefect's `prefect.yaml` will do as well; what is not read in it is told.
    """
    chosen = _chosen(_read(here, file), name, everything=all_)
    # All are looked at before any is applied: a mistake in the last one leaves things as they were.
    prepared = []
    for written in chosen:
        deployment = _complete(written)
        deployment.upload = deployment.upload or upload or None
        prepared.append(deployment.prepare(here.orchestrator))
        if warning := infrastructure.warning_about(deployment.infrastructure or {}):
            here.terminal.warn(f"{deployment.name}: {warning}")
    for each in prepared:
        each.rehearse()
    for each in prepared:
        if dry_run:
            deployment_diff.show(here.terminal, each)
        else:
            _tell(here, each.apply())
    if dry_run:
        here.terminal.say("Nothing was changed")


def _read(here: Session, given: Path | None) -> tuple[WrittenDeployment, ...]:
    file = given or next((path for path in map(Path, (project_files.FILE_NAME, FALLBACK)) if path.is_file()), None)
    if file is None or not file.is_file():
        raise errors.DeploymentFileError(
            f"There is no file of deployments: `{file or Path.cwd() / project_files.FILE_NAME}`",
            hint="`penstock deployment build FILE:FLOW -n NAME --apply` deploys a flow without one",
        )
    try:
        text = file.read_text("utf-8")
    except UnicodeDecodeError:
        raise errors.DeploymentFileError(f"Not a text file: `{file}`") from None
    read = project_files.read(text, where=str(file), folder=str(file.absolute().parent))
    for note in read.notes:
        here.terminal.warn(note)
    return read.deployments


def _chosen(
    found: tuple[WrittenDeployment, ...], names: tuple[str, ...], *, everything: bool
) -> list[WrittenDeployment]:
    known = [each.name for each in found]
    if everything and names:
        raise errors.UsageError("`--all` and `-n` exclude each other")
    if not names:
        if len(found) > 1 and not everything:
            raise errors.UsageError(
                f"The file holds several deployments: `{'`, `'.join(known)}`", hint="say which by `-n NAME`, or `--all`"
            )
        return list(found)
    for name in names:
        if not fnmatch.filter(known, name.rpartition("/")[2]):
            raise errors.NotFound(f"The file holds no deployment: `{name}`", hint=f"it holds: {', '.join(known)}")
    wanted = [name.rpartition("/")[2] for name in names]
    return [each for each in found if any(fnmatch.fnmatchcase(each.name, name) for name in wanted)]


def _complete(written: WrittenDeployment) -> Deployment:
    """The deployment, with what only the flow's own file knows."""
    deployment = Deployment.of_written(written)
    with (
        _folder_of(written) as folder,
        _loaded_aside(),
        entrypoints.loaded(_in_folder(folder, written.entrypoint), root=folder) as flow,
    ):
        deployment.flow_name = flow.name
        deployment.parameter_openapi_schema = flow.parameters
        deployment.version = written.version if written.version is not None else flow.version
        deployment.description = written.description if written.description is not None else flow.description
    return deployment


@contextmanager
def _folder_of(written: WrittenDeployment) -> Generator[str]:
    """A folder of this machine with its code; that of a repository is fetched for the time being."""
    if isinstance(written.code, LocalFolder):
        yield written.code.path
        return
    if not isinstance(written.code, GitRepository):
        raise errors.UsageError(f"The code of deployment `{written.name}` is an archive, which is not read here")
    storage, path = code_sources.storage_of(written.code)
    assert isinstance(storage, code_sources.GitRepository)
    with tempfile.TemporaryDirectory(prefix="penstock-deploy-") as folder:
        storage.get_directory(path or None, folder)
        yield folder


@contextmanager
def _loaded_aside() -> Generator[None]:
    """What is imported meanwhile is forgotten after: other flows may have other modules of the same names."""
    before = dict(sys.modules)
    try:
        yield
    finally:
        for name in [name for name, module in sys.modules.items() if _is_users(module) and name not in before]:
            del sys.modules[name]


def _is_users(module: object) -> bool:
    file = getattr(module, "__file__", None) or ""
    return bool(file) and "site-packages" not in file and not file.startswith((sys.base_prefix, sys.prefix))


def _in_folder(folder: str, entrypoint: str) -> str:
    file = entrypoint.rpartition(":")[0]
    return os.path.join(folder, entrypoint) if file.endswith(".py") else entrypoint


def _tell(here: Session, applied: Applied) -> None:
    made = applied.deployment
    if applied.created:
        became = "created"
    else:
        became = f"changed ({', '.join(applied.changed)})" if applied.changed else "as it was"
    here.terminal.tell(f"Deployment '{made.full_name}' {became}, with id '{made.id}'.")
