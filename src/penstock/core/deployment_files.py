"""Files of one deployment: ``deployment build`` writes them, people edit them, ``deployment apply`` reads them.

Those that Prefect 2 wrote are read as well, with a note of what is ignored or translated. A file that is built again
keeps its comments, its order, and every line that still says what it should.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple, TypeAlias

import msgspec

from penstock import errors
from penstock.core import file_schedules, yaml_text
from penstock.core.deployments import (
    DEFAULT_POOL,
    DEFAULT_QUEUE,
    NAME,
    Bundle,
    Code,
    DeploymentSpec,
    GitRepository,
    LocalFolder,
    OnCrash,
    ScheduleSpec,
)
from penstock.core.infrastructure import overridden
from penstock.core.suggestions import did_you_mean, nearest
from penstock.core.yaml_text import Section

Limit: TypeAlias = Annotated[int, msgspec.Meta(ge=1)]
Seconds: TypeAlias = Annotated[float, msgspec.Meta(gt=0)]


class WrittenDeployment(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment as a file says it; None is what it does not say."""

    name: str
    flow_name: str | None = None
    """None in files that do not know it: whoever loads the entrypoint does."""
    entrypoint: str
    code: Code
    description: str | None = None
    version: str | None = None
    tags: tuple[str, ...] = ()
    parameters: dict[str, Any] = {}
    parameter_openapi_schema: dict[str, Any] = {}
    enforce_parameter_schema: bool | None = None
    schedules: tuple[ScheduleSpec, ...] = ()
    is_schedule_active: bool | None = None
    work_pool_name: str | None = None
    work_queue_name: str | None = None
    infrastructure: dict[str, Any] = {}
    infra_overrides: dict[str, Any] = {}
    """Laid over ``infrastructure``; names may have dots, as in ``env.TZ``."""
    concurrency_limit: int | None = None
    on_crash: OnCrash | None = None
    timeout_seconds: float | None = None
    upload: bool | None = None
    """Whether applying packs the folder of the code and sends it to the server."""

    def spec(
        self,
        *,
        flow_name: str | None = None,
        code: Code | None = None,
        parameter_schema: Mapping[str, Any] | None = None,
    ) -> DeploymentSpec:
        """The deployment that is wanted. What is given here is what somebody found out by loading the flow.

        Raises `UsageError` when the flow's name is not known, or something does not fit.
        """
        if (flow := flow_name or self.flow_name) is None:
            raise errors.UsageError(f"It is not known which flow deployment `{self.name}` is of")
        return DeploymentSpec(
            name=self.name,
            flow_name=flow,
            entrypoint=self.entrypoint,
            code=code or self.code,
            description=self.description or "",
            version=self.version or "",
            tags=self.tags,
            parameters=self.parameters,
            parameter_schema=self.parameter_openapi_schema if parameter_schema is None else dict(parameter_schema),
            enforce_parameter_schema=self.enforce_parameter_schema is not False,
            schedules=self.schedules,
            work_pool=self.work_pool_name or DEFAULT_POOL,
            work_queue=self.work_queue_name or DEFAULT_QUEUE,
            infrastructure=overridden(self.infrastructure, self.infra_overrides),
            concurrency_limit=self.concurrency_limit,
            on_crash=self.on_crash or "resume",
            timeout_seconds=self.timeout_seconds,
            paused=self.is_schedule_active is False,
        )


class FileRead(NamedTuple):
    """The deployment of a file, and a sentence for each thing in it that is ignored or means something else here."""

    deployment: WrittenDeployment
    notes: tuple[str, ...]


def read(text: str, *, where: str, folder: str) -> FileRead:
    """What a file says. ``where`` names it in errors; ``folder`` is where it lies, an absolute path.

    Raises `DeploymentFileError`, which names the line and the key.
    """
    section = yaml_text.parse(text, where)
    if section.has("deployments"):
        raise section.problem(
            "This file holds several deployments",
            "deployments",
            hint=f"`penstock deploy --file {where}` reads such files",
        )
    section.refuse_others_than(KEYS)
    notes = [section.not_read(key, why) for key, why in _OF_PREFECT.items() if section.has(key)]
    deployment = WrittenDeployment(
        name=name_of(section, "name"),
        flow_name=name_of(section, "flow_name"),
        entrypoint=entrypoint_of(section, notes),
        code=_code(section, folder, notes),
        parameter_openapi_schema=_schema(section),
        work_pool_name=section.text("work_pool_name"),
        work_queue_name=_queue(section, notes),
        infrastructure=infrastructure_of(section, "infrastructure", notes),
        infra_overrides=section.mapping("infra_overrides"),
        is_schedule_active=section.flag("is_schedule_active"),
        concurrency_limit=section.value("concurrency_limit", Limit),
        upload=section.flag("upload"),
        **said_in_any_file(section, notes),
    )
    return FileRead(deployment, tuple(notes))


