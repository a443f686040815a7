"""YAML that people write: read without surprises, and every complaint names the file, the line and the key.

Nothing of it makes Python objects, and a small file cannot be made to mean an enormous one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from io import StringIO
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec

from penstock import errors
from penstock.core.suggestions import did_you_mean

if TYPE_CHECKING:
    from ruamel.yaml import YAML

T = TypeVar("T")

MAX_BYTES = 1 << 20
MAX_DEPTH = 60
MAX_VALUES = 20_000
"""So many values may a file have, each counted as often as it is referred to."""

_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq", "timestamp")
)
_WORDS = {"yes": True, "on": True, "true": True, "no": False, "off": False, "false": False}


class Section:
    """A mapping of a file: asks for its keys, and knows in which line each stands."""

    def __init__(self, node: Mapping[Any, Any], where: str, line: int) -> None:
        self._node = node
        self.where = where
        """The file, as its reader calls it."""
        self._line = line

    def problem(self, message: str, key: str | None = None, *, hint: str | None = None) -> errors.DeploymentFileError:
        """The error that says ``message`` of this section, or of a key in it."""
        return errors.DeploymentFileError(f"{self.place(key)}: {message}", hint=hint)

    def place(self, key: str | None = None) -> str:
        """The file and the line of this section, or of a key in it."""
        return f"{self.where}, line {self._line if key is None else self._line_of(key)}"

    def __iter__(self) -> Iterator[str]:
        return map(str, self._node)

    def __contains__(self, key: str) -> bool:
        return key in self._node

    def not_read(self, key: str, why: str) -> str:
        """A sentence for whoever wrote the file: that a key is ignored, and why."""
        return f"{self.place(key)}: `{key}` is not read: {why}"

    def refuse_others_than(self, known: Iterable[str]) -> None:
        """Raise for the first key that is not known, with the nearest that is."""
        for key in self._node:
            if key not in known:
                hint = did_you_mean(str(key), known := list(known)) or f"it may have: {', '.join(known)}"
                raise self.problem(f"There is no key `{key}`", key, hint=hint)

    def has(self, key: str) -> bool:
        """Whether something is said under that key: null, an empty mapping and an empty list say nothing."""
        found = self._node.get(key)
        return found not in (None, {}, [], "")

    def text(self, key: str) -> str | None:
        """A text; whole numbers and dates are read as they are written."""
        found = self._node.get(key)
        if isinstance(found, float):
            raise self.problem(f"`{key}` is a text, and this is a number: `{found}`", key, hint="put it in quotes")
        if isinstance(found, int | date) and not isinstance(found, bool):
            return str(_plain_scalar(found))
        return self._one_of_kind(key, str)

    def needed(self, key: str) -> str:
        """A text that must be there."""
        if not (text := self.text(key)):
            raise self.problem(f"`{key}` is missing", key if key in self else None)
        return text

    def flag(self, key: str) -> bool | None:
        """True or false; yes, no, on and off mean the same, as in older YAML."""
        found = self._node.get(key)
        if isinstance(found, str) and found.lower() in _WORDS:
            return _WORDS[found.lower()]
        return self._one_of_kind(key, bool)

    def value(self, key: str, kind: Any) -> Any:
        """A value of that type, None if nothing is said. The type may have limits, as msgspec takes them."""
        return self._one_of_kind(key, kind)

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts; a text alone is a list of one."""
        found = self._node.get(key)
        if isinstance(found, str):
            return (str(found),)
        plain = self._plain_at(key) or []
        if not isinstance(plain, list) or any(isinstance(each, dict | list) for each in plain):
            raise self.problem(f"`{key}` is a list of texts, not: `{_short(plain)}`", key)
        return tuple(map(str, plain))

    def is_mapping(self, key: str) -> bool:
        return isinstance(self._node.get(key), Mapping)

    def mapping(self, key: str) -> dict[str, Any]:
        """A mapping of plain values, such as JSON has; empty if nothing is said."""
        plain = self._plain_at(key)
        if plain is None:
            return {}
        if not isinstance(plain, dict):
            raise self.problem(f"`{key}` is a mapping of names to values, not: `{_short(plain)}`", key)
        return cast("dict[str, Any]", plain)

    def section(self, key: str) -> Section | None:
        """A mapping to ask in turn; None if nothing is said."""
        if not self.has(key):
            return None
        found = self._node[key]
        if not isinstance(found, Mapping):
            raise self.problem(f"`{key}` is a mapping of names to values, not: `{_short(found)}`", key)
        return Section(cast("Mapping[Any, Any]", found), self.where, self._line_of(key))

    def nothing(self, key: str) -> Section:
        """A mapping of which nothing is said."""
        return Section({}, self.where, self._line_of(key))

    def sections(self, key: str) -> list[Section]:
        """A list of mappings; empty if nothing is said."""
        if not self.has(key):
            return []
        found: Any = self._node[key]
        if not isinstance(found, Sequence) or isinstance(found, str):
            raise self.problem(f"`{key}` is a list, each entry after a `-`, not: `{_short(found)}`", key)
        listed: list[Section] = []
        for index, each in enumerate(cast("Sequence[Any]", found)):
            line = cast("Any", found).lc.item(index)[0] + 1
            if not isinstance(each, Mapping):
                raise errors.DeploymentFileError(
                    f"{self.where}, line {line}: Each entry of `{key}` is a mapping of names to values, "
                    f"not: `{_short(each)}`"
                )
            listed.append(Section(cast("Mapping[Any, Any]", each), self.where, line))
        return listed

    def plain(self) -> dict[str, Any]:
        """All of it as plain values, such as JSON has."""
        return {key: self._plain_at(key) for key in self}

    def _one_of_kind(self, key: str, kind: type[T]) -> T | None:
        found = self._plain_at(key)
        if found is None:
            return None
        try:
            return msgspec.convert(found, kind)
        except msgspec.ValidationError as error:
            raise self.problem(f"`{key}` does not fit: {error}", key) from None

    def _plain_at(self, key: str) -> Any:
        try:
            return _plain(self._node.get(key))
        except ValueError as error:
            raise self.problem(f"`{key}` {error}", key) from None

    def _line_of(self, key: str) -> int:
        try:
            return cast("Any", self._node).lc.key(key)[0] + 1
        except (AttributeError, KeyError, TypeError):  # it came from elsewhere, by a merge
            return self._line


