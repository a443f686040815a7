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


def test_a_store_is_in_the_home_or_where_the_url_of_its_database_says(tmp_path: Path):
    def at(url: str | None) -> settings.Settings:
        return settings.from_values({"home": tmp_path, "database_url": url})

    assert (at(None).where, at(None).postgres_url) == (str(tmp_path / "penstock.db"), None)
    assert at("sqlite:////elsewhere/runs.db").store == Path("/elsewhere/runs.db")
    assert at("sqlite+aiosqlite:///runs.db").where == str(Path("runs.db").absolute())
    assert at("postgresql://me:geheim@db/x").postgres_url == "postgresql://me:geheim@db/x"
    assert at("postgresql://me:geheim@db/x").where == "postgresql://me:********@db/x"


OF_API_URL = "it takes a URL such as http://127.0.0.1:4200/api, with http:// or https:// and no password"


@pytest.mark.parametrize(("name", "value", "hint"), [
    ("JOURNAL_SYNC", "sometimes", "it takes one of: interval, always"),
    ("REPLAY", "nonsense", "it takes one of: recompute, strict, off"),
    ("PROGRESS", "loud", "it takes one of: auto, plain, off"),
    ("LOGGING_LEVEL", "info", "it takes one of: DEBUG, INFO, WARNING, ERROR, CRITICAL"),
    ("TASK_RUNNER_MAX_WORKERS", "0", "Expected `int` >= 1"),
    ("RETENTION_DAYS", "soon", "Expected `float`, got `str`"),
    ("RETENTION_RUNS", "-1", "Expected `int` >= 0"),
    ("API_URL", "localhost:4200", OF_API_URL),
    ("API_URL", "http://", OF_API_URL),
    ("API_URL", "http://[bad", OF_API_URL),
    ("API_URL", "http://127.0.0.1:abc/api", OF_API_URL),
    ("API_URL", "http://127.0.0.1:65536/api", OF_API_URL),
    ("API_URL", "http://127.0.0.1/a\nb", OF_API_URL),
    ("API_URL", "http://127.0.0.1/api\n", OF_API_URL),
    ("API_URL", "http://127.0.0.1/ü", OF_API_URL),
    ("API_URL", "http://user@127.0.0.1/api", OF_API_URL),
    ("DATABASE_URL", "mysql://here/it", "it takes a URL that begins with postgresql://, or with sqlite:/// and a path"),
    ("SERVER_PORT", "65536", "Expected `int` <= 65535"),
])  # fmt: skip
def test_a_value_that_does_not_fit_is_refused_with_what_does(tmp_path: Path, name: str, value: str, hint: str):
    with pytest.raises(UsageError) as refused:
        settings.load({"PENSTOCK_HOME": str(tmp_path), f"PENSTOCK_{name}": value})

    assert refused.value.message == f"Setting PENSTOCK_{name} has a value that does not fit: `{value}`"
    assert refused.value.hint == hint


def test_a_password_in_a_url_that_is_refused_is_not_shown(tmp_path: Path):
    with pytest.raises(UsageError) as refused:
        settings.load({"PENSTOCK_HOME": str(tmp_path), "PENSTOCK_API_URL": "https://me:geheim@host/api"})

    assert "geheim" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:4200/api", "https://penstock.example/api", "http://[::1]:65535/api/", "http://localhost:0",
     "https://bücher.example/a/b"],
)  # fmt: skip
def test_the_url_of_an_api_is_taken(tmp_path: Path, url: str):
    assert settings.load({"PENSTOCK_HOME": str(tmp_path), "PENSTOCK_API_URL": url}).api_url == url


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


@pytest.mark.parametrize(("name", "value", "shown"), [
    ("api_key", "psk_1_abc", "********"),
    ("api_key", None, None),
    ("database_url", "postgresql://me:p@ss/w:rd@host:5432/db?x=1", "postgresql://me:********@host:5432/db?x=1"),
    ("database_url", "postgresql://me@host/db?password=pw&x=1", "postgresql://me@host/db?password=********&x=1"),
    ("database_url", "postgresql://host:5432/db", "postgresql://host:5432/db"),
    ("api_url", "http://127.0.0.1:4200/api", "http://127.0.0.1:4200/api"),
    ("retention_days", 7, 7),
])  # fmt: skip
def test_what_is_secret_is_masked_where_it_is_shown(name: str, value: object, shown: object):
    assert settings.shown(name, value) == shown


def test_a_password_is_not_told_in_the_error_about_its_url(tmp_path: Path):
    with pytest.raises(UsageError, match=r"fit: `mysql://me:\*{8}@host/db`"):
        settings.load({"PENSTOCK_HOME": str(tmp_path), "PENSTOCK_DATABASE_URL": "mysql://me:secret@host/db"})
