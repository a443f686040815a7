"""Exceptions under the names that people coming from Prefect catch. All of them: `penstock.errors`."""

from __future__ import annotations

from penstock.errors import (
    CancelledRun,
    CrashedRun,
    FailedRun,
    MissingResult,
    ParameterError,
    UnfinishedRun,
)
from penstock.errors import (
    FlowFileError as ScriptError,
)
from penstock.errors import (
    MissingContext as MissingContextError,
)
from penstock.errors import (
    NotFound as ObjectNotFound,
)
from penstock.errors import (
    ParameterError as ParameterBindError,
)
from penstock.errors import (
    ParameterError as ParameterTypeError,
)
from penstock.errors import (
    ParameterError as SignatureMismatchError,
)
from penstock.errors import (
    PenstockError as PenstockException,
)
from penstock.errors import (
    UpstreamFailed as UpstreamTaskError,
)

__all__ = [
    "CancelledRun",
    "CrashedRun",
    "FailedRun",
    "MissingContextError",
    "MissingResult",
    "ObjectNotFound",
    "ParameterBindError",
    "ParameterError",
    "ParameterTypeError",
    "PenstockException",
    "ScriptError",
    "SignatureMismatchError",
    "UnfinishedRun",
    "UpstreamTaskError",
]