def said_in_any_file(section: Section, notes: list[str]) -> dict[str, Any]:
    """The fields of `WrittenDeployment` that have the same keys in every kind of file."""
    return {
        "description": section.text("description"),
        "version": section.text("version"),
        "tags": section.texts("tags"),
        "parameters": section.mapping("parameters"),
        "enforce_parameter_schema": section.flag("enforce_parameter_schema"),
        "schedules": file_schedules.read(section, notes),
        "on_crash": section.value("on_crash", OnCrash),
        "timeout_seconds": section.value("timeout_seconds", Seconds),
    }


def write(deployment: WrittenDeployment, existing: str | None = None, *, where: str = "", folder: str = "/") -> str:
    """The file of a deployment. Of an ``existing`` one everything is kept that still says what it should.

    Raises `DeploymentFileError` when the existing one cannot be read.
    """
    said = _said(deployment)
    if existing is None:
        return _new(deployment, said)
    before = _said(read(existing, where=where, folder=folder).deployment)
    changed = {key: value for key, value in said.items() if before.get(key, ...) != value}
    gone = before.keys() - said.keys()
    if not changed and not gone:
        return existing
    text = _Lines(existing, where).with_values(changed, gone, tuple(said))
    text = _HEADER.sub(lambda found: f"{found[1]}{_quoted(deployment)}", text, count=1)
    try:
        if _said(read(text, where=where, folder=folder).deployment) == said:
            return text
    except errors.DeploymentFileError:
        pass
    raise _unusual(where)


def _unusual(where: str) -> errors.DeploymentFileError:
    return errors.DeploymentFileError(
        f"{where}: Written in too unusual a way to be built again with its comments",
        hint="move it away, or build to another file with `-o`",
    )


KEYS = (
    "name",
    "description",
    "version",
    "work_queue_name",
    "work_pool_name",
    "tags",
    "parameters",
    "schedule",
    "schedules",
    "is_schedule_active",
    "concurrency_limit",
    "on_crash",
    "timeout_seconds",
    "enforce_parameter_schema",
    "infra_overrides",
    "infrastructure",
    "flow_name",
    "manifest_path",
    "storage",
    "path",
    "upload",
    "entrypoint",
    "parameter_openapi_schema",
    "timestamp",
    "work_pool_queue_name",
    "triggers",
)
"""The keys of a file, in the order in which they are written."""

_OF_PREFECT = {
    "manifest_path": "flows are found by their entrypoint",
    "triggers": "there are no automations yet",
}
SECRETS_OF_GIT = ("access_token", "credentials", "gitlab_credentials", "bitbucket_credentials")
GIT_ON_WORKERS = "let git on the workers know how to get at the repository"
_BLOCK = ("_block_document_id", "_block_document_name", "_is_anonymous", "block_type_slug", "_block_type_slug")
_ENGINE = re.compile(r"python[\d.]* -m prefect\.engine")
_KINDS = ("process", "docker-container", "kubernetes-job", "cloud-run-job", "ecs-task")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_HEADER = re.compile(r"(?m)^(### A complete description of a \w+ Deployment for flow )'.*'$")

_INFRASTRUCTURE: dict[str, Any] = {
    "type": "process",
    "env": {},
    "labels": {},
    "name": None,
    "command": None,
    "stream_output": True,
    "working_dir": None,
}
"""What a process is when nothing is said of it: all is written, so that whoever edits the file sees what there is."""


def name_of(section: Section, key: str) -> str:
    """The name under that key. Raises `DeploymentFileError` when it is missing, or none that a deployment can have."""
    name = section.needed(key)
    if not re.match(NAME, name):
        raise section.problem(f"A name is 1 to 200 characters without `/`, not: `{name}`", key)
    return name


def entrypoint_of(section: Section, notes: list[str]) -> str:
    """The entrypoint; one that was written on Windows is read with `/`."""
    entrypoint = section.needed("entrypoint")
    if "\\" in entrypoint:
        notes.append(f"{section.place('entrypoint')}: `entrypoint` is read with `/` for each `\\`")
        entrypoint = entrypoint.replace("\\", "/")
    path, _, flow = entrypoint.rpartition(":")
    if not path or not all(map(str.isidentifier, flow.split("."))):
        raise section.problem(
            f"Not an entrypoint: `{entrypoint}`",
            "entrypoint",
            hint="it is a file and a function, as in `flows/etl.py:etl`",
        )
    return entrypoint


