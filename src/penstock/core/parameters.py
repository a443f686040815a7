"""The parameters of a function: bound, validated against type hints, described, and shown.

`Signature` reads a function once and lazily; its `bind` is on the path of every task call, so it
is a compiled function with the same parameters, and Python itself does the binding. pydantic is
imported only when a value is not yet of the type that its hint asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import FunctionType, MethodType
from typing import Any, cast

import msgspec

from penstock import errors
from penstock.core import docstrings, hints, rendering
from penstock.core.suggestions import nearest

# Binding ------------------------------------------------------------------------------------------


class Signature:
    """What a function takes. Making one costs nothing; the function is read on first use.

    Arguments are held as one dict, parameter by parameter in the order of the signature, complete
    with defaults: ``*args`` as a tuple and ``**kwargs`` as a dict under their own names.
    """

    __slots__ = ("_binder", "_coercers", "_hints", "_secrets", "_shape", "fn")

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.fn = fn
        self._shape: _Shape | None = None
        self._binder: Callable[..., dict[str, Any]] | None = None
        self._hints: dict[str, Any] | None = None
        self._secrets: frozenset[str] | None = None
        self._coercers: dict[str, Callable[[Any], Any] | None] = {}

    @classmethod
    def of(cls, fn: Callable[..., Any]) -> Signature:
        """The signature of ``fn``; of a bound method, without its ``self``."""
        return cls(fn)

    def __reduce__(self) -> tuple[Any, ...]:
        return Signature, (self.fn,)

    @property
    def shape(self) -> _Shape:
        """Which parameters there are, kind by kind."""
        if self._shape is None:
            self._shape = _shape_of(self.fn)
        return self._shape

    @property
    def name(self) -> str:
        """The function's name, as error messages use it."""
        return getattr(self.fn, "__name__", None) or type(self.fn).__name__

    @property
    def names(self) -> tuple[str, ...]:
        """All parameters in order."""
        return self.shape.names

    @property
    def hints(self) -> dict[str, Any]:
        """The type that each bound value should have; what cannot be resolved is left out.

        ``*args: int`` stands here as ``tuple[int, ...]``, ``**kwargs: int`` as ``dict[str, int]``.
        """
        if self._hints is None:
            self._hints = _hints_of(self.fn, self.shape)
        return self._hints

    @property
    def secrets(self) -> frozenset[str]:
        """The parameters whose hint is a secret, or holds one."""
        if self._secrets is None:
            self._secrets = frozenset(n for n, hint in self.hints.items() if hints.holds_secret(hint))
        return self._secrets

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of the call ``fn(*args, **kwargs)``, by name and with defaults.

        Raises `ParameterError` when the function cannot be called so.
        """
        binder = self._binder or self._compile()
        try:
            return binder(*args, **kwargs)
        except TypeError:
            pass
        raise self._misfit(args, kwargs)

    def bind_names(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a call in which every parameter is given by its name.

        For values from a command line, an API or a recorded run: positional-only parameters have
        names here too, ``*args`` is a list under its name, and what no parameter is called after
        goes into ``**kwargs``. Raises `ParameterError` like `bind`.
        """
        shape = self.shape
        given = dict(parameters)
        arguments: dict[str, Any] = {}
        missing: list[str] = []
        for name in shape.names:
            if name == shape.rest:
                rest = given.pop(name, ())
                arguments[name] = tuple(rest) if isinstance(rest, list | tuple) else (rest,)
            elif name == shape.named_rest:
                named_rest = given.pop(name) if isinstance(given.get(name), dict) else {}
                arguments[name] = {**named_rest, **given}
            elif name in given:
                arguments[name] = given.pop(name)
            elif name in shape.defaults:
                arguments[name] = shape.default(name)
            else:
                missing.append(name)
        unknown = [] if shape.named_rest else list(given)
        problems = [f"has no parameter `{name}`" for name in unknown]
        if missing:
            problems.append(f"needs a value for {_listed(missing)}")
        if problems:
            raise self._refusal(problems, unknown)
        return arguments

    def to_call(self, arguments: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The ``args`` and ``kwargs`` with which to call the function, given bound arguments.

        A parameter that is left out gets its default.
        """
        shape = self._shape or self.shape
        try:
            args = tuple([arguments[name] for name in shape.positional])
            kwargs = {name: arguments[name] for name in shape.keyword_only} if shape.keyword_only else {}
            if shape.rest:
                args += tuple(arguments[shape.rest])
            if shape.named_rest:
                kwargs.update(arguments[shape.named_rest])
            if len(arguments) == len(shape.names):
                return args, kwargs
        except KeyError:
            pass
        return self.to_call(self.bind_names(arguments))

    def coerce(self, name: str, value: Any) -> Any:
        """``value`` as the hint of parameter ``name`` wants it. Raises pydantic's error."""
        if name not in self._coercers:
            self._coercers[name] = hints.coercer(self.hints[name])
        coercer = self._coercers[name]
        return value if coercer is None else coercer(value)

    def _compile(self) -> Callable[..., dict[str, Any]]:
        shape = self.shape
        parameters = [*shape.positional_only]
        if shape.positional_only:
            parameters.append("/")
        parameters.extend(shape.positional[len(shape.positional_only) :])
        if shape.rest:
            parameters.append(f"*{shape.rest}")
        elif shape.keyword_only:
            parameters.append("*")
        parameters.extend(shape.keyword_only)
        if shape.named_rest:
            parameters.append(f"**{shape.named_rest}")
        body = ", ".join(f"{name!r}: {name}" for name in shape.names)
        space: dict[str, Any] = {}
        # Only names of parameters, which are identifiers, get into this text.
        exec(f"def bind({', '.join(parameters)}):\n    return {{{body}}}", space)  # noqa: S102  see above
        binder = cast("FunctionType", space["bind"])
        binder.__defaults__ = shape.positional_defaults
        binder.__kwdefaults__ = dict(shape.keyword_defaults)
        self._binder = _with_fields(binder, shape.fields) if shape.fields else binder
        return self._binder

    def _misfit(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> errors.ParameterError:
        shape = self.shape
        by_name = {*shape.positional[len(shape.positional_only) :], *shape.keyword_only}
        placed = shape.positional[: len(args)]
        problems: list[str] = []
        unknown: list[str] = []
        if len(args) > len(shape.positional) and not shape.rest:
            problems.append(f"takes {_count(len(shape.positional), 'positional argument')} and got {len(args)}")
        for name in kwargs:
            if name in placed and name in by_name:
                problems.append(f"got two values for `{name}`")
            elif name in by_name or shape.named_rest:
                continue
            elif name in shape.positional_only:
                problems.append(f"takes `{name}` by position, not by name")
            else:
                unknown.append(str(name))
                problems.append(f"has no parameter `{name}`")
        needed = [*shape.positional[len(args) :], *shape.keyword_only]
        usable = by_name.intersection(kwargs)
        if missing := [n for n in needed if n not in usable and n not in shape.defaults]:
            problems.append(f"needs a value for {_listed(missing)}")
        return self._refusal(problems or ["cannot be called with these arguments"], unknown)

    def _refusal(self, problems: list[str], unknown: list[str]) -> errors.ParameterError:
        close = [near for name in unknown if (near := nearest(name, self.names)) is not None]
        takes = f"takes {_listed(self.names)}" if self.names else "takes no parameters"
        hint = f"did you mean {_listed(close)}? It {takes}" if close else f"it {takes}"
        return errors.ParameterError(f"`{self.name}()` {'; it '.join(problems)}", hint=hint)


class _Shape(msgspec.Struct, frozen=True):
    positional_only: tuple[str, ...] = ()
    positional: tuple[str, ...] = ()
    keyword_only: tuple[str, ...] = ()
    rest: str | None = None
    named_rest: str | None = None
    positional_defaults: tuple[Any, ...] = ()
    keyword_defaults: dict[str, Any] = {}
    # Below: what follows from the above.
    names: tuple[str, ...] = ()
    defaults: dict[str, Any] = {}
    fields: dict[str, Any] = {}

    @staticmethod
    def made(**parts: Any) -> _Shape:
        shape = _Shape(**parts)
        rest = [shape.rest] if shape.rest else []
        named_rest = [shape.named_rest] if shape.named_rest else []
        count = len(shape.positional_defaults)
        defaults = dict(zip(shape.positional[len(shape.positional) - count :], shape.positional_defaults, strict=True))
        defaults.update(shape.keyword_defaults)
        fields = {name: value for name, value in defaults.items() if _is_field(value)}
        for name, field in fields.items():
            del defaults[name]
            if not field.is_required():
                defaults[name] = field.get_default(call_default_factory=True)
        return msgspec.structs.replace(
            shape,
            names=(*shape.positional, *rest, *shape.keyword_only, *named_rest),
            defaults=defaults,
            fields=fields,
        )

    def default(self, name: str) -> Any:
        """The default of one parameter; made anew where a field has a factory for it."""
        field = self.fields.get(name)
        return self.defaults[name] if field is None else field.get_default(call_default_factory=True)


def _shape_of(fn: Callable[..., Any]) -> _Shape:
    function = fn.__func__ if isinstance(fn, MethodType) else fn
    if type(function) is not FunctionType or function.__dict__.keys() & {"__wrapped__", "__signature__"}:
        return _inspected_shape(fn)
    code = function.__code__
    takes_rest, takes_named_rest = bool(code.co_flags & 4), bool(code.co_flags & 8)
    names = code.co_varnames
    count, end = code.co_argcount, code.co_argcount + code.co_kwonlyargcount
    skipped = 1 if function is not fn and count else 0
    defaults = function.__defaults__ or ()
    return _Shape.made(
        positional_only=names[skipped : code.co_posonlyargcount],
        positional=names[skipped:count],
        keyword_only=names[count:end],
        rest=names[end] if takes_rest else None,
        named_rest=names[end + takes_rest] if takes_named_rest else None,
        positional_defaults=defaults[max(0, len(defaults) - (count - skipped)) :],
        keyword_defaults=function.__kwdefaults__ or {},
    )


def _inspected_shape(fn: Callable[..., Any]) -> _Shape:
    """The shape of what is not a plain function: wrapped, partial, a class, a callable object."""
    import inspect  # noqa: PLC0415  slower than reading a plain function's code, and rarely needed

    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError, NameError):
        return _Shape.made(rest="args", named_rest="kwargs")
    kinds = inspect.Parameter
    positional = [p for p in parameters if p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)]
    keyword_only = [p for p in parameters if p.kind is kinds.KEYWORD_ONLY]
    return _Shape.made(
        positional_only=tuple(p.name for p in positional if p.kind is kinds.POSITIONAL_ONLY),
        positional=tuple(p.name for p in positional),
        keyword_only=tuple(p.name for p in keyword_only),
        rest=next((p.name for p in parameters if p.kind is kinds.VAR_POSITIONAL), None),
        named_rest=next((p.name for p in parameters if p.kind is kinds.VAR_KEYWORD), None),
        positional_defaults=tuple(p.default for p in positional if p.default is not kinds.empty),
        keyword_defaults={p.name: p.default for p in keyword_only if p.default is not kinds.empty},
    )


