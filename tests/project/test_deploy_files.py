"""The files in `deploy/` start what they say: their commands are commands of this version, with options that exist."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from penstock import settings
from penstock.cli import tree

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


def unit(path: Path) -> configparser.ConfigParser:
    found = configparser.ConfigParser(strict=False, interpolation=None)
    found.optionxform = str  # pyright: ignore[reportAttributeAccessIssue]  names of systemd have capitals
    found.read_string(path.read_text())
    return found


def compose() -> Any:
    return YAML(typ="safe").load((DEPLOY / "compose.yaml").read_text())


def check_command(line: list[str]) -> None:
    """Raises when `penstock` does not take these words."""
    tree.build().parse_args(line, print_error=False, exit_on_error=False, help_on_error=False, verbose=False)


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit_starts_a_command_that_there_is(path: Path):
    program, *line = shlex.split(unit(path)["Service"]["ExecStart"].replace("%i", "default"))

    assert program == "/opt/penstock/bin/penstock"
    check_command(line)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here")
@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_takes_a_unit(path: Path, tmp_path: Path):
    copy = tmp_path / path.name
    copy.write_text(path.read_text().replace("/opt/penstock/bin/penstock", "/bin/true"))
    told = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, check=False)

    assert told.stderr.strip() == ""


@pytest.mark.parametrize("service", ["server", "worker"])
def test_a_container_starts_a_command_that_there_is(service: str):
    command = compose()["services"][service]["command"]
    line = command if service == "worker" else shlex.split(command[0].partition("exec penstock ")[2])

    check_command(line)


def test_the_settings_in_all_files_exist():
    text = "".join(path.read_text() for path in DEPLOY.rglob("*") if path.is_file())
    named = set(re.findall(r"\bPENSTOCK_([A-Z_]+)\b", text))

    assert named - {name.upper() for name in settings.NAMES} == set()


def test_everybody_in_the_compose_file_shows_the_same_key():
    services = compose()["services"]

    assert services["worker"]["environment"]["PENSTOCK_API_KEY"].startswith("${PENSTOCK_API_KEY")
    assert services["server"]["environment"]["PENSTOCK_API_KEY"].startswith("${PENSTOCK_API_KEY")
    assert "$$PENSTOCK_API_KEY" in services["server"]["command"][0]
