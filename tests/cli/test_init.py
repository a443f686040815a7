"""``penstock init``."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from penstock.cli.init import TEMPLATES

Call = Callable[..., Any]


@pytest.mark.parametrize("template", ["hello", "etl", "ml"])
def test_a_template_is_written_as_it_is(penstock: Call, tmp_path: Path, template: Any):
    target = tmp_path / "new" / "project" / f"{template}.py"

    ran = penstock("init", tmp_path / "new" / "project", "--template", template)

    assert ran == (0, f"{target}\n", f"hint: run it with `penstock run {target}`\n")
    assert target.read_text() == (TEMPLATES / f"{template}.py").read_text()


def test_without_a_template_it_is_hello_and_without_a_folder_this_one(
    penstock: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)

    assert penstock("init") == (0, "hello.py\n", "hint: run it with `penstock run hello.py`\n")


def test_nothing_is_overwritten(penstock: Call, tmp_path: Path):
    (tmp_path / "hello.py").write_text("mine")

    assert penstock("init", tmp_path) == (
        1,
        "",
        (
            f"error: It is there already, and was left as it is: `{tmp_path}/hello.py`\n"
            "hint: name another folder: `penstock init DIR`\n"
        ),
    )
    assert (tmp_path / "hello.py").read_text() == "mine"


def test_a_dry_run_writes_nothing(penstock: Call, tmp_path: Path):
    ran = penstock("init", tmp_path / "new", "--dry-run")

    assert ran == (0, f"{tmp_path}/new/hello.py\n", "hint: nothing was written\n")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("template", ["hello", "etl", "ml"])
def test_a_template_says_how_to_run_it(template: Any):
    module = ast.parse((TEMPLATES / f"{template}.py").read_text())

    assert f"penstock run {template}.py" in (ast.get_docstring(module) or "")
