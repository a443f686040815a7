from __future__ import annotations

import stat
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from penstock import profiles, settings
from penstock.errors import NotFound, SettingRefused, UsageError

WRITTEN = """\
# Mine.
active = "work"  # the one for the day

[profiles.default]
PENSTOCK_PROGRESS = "plain"

# At the office.
[profiles.work]
# The big machine.
PENSTOCK_API_URL = "http://big:4200/api"
retention_days = 7  # as the law says

[profiles.night]
PENSTOCK_REPLAY = "off"
"""


@pytest.fixture
def written(tmp_path: Path) -> Path:
    (tmp_path / "profiles.toml").write_text(WRITTEN)
    return tmp_path


def make(home: Path, change: str, arguments: tuple[Any, ...]) -> None:
    if change == "create" and len(arguments) == 2:
        profiles.create(home, arguments[0], like=arguments[1])
    else:
        getattr(profiles, change)(home, *arguments)


def text(home: Path) -> str:
    return (home / "profiles.toml").read_text()


def test_the_first_change_makes_the_file_for_its_owner_only(tmp_path: Path):
    home = tmp_path / "home"

    profiles.change(home, "default", {"PENSTOCK_API_URL": "http://127.0.0.1:4200/api", "PENSTOCK_RETENTION_DAYS": 7})

    assert text(home) == (
        'active = "default"\n\n[profiles.default]\nPENSTOCK_API_URL = "http://127.0.0.1:4200/api"\n'
        "PENSTOCK_RETENTION_DAYS = 7\n"
    )
    assert stat.S_IMODE((home / "profiles.toml").stat().st_mode) == 0o600
    assert settings.load({"PENSTOCK_HOME": str(home)}).retention_days == 7


@pytest.mark.parametrize(("change", "arguments", "before", "after"), [
    ("change", ("work", {"PENSTOCK_RETENTION_DAYS": 8}), "retention_days = 7  #", "retention_days = 8  #"),
    ("change", ("night", {"PENSTOCK_PROGRESS": "off"}), 'AY = "off"\n', 'AY = "off"\nPENSTOCK_PROGRESS = "off"\n'),
    ("forget", ("work", ["PENSTOCK_API_URL"]), 'PENSTOCK_API_URL = "http://big:4200/api"\n', ""),
    ("use", ("night",), 'active = "work"', 'active = "night"'),
    ("rename", ("night", "late"), "[profiles.night]", "[profiles.late]"),
    (
        "rename",
        ("work", "office"),
        WRITTEN,
        WRITTEN.replace('"work"', '"office"').replace("[profiles.work]", "[profiles.office]"),
    ),
    ("delete", ("night",), '[profiles.night]\nPENSTOCK_REPLAY = "off"\n', ""),
    ("create", ("new", "night"), 'REPLAY = "off"\n', 'REPLAY = "off"\n\n[profiles.new]\nPENSTOCK_REPLAY = "off"\n'),
])  # fmt: skip
def test_a_change_leaves_all_the_rest_as_it_was_written(
    written: Path, change: str, arguments: tuple[Any, ...], before: str, after: str
):
    make(written, change, arguments)

    assert text(written) == WRITTEN.replace(before, after)


@pytest.mark.parametrize(("change", "arguments"), [
    ("forget", ("work", ["PENSTOCK_API_URL", "PENSTOCK_REPLAY"])),
    ("create", ("work",)),
    ("create", ("default",)),
    ("create", ("Work",)),
    ("create", ("",)),
    ("create", ("a.b",)),
    ("rename", ("night", "work")),
    ("rename", ("night", "schöne-nacht")),
    ("delete", ("work",)),
    ("delete", ("default",)),
])  # fmt: skip
def test_a_change_that_cannot_be_is_refused_and_changes_nothing(written: Path, change: str, arguments: tuple[Any, ...]):
    with pytest.raises(SettingRefused):
        make(written, change, arguments)

    assert text(written) == WRITTEN


