"""``penstock run``: from a file to an exit code."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Call = Callable[..., Any]

HELLO = """
from penstock import flow, task


@task
def greeting(name: str) -> str:
    return f"Hello, {name}!"

@flow
def hello(name: str = "world", times: int = 1) -> None:
    print(greeting(name) * times)
"""

FAILING = """
from penstock import flow, task

@task
def divide(number: int) -> float:
    return 1 / number

@flow
def failing(number: int = 0) -> float:
    return divide(number)
"""

SEVERAL = """
from penstock import flow

@flow
def one(): print("one")

@flow(name="the other")
async def two(): print("two")
"""


@pytest.fixture
def flows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Writes a file of flows into the current folder."""
    monkeypatch.chdir(tmp_path)

    def write(text: str, name: str = "flows_of_this_test.py") -> Path:
        (tmp_path / name).write_text(text)
        return Path(name)

    yield write
    sys.modules.pop("flows_of_this_test", None)


def test_a_flow_runs_and_what_it_prints_is_data(penstock: Call, flows: Any, capsys: pytest.CaptureFixture[str]):
    assert penstock("run", flows(HELLO), "-q") == (0, "", "")
    assert capsys.readouterr() == ("Hello, world!\n", "")


def test_its_run_is_recorded_in_the_home(penstock: Call, flows: Any):
    penstock("run", flows(HELLO), "-q", "-p", "name=you")

    (run,) = json.loads(penstock("flow-run", "ls", "--json").out)
    assert (run["flow_name"], run["state_name"], run["parameters"]["name"]) == ("hello", "Completed", "you")


@pytest.mark.parametrize(
    ("line", "stdin", "printed"),
    [
        (["-p", "name=you"], "", "Hello, you!\n"),
        (["-p", 'name="you"', "--param", "times=2"], "", "Hello, you!Hello, you!\n"),
        (["-p", "times=2", "-p", "name=a=b"], "", "Hello, a=b!Hello, a=b!\n"),
        (["--params", '{"name": "you"}'], "", "Hello, you!\n"),
        (["--params", "-"], '{"name": "you"}', "Hello, you!\n"),
        (["--params", "given.json", "-p", "name=me"], "", "Hello, me!Hello, me!\n"),
    ],
)
def test_parameters_are_json_texts_or_a_document(
    penstock: Call,
    flows: Any,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    *,
    line: Any,
    stdin: Any,
    printed: Any,
):
    (tmp_path / "given.json").write_text('{"name": "you", "times": 2}')

    assert penstock("run", flows(HELLO), "-q", *line, stdin=stdin).code == 0
    assert capsys.readouterr().out == printed


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (["-p", "name"], "Not a parameter: `name`"),
        (["-p", "=1"], "Not a parameter: `=1`"),
        (["--params", "none.json"], "There is no file of parameters: `none.json`"),
        (["--params", "{"], "Not JSON: `--params`"),
        (["--params", "-"], "Not JSON: `stdin`"),
        (["--params", "list.json"], "Not a JSON object with a field for each parameter: `list.json`"),
        (["--params", "bytes.json"], "Not a text file: `bytes.json`"),
    ],
)
def test_parameters_that_cannot_be_read_are_refused(penstock: Call, flows: Any, tmp_path: Path, line: Any, told: Any):
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")

    ran = penstock("run", flows(HELLO), *line)

    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"error: {told}\n")


def test_parameters_that_do_not_fit_are_refused_before_anything_runs(penstock: Call, flows: Any):
    ran = penstock("run", flows(HELLO), "-p", "times=many")

    assert ran.code == 2
    assert "`times`: expected int" in ran.err
    assert json.loads(penstock("flow-run", "ls", "--json").out) == []


def test_a_parameter_that_does_not_exist_is_refused(penstock: Call, flows: Any):
    ran = penstock("run", flows(HELLO), "-p", "nmae=you")

    assert ran.code == 2
    assert "did you mean `name`?" in ran.err


def test_a_flow_that_fails_exits_with_1_and_shows_the_users_frames_only(penstock: Call, flows: Any, tmp_path: Path):
    ran = penstock("run", flows(FAILING), "-q")

    assert (ran.code, ran.out) == (1, "")
    # Which part of a line is underlined differs between versions of Python.
    assert [line for line in ran.err.splitlines() if line.strip(" ~^")] == [
        "Traceback (most recent call last):",
        f'  File "{tmp_path}/flows_of_this_test.py", line 10, in failing',
        "    return divide(number)",
        f'  File "{tmp_path}/flows_of_this_test.py", line 6, in divide',
        "    return 1 / number",
        "ZeroDivisionError: division by zero",
        "error: The flow run is Failed: Flow run encountered an exception. ZeroDivisionError: division by zero",
    ]


