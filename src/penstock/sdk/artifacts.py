"""Publishing something to be looked at: tables, markdown, links, progress, images.

All of it is recorded under the run that does it, and shown by ``penstock artifact`` and under the run.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping, Sequence
from typing import Any, Self, cast

from penstock import errors
from penstock.core import addresses, records
from penstock.engine.context import RunContext
from penstock.sdk import plain_json, run_context

MAX_BYTES = 4 << 20
"""An artifact may be that long, as JSON: more than anybody reads."""


class ArtifactId(str):  # noqa: SLOT000  a str cannot have slots
    """The id of an artifact. It may be awaited, as in async flows written for Prefect."""

    kind: str
    key: str | None
    description: str | None

    def __new__(cls, text: str, kind: str, key: str | None = None, description: str | None = None) -> Self:
        self = super().__new__(cls, text)
        self.kind, self.key, self.description = kind, key, description
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return ArtifactId, (str(self), self.kind, self.key, self.description)

    def __await__(self) -> Generator[Any, None, ArtifactId]:
        return self
        yield  # a generator that awaits nothing


def create_markdown_artifact(markdown: str, key: str | None = None, description: str | None = None) -> ArtifactId:
    """Publish text in Markdown; returns the artifact's id.

    ``key`` (lower-case letters, digits and dashes) names what it is about: artifacts of the same key,
    over many runs, are versions of one thing. Raises `MissingContext` outside of a run.
    """
    return _save("markdown", _text(markdown, "Markdown"), key, description)


def create_link_artifact(
    link: str, link_text: str | None = None, key: str | None = None, description: str | None = None
) -> ArtifactId:
    """Publish a link; returns the artifact's id. See `create_markdown_artifact`."""
    address = _text(link, "A link")
    return _save("link", {"link": address, "text": link_text or address}, key, description)


def create_image_artifact(image_url: str, key: str | None = None, description: str | None = None) -> ArtifactId:
    """Publish an image that lies at a URL; returns the artifact's id. See `create_markdown_artifact`."""
    return _save("image", _text(image_url, "An image's URL"), key, description)


def create_table_artifact(table: Any, key: str | None = None, description: str | None = None) -> ArtifactId:
    """Publish a table; returns the artifact's id. See `create_markdown_artifact`.

    ``table`` is a list of dicts (rows), a list of lists, a dict of lists (columns), or a data frame
    of pandas, Polars or PyArrow. Not-a-number is shown as nothing; decimals and times keep their
    exact text. Raises `UsageError` for what is no table, holds what JSON cannot, or is too large.
    """
    return _save("table", _table(table), key, description)


def create_progress_artifact(progress: float, key: str | None = None, description: str | None = None) -> ArtifactId:
    """Publish how far something is, in percent; returns the id, for `update_progress_artifact`."""
    return _save("progress", _percent(progress), key, description)


def update_progress_artifact(artifact_id: str, progress: float, description: str | None = None) -> ArtifactId:
    """Say how far it is now. ``artifact_id`` is what `create_progress_artifact` returned.

    The description stays unless another one is given.
    """
    percent = _percent(progress)
    if not isinstance(artifact_id, ArtifactId) or artifact_id.kind != "progress":
        raise errors.UsageError(
            f"This is not the id of a progress artifact: `{artifact_id!r}`",
            hint="pass what create_progress_artifact() returned, as it is",
        )
    updated = ArtifactId(str(artifact_id), "progress", artifact_id.key, description or artifact_id.description)
    _record(run_context.here("update_progress_artifact()"), updated, percent)
    return updated


def _save(kind: str, data: Any, key: str | None, description: str | None) -> ArtifactId:
    _check_key(key)
    if kind != "progress":
        data = plain_json.of(data, f"The {kind} artifact{f' `{key}`' if key else ''}", MAX_BYTES)
    run = run_context.here(f"create_{kind}_artifact()")
    artifact_id = ArtifactId(_new_id(run, kind, key), kind, key, description)
    _record(run, artifact_id, data)
    return artifact_id


def _new_id(run: RunContext | None, kind: str, key: str | None) -> str:
    if run is None:
        return "00000000-0000-8000-b000-000000000000"
    # Derived, not drawn: when a resumed run gets here again, it replaces what the earlier attempt had
    # published, as tasks are matched.
    address = run.address_of(b"artifact:" + kind.encode(), (key or "").encode())
    return addresses.task_run_id(run.key, address)


def _record(run: RunContext | None, artifact: ArtifactId, data: Any) -> None:
    if run is None:  # the flow is only drawn
        return
    task_run_id = None if run is run.flow else run.id
    run.attempt.journal.append(
        records.ArtifactSaved(
            run.attempt.clock.now(),
            str(artifact),
            run.flow.id,
            task_run_id,
            artifact.kind,
            artifact.key,
            artifact.description,
            data,
        )
    )


def _check_key(key: str | None) -> None:
    if key is None or re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", key):
        return
    near = "-".join(re.findall(r"[a-z0-9]+", key.lower()))
    raise errors.UsageError(
        f"An artifact's key is made of lower-case letters, digits and single dashes, not: `{key}`",
        hint=f"did you mean `{near}`?" if near else None,
    )


def _text(given: Any, what: str) -> str:
    if not isinstance(given, str) or not given:
        raise errors.UsageError(f"{what} is text, not: `{given!r}`")
    return given


def _percent(given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given <= 100:
        raise errors.UsageError(f"Progress is a number from 0 to 100, not: `{given!r}`")
    return float(given)


def _table(given: Any) -> Any:
    """Rows or columns out of whatever holds them."""
    table = _columns_of_frame(given) if hasattr(given, "columns") else given
    if isinstance(table, Mapping):
        columns = cast("Mapping[Any, Any]", table)
        if not all(_is_list(values) for values in columns.values()):
            raise _no_table(given)
        lengths = {name: len(values) for name, values in columns.items()}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"`{name}` has {length}" for name, length in lengths.items())
            raise errors.UsageError(f"The columns of a table differ in length: {told}")
        return {name: list(values) for name, values in columns.items()}
    if not _is_list(table):
        raise _no_table(given)
    rows: list[Any] = list(table)
    if not all(isinstance(row, Mapping) for row in rows) and not all(_is_list(row) for row in rows):
        raise _no_table(given)
    return rows


def _is_list(value: Any) -> bool:
    is_sequence = isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray)
    return is_sequence or (hasattr(value, "tolist") and getattr(value, "ndim", 0) > 0)


def _no_table(given: Any) -> errors.UsageError:
    return errors.UsageError(
        f"A table is a list of dicts, a list of lists, a dict of lists or a data frame, not: `{type(given).__name__}`",
        hint="all rows have to be of one kind",
    )


def _columns_of_frame(frame: Any) -> Any:
    """A dict of lists. An index that has a name is a column: it came from a ``groupby`` or the like."""
    if hasattr(frame, "to_pydict"):  # PyArrow
        return frame.to_pydict()
    if hasattr(frame, "iloc"):  # pandas
        if any(name is not None for name in frame.index.names):
            frame = frame.reset_index()
        names = [
            " ".join(str(part) for part in name) if isinstance(name, tuple) else str(name) for name in frame.columns
        ]
        if len(set(names)) < len(names):
            raise errors.UsageError(f"Columns of a table have the same name: `{', '.join(names)}`")
        return {name: frame.iloc[:, position].tolist() for position, name in enumerate(names)}
    if hasattr(frame, "to_dict"):  # Polars
        return frame.to_dict(as_series=False)
    raise _no_table(frame)
