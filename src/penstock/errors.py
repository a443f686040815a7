"""Every exception that Penstock raises, as one tree.

PenstockError
├── UsageError                    the call itself is wrong
│   ├── ParameterError            arguments do not fit the signature or its type hints
│   ├── UnknownOption             a decorator or command got an option that does not exist
│   ├── TooDeep                   runs call runs without an end in sight
│   ├── MissingContext            something that needs a run around it was called outside of any
│   ├── FlowFileError             a flow's file or entrypoint cannot be loaded
│   └── DeploymentFileError       a file of deployments cannot be read
├── SettingRefused                a setting or profile was not changed: it cannot be what was asked for
├── NotFound                      no run, flow, task or artifact of that name or id
├── RunError                      a run did not end with a result
│   ├── FailedRun · CrashedRun · CancelledRun · PausedRun · UnfinishedRun
│   ├── UpstreamFailed            an input's task failed, so this one could not start
│   ├── MissingResult             the run ended, but its result was not kept or cannot be read
│   └── ReplayDiverged            replay="strict" met a task that the journal does not know
├── AlreadyRunning                another process is executing this run
├── AlreadyEnded                  the run has ended, so there is nothing to stop or to wait for
├── AlreadyExists                 something of that name is there
├── RunsElsewhere                 the run's process is one of another machine
├── JournalError                  a journal cannot be written or read
│   ├── CorruptJournal · ForeignJournal
│   ├── StorageFull               the disk is full
│   └── JournalLost               a write failed: nothing after it can be trusted
├── StoreError                    the database cannot be used
│   ├── StoreBusy                 another process is writing it
│   ├── StoreUnreachable          the database server does not answer
│   ├── TransactionConflict       the database undid a transaction for another one's sake
│   ├── UnknownOutcome            the connection was lost while committing
│   ├── ImpossibleValue           a row that no database takes
│   ├── OutdatedStore             an older version made it: `penstock db upgrade`
│   └── IncompatibleHome          a newer version of Penstock wrote this home
└── ServerError                   a server did not answer as it should
    ├── ServerUnreachable         nobody answers at the API's address
    ├── NotAllowed                it does not let whoever asks do that
    ├── KeyReused                 an idempotency key came again, with another request
    └── ServerFailed              it failed at the answer
TimedOut (also a TimeoutError)    a flow or task exceeded its timeout_seconds

Each message says what happened, and to what; ``hint`` says what to do about it.
"""

from __future__ import annotations

from typing import ClassVar


class PenstockError(Exception):
    """Base of all errors of Penstock. ``exit_code`` is what the command line exits with."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message

    @property
    def sentence(self) -> str:
        """What happened and what to do about it, where there is one line for both."""
        return f"{self.message} ({self.hint})" if self.hint else self.message

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.message, self.hint)


def _rebuild(kind: type[PenstockError], message: str, hint: str | None) -> PenstockError:
    return kind(message, hint=hint)


class UsageError(PenstockError):
    """The call itself is wrong; calling again the same way cannot succeed."""

    exit_code = 2


class ParameterError(UsageError, TypeError):
    """The arguments do not fit the flow's signature or its type hints."""


class UnknownOption(UsageError, TypeError):
    """A decorator, ``with_options`` or a setting was given a name that does not exist."""


class MissingContext(UsageError, RuntimeError):
    """What was called makes sense inside of a run only, and there is none here."""


class TooDeep(UsageError, RecursionError):
    """Runs call runs, one within the other, as deep as Python's recursion limit allows."""


class FlowFileError(UsageError):
    """A flow's file does not exist, does not import, or holds no such flow."""


class SettingRefused(PenstockError):
    """A setting or a profile cannot be what was asked for, so nothing was written."""


class DeploymentFileError(UsageError):
    """A file of deployments cannot be read, or says what cannot be; the message names file and line."""


class NotFound(PenstockError, LookupError):
    """Nothing has that name or id."""

    exit_code = 3


class RunError(PenstockError):
    """A run did not end with a result that could be returned."""


class FailedRun(RunError):
    """The run's code raised, or it returned a failed state."""


class CrashedRun(RunError):
    """The run's process or infrastructure went away."""


class CancelledRun(RunError):
    """The run was cancelled."""


class PausedRun(RunError):
    """The run is suspended: its process ends, and it goes on when somebody resumes it."""

    exit_code = 7


class UnfinishedRun(RunError):
    """The run has not ended yet, so it has no result."""


class UpstreamFailed(RunError):
    """A task was not started because a task that it depends on did not complete."""


class MissingResult(RunError):
    """The run completed, but its result was not kept or can no longer be read."""


class ReplayDiverged(RunError):
    """With ``replay="strict"``: the code asks for something that the journal does not hold."""


class TimedOut(PenstockError, TimeoutError):
    """A flow or task took longer than its ``timeout_seconds``."""

    exit_code = 6


class AlreadyRunning(PenstockError):
    """Another process is executing this run, or a worker will."""


class AlreadyEnded(PenstockError):
    """The run has ended, so it can be neither stopped nor told anything."""


class RunsElsewhere(PenstockError):
    """The run was started by hand on another machine, and what is wanted can only be done there."""


class AlreadyExists(PenstockError):
    """Something of that name is there already."""


class JournalError(PenstockError):
    """A journal cannot be written or read."""


class CorruptJournal(JournalError):
    """A frame inside a journal fails its checksum (a torn tail is not an error)."""


class ForeignJournal(JournalError):
    """The file is not a journal, or a version of Penstock wrote it that this one cannot read."""


class StorageFull(JournalError):
    """The disk is full, so nothing more can be recorded."""


class JournalLost(JournalError):
    """A write or sync of the journal failed; what comes after it must not be believed."""

    exit_code = 70


class StoreError(PenstockError):
    """The database cannot be used."""


class StoreBusy(StoreError):
    """Another process is the writer of this store."""


class StoreBehind(StoreError):
    """What a run has recorded has not reached the store yet. The same again succeeds in a moment."""


class StoreUnreachable(StoreError):
    """The database server does not answer, or the connection to it was lost; nothing was changed."""


class TransactionConflict(StoreError):
    """The database undid a transaction because of others at the same time. The same again may succeed."""


class UnknownOutcome(StoreError):
    """The connection was lost while committing: the change may have been kept, or not.

    Send it again: what has a key of its own is done once, however often it is sent.
    """


class ImpossibleValue(StoreError):
    """A row breaks a rule of the database, such as that a run has an end exactly when its state is final."""


class OutdatedStore(StoreError):
    """An older version of Penstock made this store, and it must be upgraded before it can be used."""


class IncompatibleHome(StoreError):
    """A newer version of Penstock wrote this home."""


class ServerError(PenstockError):
    """A server did not answer as it should."""


class ServerUnreachable(ServerError):
    """Nobody answers at the address of the API."""

    exit_code = 5


class NotAllowed(ServerError):
    """The server does not know who asks, or does not let them do that."""

    exit_code = 4


class KeyReused(ServerError):
    """An ``Idempotency-Key`` came again with another request than the first time."""


class ServerFailed(ServerError):
    """The server failed while it answered. What was asked for may have been done, or not."""


def named(name: str) -> type[PenstockError]:
    """The class of that name; `PenstockError` itself when there is none, as a newer server may have more."""
    found = globals().get(name)
    return found if isinstance(found, type) and issubclass(found, PenstockError) else PenstockError