@pytest.mark.parametrize(("change", "arguments"), [
    ("use", ("nihgt",)),
    ("delete", ("nihgt",)),
    ("rename", ("nihgt", "day")),
    ("create", ("day", "nihgt")),
])  # fmt: skip
def test_a_profile_that_is_not_there_is_not_found(written: Path, change: str, arguments: tuple[Any, ...]):
    with pytest.raises(NotFound) as refused:
        make(written, change, arguments)

    assert refused.value.hint == "did you mean `night`?"
    assert text(written) == WRITTEN


@pytest.mark.parametrize("written", [
    "",
    "# nothing but a comment",
    'active = "default"',
    "[profiles]\n",
    "[profiles.default]\n[other]\nx = 1",
    "[profiles.default]\nPENSTOCK_REPLAY = 'off'",
    "[profiles]\ndefault = { PENSTOCK_REPLAY = 'off' }\n",
    "[profiles.default]\nPENSTOCK_REPLAY = 'off'\n[other]\nx = 1\n[profiles.work]\nPENSTOCK_REPLAY = 'off'\n",
    "[profiles.'default']\n'PENSTOCK_REPLAY' = 'off'\r\n\r\n[\"profiles\".work]\r\n",
    "[profiles.default]\nPENSTOCK_REPLAY = '''\noff'''\n\n\n\n# end\n",
])  # fmt: skip
def test_a_file_may_be_written_in_any_way_that_toml_allows(tmp_path: Path, written: str):
    (tmp_path / "profiles.toml").write_bytes(written.encode())
    expected: dict[str, Any] = {"active": "default", **tomllib.loads(written.replace("\r\n", "\n"))}
    expected.setdefault("profiles", {}).setdefault("default", {})["PENSTOCK_PROGRESS"] = "off"
    expected["profiles"]["new"] = {"PENSTOCK_PROGRESS": "off"} | (
        {"PENSTOCK_REPLAY": "off"} if "REPLAY" in written else {}
    )
    expected["active"] = "new"

    profiles.change(tmp_path, "default", {"PENSTOCK_PROGRESS": "off"})
    profiles.create(tmp_path, "new", like="default")
    profiles.use(tmp_path, "new")

    assert tomllib.loads(text(tmp_path)) == expected
    comments = [line for line in written.splitlines() if line.startswith("#")]
    assert [line for line in text(tmp_path).splitlines() if line.startswith("#")] == comments


def test_a_file_that_cannot_be_changed_with_certainty_is_left_alone(tmp_path: Path):
    written = "profiles = { default = { PENSTOCK_REPLAY = 'off' } }\n"
    (tmp_path / "profiles.toml").write_text(written)

    with pytest.raises(SettingRefused, match="too unusual"):
        profiles.create(tmp_path, "new", like="default")

    assert text(tmp_path) == written


@pytest.mark.parametrize("written", ["active = ", "active = 1\n", "profiles = 1\n", "[profiles]\nwork = 1\n", b"\xff"])
def test_what_is_not_a_file_of_profiles_is_refused_and_stays(tmp_path: Path, written: str | bytes):
    data = written if isinstance(written, bytes) else written.encode()
    (tmp_path / "profiles.toml").write_bytes(data)

    with pytest.raises(UsageError, match=r"profiles"):
        profiles.change(tmp_path, "default", {"PENSTOCK_PROGRESS": "off"})

    assert (tmp_path / "profiles.toml").read_bytes() == data


def test_changes_at_the_same_time_are_all_kept(tmp_path: Path):
    names = [f"PENSTOCK_{name.upper()}" for name in settings.NAMES[2:10]]
    together = Barrier(len(names))

    def change(name: str) -> None:
        together.wait(30)
        for count in range(5):
            profiles.change(tmp_path, "default", {name: count})

    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(change, names))

    assert settings.read_profiles(tmp_path).tables == {"default": dict.fromkeys(names, 4)}


def test_a_link_to_the_file_stays_a_link(tmp_path: Path):
    kept = tmp_path / "dotfiles" / "penstock.toml"
    kept.parent.mkdir()
    kept.write_text(WRITTEN)
    (tmp_path / "profiles.toml").symlink_to(kept)

    profiles.use(tmp_path, "night")

    assert (tmp_path / "profiles.toml").is_symlink()
    assert kept.read_text() == WRITTEN.replace('active = "work"', 'active = "night"')