def _queue(section: Section, notes: list[str]) -> str | None:
    if section.has("work_pool_queue_name"):
        notes.append(f"{section.place('work_pool_queue_name')}: `work_pool_queue_name` is read as `work_queue_name`")
        return section.text("work_pool_queue_name")
    return section.text("work_queue_name")


def _schema(section: Section) -> dict[str, Any]:
    return {key: value for key, value in section.mapping("parameter_openapi_schema").items() if value is not None}


def infrastructure_of(section: Section, key: str, notes: list[str]) -> dict[str, Any]:
    """What is said of the infrastructure beyond what holds anyway."""
    if (inner := section.section(key)) is None:
        return {}
    said = inner.plain()
    kind = said.get("type") or said.get("block_type_slug") or said.get("_block_type_slug") or "process"
    near = nearest(str(kind), _KINDS)
    if near not in (None, kind):
        raise inner.problem(f"There is no infrastructure `{kind}`", "type", hint=f"did you mean `{near}`?")
    command: Any = said.get("command") or ""
    if _ENGINE.fullmatch(" ".join(map(str, command)) if isinstance(command, list) else str(command)):
        notes.append(inner.not_read("command", "Penstock starts its runs by itself"))
        del said["command"]
    env: Any = said.get("env") or {}
    if foreign := [name for name in env if str(name).startswith("PREFECT_")]:
        notes.append(f"{inner.place('env')}: Penstock makes no use of `{'`, `'.join(foreign)}`")
    return _beyond_the_usual({**said, "type": kind})


def _beyond_the_usual(infrastructure: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value
        for key, value in infrastructure.items()
        if key not in _BLOCK and value not in (None, {}, []) and value != _INFRASTRUCTURE.get(key)
    }


def _code(section: Section, folder: str, notes: list[str]) -> Code:
    path = section.text("path") or ""
    if (storage := section.section("storage")) is None:
        return LocalFolder(_place(section, folder, path, notes))
    kind = storage.text("type") or storage.text("_block_type_slug") or storage.text("block_type_slug") or ""
    if kind in ("git", "github", "gitlab-repository", "bitbucket-repository"):
        return _repository(storage, path, notes)
    if kind == "bundle":
        storage.refuse_others_than(("type", "digest", "size"))
        return Bundle(storage.needed("digest"), storage.value("size", int) or 0)
    if kind == "local-file-system":
        base = _place(section, folder, storage.text("basepath") or "", notes)
        return LocalFolder(posixpath.normpath(posixpath.join(base, path)))
    if hint := did_you_mean(kind, ("git", "github", "bundle", "local-file-system")):
        raise storage.problem(f"There is no storage `{kind}`", hint=hint)
    notes.append(section.not_read("storage", f"of type `{kind}`. The code is taken from the folder of the file"))
    return LocalFolder(folder)


def _repository(storage: Section, path: str, notes: list[str]) -> GitRepository:
    notes += [storage.not_read(key, GIT_ON_WORKERS) for key in SECRETS_OF_GIT if storage.has(key)]
    url = storage.text("url") or storage.text("repository")
    if not url:
        raise storage.problem("The address of the repository is missing: `url`")
    folder = posixpath.normpath(path.replace("\\", "/")) if path else ""
    if folder.startswith(("/", "..")):
        raise storage.problem(f"`path` is a folder in the repository, not: `{path}`")
    ref = storage.text("ref") or storage.text("reference") or "HEAD"
    return GitRepository(url=url, ref=ref, folder="" if folder == "." else folder)


def _place(section: Section, folder: str, path: str, notes: list[str]) -> str:
    """A folder on this machine, absolute."""
    if _DRIVE.match(path) and not _DRIVE.match(folder):
        notes.append(
            f"{section.place('path')}: `path` is of a Windows machine: the code is taken from the folder of the file"
        )
        return folder
    if _DRIVE.match(path):
        return path
    return posixpath.normpath(posixpath.join(folder, path.replace("\\", "/")))