def _is_field(default: Any) -> bool:
    """Whether a default is ``pydantic.Field(…)``, asked without importing pydantic."""
    return type(default).__name__ == "FieldInfo" and type(default).__module__ == "pydantic.fields"


def _with_fields(bind: Callable[..., dict[str, Any]], fields: dict[str, Any]) -> Callable[..., dict[str, Any]]:
    """``bind``, with the default inside each ``pydantic.Field(…)`` that was not overridden."""

    def bind_with_fields(*args: Any, **kwargs: Any) -> dict[str, Any]:
        arguments = bind(*args, **kwargs)
        for name, field in fields.items():
            if arguments[name] is field:
                if field.is_required():
                    raise TypeError(name)
                arguments[name] = field.get_default(call_default_factory=True)
        return arguments

    return bind_with_fields


def _count(number: int, noun: str) -> str:
    return f"at most {number} {noun}{'' if number == 1 else 's'}" if number else f"no {noun}s"


def _listed(names: Sequence[str]) -> str:
    quoted = [f"`{name}`" for name in names]
    return " and ".join(filter(None, (", ".join(quoted[:-1]), quoted[-1])))


# Type hints ---------------------------------------------------------------------------------------


def _hints_of(fn: Callable[..., Any], shape: _Shape) -> dict[str, Any]:
    found = {name: hint for name, hint in hints.resolved(fn).items() if name in shape.names}
    for name, field in shape.fields.items():
        found[name] = hints.with_constraints(found.get(name, Any), field)
    if shape.rest in found:
        found[shape.rest] = hints.unpacked(found[shape.rest]) or hints.tuple_of(found[shape.rest])
    if shape.named_rest in found:
        found[shape.named_rest] = hints.unpacked(found[shape.named_rest]) or hints.dict_of(found[shape.named_rest])
    return {name: hint for name, hint in found.items() if hint is not Any}


