"""The repository holds to what CONTRIBUTING.md says of it."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]

# A clone must install from whatever registry its user has set up, and run wherever it lies. (Each pattern is
# written so that it does not match itself.)
ADDRESSES = re.compile(
    r"pypi[.]org|python[h]osted|npm[j]s[.]|deb[.]debian|crates[.]io|proxy[.]golang"
    r"|file:///(?:opt|tmp|home)\b"
    r"|(?<![\w.~*$}-])/(?:root|work|opt/pypi)(?=/)",
)
EXCEPTION = re.compile(r"#\s*(?:noqa|type: ignore|pyright: ignore|pragma: no (?:cover|branch))")
REASONED = re.compile(
    r"#\s*(?:noqa: [A-Z0-9, ]*[A-Z0-9]|type: ignore\[[^]]+\]|pyright: ignore\[[^]]+\]|pragma: no (?:cover|branch))"
    r"\W+\w+",
)


def files() -> list[Path]:
    """What git keeps, or would keep."""
    git = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(git, capture_output=True, check=True, text=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("not a git clone")
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def lines_of(paths: list[Path]) -> Iterator[tuple[str, str]]:
    for path in paths:
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            yield f"{path.relative_to(ROOT)}:{number}", line


def test_no_file_holds_a_registrys_address_or_a_path_of_somebodys_machine():
    found = [f"{place}: {line.strip()}" for place, line in lines_of(files()) if ADDRESSES.search(line)]

    assert found == []


def test_every_exception_to_a_rule_stands_beside_its_reason():
    code = [path for path in files() if path.suffix == ".py" and path != Path(__file__)]
    found = [
        f"{place}: {line.strip()}"
        for place, line in lines_of(code)
        if EXCEPTION.search(line) and not REASONED.search(line)
    ]

    assert found == []


def test_every_lint_rule_left_out_has_its_reason_on_the_line():
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    start = lines.index("ignore = [")
    ignored = lines[start + 1 : lines.index("]", start)]

    assert [line for line in ignored if not re.fullmatch(r'  "[A-Z0-9]+",\s+# .+', line)] == []


@pytest.mark.parametrize(("lock", "extras", "groups"), [
    ("run", ["etl"], ["build"]),
    ("dev", ["etl", "postgres"], ["build", "dev"]),
    ("docs", [], ["build", "docs"]),
])  # fmt: skip
def test_the_locks_hold_what_pyproject_asks_for(lock: str, extras: list[str], groups: list[str]):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted: list[str | dict[str, str]] = list(project["project"]["dependencies"])
    for extra in extras:
        wanted += project["project"]["optional-dependencies"][extra]
    for group in groups:
        wanted += project["dependency-groups"][group]
    pins = re.findall(
        r"^([a-z0-9-]+)(?:\[[^]]*\])?==([^ ;]+)", (ROOT / f"requirements/{lock}.txt").read_text(), re.MULTILINE
    )

    # numpy, for one, is pinned twice: for older and for newer Pythons.
    unmet = [
        one
        for one in map(Requirement, (line for line in wanted if isinstance(line, str)))
        if not any(name == canonicalize_name(one.name) and Version(version) in one.specifier for name, version in pins)
    ]
    assert unmet == [], "run `make lock`"
