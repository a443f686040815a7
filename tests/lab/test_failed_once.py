from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FLAKY = """
from pathlib import Path

def test_that_fails_once():
    flag = Path(__file__).with_name("tried")
    if not flag.exists():
        flag.touch()
        raise AssertionError("the disk was slow")

def test_that_fails_always():
    raise AssertionError("the code is wrong")
"""


def test_what_passes_the_second_time_is_told_with_its_first_failure_and_what_does_not_fails(tmp_path: Path):
    (tmp_path / "test_flaky.py").write_text(FLAKY)
    options = ["-p", "tests.lab.failed_once", "-p", "no:cacheprovider", "--reruns", "1", "--rootdir", str(tmp_path)]
    told = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "-c", "/dev/null", str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert told.returncode == 1, told.stderr
    _, _, after = told.stdout.partition(" failed once ")
    once, _, summary = after.partition(" short test summary info ")
    assert "test_that_fails_once (call)" in once
    assert "the disk was slow" in once
    assert "test_that_fails_always" not in once
    assert "test_that_fails_always" in summary
    assert "1 failed, 1 passed, 2 rerun" in summary