def parse(text: str, where: str) -> Section:
    """The mapping that a file holds. Raises `DeploymentFileError` when there is none, or too much of it."""
    node = load(text, where)
    if not isinstance(node, Mapping):
        raise errors.DeploymentFileError(f"{where}: Not a mapping of names to values")
    return Section(cast("Mapping[Any, Any]", node), where, cast("Any", node).lc.line + 1)


def load(text: str, where: str) -> Any:
    """What a file holds, with all that is around it; `dump` writes it again. Raises as `parse`."""
    from ruamel.yaml.error import MarkedYAMLError, YAMLError  # noqa: PLC0415  only where YAML is read

    if len(text) > MAX_BYTES:
        raise errors.DeploymentFileError(f"{where}: Larger than a file of deployments may be, which is 1 MiB")
    try:
        _refuse_what_is_too_much(text, where)
        return _yaml().load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        problem = str(error.problem or "")
        told = " ".join((f"{error.context or ''} {problem}" if problem.startswith("but ") else problem).split())
        raise errors.DeploymentFileError(f"{where}{line}: Not YAML: {told}") from None
    except (YAMLError, ValueError) as error:  # a value that is none: 2026-13-01
        told = next(iter(str(error).strip().splitlines()), "")
        raise errors.DeploymentFileError(f"{where}: Not YAML: {told}") from None


def dump(value: Any, *, indent: tuple[int, int, int] = (2, 2, 0)) -> str:
    """The value as YAML. ``indent``: of mappings, of lists, and of the dash within that."""
    written = StringIO()
    yaml = _yaml()
    yaml.indent(*indent)
    yaml.dump(_writable(value), written)
    return written.getvalue().removesuffix("...\n")


def _yaml() -> YAML:
    from ruamel.yaml import YAML  # noqa: PLC0415  only where YAML is read
    from ruamel.yaml.representer import RoundTripRepresenter  # noqa: PLC0415  as above

    class Representer(RoundTripRepresenter):
        """Writes null where the library would write nothing."""

    Representer.add_representer(type(None), lambda to, _: to.represent_scalar("tag:yaml.org,2002:null", "null"))
    yaml = YAML(typ="rt")
    yaml.Representer = Representer
    yaml.preserve_quotes = True
    yaml.width = 1 << 16  # lines stay as long as they are
    return yaml


def _refuse_what_is_too_much(text: str, where: str) -> None:
    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = []
    total = 0
    for event in _yaml().parse(text):
        kind = type(event).__name__
        line = event.start_mark.line + 1
        anchor: str | None = getattr(event, "anchor", None)
        if (tag := getattr(event, "tag", None)) is not None and str(tag) not in _TAGS:
            raise errors.DeploymentFileError(f"{where}, line {line}: Tags of YAML are not read: `{tag}`")
        if kind == "AliasEvent":
            if (size := sizes.get(str(anchor))) is None:
                raise errors.DeploymentFileError(f"{where}, line {line}: What `*{anchor}` refers to is not there yet")
            total += size
        elif kind in ("MappingStartEvent", "SequenceStartEvent"):
            total += 1
            open_nodes.append((anchor, total))
            sizes.pop(str(anchor), None)
        elif kind in ("MappingEndEvent", "SequenceEndEvent"):
            opened, before = open_nodes.pop()
            if opened:
                sizes[opened] = total - before + 1
        elif kind == "ScalarEvent":
            total += 1
            if anchor:
                sizes[anchor] = 1
        if len(open_nodes) > MAX_DEPTH:
            raise errors.DeploymentFileError(f"{where}, line {line}: Nested more than {MAX_DEPTH} deep")
        if total > MAX_VALUES:
            raise errors.DeploymentFileError(f"{where}, line {line}: More than {MAX_VALUES:,} values")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        node = cast("Mapping[Any, Any]", value)
        for key in node:
            if not isinstance(key, str):
                raise ValueError(f"has a name that is no text, put it in quotes: `{_short(key)}`")  # noqa: TRY004  caught above
        return {str(key): _plain(each) for key, each in node.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(each) for each in cast("Sequence[Any]", value)]
    return _plain_scalar(value)


