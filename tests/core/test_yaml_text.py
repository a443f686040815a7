from __future__ import annotations

import time

import pytest

from penstock.core import yaml_text
from penstock.errors import DeploymentFileError

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{after}: &{after} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, after in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(("text", "told"), [
    ("a: b: c", "f.yaml, line 1: Not YAML: mapping values are not allowed here"),
    ("a: 'x", "f.yaml, line 1: Not YAML: found unexpected end of stream"),
    ("x: 1\ny: 2\nx: 3\n", 'f.yaml, line 3: Not YAML: found duplicate key "x" with value "3" (original value: "1")'),
    (
        "a: 1\n---\nb: 2\n",
        "f.yaml, line 2: Not YAML: expected a single document in the stream but found another document",
    ),
    ("a: 2026-13-45", "f.yaml: Not YAML: month must be in 1..12"),
    ("a: \x00", "f.yaml: Not YAML: unacceptable character #x0000: special characters are not allowed"),
    ("", "f.yaml: Not a mapping of names to values"),
    ("- 1\n", "f.yaml: Not a mapping of names to values"),
    ("just words", "f.yaml: Not a mapping of names to values"),
    (
        "a:\n  !!python/object:os.system [x]",
        "f.yaml, line 2: Tags of YAML are not read: `tag:yaml.org,2002:python/object:os.system`",
    ),
    ("a: !secret x", "f.yaml, line 1: Tags of YAML are not read: `!secret`"),
    ("a: &a [*a]", "f.yaml, line 1: What `*a` refers to is not there yet"),
    ("a: *b", "f.yaml, line 1: What `*b` refers to is not there yet"),
    ("a: " + "[" * 100, "f.yaml, line 1: Nested more than 60 deep"),
    ("a: [" + "1," * 30_000 + "]", "f.yaml, line 1: More than 20,000 values"),
    ("a: " + "x" * (1 << 20), "f.yaml: Larger than a file of deployments may be, which is 1 MiB"),
])  # fmt: skip
def test_what_is_no_file_of_settings_is_refused_and_the_line_named(text: str, told: str):
    with pytest.raises(DeploymentFileError) as refused:
        yaml_text.parse(text, "f.yaml")

    assert refused.value.message == told


def test_a_small_file_cannot_mean_an_enormous_one():
    started = time.perf_counter()

    with pytest.raises(DeploymentFileError, match="More than 20,000 values"):
        yaml_text.parse(BOMB, "f.yaml")

    assert time.perf_counter() - started < 5


def test_values_are_as_plain_as_those_of_json():
    section = yaml_text.parse(
        "a: &one {x: 0x10, y: 1.50, z: 2026-11-25, s: 'text', t: 2026-11-25T06:00:00Z, b: &b true, n: null}\n"
        "b:\n  <<: *one\n  x: *b\n",
        "f.yaml",
    )

    of_a = section.mapping("a")
    of_b = section.mapping("b")

    assert of_a == {
        "x": 16, "y": 1.5, "z": "2026-11-25", "s": "text", "t": "2026-11-25T06:00:00+00:00", "b": True, "n": None
    }  # fmt: skip
    assert of_b == {**of_a, "x": True}
    assert {type(value) for value in of_a.values()} == {int, float, str, bool, type(None)}


@pytest.mark.parametrize(("text", "told"), [
    ("p:\n  n: .nan\n", "f.yaml, line 1: `p` holds a number that JSON does not have: `nan`"),
    ("p:\n  1: x\n", "f.yaml, line 1: `p` has a name that is no text, put it in quotes: `1`"),
    ("\n\np: [1]\n", "f.yaml, line 3: `p` is a mapping of names to values, not: `[1]`"),
])  # fmt: skip
def test_what_json_does_not_have_is_refused(text: str, told: str):
    with pytest.raises(DeploymentFileError) as refused:
        yaml_text.parse(text, "f.yaml").mapping("p")

    assert refused.value.message == told


@pytest.mark.parametrize(("written", "meant"), [
    ("yes", True), ("On", True), ("true", True), ("no", False), ("OFF", False), ("false", False), ("null", None)
])  # fmt: skip
def test_a_flag_may_be_written_as_in_older_yaml(written: str, meant: bool | None):
    assert yaml_text.parse(f"a: {written}", "f.yaml").flag("a") is meant


@pytest.mark.parametrize(("written", "meant"), [("2", "2"), ("2026-11-25", "2026-11-25"), ("x y", "x y"), ("~", None)])
def test_a_text_may_look_like_a_number_or_a_date(written: str, meant: str | None):
    assert yaml_text.parse(f"a: {written}", "f.yaml").text("a") == meant


@pytest.mark.parametrize(("written", "told"), [
    ("1.10", "line 1: `a` is a text, and this is a number: `1.1`"),
    ("true", "line 1: `a` does not fit: Expected `str`, got `bool`"),
    ("[x]", "line 1: `a` does not fit: Expected `str`, got `array`"),
])  # fmt: skip
def test_a_text_that_would_not_be_what_is_written_is_refused(written: str, told: str):
    with pytest.raises(DeploymentFileError, match="line 1") as refused:
        yaml_text.parse(f"a: {written}", "f.yaml").text("a")

    assert refused.value.message == f"f.yaml, {told}"


@pytest.mark.parametrize("value", [
    {"a": "one\ntwo\n"}, {"a": "one\ntwo"}, {"a": "one\n\n\n"}, {"a": " one\ntwo"}, {"a": "\n"}, {"a": "#no\ncomment"},
    {"a": None}, {"a": "null"}, {"a": "2021"}, {"a": "2026-11-25"}, {"a": ""}, {"a": "yes: no"}, {"a": "tab\tand\r\n"},
    {"a": [1, [2, {"b": None}]]}, {"a": {}}, {"a": []}, {"a": "x" * 500}, {"a": "- x"}, {"a": "ünï 🎉\n\u2028"},
], ids=str)  # fmt: skip
def test_what_is_written_is_read_again(value: dict[str, object]):
    assert yaml_text.parse(yaml_text.dump(value), "f.yaml").plain() == value
