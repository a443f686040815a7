"""What a decorator declares, as one value: `FlowSpec` and `TaskSpec`, and their options.

An option is declared here once, with its documentation; decorators, ``with_options`` and the
engine pass it along.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, Literal, TypedDict

import msgspec

from penstock import errors
from penstock.core.caching import CacheKeyFn, CachePolicy
from penstock.core.parameters import Signature
from penstock.core.retries import NO_RETRIES, RetryPolicy
from penstock.core.suggestions import did_you_mean

Kind = Literal["sync", "async", "generator", "async generator"]
Hook = Callable[..., Any]


class FlowOptions(TypedDict, total=False):
    """The options of ``@flow``."""

    name: str
    """Default: the function's name with ``-`` for ``_``."""
    description: str
    """Default: the function's docstring."""
    version: str
    """Default: a digest of the file that defines the flow."""
    retries: int
    """How often a failed run is tried again; completed tasks are not run again."""
    retry_delay_seconds: Any
    """Seconds before a retry: a number, a list (one for each retry), or a function of the retries."""
    timeout_seconds: float | None
    """A run that takes longer fails as TimedOut."""
    validate_parameters: bool
    """Whether arguments are validated against type hints and coerced (default True)."""
    persist_result: bool | None
    """Whether the result is kept (default: the setting, True)."""
    result_storage: Any
    """The folder in which results are kept; default: in the home."""
    result_serializer: Any
    """``pickle``, ``json``, ``compressed/pickle``, ``compressed/json``, or an object with dumps and loads."""
    task_runner: Any
    """Where submitted tasks execute; default: a `ThreadPoolTaskRunner`."""
    log_prints: bool | None
    """Whether ``print`` in the flow and its tasks becomes log lines; default: the caller's choice."""
    flow_run_name: str | Callable[[], str] | None
    """The run's name; ``{parameter}`` is replaced by the parameter's value."""
    replay: str | None
    """On resume, when code and journal disagree: ``recompute``, ``strict`` or ``off``."""
    on_completion: Hook | Iterable[Hook]
    """Called with the flow, the run and the state when a run has completed."""
    on_failure: Hook | Iterable[Hook]
    """Called likewise when a run has failed."""
    on_cancellation: Hook | Iterable[Hook]
    """Called likewise when a run was cancelled."""
    on_crashed: Hook | Iterable[Hook]
    """Called likewise when a run was interrupted."""
    on_running: Hook | Iterable[Hook]
    """Called likewise before a run's first try."""


class TaskOptions(TypedDict, total=False):
    """The options of ``@task``."""

    name: str
    """Default: the function's name."""
    description: str
    """Default: the function's docstring."""
    tags: Iterable[str]
    """Words that say what its runs are about."""
    version: str | None
    """Part of what replay matches by: a new version does not use results of the old one."""
    cache_policy: CachePolicy | None
    """What makes up the cache key: ``INPUTS``, ``TASK_SOURCE``, ``RUN_ID``, added with ``+``."""
    cache_key_fn: CacheKeyFn | None
    """``cache_key_fn(context, arguments)`` gives the cache key; None: no caching. See `task_input_hash`."""
    cache_expiration: timedelta | None
    """How long a cached result may be used; default: for ever."""
    refresh_cache: bool | None
    """Compute anew, and put the result into the cache."""
    retries: int
    """How often a failed run is tried again."""
    retry_delay_seconds: Any
    """Seconds before a retry: a number, a list, or `exponential_backoff`."""
    retry_jitter_factor: float | None
    """Spreads each delay at random: with 0.3, from 70 % to 130 % of it; never below nothing."""
    retry_condition_fn: Callable[..., Any] | None
    """``retry_condition_fn(task, task_run, state)``: False means that a retry is no use."""
    timeout_seconds: float | None
    """A try that takes longer fails as TimedOut."""
    persist_result: bool | None
    """Whether the result is kept (default: the setting, True); without it, a resume runs the task again."""
    result_storage: Any
    """The folder in which results and cache entries are kept; default: in the home."""
    result_serializer: Any
    """``pickle``, ``json``, ``compressed/pickle``, ``compressed/json``, or an object with dumps and loads."""
    log_prints: bool | None
    """Whether ``print`` becomes log lines; default: the caller's choice."""
    task_run_name: str | Callable[[], str] | None
    """The run's name; ``{parameter}`` is replaced by the argument's value. Default: the task's name and a number."""
    viz_return_value: Any
    """What the task stands for in `Flow.visualize`, where it is not run."""
    on_interrupt: Literal["retry", "fail"]
    """What a resume does with a run that was interrupted: run it again (at least once), or not (at most once)."""
    on_completion: Hook | Iterable[Hook]
    """Called with the task, the run and the state when a run has completed."""
    on_failure: Hook | Iterable[Hook]
    """Called likewise when a run has failed."""
    on_running: Hook | Iterable[Hook]
    """Called likewise before a run's first try."""


