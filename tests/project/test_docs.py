"""Every code block of the documentation runs, and prints what the page says it prints.

One page is one reader: its blocks run in the order in which they stand, in an empty folder, with an empty home.

- ``python`` blocks share one namespace. One with a title (```` ```python title="hello.py" ````) is saved under that
  name instead, to be run or imported by the blocks after it. So is a ``yaml`` block with a title.
- In ``console`` blocks (also ``bash`` and ``sh``) each line that begins with ``$ `` is a command, a shell runs it, and
  the lines after it, if there are any, are its output. ``...`` in there stands for anything. A command that should
  fail says so at its end: ``# exits with 3``. Where an output holds no ``...``, it may be that of another time: what
  differs from run to run (`DIFFERS`) is not compared.
- ``<!-- not run: the reason -->`` before a block leaves it out.

To try a single page: ``.venv/bin/python tests/project/test_docs.py docs/index.md``.
"""

from __future__ import annotations

import linecache
import os
import re
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
SHELLS = {"console", "bash", "sh", "shell"}

BLOCK = re.compile(
    r"^(?P<indent>[ \t]*)(?P<fence>`{3,}|~{3,})[ \t]*(?P<language>\w*)(?P<info>[^\n]*)\n"
    r"(?P<body>.*?)^(?P=indent)(?P=fence)[ \t]*$",
    re.MULTILINE | re.DOTALL,
)
NOT_RUN = re.compile(r"<!-- not run: [^\s].*? -->\s*\Z", re.DOTALL)
TITLE = re.compile(r'title="([^"]+)"')
DIFFERS = (
    (re.compile(r"^\d\d:\d\d:\d\d\.\d{3}(?= \| )", re.MULTILINE), "TIME"),
    (re.compile(r"(?<=[Ff]low run ')[a-z]+-[a-z]+(?=')"), "RUN"),
    (re.compile(r"(?<= in )[\d.]+ m?s(?= \()"), "A MOMENT"),
    (re.compile(r"^NAME +FLOW( .*?) STARTED +TOOK +ID$", re.MULTILINE), r"NAME FLOW\1 STARTED TOOK ID"),
    (
        re.compile(
            r"^[a-z]+-[a-z]+  +(\S.*?) +[\d-]{10} [\d:]{8} \w+ +[\d.]+ \w+  [\da-f]{8}-[\da-f]{4}$", re.MULTILINE
        ),
        r"RUN \1 TIME A MOMENT ID",
    ),
)
"""What differs from run to run in the log and in the table of flow runs, and what stands for it."""
EXITS_WITH = re.compile(r"# exits with (\d+)\s*$")


@dataclass(frozen=True, slots=True)
class Block:
    line: int
    language: str
    title: str | None
    body: str


@dataclass(frozen=True, slots=True)
class Command:
    text: str
    output: str
    exit_code: int


class WrongOnPage(AssertionError):
    """A block did not do what its page says."""


def blocks(text: str) -> Iterator[Block]:
    """The blocks of a page that are to be run."""
    for found in BLOCK.finditer(text):
        language = found["language"]
        if language not in SHELLS | {"python", "yaml"} or NOT_RUN.search(text, 0, found.start()):
            continue
        title = TITLE.search(found["info"])
        if language == "yaml" and title is None:
            continue
        yield Block(
            line=text.count("\n", 0, found.start()) + 2,
            language=language,
            title=title[1] if title else None,
            body=textwrap.dedent(found["body"]),
        )


def commands(block: Block) -> list[Command]:
    """Each command of a console block, with the output that it should print."""
    before, *rest = re.split(r"^\$ ", block.body, flags=re.MULTILINE)
    if before.strip():
        message = "begin each command with `$ `, or leave the block out with `<!-- not run: the reason -->`"
        raise WrongOnPage(message)
    return [_command(text) for text in rest]


def _command(text: str) -> Command:
    lines = text.splitlines()
    count = next(number for number, line in enumerate(lines, 1) if not line.endswith("\\"))
    command = "\n".join(lines[:count])
    exits_with = EXITS_WITH.search(command)
    return Command(command, "\n".join(lines[count:]).strip(), int(exits_with[1]) if exits_with else 0)


def matches(expected: str, printed: str) -> bool:
    """Whether that is what was printed. ``...`` stands for anything, and space at the end of a line for nothing."""
    if "..." not in expected:
        return _of_any_run(_trimmed(expected)) == _of_any_run(_trimmed(printed))
    pattern = ".*?".join(re.escape(part) for part in _trimmed(expected).split("..."))
    return re.fullmatch(pattern, _trimmed(printed), re.DOTALL) is not None


def _of_any_run(text: str) -> str:
    for pattern, stands_for_it in DIFFERS:
        text = pattern.sub(stands_for_it, text)
    return text