# Validation ---------------------------------------------------------------------------------------


def validate(signature: Signature, arguments: dict[str, Any], flow_name: str) -> dict[str, Any]:
    """The arguments, each as its type hint wants it: ``"3"`` becomes 3, a dict becomes a model.

    What pydantic does in lax mode, and pydantic is not even imported while all values already have
    the hinted types. A default that does not fit its hint (``x: str = None``) is left as written.
    Raises `ParameterError` with a line for each parameter that does not fit. Secrets are not shown.
    """
    wanted = signature.hints
    misfits = [name for name, value in arguments.items() if name in wanted and not hints.fits(value, wanted[name])]
    if not misfits:
        return arguments
    coerced = dict(arguments)
    problems: list[str] = []
    for name in misfits:
        value = arguments[name]
        if value is None and _is_default(signature, name, None):
            continue
        coerced[name], problem = _coerced(signature, name, value)
        if problem and not _is_default(signature, name, value):
            problems.append(problem)
    if problems:
        raise errors.ParameterError(
            f"Flow `{flow_name}` was given what does not fit the types of its parameters\n" + "\n".join(problems),
            hint="pass such values, change the type hints, or turn this off with `validate_parameters=False`",
        )
    return coerced


def _is_default(signature: Signature, name: str, value: Any) -> bool:
    defaults = signature.shape.defaults
    return name in defaults and defaults[name] is value