def test_what_the_progress_display_has_said_is_not_said_again(
    penstock: Call, flows: Any, capsys: pytest.CaptureFixture[str]
):
    assert penstock("run", flows(FAILING)) == (1, "", "")
    assert capsys.readouterr().err.count("ZeroDivisionError: division by zero") >= 1


def test_a_flow_that_takes_too_long_exits_with_6(penstock: Call, flows: Any):
    late = "from penstock import flow\nimport time\n@flow(timeout_seconds=0.01)\ndef late(): time.sleep(30)"

    assert penstock("run", flows(late), "-q").code == 6


def test_progress_is_told_on_stderr(penstock: Call, flows: Any, capsys: pytest.CaptureFixture[str]):
    penstock("run", flows(HELLO))

    assert "Completed" in capsys.readouterr().err


def test_a_dry_run_checks_and_runs_nothing(penstock: Call, flows: Any, capsys: pytest.CaptureFixture[str]):
    ran = penstock("run", flows(HELLO), "--dry-run", "-p", "times=2")

    assert ran == (0, "", "Flow `hello` would run with name='world', times=2\n")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["one", "two", "the other"])
def test_of_several_flows_one_is_named(penstock: Call, flows: Any, capsys: pytest.CaptureFixture[str], name: Any):
    assert penstock("run", f"{flows(SEVERAL)}:{name}", "-q").code == 0
    assert capsys.readouterr().out == {"one": "one\n"}.get(name, "two\n")


@pytest.mark.parametrize(
    ("text", "entrypoint", "told"),
    [
        (
            SEVERAL,
            "{file}",
            "It holds several flows: `{file}`\nhint: say which: `{file}:one`, `{file}:two`",
        ),
        (
            SEVERAL,
            "{file}:tow",
            "`{file}` holds no flow `tow`\nhint: did you mean `{file}:two`?",
        ),
        (SEVERAL, "{file}:xyz", "`{file}` holds no flow `xyz`\nhint: its flows are: `one`, `two`"),
        ("x = 1", "{file}", "It holds no flow: `{file}`\nhint: put `@flow` above a function"),
        ("x = 1", "{file}:x", "`{file}` holds no flow `x`\nhint: it holds none"),
        (
            "x = 1",
            "flows_of_this_tset.py",
            "There is no file of flows: `flows_of_this_tset.py`\nhint: did you mean `{file}`?",
        ),
        ("x = 1", "nowhere/flow.py:x", "There is no file of flows: `nowhere/flow.py`"),
        ("x = 1", "no_such_module:x", "There is no file or module of flows: `no_such_module`"),
        (
            "raise SystemExit",
            "{file}",
            (
                "It ends the process when it is imported: `{file}`\n"
                'hint: call what it does in `if __name__ == "__main__":`'
            ),
        ),
    ],
)
def test_a_file_without_the_flow_is_refused(penstock: Call, flows: Any, text: Any, entrypoint: Any, told: Any):
    file = flows(text)

    assert penstock("run", entrypoint.format(file=file)) == (2, "", f"error: {told.format(file=file)}\n")


def test_a_file_that_does_not_import_shows_where(penstock: Call, flows: Any, tmp_path: Path):
    assert penstock("run", flows("import json\njson.loads('{')")).err.endswith(
        "json.decoder.JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)\n"
        "error: It does not import: `flows_of_this_test.py`\n"
    )
    assert "flows_of_this_test" not in sys.modules


def test_a_file_that_is_no_python_is_refused(penstock: Call, flows: Any):
    ran = penstock("run", flows("hello", "notes.txt"))

    assert (ran.code, ran.err.splitlines()[1]) == (2, "hint: its name should end in `.py`")


def test_a_module_may_be_named_instead_of_a_file(penstock: Call, flows: Any, capsys: pytest.CaptureFixture[str]):
    flows(HELLO)

    assert penstock("run", "flows_of_this_test:hello", "-q").code == 0
    assert capsys.readouterr().out == "Hello, world!\n"


def test_the_import_path_is_as_before_afterwards(penstock: Call, flows: Any):
    path, main = list(sys.path), sys.modules["__main__"]

    penstock("run", flows(HELLO), "-q")

    assert (sys.path, sys.modules["__main__"]) == (path, main)


@pytest.mark.parametrize("template", ["hello", "etl", "ml"])
def test_what_init_writes_runs(
    penstock: Call, flows: Any, capsys: pytest.CaptureFixture[str], template: str, monkeypatch: pytest.MonkeyPatch
):
    modules: dict[str, Any] = dict(sys.modules)
    penstock("init", "--template", template)

    try:
        assert penstock("run", f"{template}.py", "-q") == (0, "", "")
    finally:
        for name in set(sys.modules) - set(modules):
            if name == template:
                del sys.modules[name]
