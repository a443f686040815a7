"""From the options of a decorator to a spec."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import partial
from hashlib import blake2b
from types import CodeType, MethodType
from typing import Any, cast

from penstock import errors
from penstock.core import plain_text
from penstock.core.parameters import Signature
from penstock.core.retries import RetryPolicy
from penstock.core.specs import FlowOptions, FlowSpec, Hooks, Kind, TaskOptions, TaskSpec
from penstock.engine.inputs import digest_of
from penstock.engine.results import serializer_of
from penstock.files.local import folder_of

_COROUTINE = 0x80 | 0x100  # inspect.CO_COROUTINE, CO_ITERABLE_COROUTINE
_GENERATOR = 0x20
_ASYNC_GENERATOR = 0x200


def task_spec(fn: Callable[..., Any], options: TaskOptions, owner: Any) -> TaskSpec:
    """The task that ``@task(**options)`` makes of a function."""
    if options.get("cache_policy") is not None and options.get("cache_key_fn") is not None:
        raise errors.UsageError(
            f"Task `{_name_of(fn)}` has both cache_key_fn and cache_policy", hint="leave one of them out"
        )
    on_interrupt = options.get("on_interrupt", "retry")
    if on_interrupt not in ("retry", "fail"):
        raise errors.UsageError(f'on_interrupt is "retry" or "fail", not: `{on_interrupt!r}`')
    given = options.get("version")
    version = None if given is None else plain_text.checked(str(given), "A version")
    key = key_of(fn) if version is None else f"{key_of(fn)}@{version}"
    _check_results(options)
    return TaskSpec(
        fn=fn,
        kind=kind_of(fn),
        signature=Signature.of(fn),
        name=_text(options.get("name")) or _name_of(fn),
        key=key,
        digest=_digest(key),
        description=options.get("description") or _description(fn),
        tags=frozenset(_tags(options.get("tags", ()))),
        version=version,
        cache_policy=options.get("cache_policy"),
        cache_key_fn=options.get("cache_key_fn"),
        cache_expiration=options.get("cache_expiration"),
        refresh_cache=bool(options.get("refresh_cache")),
        retry=RetryPolicy.of(
            options.get("retries", 0), options.get("retry_delay_seconds"), options.get("retry_jitter_factor")
        ),
        retry_condition_fn=options.get("retry_condition_fn"),
        timeout_seconds=_timeout(options.get("timeout_seconds")),
        persist_result=options.get("persist_result"),
        result_storage=options.get("result_storage"),
        result_serializer=options.get("result_serializer"),
        log_prints=options.get("log_prints"),
        run_name=_run_name(options.get("task_run_name")),
        on_interrupt=on_interrupt,
        viz_return_value=options.get("viz_return_value"),
        hooks=_hooks(cast("dict[str, Any]", options)),
        owner=owner,
    )


def flow_spec(fn: Callable[..., Any], options: FlowOptions, owner: Any) -> FlowSpec:
    """The flow that ``@flow(**options)`` makes of a function."""
    key = key_of(fn)
    replay = options.get("replay")
    if replay not in (None, "recompute", "strict", "off"):
        raise errors.UsageError(f'replay is "recompute", "strict" or "off", not: `{replay!r}`')
    _check_results(options)
    return FlowSpec(
        fn=fn,
        kind=kind_of(fn),
        signature=Signature.of(fn),
        name=_text(options.get("name")) or _name_of(fn).replace("_", "-"),
        key=key,
        digest=_digest(key),
        description=options.get("description") or _description(fn),
        version=plain_text.checked(str(options.get("version") or file_digest(fn)), "A version"),
        entrypoint=entrypoint_of(fn),
        retry=RetryPolicy.of(options.get("retries", 0), options.get("retry_delay_seconds")),
        timeout_seconds=_timeout(options.get("timeout_seconds")),
        validate_parameters=options.get("validate_parameters", True),
        persist_result=options.get("persist_result"),
        result_storage=options.get("result_storage"),
        result_serializer=options.get("result_serializer"),
        task_runner=options.get("task_runner"),
        log_prints=options.get("log_prints"),
        run_name=_run_name(options.get("flow_run_name")),
        replay=replay,
        hooks=_hooks(cast("dict[str, Any]", options)),
        owner=owner,
    )


def kind_of(fn: Callable[..., Any]) -> Kind:
    """Whether it is a plain function, a coroutine function, or a generator of either kind."""
    flags = getattr(_code_of(fn), "co_flags", 0)
    if flags & _ASYNC_GENERATOR:
        return "async generator"
    if flags & _COROUTINE:
        return "async"
    return "generator" if flags & _GENERATOR else "sync"


def _code_of(fn: Any) -> CodeType | None:
    """The code that runs when ``fn`` is called, if it is Python: also of a partial, and of an object."""
    while isinstance(fn, partial):
        fn = fn.func
    code = getattr(fn, "__code__", None)
    if code is None and not isinstance(fn, type):
        inner = getattr(fn, "__wrapped__", None) or vars(type(fn)).get("__call__")
        code = getattr(inner, "__code__", None)
    return code


def key_of(fn: Callable[..., Any]) -> str:
    """What names a function across processes: its module's last part (or file), and qualified name.

    What has no name of its own is told apart by its content: a lambda by its code, a partial by the
    arguments that it holds.
    """
    if isinstance(fn, partial):
        held: partial[Any] = fn
        return f"{key_of(held.func)}({digest_of((held.args, held.keywords)) or ''})"
    module = getattr(fn, "__module__", "") or ""
    name = getattr(fn, "__qualname__", None) or _name_of(fn)
    code = _code_of(fn)
    if module in ("__main__", "__mp_main__") and code is not None:
        stem = os.path.splitext(os.path.basename(code.co_filename))[0]
        module = module if stem.startswith("<") or "ipykernel" in code.co_filename else stem
    if name.endswith("<lambda>") and code is not None:
        plain = [each for each in code.co_consts if not isinstance(each, CodeType)]
        name += "." + blake2b(repr((code.co_code, code.co_names, plain)).encode(), digest_size=4).hexdigest()
    return f"{module.rpartition('.')[2]}.{name}"


def entrypoint_of(fn: Callable[..., Any]) -> str:
    """``path/to/file.py:name`` of a function in a file; empty for one that was typed in somewhere."""
    code = getattr(fn, "__code__", None)
    name = getattr(fn, "__qualname__", "")
    if code is None or not os.path.isfile(code.co_filename) or "<" in name:
        return ""
    return f"{os.path.abspath(code.co_filename)}:{name}"


def file_digest(fn: Callable[..., Any]) -> str:
    """32 hex digits that change with the file that defines the function; empty without one."""
    code = _code_of(fn)
    if code is None:
        return ""
    try:
        with open(code.co_filename, "rb") as file:
            return blake2b(file.read(), digest_size=16).hexdigest()
    except OSError:
        return ""


def bound(wrapper: Any, binds: str | None, instance: Any, owner: type | None) -> Any:
    """A flow or task as an attribute of a class: one that is given the instance, or class, first."""
    target = owner if binds == "class" else instance if binds == "instance" else None
    if target is None:
        return wrapper
    method = object.__new__(type(wrapper))
    method.__dict__.update(wrapper.__dict__)
    method.__dict__["_bound"] = (target,)
    return method


def unwrapped(fn: Any) -> Any:
    """The function in a staticmethod or classmethod."""
    return fn.__func__ if isinstance(fn, staticmethod | classmethod) else fn


def binding_of(fn: Any) -> str | None:
    """What it is given first as an attribute of a class: the "instance", the "class", or nothing.

    As Python does it: a function takes the instance; a partial, a method that is bound already, and
    most other objects that can be called take nothing.
    """
    if isinstance(fn, classmethod):
        return "class"
    takes_nothing = isinstance(fn, staticmethod | partial | MethodType) or not hasattr(fn, "__get__")
    return None if takes_nothing else "instance"


def _hooks(options: dict[str, Any]) -> Hooks:
    return Hooks(
        running=_functions(options, "on_running"),
        completed=_functions(options, "on_completion"),
        failed=_functions(options, "on_failure"),
        crashed=_functions(options, "on_crashed"),
        cancelled=_functions(options, "on_cancellation"),
    )


def _functions(options: dict[str, Any], name: str) -> tuple[Callable[..., Any], ...]:
    given = options.get(name) or ()
    functions = (given,) if callable(given) else tuple(given)
    for each in functions:
        if not callable(each):
            raise errors.UsageError(f"{name} takes functions, not: `{each!r}`")
    return functions


def _tags(given: Any) -> Iterable[str]:
    tags = (given,) if isinstance(given, str) else (str(tag) for tag in given)
    return (plain_text.checked(tag, "A tag") for tag in tags)


def _text(given: Any) -> str:
    if given is not None and not isinstance(given, str):
        raise errors.UsageError(f"A name is text, not: `{given!r}`")
    return plain_text.checked(given or "", "A name")


def _run_name(given: Any) -> Any:
    return plain_text.checked(given, "A run's name") if isinstance(given, str) else given


def _timeout(given: Any) -> float | None:
    if given is None:
        return None
    if hasattr(given, "total_seconds"):
        given = given.total_seconds()
    if isinstance(given, bool) or not isinstance(given, int | float) or not given > 0:
        raise errors.UsageError(f"timeout_seconds is a number above 0, not: `{given!r}`")
    return float(given)


def _check_results(options: Any) -> None:
    if options.get("result_serializer") is not None:
        serializer_of(options["result_serializer"])
    if options.get("result_storage") is not None:
        folder_of(options["result_storage"])


def _name_of(fn: Callable[..., Any]) -> str:
    while not hasattr(fn, "__name__"):
        inner = getattr(fn, "func", None)  # functools.partial
        if inner is None:
            return type(fn).__name__
        fn = inner
    name = fn.__name__
    return "lambda" if name == "<lambda>" else name


def _description(fn: Callable[..., Any]) -> str:
    doc = (fn.__func__ if isinstance(fn, MethodType) else fn).__doc__
    if not doc or not hasattr(fn, "__name__"):
        return ""
    lines = doc.expandtabs().splitlines()
    margin = min((len(line) - len(line.lstrip()) for line in lines[1:] if line.strip()), default=0)
    return "\n".join([lines[0].strip(), *(line[margin:].rstrip() for line in lines[1:])]).strip()


def _digest(key: str) -> bytes:
    return blake2b(key.encode(), digest_size=16).digest()