def _coerced(signature: Signature, name: str, value: Any) -> tuple[Any, str | None]:
    """The coerced value; or the value as it was, and what is wrong with it."""
    from pydantic import ValidationError  # noqa: PLC0415  imported only when there is something to validate

    try:
        return signature.coerce(name, value), None
    except ValidationError as error:
        return value, _problem(signature, name, value, error.errors(include_url=False))


def _problem(signature: Signature, name: str, value: Any, details: Sequence[Any]) -> str:
    hint = signature.hints[name]
    expected = f"  `{name}`: expected {hints.describe(hint)}"
    if name in signature.secrets:
        return f"{expected}: `{rendering.MASK}`"
    if hints.is_union(hint) and len(details) > 1:
        return f"{expected}: `{rendering.short_repr(value)}`"
    first = details[0]
    where, found = _located(value, first["loc"][1:], missing=first["type"] == "missing")
    reason = first["msg"][:1].lower() + first["msg"][1:]
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    at = f"at {where}, " if where else ""
    return f"{expected}; {at}{reason}{more}: `{rendering.short_repr(found)}`"


def _located(value: Any, path: Sequence[Any], *, missing: bool) -> tuple[str, Any]:
    """Where in ``value`` the path of an error leads, and what is there.

    pydantic puts the names of union members into the path as well; those lead nowhere.
    """
    where = ""
    for index, step in enumerate(path):
        if isinstance(value, dict) and step in value:
            value, where = value[step], f"{where}[{step!r}]"
        elif isinstance(value, list | tuple) and isinstance(step, int) and step < len(value):
            value, where = value[step], f"{where}[{step}]"
        elif missing and index == len(path) - 1:
            where = f"{where}[{step!r}]"
    return where, value


