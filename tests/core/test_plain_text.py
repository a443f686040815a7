from __future__ import annotations

import pytest

from penstock import errors
from penstock.core import plain_text


def test_half_of_a_surrogate_pair_is_written_out_and_nothing_else_changes():
    assert plain_text.in_utf8("café \udce9 😀 \0") == "café \\udce9 😀 \0"
    assert plain_text.all_in_utf8(["\udce9", {"\udce9": ["\udce9", b"\xe9"]}, 1]) == [
        "\\udce9",
        {"\\udce9": ["\\udce9", b"\xe9"]},
        1,
    ]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("a\0", r"A tag holds a NUL character, which cannot be kept: `a\\x00`"),
        ("\udce9", "A tag holds half of a surrogate pair"),
    ],
)
def test_a_name_that_cannot_be_kept_is_refused(name: str, why: str):
    with pytest.raises(errors.UsageError, match=why):
        plain_text.checked(name, "A tag")


def test_any_other_name_is_as_it_was():
    assert plain_text.checked("naïve 😀 \x07", "A tag") == "naïve 😀 \x07"