def _said(deployment: WrittenDeployment) -> dict[str, Any]:
    """Keys and plain values of a file, in their order."""
    said: dict[str, Any] = {
        "name": deployment.name,
        "description": deployment.description,
        "version": deployment.version,
        "work_queue_name": deployment.work_queue_name,
        "work_pool_name": deployment.work_pool_name,
        "tags": list(deployment.tags),
        "parameters": deployment.parameters,
        **file_schedules.written(deployment.schedules),
        "is_schedule_active": deployment.is_schedule_active,
        "concurrency_limit": deployment.concurrency_limit,
        "on_crash": deployment.on_crash,
        "timeout_seconds": deployment.timeout_seconds,
        "enforce_parameter_schema": deployment.enforce_parameter_schema,
        "infra_overrides": deployment.infra_overrides,
        "infrastructure": _INFRASTRUCTURE | _beyond_the_usual(deployment.infrastructure),
        "flow_name": deployment.flow_name,
        "manifest_path": None,
        **_storage(deployment.code),
        "upload": deployment.upload,
        "entrypoint": deployment.entrypoint,
        "parameter_openapi_schema": deployment.parameter_openapi_schema,
    }
    plain: dict[str, Any] = msgspec.to_builtins(said)
    return {key: value for key, value in plain.items() if value is not None or key not in _ONLY_WHEN_SAID}


_ONLY_WHEN_SAID = ("concurrency_limit", "on_crash", "timeout_seconds", "enforce_parameter_schema", "upload")


def _storage(code: Code) -> dict[str, Any]:
    if isinstance(code, LocalFolder):
        return {"storage": None, "path": code.path}
    if isinstance(code, GitRepository):
        return {"storage": {"type": "git", "url": code.url, "ref": code.ref}, "path": code.folder}
    return {"storage": {"type": "bundle", "digest": code.digest, "size": code.size}, "path": ""}


def _new(deployment: WrittenDeployment, said: Mapping[str, Any]) -> str:
    parts = [f"###\n### A complete description of a Penstock Deployment for flow {_quoted(deployment)}\n###\n"]
    for key, value in said.items():
        parts += (_COMMENTS.get(key, ""), yaml_text.dump({key: value}))
    return "".join(parts)


_COMMENTS = {
    "work_queue_name": "# The work queue that will handle this deployment's runs\n",
    "flow_name": "\n###\n### DO NOT EDIT BELOW THIS LINE\n###\n",
}
"""What is written above a key."""


def _quoted(deployment: WrittenDeployment) -> str:
    name = " ".join(str(deployment.flow_name).split())
    return f"'{name}'"


class _Lines:
    """The lines of a file, by the keys at its beginning of line."""

    def __init__(self, text: str, where: str) -> None:
        lines, starts = yaml_text.keyed_lines(text if text.endswith("\n") else f"{text}\n", where)
        if not starts:
            raise _unusual(where)
        ends = [line for _, line in starts[1:]] + [len(lines)]
        self._indent = yaml_text.indent_of(text)
        self._head = lines[: starts[0][1]]
        self._keys: dict[str, tuple[list[str], list[str]]] = {}
        """Of each key: the lines that say it, and what stands below them before the next key: blanks and comments."""
        for (key, start), end in zip(starts, ends, strict=True):
            last = end
            while last > start + 1 and _is_around(lines[last - 1]):
                last -= 1
            self._keys[key] = (lines[start:last], lines[last:end])

    def with_values(self, changed: Mapping[str, Any], gone: set[str], order: tuple[str, ...]) -> str:
        """The text with some keys saying something else; new keys come where they belong."""
        below = {key: around for key, (_, around) in self._keys.items()}
        said = {key: lines for key, (lines, _) in self._keys.items()}
        for key in gone & said.keys():
            said[key] = []
        places = list(self._keys)
        for key, value in changed.items():
            if key not in said:
                before = [one for one in order[: order.index(key)] if one in places]
                places.insert(places.index(before[-1]) + 1 if before else 0, key)
                below[key] = below.pop(before[-1], []) if before else []
                if before:
                    below[before[-1]] = []
            said[key] = self._said(said.get(key, []), key, value)
        return "".join(["".join(self._head), *("".join([*said[key], *below.get(key, [])]) for key in places)])

    def _said(self, lines: list[str], key: str, value: Any) -> list[str]:
        node: Any = {}
        if lines:
            try:
                node = yaml_text.load("".join(lines), key)
            except errors.DeploymentFileError:  # it refers to something that another key says
                node = {}
        yaml_text.put(node, key, value)
        text = yaml_text.dump(node, indent=self._indent)
        return yaml_text.split_lines(text)


def _is_around(line: str) -> bool:
    # An indented one may be a line of a text: a heading in a description.
    return not line.strip() or line.startswith("#")