def _plain_scalar(value: Any) -> Any:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool) or type(value).__name__ == "ScalarBoolean":
        return bool(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"holds a number that JSON does not have: `{value}`")
        return float(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if value is None:
        return None
    raise ValueError(f"holds what is no plain value: `{_short(value)}`")


def _writable(value: Any) -> Any:
    """The value, with texts of several lines written as such, and those with unusual characters escaped."""
    if type(value) is dict:
        return {_writable_text(key): _writable(each) for key, each in cast("dict[str, Any]", value).items()}
    if type(value) is list:
        return [_writable(each) for each in cast("list[Any]", value)]
    if type(value) is str:
        return _writable_text(value, lines=True)
    return value


def _writable_text(text: str, *, lines: bool = False) -> str:
    from ruamel.yaml.scalarstring import (  # noqa: PLC0415  only where YAML is written
        DoubleQuotedScalarString,
        LiteralScalarString,
    )

    if lines and _SEVERAL_LINES.fullmatch(text):
        return LiteralScalarString(text)
    return text if _ONE_LINE.fullmatch(text) else DoubleQuotedScalarString(text)


_SEEN, _USUAL = "[!-~\u00a1-\u1fff]", "[ -~\u00a1-\u1fff]"
_ONE_LINE = re.compile(f"(?:{_SEEN}(?:{_USUAL}*{_SEEN})?)?")
_SEVERAL_LINES = re.compile(f"{_SEEN}{_USUAL}*(?:\n{_USUAL}*)*\n{_USUAL}*{_SEEN}\n?")
"""No blank line at its end: there, what belongs to the text and what stands below it could not be told apart."""


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else str(_readable(value))
    return text if len(text) <= 60 else text[:59] + "…"


def _readable(value: Any) -> Any:
    try:
        return _plain(value)
    except ValueError:
        return value


def keyed_lines(text: str, where: str) -> tuple[list[str], list[tuple[str, int]]]:
    """The lines of a file, and where in them each key stands that begins a line; none if not all of them do."""
    node = load(text, where)
    starts = [(str(key), *node.lc.key(key)) for key in node if not isinstance(key, str) or key in node.lc.data]
    lines = split_lines(text)
    if len(starts) != len(node) or any(column for _, _, column in starts):
        return lines, []
    return lines, [(key, line) for key, line, _ in starts]


def split_lines(text: str) -> list[str]:
    """The lines as YAML counts them, each with its end."""
    return _LINE.findall(text)


_LINE = re.compile("[^\n\r\x85\u2028\u2029]*(?:\r\n|[\n\r\x85\u2028\u2029])|[^\n\r\x85\u2028\u2029]+")


def put(node: Any, key: str, value: Any) -> None:
    """Let a key of a mapping say something else; of mappings within, only what differs is changed."""
    before = node.get(key)
    if isinstance(before, Mapping) and isinstance(value, dict) and value:
        inner = cast("dict[str, Any]", value)
        for name in list(cast("Any", before)):
            if name not in inner:
                del node[key][name]
        for name, each in inner.items():
            if name not in before or _readable(before[name]) != each:
                put(before, _writable_text(name), each)
    elif isinstance(before, list) and isinstance(value, list) and getattr(before, "fa", None) is not None:
        node[key] = _like(before, value)
    else:
        node[key] = _writable(value)


def _like(before: Any, value: list[Any]) -> Any:
    from ruamel.yaml.comments import CommentedSeq  # noqa: PLC0415  only where YAML is written

    made = CommentedSeq(_writable(value))
    if before.fa.flow_style():
        made.fa.set_flow_style()
    return made


def indent_of(text: str) -> tuple[int, int, int]:
    """How the text indents what stands below its first keys: what `dump` takes."""
    mapping = _BELOW_A_KEY.search(text)
    dash = _DASH_BELOW_A_KEY.search(text)
    offset = len(dash[1]) if dash else 0
    return (len(mapping[1]) if mapping else 2, offset + 2, offset)


_BELOW_A_KEY = re.compile(r"(?m)^[^\s#-].*:[ \t]*(?:#.*)?\n( +)[^\s#-]")
_DASH_BELOW_A_KEY = re.compile(r"(?m)^[^\s#-].*:[ \t]*(?:#.*)?\n( *)- ")
