from __future__ import annotations

from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import errors
from penstock.core.retries import MAX_DELAYS, NO_RETRIES, RetryPolicy, exponential_backoff

seconds = st.floats(0, 1e6)


def delays(policy: RetryPolicy, tries: int) -> list[float]:
    return [policy.delay_before(number) for number in range(1, tries + 1)]


def test_the_first_try_never_waits():
    policy = RetryPolicy.of(3, 10, 1)

    assert policy.delay_before(1, chance=1) == 0


def test_without_a_delay_a_retry_starts_at_once():
    assert delays(RetryPolicy.of(3), 4) == [0, 0, 0, 0]
    assert delays(RetryPolicy.of(3, []), 4) == [0, 0, 0, 0]


def test_a_number_is_the_delay_before_every_retry():
    assert delays(RetryPolicy.of(3, 5), 4) == [0, 5, 5, 5]


def test_a_list_gives_each_retry_its_delay_and_the_last_one_repeats():
    assert delays(RetryPolicy.of(4, [1, 10, 60]), 5) == [0, 1, 10, 60, 60]


def test_fractions_of_a_second_are_kept():
    assert delays(RetryPolicy.of(2, [0.25, 0.001]), 3) == [0, 0.25, 0.001]


@pytest.mark.parametrize("delay", [timedelta(seconds=1.5), Fraction(3, 2), "1.5"])
def test_what_stands_for_a_number_of_seconds_is_taken_except_text(delay: Any):
    if isinstance(delay, str):
        with pytest.raises(errors.UsageError):
            RetryPolicy.of(1, delay)
    else:
        assert RetryPolicy.of(1, delay).delay_before(2) == 1.5


def test_exponential_backoff_doubles_from_its_factor():
    assert delays(RetryPolicy.of(4, exponential_backoff(10)), 5) == [0, 10, 20, 40, 80]
    assert exponential_backoff(0.5)(3) == [0.5, 1, 2]


def test_exponential_backoff_lists_no_more_delays_than_are_allowed():
    policy = RetryPolicy.of(1000, exponential_backoff(1))

    assert len(policy.delays) == MAX_DELAYS


def test_a_function_is_given_the_number_of_retries():
    assert delays(RetryPolicy.of(3, lambda retries: [retries, 1]), 4) == [0, 3, 1, 1]


@pytest.mark.parametrize(
    ("retries", "try_number", "allowed"), [(0, 1, True), (0, 2, False), (2, 3, True), (2, 4, False)]
)
def test_there_are_as_many_tries_as_retries_and_one(retries: int, try_number: int, *, allowed: bool):
    assert RetryPolicy.of(retries).allows(try_number) is allowed


def test_no_options_mean_no_retries():
    assert RetryPolicy.of() == RetryPolicy.of(None, None, None) == NO_RETRIES


@given(seconds, st.floats(0, 100), st.floats(0, 1))
def test_jitter_stays_within_its_factor_and_never_goes_below_zero(delay: float, factor: float, chance: float):
    jittered = RetryPolicy.of(1, delay, factor).delay_before(2, chance)

    assert 0 <= jittered <= delay * (1 + factor) * (1 + 1e-12)
    assert jittered >= delay * (1 - factor) * (1 - 1e-12)


@given(seconds, st.floats(0, 1), st.floats(0, 1))
def test_jitter_of_up_to_one_keeps_the_average(delay: float, factor: float, chance: float):
    policy = RetryPolicy.of(1, delay, factor)
    opposite = policy.delay_before(2, chance) + policy.delay_before(2, 1 - chance)

    assert opposite / 2 == pytest.approx(delay)


def test_half_of_all_draws_are_longer_than_the_delay_however_large_the_factor():
    policy = RetryPolicy.of(1, 10, 5)

    assert [policy.delay_before(2, chance) for chance in (0, 0.25, 0.5, 0.75, 1)] == [0, 5, 10, 35, 60]


@pytest.mark.parametrize("retries", [-1, 1.5, "3", True, [1]])
def test_retries_that_are_no_count_are_refused(retries: Any):
    with pytest.raises(errors.UsageError, match="retries has to be a whole number") as refused:
        RetryPolicy.of(retries)

    assert str(refused.value).endswith(f"`{retries!r}`")


@pytest.mark.parametrize("delay", [-1, "soon", True, b"1", float("nan"), float("inf"), [1, -2], [1, None], {}, 10**400])
def test_delays_that_are_no_time_are_refused(delay: Any):
    with pytest.raises(errors.UsageError, match="retry_delay_seconds has to be a number, 0 or more"):
        RetryPolicy.of(3, delay)


def test_a_function_that_makes_no_sense_is_refused_as_well():
    with pytest.raises(errors.UsageError, match="retry_delay_seconds has to be a number"):
        RetryPolicy.of(3, lambda retries: ["later"] * retries)


def test_more_delays_than_allowed_are_refused_with_the_way_out():
    assert len(RetryPolicy.of(60, [1] * MAX_DELAYS).delays) == MAX_DELAYS
    with pytest.raises(errors.UsageError, match="at most 50 delays: `51`") as refused:
        RetryPolicy.of(60, [1] * (MAX_DELAYS + 1))

    assert "the last delay repeats" in str(refused.value)


def test_a_negative_jitter_factor_is_refused():
    with pytest.raises(errors.UsageError, match="retry_jitter_factor has to be a number"):
        RetryPolicy.of(1, 1, -0.5)


def test_a_negative_backoff_factor_is_refused():
    with pytest.raises(errors.UsageError, match="backoff_factor has to be a number"):
        exponential_backoff(-1)
