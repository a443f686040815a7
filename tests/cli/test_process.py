"""The command line as a process: streams that are closed, broken or not terminals, and what it loads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import Journals

CALL = "import sys; from penstock.cli.main import main; sys.exit(main())"
LOADED = "print(*sys.modules, sep='\\n')"
HEAVY = {
    "asyncio",
    "email",
    "http.client",
    "importlib.metadata",
    "logging",
    "pydantic",
    "rich",
    "sqlite3",
    "subprocess",
}

measured_without_coverage = pytest.mark.skipif(
    "COVERAGE_PROCESS_CONFIG" in os.environ, reason="coverage loads modules of its own in every process"
)


def penstock(*line: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", CALL, *line], capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]  the options are subprocess.run's own


def test_a_reader_that_goes_away_is_no_error():
    read, write = os.pipe()
    os.close(read)
    with open(write, "w") as nobody:
        ran = subprocess.run([sys.executable, "-c", CALL, "--help"], stdout=nobody, stderr=subprocess.PIPE, check=False)

    assert (ran.returncode, ran.stderr) == (141, b"")


@pytest.mark.parametrize("line", ["event ls -f", "flow-run logs -f otter", "flow-run watch otter"])
def test_who_follows_ends_with_their_reader_though_nothing_happens(journals: Journals, line: str):
    journals.run("otter", state=None, lives=True, logs=((20, "one"),))
    following = subprocess.Popen(
        [sys.executable, "-c", CALL, *line.split()], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert following.stdout is not None
    told = following.stdout.readline()
    following.stdout.close()

    try:
        assert following.wait(30) == 141
    finally:
        following.kill()
    assert told


def test_data_and_messages_keep_their_order_in_a_pipe():
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = (
        "import os, sys; from penstock.cli.terminal import Terminal;"
        "t = Terminal(sys.stdout, sys.stderr, None, os.environ);"
        "t.write('1'); t.warn('2'); t.write('3'); t.hint('4'); t.tell('5'); t.say('6'); os._exit(0)"
    )

    ran = subprocess.run(
        [sys.executable, "-c", command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environ,
        text=True,
        check=True,
    )

    assert ran.stdout.split() == ["1", "warning:", "2", "3", "hint:", "4", "5", "6"]


def test_what_a_flow_prints_into_a_file_comes_at_once_among_its_log(tmp_path: Path):
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    (tmp_path / "prints.py").write_text(
        "from penstock import flow\n"
        "print('imported')\n"
        "@flow(flow_run_name='prints')\n"
        "def prints():\n"
        "    print('printed')\n"
    )

    def shown(*line: str) -> list[str]:
        with open(tmp_path / "log", "w+") as log:
            subprocess.run(
                [sys.executable, "-c", CALL, *line], stdout=log, stderr=log, cwd=tmp_path, env=environ, check=True
            )
            log.seek(0)
            return [each.split(" | ")[-1].split()[0] for each in log]

    assert shown("run", "prints.py") == ["imported", "Beginning", "printed", "Flow"]
    assert shown("flow-run", "fork", "prints") == ["imported", "Forked", "printed", "Flow"]


@pytest.mark.skipif(sys.platform == "win32", reason="closes streams as a POSIX shell does")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_may_be_closed(closed: str):
    command = f'"{sys.executable}" -c "{CALL}" config view {closed}'

    assert subprocess.run(command, shell=True, capture_output=True, check=False).returncode == 0


def test_a_stream_that_is_not_unicode_gets_what_it_can_show():
    environ = {**os.environ, "PYTHONIOENCODING": "ascii"}

    ran = penstock("config", "view", "--help", env=environ)

    assert ran.returncode == 0
    assert "`PENSTOCK_\\u2026`" in ran.stdout


@measured_without_coverage
def test_the_version_is_told_without_loading_what_commands_need():
    program = f"import sys; sys.argv[1:] = ['--version']\nfrom penstock.cli.main import main; main(); {LOADED}"
    found = set(
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    )

    assert found & {"cyclopts", "msgspec", "inspect", "rich"} == set()


@measured_without_coverage
@pytest.mark.parametrize("line", ["--help", "config view", "flow-run --help", "init --help"])
def test_a_command_loads_only_what_it_needs(line: str):
    program = f"import sys; sys.argv[1:] = {line.split()!r}\nfrom penstock.cli.main import main; main(); {LOADED}"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert set(ran.stdout.split()) & HEAVY == set()


def test_the_package_is_the_command_too():
    ran = subprocess.run([sys.executable, "-m", "penstock", "version"], capture_output=True, text=True, check=False)

    assert (ran.returncode, ran.stdout.split()[0]) == (0, "penstock")