def _trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def run_page(page: Path) -> None:
    """Run a page's blocks here: in this process and in the current folder."""
    module: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(page.read_text()):
        try:
            if block.language in SHELLS:
                for command in commands(block):
                    run_command(command)
            elif block.title:
                Path(block.title).parent.mkdir(parents=True, exist_ok=True)
                Path(block.title).write_text(block.body)
            else:
                run_python("\n" * (block.line - 1) + block.body, str(page), module)
        except BaseException as error:
            error.add_note(f"in the block that begins at {page.name}:{block.line}")
            raise


def run_python(source: str, page: str, module: dict[str, Any]) -> None:
    # The name is the page's own, so that a traceback shows the line there; inspect.getsource finds the code here.
    linecache.cache[page] = (len(source), None, source.splitlines(keepends=True), page)
    exec(compile(source, page, "exec"), module)
    sys.stdout.flush()


def run_command(command: Command) -> None:
    ran = subprocess.run(
        command.text,
        shell=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if ran.returncode != command.exit_code:
        message = f"`{command.text}` exited with {ran.returncode}, and printed:\n{ran.stdout}"
        raise WrongOnPage(message)
    if command.output and not matches(command.output, ran.stdout):
        message = f"`{command.text}` printed:\n{ran.stdout}\nbut the page says:\n{command.output}"
        raise WrongOnPage(message)


def read_as_a_newcomer(page: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a page in a process of its own, in an empty folder, with an empty home."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PENSTOCK_", "PYTEST"))}
    home, work = folder / "reader", folder / "page"
    home.mkdir()
    work.mkdir()
    env = kept | {
        "HOME": str(home),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "COLUMNS": "100",
        "NO_COLOR": "1",
        "TZ": "UTC",
        "PYTHONUNBUFFERED": "1",  # as on a terminal: what a flow prints comes before what is told after it
    }
    return subprocess.run(
        [sys.executable, __file__, "--here", str(page)],
        cwd=work,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_code_block_of_the_page_runs_and_prints_what_it_says(page: Path, tmp_path: Path):
    read = read_as_a_newcomer(page, tmp_path)

    assert read.returncode == 0, read.stdout


PAGE = """
```python title="tools/greet.py"
print("hello")
print("world")
```

1. In a list:

   ```python
   name = "Ada"
   ```

```console
$ python \\
    tools/greet.py
hello
wo...
$ python -c 'raise SystemExit(3)'  # exits with 3
```

<!-- not run: it would take years -->
```python
while True: ...
```

```text
not code
```

```python
import inspect

def f(): return name

assert "return name" in inspect.getsource(f)
print(f())
```
"""


def test_a_page_runs_from_top_to_bottom(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text(PAGE)

    read = read_as_a_newcomer(page, _made(tmp_path / "run"))

    assert (read.returncode, read.stdout) == (0, "Ada\n")


LOG = "04:15:53.028 | INFO    | Flow run 'lucky-linnet' - Completed in 2 ms (3 completed)"
TABLE = """\
NAME          FLOW   STATE      STARTED                  TOOK  ID
lucky-linnet  trips  Completed  2026-11-23 04:15:53 UTC  1 ms  01a2069e-14c3"""
TABLE_OF_ANOTHER_RUN = """\
NAME         FLOW   STATE      STARTED                    TOOK  ID
quiet-mouse  trips  Completed  2026-11-24 05:16:54 CET  1.4 s  02b2069e-25d4"""


@pytest.mark.parametrize(("expected", "printed", "alike"), [
    (LOG, "23:59:59.999 | INFO    | Flow run 'quiet-mouse' - Completed in 1.2 s (3 completed)", True),
    (LOG, "23:59:59.999 | INFO    | Flow run 'quiet-mouse' - Completed in 1.2 s (4 completed)", False),
    (TABLE, TABLE_OF_ANOTHER_RUN, True),
    (TABLE, TABLE_OF_ANOTHER_RUN.replace("Completed", "Crashed"), False),
])  # fmt: skip
def test_an_output_without_dots_is_that_of_any_run(expected: str, printed: str, alike: bool):
    assert matches(expected, printed) is alike


@pytest.mark.parametrize(("body", "complaint"), [
    ("```console\n$ echo one\ntwo\n```", "but the page says:\ntwo"),
    ("```console\n$ exit 4\n```", "exited with 4"),
    ("```bash\nmake test\n```", "begin each command with"),
    ("```python\n\n1 / 0\n```", "line 4, in <module>"),
    ("<!-- not run: -->\n```python\n1 / 0\n```", "ZeroDivisionError"),
])  # fmt: skip
def test_a_page_that_is_wrong_is_caught(body: str, complaint: str, tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text(f"\n{body}\n")

    read = read_as_a_newcomer(page, _made(tmp_path / "run"))

    assert read.returncode != 0
    assert complaint in read.stdout


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def main() -> None:
    if sys.argv[1] == "--here":
        run_page(Path(sys.argv[2]))
        return
    for name in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as folder:
            read = read_as_a_newcomer(Path(name).resolve(), Path(folder))
        print(read.stdout, end="")
        print(f"{name}: {'ok' if read.returncode == 0 else 'wrong'}")


if __name__ == "__main__":
    main()
