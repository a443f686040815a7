"""What a docstring says of each parameter, in Google, NumPy or Sphinx style."""

from __future__ import annotations

from collections.abc import Iterator


def described_parameters(docstring: str) -> dict[str, str]:
    """What a docstring says of each parameter."""
    import inspect  # noqa: PLC0415  only for forms

    lines = inspect.cleandoc(docstring).splitlines()
    return {
        name.strip().lstrip("*"): text
        for read in (_sphinx_entries, _numpy_entries, _google_entries)
        for names, text in read(lines)
        for name in names.split(",")
        if text
    }


def _google_entries(lines: list[str]) -> Iterator[tuple[str, str]]:
    import re  # noqa: PLC0415  only for forms

    for index, line in enumerate(lines):
        if re.fullmatch(r"\s*(Args|Arguments|Params|Parameters|Keyword Arg(ument)?s|Other Parameters):\s*", line):
            # The first line of a docstring has lost its indentation.
            for first, more in _entries(lines[index + 1 :], deeper_than=_depth(line) if index else -1):
                if match := re.match(r"(\**\w+)\s*(?:\(.*?\))?\s*:\s*(.*)", first):
                    yield match[1], " ".join(filter(None, (match[2], more)))


def _numpy_entries(lines: list[str]) -> Iterator[tuple[str, str]]:
    import re  # noqa: PLC0415  only for forms

    underlined = [i for i in range(len(lines) - 1) if re.fullmatch(r"\s*-{3,}\s*", lines[i + 1])]
    for index, end in zip(underlined, [*underlined, len(lines)][1:], strict=True):
        if lines[index].strip() in ("Parameters", "Other Parameters"):
            for first, more in _entries(lines[index + 2 : end], deeper_than=_depth(lines[index]) - 1):
                if match := re.fullmatch(r"(\**\w+(?:\s*,\s*\**\w+)*)\s*(?::.*)?", first):
                    yield match[1], more


def _sphinx_entries(lines: list[str]) -> Iterator[tuple[str, str]]:
    import re  # noqa: PLC0415  only for forms

    for first, more in _entries(lines, deeper_than=-1):
        if match := re.match(r":(?:param|parameter|arg|argument)\s+(?:[^:]*\s)?(\**\w+)\s*:\s*(.*)", first):
            yield match[1], " ".join(filter(None, (match[2], more)))


def _entries(lines: list[str], *, deeper_than: int) -> Iterator[tuple[str, str]]:
    """The first line of each entry of an indented block, and its further, deeper lines as one."""
    indent: int | None = None
    first, more = "", list[str]()
    for line in lines:
        if not line.strip():
            continue
        if _depth(line) <= deeper_than:
            break
        indent = _depth(line) if indent is None else indent
        if _depth(line) <= indent:
            if first:
                yield first, " ".join(more)
            first, more = line.strip(), []
        else:
            more.append(line.strip())
    if first:
        yield first, " ".join(more)


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())