# Schema -------------------------------------------------------------------------------------------


def schema(signature: Signature) -> dict[str, Any]:
    """JSON schema of the parameters, for forms: Prefect's ``parameter_openapi_schema``.

    Titles are the names, descriptions come from the docstring (Google, NumPy or Sphinx style),
    ``position`` is the place in the signature. A default that has no form in JSON is left out, and
    so is one that holds a secret.
    """
    described = docstrings.described_parameters(getattr(signature.fn, "__doc__", None) or "")
    types, definitions = _json_types(signature.hints)
    shape = signature.shape
    properties: dict[str, Any] = {}
    for position, name in enumerate(shape.names):
        entry: dict[str, Any] = {"title": name}
        if name in shape.defaults and name not in signature.secrets:
            entry.update(_json_default(shape.defaults[name]))
        entry["position"] = position
        entry.update(types.get(name, {}))
        if name in described:
            entry.setdefault("description", described[name])
        properties[name] = entry
    optional = {*shape.defaults, shape.rest, shape.named_rest}
    described_as_a_whole: dict[str, Any] = {
        "title": "Parameters",
        "type": "object",
        "properties": properties,
        "required": [name for name in shape.names if name not in optional],
        "definitions": definitions,
    }
    if shape.named_rest:
        described_as_a_whole["additionalProperties"] = True
    return described_as_a_whole


def _json_types(wanted: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    if not wanted:
        return {}, {}
    from pydantic import TypeAdapter  # noqa: PLC0415  only for forms
    from pydantic.json_schema import GenerateJsonSchema  # noqa: PLC0415  as above

    class Generator(GenerateJsonSchema):
        """Any JSON for a type that has no schema, and no warning about it."""

        ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012  as in its base

        def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> dict[str, Any]:  # noqa: ARG002  as in its base
            return {}

    adapters: list[tuple[str, Any, Any]] = []
    for name, hint in wanted.items():
        adapter = hints.adapter_of(hint)
        try:
            adapter.json_schema(schema_generator=Generator)
        except Exception:  # noqa: BLE001, S112  a form can do without the type of one parameter
            continue
        adapters.append((name, "validation", adapter))
    kinds, common = TypeAdapter.json_schemas(adapters, ref_template="#/definitions/{model}", schema_generator=Generator)
    return {name: kind["items"] for (name, _), kind in kinds.items()}, common.get("$defs", {})


def _json_default(value: Any) -> dict[str, Any]:
    """``{"default": …}``, or nothing when the value has no form in JSON."""
    import json  # noqa: PLC0415  only for forms

    from pydantic_core import to_jsonable_python  # noqa: PLC0415  as above

    if hasattr(type(value), "get_secret_value"):
        return {}
    try:
        default = to_jsonable_python(value)
        json.dumps(default, allow_nan=False)
    except Exception:  # noqa: BLE001  whatever the value does when asked, it has no form in JSON
        return {}
    return {"default": default}


# Preview ------------------------------------------------------------------------------------------


def preview(arguments: Mapping[str, Any], signature: Signature | None = None) -> dict[str, Any]:
    """The arguments as JSON that may be recorded and shown.

    Secrets are masked, long values shortened, and what JSON cannot hold is named by its type and
    a short repr. With a ``signature``, a plain value is masked too if its hint says that it is or
    holds a secret, as it can be when arguments were not validated.
    """
    return rendering.rendered(arguments, hidden=signature.secrets if signature else frozenset())


# The command line ---------------------------------------------------------------------------------


def parse_cli(text: str) -> Any:
    """The value in ``-p name=value``: JSON, and what is not JSON is a string."""
    import json  # noqa: PLC0415  only for the command line

    def refuse(word: str) -> Any:
        raise ValueError(word)

    try:
        # NaN and Infinity are words, not JSON; a float parameter understands them as such.
        return json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError):
        return text
