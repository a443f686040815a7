"""What is imported before a flow starts, checked by names, which do not depend on how busy the machine is."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from tests.client.scripted import answer, scripted

HEAVY = {
    "asyncio",
    "concurrent.futures",
    "cloudpickle",
    "cyclopts",
    "email",
    "http.client",
    "importlib.metadata",
    "logging",
    "multiprocessing",
    "pandas",
    "penstock.cli",
    "penstock.store",
    "pydantic",
    "rich",
    "socket",
    "sqlite3",
    "subprocess",
    "urllib.request",
}


def loaded_by(statement: str, **variables: str) -> set[str]:
    """The modules that this statement loads, beyond those of an interpreter that does nothing."""
    # Measuring coverage of subprocesses would load modules of its own there.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")} | variables
    program = f"import sys; before = set(sys.modules); {statement}; print('\\n'.join(set(sys.modules) - before))"
    command = [sys.executable, "-I", "-c", program]
    return set(subprocess.run(command, capture_output=True, check=True, text=True, env=env).stdout.split())


def test_the_measure_sees_what_is_loaded():
    assert "sqlite3" in loaded_by("import sqlite3")


@pytest.mark.parametrize("statement", ["import penstock", "from penstock import flow, task"])
def test_importing_the_sdk_loads_nothing_heavy(statement: str):
    assert sorted(loaded_by(statement) & HEAVY) == []


def test_asking_for_one_public_name_does_not_load_the_rest():
    assert "penstock.testing" not in loaded_by("from penstock import flow, task")


@pytest.mark.parametrize("line", ["flow-run ls", "deployment ls", "work-queue ls"])
def test_a_command_that_asks_a_server_loads_nothing_that_it_does_not_need(line: str):
    empty = b"[]" if line == "work-queue ls" else b'{"items": [], "next": null}'
    command = f"sys.argv = {['penstock', *line.split()]}; from penstock.cli.main import main; assert main() == 0"
    with scripted(answer(body=empty)) as server:
        loaded = loaded_by(command, PENSTOCK_API_URL=server.url)

    needed = {"penstock.cli", "cyclopts", "socket", "http.client", "email"}
    unneeded = HEAVY | {"cronsim", "rich", "ruamel.yaml", "secrets", "shutil", "zoneinfo"}
    assert sorted(loaded & (unneeded - needed)) == []
