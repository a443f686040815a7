"""Type hints: resolved, described, and what it takes to be of the hinted type.

pydantic decides what fits a hint and coerces what nearly does. It takes long to import, so `fits`
first tells by itself what needs no change.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from enum import Enum
from types import FunctionType, MethodType, NoneType, UnionType
from typing import Annotated, Any, Literal, Union, cast


def resolved(fn: Any) -> dict[str, Any]:
    """The type hints of a function, forward references too. What cannot be resolved is left out."""
    import typing  # noqa: PLC0415  the module's own name, for its functions

    target = _annotated_part(fn)
    local = dict(_closed_over(target))
    try:
        return typing.get_type_hints(target, localns=local, include_extras=True)
    except Exception:  # noqa: BLE001  any hint may fail in any way; then each is tried by itself
        return dict(_resolved_one_by_one(target, local))


def _resolved_one_by_one(target: Any, local: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    import typing  # noqa: PLC0415  as above

    for name, annotation in _annotations(target).items():

        def holder() -> None: ...

        holder.__annotations__ = {name: annotation}
        space = getattr(target, "__globals__", {})
        try:
            yield from typing.get_type_hints(holder, space, local, include_extras=True).items()
        except Exception:  # noqa: BLE001, S112  a hint that cannot be resolved is as good as none
            continue


def _annotated_part(fn: Any) -> Any:
    """What carries the annotations of ``fn``: of a partial its function, of an instance its call."""
    while inner := getattr(fn, "__wrapped__", None) or getattr(fn, "func", None):
        fn = inner
    if isinstance(fn, FunctionType | MethodType):
        return fn
    return cast("Any", fn).__init__ if isinstance(fn, type) else cast("Any", type(fn)).__call__


def _annotations(target: Any) -> dict[str, Any]:
    if sys.version_info >= (3, 14):  # pragma: no cover  depends on the interpreter
        import annotationlib  # noqa: PLC0415  new in 3.14

        return annotationlib.get_annotations(target, format=annotationlib.Format.FORWARDREF)
    return getattr(target, "__annotations__", {})


def _closed_over(target: Any) -> Iterator[tuple[str, Any]]:
    """The variables of the surrounding function that the body uses: hints may name them too."""
    names = getattr(getattr(target, "__code__", None), "co_freevars", ())
    for name, cell in zip(names, getattr(target, "__closure__", None) or (), strict=False):
        try:
            yield name, cell.cell_contents
        except ValueError:  # the variable has no value yet
            continue


def with_constraints(hint: Any, field: Any) -> Any:
    """The hint of a parameter whose default is ``pydantic.Field(…)``, with what the field asks for."""
    from pydantic import Field  # noqa: PLC0415  somebody used it, so it is there already

    described = {"title": field.title, "description": field.description, "examples": field.examples}
    extra = Field(**{key: value for key, value in described.items() if value is not None})
    return Annotated[(hint, *field.metadata, extra)]


def unpacked(hint: Any) -> Any:
    """What ``Unpack[…]`` holds; None for every other hint."""
    name = getattr(getattr(hint, "__origin__", None), "_name", None)
    return hint.__args__[0] if name == "Unpack" else None


def tuple_of(hint: Any) -> Any:
    """``tuple[hint, ...]``: what ``*args: hint`` are together."""
    return cast("Any", tuple)[hint, ...]


def dict_of(hint: Any) -> Any:
    """``dict[str, hint]``: what ``**kwargs: hint`` are together."""
    return cast("Any", dict)[str, hint]


def is_union(hint: Any) -> bool:
    return parts(hint)[0] is Union


def parts(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """Origin and arguments: ``list[int]`` is ``list`` of ``(int,)``; both kinds of union are Union."""
    if isinstance(hint, UnionType):
        return Union, hint.__args__
    return getattr(hint, "__origin__", None), getattr(hint, "__args__", ())


def describe(hint: Any) -> str:
    """A type hint as people write it: ``list[int] | None``."""
    if hint is None or hint is NoneType:
        return "None"
    if getattr(hint, "__metadata__", None):
        return describe(hint.__origin__)
    origin, args = parts(hint)
    if origin is Union:
        return " | ".join(describe(arg) for arg in args)
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, args))}]"
    if origin is not None and args:
        inner = ", ".join("..." if arg is ... else describe(arg) for arg in args)
        return f"{describe(origin)}[{inner}]"
    return getattr(hint, "__name__", None) or repr(hint)


def holds_secret(hint: Any, seen: frozenset[int] = frozenset()) -> bool:
    """Whether a value of that type is a secret, or has one somewhere inside."""
    if id(hint) in seen:
        return False
    seen |= {id(hint)}
    if isinstance(hint, type) and hasattr(hint, "get_secret_value"):
        return True
    origin, args = parts(hint)
    if any(holds_secret(part, seen) for part in (origin, *args) if part is not None):
        return True
    return _has_fields(hint) and any(holds_secret(part, seen) for part in _field_hints(hint))


def _has_fields(kind: Any) -> bool:
    """Whether a class describes its content: a model, dataclass, Struct, TypedDict, NamedTuple."""
    return isinstance(kind, type) and any(hasattr(kind, mark) for mark in (*FIELD_LISTS, "_fields", "__total__"))


FIELD_LISTS = ("model_fields", "__dataclass_fields__", "__struct_fields__", "__attrs_attrs__", "__fields__")
"""Where classes keep the list of their fields: pydantic 2, dataclasses, msgspec, attrs, pydantic 1."""


def _field_hints(kind: type) -> list[Any]:
    import typing  # noqa: PLC0415  as above

    try:
        return list(typing.get_type_hints(kind, include_extras=True).values())
    except Exception:  # noqa: BLE001  unresolvable: what is called a secret is taken for one
        return [_Secret for base in kind.__mro__ for hint in _annotations(base).values() if "Secret" in str(hint)]


class _Secret:
    def get_secret_value(self) -> str:
        return ""


_EXACT = frozenset({int, str, float, bool, bytes, NoneType, list, dict, tuple, set, frozenset})
_PATHS = frozenset({"pathlib", "pathlib._local"})


def fits(value: Any, hint: Any) -> bool:
    """Whether ``value`` is of the hinted type as it stands, so that validating would change nothing.

    False also when that cannot be told without pydantic.
    """
    kind = type(value)
    if hint is Any or hint is object:
        return True
    if hint is kind:
        return kind in _EXACT or kind.__module__ == "datetime" or issubclass(kind, Enum)
    if hint is None or hint is NoneType:
        return value is None
    if isinstance(hint, type) and hint.__module__ in _PATHS and hint.__name__ == "Path":
        return isinstance(value, hint)
    origin, args = parts(hint)
    if origin is None:
        return False
    if origin is Union:
        return any(fits(value, arg) for arg in args)
    if origin is Literal:
        return any(type(arg) is kind and arg == value for arg in args)
    return _items_fit(value, kind, origin, args)


def _items_fit(value: Any, kind: type, origin: Any, args: tuple[Any, ...]) -> bool:
    name = getattr(origin, "__name__", "")
    sequence = getattr(origin, "__module__", "") == "collections.abc" and name == "Sequence"
    if len(args) == 1 and (kind is origin in (list, set, frozenset) or (sequence and kind in (list, tuple))):
        return _all_fit(value, args[0])
    mapping = getattr(origin, "__module__", "") == "collections.abc" and name == "Mapping"
    if len(args) == 2 and kind is dict and (origin is dict or mapping):
        return _all_fit(value, args[0]) and _all_fit(value.values(), args[1])
    if kind is tuple is origin:
        if args[1:] == (...,):
            return _all_fit(value, args[0])
        return len(args) == len(value) and all(map(fits, value, args))
    return False


def _all_fit(values: Any, hint: Any) -> bool:
    if isinstance(hint, type) and hint in _EXACT:
        return all(kind is hint for kind in set(map(type, values)))
    return all(fits(value, hint) for value in values)


def coercer(hint: Any) -> Callable[[Any], Any] | None:
    """What makes a value of the hinted type; None when pydantic cannot make sense of the hint."""
    adapter = adapter_of(hint)
    if adapter is None and isinstance(hint, type) and not _is_typed_dict(hint):
        # The class's own description of itself fails; it can still be asked for.
        adapter = adapter_of(Annotated[Any, _InstanceOf(hint)])
    return None if adapter is None else lambda value: adapter.validate_python([value])[0]


def adapter_of(hint: Any) -> Any:
    """The adapter of pydantic for a list of the hinted type, or None when there can be none.

    A list, because pydantic takes no options together with a bare model or dataclass.
    """
    import warnings  # noqa: PLC0415  as below

    from pydantic import ConfigDict, TypeAdapter  # noqa: PLC0415  imported only when there is something to validate

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            adapter: Any = TypeAdapter(
                cast("Any", list)[_opaque(hint)], config=ConfigDict(arbitrary_types_allowed=True)
            )
        adapter.validate_python([])
    except Exception:  # noqa: BLE001  whatever a hint does to pydantic, the flow shall run
        return None
    return adapter


def _opaque(hint: Any) -> Any:
    """The hint, with the classes replaced that pydantic 2 refuses or cannot check."""
    if isinstance(hint, type) and _is_v1_model(hint):
        return Annotated[Any, _InstanceOf(hint)]
    if _is_typed_dict(hint) and sys.version_info < (3, 12):
        return _as_pydantic_wants_it(hint)
    if getattr(hint, "_is_protocol", False) and not getattr(hint, "_is_runtime_protocol", False):
        return Any
    origin, args = parts(hint)
    if not args or origin in (None, Literal) or getattr(hint, "__metadata__", None):
        return hint
    inner = tuple(_opaque(arg) for arg in args)
    return hint if inner == args else origin[inner]


def _is_v1_model(kind: type) -> bool:
    return any(base.__module__ == "pydantic.v1.main" and base.__name__ == "BaseModel" for base in kind.__mro__)


def _is_typed_dict(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, dict) and hasattr(hint, "__required_keys__")


def _as_pydantic_wants_it(kind: Any) -> Any:
    """The same TypedDict made with typing_extensions: before Python 3.12 pydantic takes no other."""
    import typing  # noqa: PLC0415  as above

    import typing_extensions  # noqa: PLC0415  comes with pydantic

    def key(name: str, hint: Any) -> Any:
        if parts(hint)[0] in (typing.Required, typing.NotRequired):
            return hint
        return (typing.Required if name in kind.__required_keys__ else typing.NotRequired)[hint]

    items = typing.get_type_hints(kind, include_extras=True).items()
    return cast("Any", typing_extensions).TypedDict(kind.__name__, {name: key(name, hint) for name, hint in items})


class _InstanceOf:
    """Asks for an instance of a class, and leaves the class alone (as pydantic's own does not)."""

    def __init__(self, kind: type) -> None:
        self._kind = kind

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema  # noqa: PLC0415  as pydantic, which asks

        return core_schema.is_instance_schema(self._kind)