class Hooks(msgspec.Struct, frozen=True):
    """Functions to call when a run enters a state."""

    running: tuple[Hook, ...] = ()
    completed: tuple[Hook, ...] = ()
    failed: tuple[Hook, ...] = ()
    crashed: tuple[Hook, ...] = ()
    cancelled: tuple[Hook, ...] = ()


NO_HOOKS = Hooks()


class TaskSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A task: a function, and how it is to be run."""

    fn: Callable[..., Any]
    kind: Kind
    signature: Signature
    name: str
    key: str
    """Qualified name and version: what replay matches by."""
    digest: bytes
    """The key as 16 bytes."""
    description: str = ""
    tags: frozenset[str] = frozenset()
    version: str | None = None
    cache_policy: CachePolicy | None = None
    cache_key_fn: CacheKeyFn | None = None
    cache_expiration: timedelta | None = None
    refresh_cache: bool = False
    retry: RetryPolicy = NO_RETRIES
    retry_condition_fn: Callable[..., Any] | None = None
    timeout_seconds: float | None = None
    persist_result: bool | None = None
    result_storage: Any = None
    result_serializer: Any = None
    log_prints: bool | None = None
    run_name: str | Callable[[], str] | None = None
    on_interrupt: str = "retry"
    hooks: Hooks = NO_HOOKS
    viz_return_value: Any = None
    owner: Any = None
    """The `Task` that user code sees; hooks and conditions are given it."""

    @property
    def is_async(self) -> bool:
        return self.kind in ("async", "async generator")

    @property
    def caches(self) -> bool:
        return self.cache_key_fn is not None or self.cache_policy is not None


class FlowSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A flow: a function, and how it is to be run."""

    fn: Callable[..., Any]
    kind: Kind
    signature: Signature
    name: str
    key: str
    digest: bytes
    description: str = ""
    version: str = ""
    entrypoint: str = ""
    retry: RetryPolicy = NO_RETRIES
    timeout_seconds: float | None = None
    validate_parameters: bool = True
    persist_result: bool | None = None
    result_storage: Any = None
    result_serializer: Any = None
    task_runner: Any = None
    log_prints: bool | None = None
    run_name: str | Callable[[], str] | None = None
    replay: str | None = None
    hooks: Hooks = NO_HOOKS
    owner: Any = None

    @property
    def is_async(self) -> bool:
        return self.kind in ("async", "async generator")


def refuse_unknown_options(who: str, given: Iterable[str], known: type) -> None:
    """Raise `UnknownOption`, with the nearest known one, if an option does not exist."""
    names = known.__annotations__
    for option in given:
        if option not in names:
            hint = did_you_mean(option, names) or f"known options: {', '.join(sorted(names))}"
            raise errors.UnknownOption(f"{who} has no option named: `{option}`", hint=hint)
