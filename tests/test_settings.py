from __future__ import annotations

from pathlib import Path

import pytest

from penstock import settings
from penstock.errors import NotFound, UnknownOption, UsageError


def test_a_value_comes_from_the_environment_or_the_profile_or_is_the_default(tmp_path: Path):
    (tmp_path / "profiles.toml").write_text(
        'active = "nightly"\n[profiles.nightly]\nPENSTOCK_RETENTION_DAYS = 7\nPENSTOCK_REPLAY = "strict"\n'
    )

    loaded = settings.load({"PENSTOCK_HOME": str(tmp_path), "PENSTOCK_REPLAY": "off"})

    assert (loaded.replay, loaded.retention_days, loaded.progress) == ("off", 7, "auto")
    assert (loaded.home, loaded.profile) == (tmp_path, "nightly")


@pytest.mark.parametrize(("name", "value", "hint"), [
    ("JOURNAL_SYNC", "sometimes", "it takes one of: interval, always"),
    ("REPLAY", "nonsense", "it takes one of: recompute, strict, off"),
    ("PROGRESS", "loud", "it takes one of: auto, plain, off"),
    ("LOGGING_LEVEL", "info", "it takes one of: DEBUG, INFO, WARNING, ERROR, CRITICAL"),
    ("TASK_RUNNER_MAX_WORKERS", "0", "Expected `int` >= 1"),
    ("RETENTION_DAYS", "soon", "Expected `float`, got `str`"),
    ("RETENTION_RUNS", "-1", "Expected `int` >= 0"),
])  # fmt: skip
def test_a_value_that_does_not_fit_is_refused_with_what_does(tmp_path: Path, name: str, value: str, hint: str):
    with pytest.raises(UsageError) as refused:
        settings.load({"PENSTOCK_HOME": str(tmp_path), f"PENSTOCK_{name}": value})

    assert refused.value.message == f"Setting PENSTOCK_{name} has a value that does not fit: `{value}`"
    assert refused.value.hint == hint


def test_a_profile_with_an_unknown_setting_is_refused_with_the_nearest_one(tmp_path: Path):
    (tmp_path / "profiles.toml").write_text('[profiles.default]\nPENSTOCK_JURNAL_SYNC = "always"\n')

    with pytest.raises(UnknownOption) as refused:
        settings.load({"PENSTOCK_HOME": str(tmp_path)})

    assert refused.value.hint == "did you mean `PENSTOCK_JOURNAL_SYNC`?"


@pytest.mark.parametrize(("file", "hint"), [
    ("[profiles.work]\n", "did you mean `work`?"),
    (None, "profiles are tables `[profiles.NAME]` in `{home}/profiles.toml`"),
])  # fmt: skip
def test_a_profile_that_does_not_exist_is_not_found(tmp_path: Path, file: str | None, hint: str):
    if file is not None:
        (tmp_path / "profiles.toml").write_text(file)

    with pytest.raises(NotFound, match="There is no profile `wrok`") as refused:
        settings.load({"PENSTOCK_HOME": str(tmp_path), "PENSTOCK_PROFILE": "wrok"})

    assert refused.value.hint == hint.format(home=tmp_path)


def test_the_default_profile_needs_no_table(tmp_path: Path):
    (tmp_path / "profiles.toml").write_text("[profiles.work]\nPENSTOCK_REPLAY = 'off'\n")

    assert settings.load({"PENSTOCK_HOME": str(tmp_path), "PENSTOCK_PROFILE": "default"}).replay == "recompute"
