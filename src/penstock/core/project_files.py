"""``penstock.yaml``: several deployments in one file, which ``penstock deploy`` applies.

Its keys are those of Prefect's ``prefect.yaml``, which is read as well. Where the code lies is said by ``code:``, or as
there by ``pull:``, once for all deployments or for each. What is written once can be referred to with YAML's anchors,
from below ``definitions:``.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from penstock.core import deployment_files, file_schedules
from penstock.core.deployment_files import WrittenDeployment
from penstock.core.deployments import Code, GitRepository, LocalFolder
from penstock.core.infrastructure import overridden
from penstock.core.yaml_text import Section, parse

FILE_NAME = "penstock.yaml"


class ProjectRead(NamedTuple):
    """The deployments of a file, and a sentence for each thing in it that is ignored or means something else here."""

    deployments: tuple[WrittenDeployment, ...]
    notes: tuple[str, ...]


def read(text: str, *, where: str, folder: str) -> ProjectRead:
    """What a file says. ``where`` names it in errors; ``folder`` is where it lies, an absolute path.

    The name of a flow and the schema of its parameters are not in it: whoever loads an entrypoint finds them. Raises
    `DeploymentFileError`, which names the line and the key.
    """
    section = parse(text, where)
    if not section.has("deployments") and section.has("entrypoint"):
        raise section.problem(
            "This file holds one deployment", hint=f"`penstock deployment apply {where}` reads such files"
        )
    section.refuse_others_than(KEYS)
    notes = [section.not_read(key, why) for key, why in _STEPS_OF_PREFECT.items() if section.has(key)]
    code = _code(section, folder, notes) or _Code(LocalFolder(folder))
    found = [_deployment(each, folder, code, notes) for each in section.sections("deployments")]
    if not found:
        raise section.problem("There are no deployments in it", "deployments" if "deployments" in section else None)
    _refuse_twins(section, found)
    return ProjectRead(tuple(found), tuple(dict.fromkeys(notes)))


KEYS = ("name", "deployments", "code", "pull", "definitions", "build", "push", "prefect-version", "penstock-version")
"""What stands at the beginning of a line."""

DEPLOYMENT_KEYS = (
    "name",
    "entrypoint",
    "description",
    "version",
    "tags",
    "parameters",
    "schedule",
    "schedules",
    *file_schedules.TIMES,
    "work_pool",
    "concurrency_limit",
    "on_crash",
    "timeout_seconds",
    "enforce_parameter_schema",
    "paused",
    "is_schedule_active",
    "code",
    "pull",
    "flow_name",
    "build",
    "push",
    "triggers",
    "sla",
    "job_variables",
)
"""What may be said of each deployment."""

_STEPS_OF_PREFECT = {
    "build": "images are built by whoever needs them",
    "push": "`upload: true` below `code` packs the folder and sends it to the server",
}
_OF_PREFECT = {
    **_STEPS_OF_PREFECT,
    "flow_name": "the flow itself knows its name",
    "triggers": "there are no automations yet",
    "sla": "there are no automations yet",
}
_POOL_KEYS = ("name", "work_queue_name", "job_variables")
_STEP = re.compile(r"(?:\w+\.)*(?P<name>\w+)")
_TEMPLATE = re.compile(r"\{\{.*?\}\}")


class _Code(NamedTuple):
    """Where code lies, and whether it is packed and sent."""

    code: Code
    upload: bool | None = None


def _deployment(section: Section, folder: str, general: _Code, notes: list[str]) -> WrittenDeployment:
    section.refuse_others_than(DEPLOYMENT_KEYS)
    notes += [section.not_read(key, why) for key, why in _OF_PREFECT.items() if section.has(key)]
    name = deployment_files.name_of(section, "name")
    place = _code(section, folder, notes) or general
    paused = section.flag("paused")
    active = section.flag("is_schedule_active")
    if active is not None and active is paused:
        raise section.problem("A deployment cannot be paused, and its schedules active", "paused")
    return WrittenDeployment(
        name=name,
        entrypoint=_filled_in(section, "entrypoint", deployment_files.entrypoint_of(section, notes)),
        code=place.code,
        upload=place.upload,
        is_schedule_active=active if paused is None else not paused,
        concurrency_limit=_limit(section, notes),
        **_pool(section, notes),
        **deployment_files.said_in_any_file(section, notes),
    )


def _limit(section: Section, notes: list[str]) -> int | None:
    """A number, or as Prefect 3 has it, a mapping with one."""
    inner = section.section("concurrency_limit") if section.is_mapping("concurrency_limit") else None
    if inner is None:
        return section.value("concurrency_limit", deployment_files.Limit)
    inner.refuse_others_than(("limit", "collision_strategy"))
    if inner.text("collision_strategy") == "CANCEL_NEW":
        notes.append(inner.not_read("collision_strategy", "a run that finds no free slot waits"))
    return inner.value("limit", deployment_files.Limit)


def _pool(section: Section, notes: list[str]) -> dict[str, Any]:
    jobs = [section] if section.has("job_variables") else []
    if (pool := section.section("work_pool")) is not None:
        pool.refuse_others_than(_POOL_KEYS)
        jobs.append(pool)
    infrastructure: dict[str, Any] = {}
    for each in jobs:
        said = deployment_files.infrastructure_of(each, "job_variables", notes)
        for key in [key for key, value in said.items() if _TEMPLATE.search(str(value))]:
            notes.append(f"{each.place('job_variables')}: `{key}` is not read: nothing fills in `{said[key]}`")
            del said[key]
        infrastructure = overridden(infrastructure, said)
    return {
        "work_pool_name": pool and _filled_in(pool, "name", pool.text("name")),
        "work_queue_name": pool and _filled_in(pool, "work_queue_name", pool.text("work_queue_name")),
        "infrastructure": infrastructure,
    }


def _code(section: Section, folder: str, notes: list[str]) -> _Code | None:
    """Where the code lies, as ``code`` says it, or the steps of ``pull``; None when neither says it."""
    if (said := section.section("code")) is None:
        return _pulled(section, folder, notes)
    if section.has("pull"):
        raise section.problem("Where the code lies is said by `code` or by `pull`, not by both", "pull")
    if said.has("git"):
        said.refuse_others_than(("git", "ref", "folder"))
        return _Code(_repository(said, "git", said.text("ref"), said.text("folder") or ""))
    said.refuse_others_than(("folder", "upload", "git", "ref"))
    if said.has("ref"):
        raise said.problem("`ref` is of a repository, and none is named", "ref", hint="name it: `git: https://…`")
    path = posixpath.normpath(posixpath.join(folder, said.text("folder") or ""))
    return _Code(LocalFolder(path), said.flag("upload"))


def _pulled(section: Section, folder: str, notes: list[str]) -> _Code | None:
    """What Prefect's steps do before each run: of these, only where the code comes from is of interest."""
    found: _Code | None = None
    for step, name, said in _steps(section):
        kind = (_STEP.fullmatch(name) or {"name": name})["name"]
        if kind in ("git_clone", "git_clone_project"):
            notes += [said.not_read(key, deployment_files.GIT_ON_WORKERS) for key in _NOT_OF_GIT if said.has(key)]
            ref = said.text("commit_sha") or said.text("branch")
            found = _Code(_repository(said, "repository", ref, ""))
        elif kind == "set_working_directory":
            found = _in_directory(said, folder, found)
        else:
            notes.append(step.not_read(name, "let the workers' environment have what the flow needs"))
    return found


