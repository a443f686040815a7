from __future__ import annotations

import pytest

from penstock.core.docstrings import described_parameters

GOOGLE = """Load the trips.

    It takes a while: see below.

    Args:
        months: The months to load,
            1 to 12.

            All of one year.
        year (int, optional): The year.
        callback (Callable[[int], str]): Called: after each.
        *rest: What remains.
        silent:

    Returns:
        rows: how many
    """

NUMPY = """
    Load the trips.

    Parameters
    ----------
    months : list of int
        The months to load,
        1 to 12.
    x, y : float
        Coordinates.
    plain
        No type.
    bare : int
    **options
        What remains.

    Returns
    -------
    rows : int
        How many.
    """

SPHINX = """Load the trips.

    :param months: The months to load,
        1 to 12.
    :param int year: The year.
    :type year: int
    :parameter dict[str, int] options: More
      of it.

    :returns: how many
    """


def test_google_style():
    assert described_parameters(GOOGLE) == {
        "months": "The months to load, 1 to 12. All of one year.",
        "year": "The year.",
        "callback": "Called: after each.",
        "rest": "What remains.",
    }


def test_numpy_style():
    assert described_parameters(NUMPY) == {
        "months": "The months to load, 1 to 12.",
        "x": "Coordinates.",
        "y": "Coordinates.",
        "plain": "No type.",
        "options": "What remains.",
    }


def test_sphinx_style():
    assert described_parameters(SPHINX) == {
        "months": "The months to load, 1 to 12.",
        "year": "The year.",
        "options": "More of it.",
    }


@pytest.mark.parametrize(
    "text", ["", "Load.", "Args:", "Args:\n", "Parameters\n---", "Parameters\n----\n\nReturns\n----\nx", ":param"]
)
def test_a_docstring_that_describes_nothing_yields_nothing(text: str):
    assert described_parameters(text) == {}


def test_a_line_that_is_no_entry_is_passed_over():
    assert described_parameters("Args:\n    See the manual\n    a: one\n") == {"a": "one"}
    assert described_parameters("Parameters\n----\nsee: the manual, or not!\n    never\na\n    one\n") == {
        "see": "never",
        "a": "one",
    }
    assert described_parameters("Parameters\n----\nsee the manual\n    never\na\n    one\n") == {"a": "one"}
