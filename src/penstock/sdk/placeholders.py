"""What stands for a task's result while a flow is drawn, where the task is not run."""

from __future__ import annotations

from typing import Any, NoReturn

from penstock import errors


class Placeholder:
    """The result of a task or subflow that was not run.

    It can be passed on, put into containers and printed; its attributes, items and what its methods
    return are placeholders of the same task. Whatever would need the value itself raises
    `UsageError`, naming the task.
    """

    __slots__ = ("penstock_node", "penstock_origin")  # long names: a result's own attributes are placeholders too

    def __init__(self, node: str, origin: str) -> None:
        self.penstock_node = node
        self.penstock_origin = origin

    def __getattr__(self, name: str) -> Placeholder:
        if name.startswith("_"):  # what other libraries probe for: nothing of that kind
            raise AttributeError(name)
        return Placeholder(self.penstock_node, self.penstock_origin)

    def __getitem__(self, key: Any) -> Placeholder:
        return Placeholder(self.penstock_node, self.penstock_origin)

    def __call__(self, *_: Any, **__: Any) -> Placeholder:
        return Placeholder(self.penstock_node, self.penstock_origin)

    def __await__(self) -> Any:
        return self
        yield  # a generator that awaits nothing

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Placeholder):
            _refuse(self, "be compared")
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return f"{_OPENING}{self.penstock_node}>"

    def __format__(self, spec: str) -> str:
        return repr(self)


_OPENING = "<result of "


def nodes_in_text(text: str) -> list[str]:
    """The nodes of placeholders that were formatted into a text."""
    return [rest.partition(">")[0] for rest in text.split(_OPENING)[1:]]


_REFUSED = {
    "be tested for truth": ("bool",),
    "be iterated or unpacked": ("iter", "aiter", "next", "anext", "reversed"),
    "be asked for its length": ("len",),
    "be searched": ("contains",),
    "be compared": ("lt", "le", "gt", "ge"),
    "be changed": ("setitem", "delitem"),
    "be used as a path": ("fspath",),
    "be made a number or bytes": ("int", "float", "complex", "index", "round", "trunc", "floor", "ceil", "bytes"),
    "be entered as a context": ("enter", "exit", "aenter", "aexit"),
    "be calculated with": (
        *"add sub mul matmul truediv floordiv mod divmod pow lshift rshift and xor or".split(),
        *"radd rsub rmul rmatmul rtruediv rfloordiv rmod rdivmod rpow rlshift rrshift rand rxor ror".split(),
        *"neg pos abs invert".split(),
    ),
}


def _refuse(placeholder: Placeholder, what: str) -> NoReturn:
    origin = placeholder.penstock_origin
    raise errors.UsageError(
        f"The flow is only drawn, so {origin} was not run, and its result cannot {what}",
        hint="give the task a viz_return_value: @task(viz_return_value=…) is returned in its place"
        if origin.startswith("task")
        else "let a task look into the result",
    )


def _refusal(what: str) -> Any:
    def refuse(self: Placeholder, *_: Any) -> NoReturn:
        _refuse(self, what)

    return refuse


for _what, _names in _REFUSED.items():
    for _name in _names:
        setattr(Placeholder, f"__{_name}__", _refusal(_what))