_NOT_OF_GIT = (*deployment_files.SECRETS_OF_GIT, "include_submodules")


def _steps(section: Section) -> Iterator[tuple[Section, str, Section]]:
    for step in section.sections("pull"):
        for name in step:
            yield step, name, step.section(name) or step.nothing(name)


def _in_directory(said: Section, folder: str, found: _Code | None) -> _Code:
    directory = said.needed("directory")
    if found is not None and isinstance(found.code, GitRepository):
        directory = _CLONE.sub("", directory, count=1)
    directory = _filled_in(said, "directory", directory)
    if found is None or not isinstance(found.code, GitRepository) or directory.startswith("/"):
        return _Code(LocalFolder(posixpath.normpath(posixpath.join(folder, directory))))
    first, _, rest = directory.partition("/")
    cloned = posixpath.basename(found.code.url.rstrip("/")).removesuffix(".git")
    return _Code(
        _repository_folder(said, found.code, rest if first in (cloned, f"{cloned}-{found.code.ref}") else directory)
    )


_CLONE = re.compile(r"^\{\{\s*[\w-]+\.directory\s*\}\}/*")
"""Where a step has cloned to, as the steps after it say it."""


def _repository(section: Section, key: str, ref: str | None, folder: str) -> GitRepository:
    url = _filled_in(section, key, section.needed(key))
    checked = _filled_in(section, key, ref or "HEAD")
    return _repository_folder(section, GitRepository(url=url, ref=checked), folder)


def _repository_folder(section: Section, repository: GitRepository, folder: str) -> GitRepository:
    path = posixpath.normpath(folder) if folder else ""
    if path.startswith(("/", "..")):
        raise section.problem(f"Not a folder of the repository: `{folder}`")
    return GitRepository(url=repository.url, ref=repository.ref, folder="" if path == "." else path)


def _filled_in(section: Section, key: str, text: str | None) -> Any:
    """The text, if nobody has to fill anything in."""
    if text is not None and (found := _TEMPLATE.search(text)):
        raise section.problem(f"Nothing fills in `{found[0]}`", key if key in section else None, hint="write the value")
    return text


def _refuse_twins(section: Section, deployments: list[WrittenDeployment]) -> None:
    seen: dict[tuple[str, str], Section] = {}
    for deployment, place in zip(deployments, section.sections("deployments"), strict=True):
        key = (deployment.entrypoint, deployment.name)
        if key in seen:
            raise place.problem(f"Two deployments of `{key[0]}` have the name `{key[1]}`", "name")
        seen[key] = place
