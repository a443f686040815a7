from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from penstock.core import ignore
from penstock.errors import UsageError


@pytest.mark.parametrize("path", [
    ".git/", "sub/.git/", ".venv/", "flows/__pycache__/", "a/b.pyc", ".env", "sub/.env.local", "gcp-credentials.json",
    "etl-deployment.yaml", ".ruff_cache/", "node_modules/", "notebooks/.ipynb_checkpoints/", "tls.key", ".coverage",
])  # fmt: skip
def test_what_one_never_wants_to_pack_is_left_out(path: str):
    assert ignore.ignores()(path)


@pytest.mark.parametrize("path", [
    "flow.py", "flows/", "flows/etl.py", "data/zones.csv", "requirements.txt", ".env.example", "environment.yml",
    "penstock.yaml", "config/", "keys.py", ".penstockignore", "src/builder/",
])  # fmt: skip
def test_code_and_its_data_are_packed(path: str):
    assert not ignore.ignores()(path)


@pytest.mark.parametrize("patterns", [
    "data/\n!data/small.csv\n*.log\n/top.py\nsub/*.tmp\n",
    "# nothing\n\n   \n",
    "*\n!flows/\n!flows/**\n",
    "a?c\n[xy].py\n**/deep/*.py\ntrailing\\ \n\\#hash\n",
])  # fmt: skip
def test_patterns_mean_what_they_mean_to_git(tmp_path: Path, patterns: str):
    paths = [
        "data/small.csv", "data/large.csv", "x.log", "logs/x.log", "top.py", "sub/top.py", "sub/a.tmp", "sub/sub/a.tmp",
        "flows/etl.py", "flows/deep/x.py", "abc", "x.py", "z.py", "deep/y.py", "trailing ", "#hash",
    ]  # fmt: skip
    (tmp_path / ".gitignore").write_text(patterns)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    told = subprocess.run(
        ["git", "check-ignore", "-z", "--no-index", "--stdin"],
        cwd=tmp_path, input="\0".join(paths), capture_output=True, text=True, check=False,
    ).stdout  # fmt: skip
    ignores = ignore.ignores(patterns)

    # As whoever packs walks: a folder that is left out is not looked into.
    left_out = [path for path in paths if ignores(path) or any(ignores(folder) for folder in folders(path))]

    assert left_out == [path for path in paths if path in told.split("\0")]


def folders(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: count + 1]) + "/" for count in range(len(parts))]


def test_a_line_that_is_no_pattern_is_named():
    with pytest.raises(UsageError, match=r"line 2 of `.penstockignore`: `!`"):
        ignore.ignores("*.log\n!\n")


def test_the_default_file_is_about_forty_lines():
    lines = ignore.DEFAULT.splitlines()

    assert 35 <= len(lines) <= 55
    assert lines[0].startswith("# ")
