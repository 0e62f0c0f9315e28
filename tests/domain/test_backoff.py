"""Backoff: base ** attempts up to the cap, whatever the numbers."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from queuectl.domain.job import attempts_allowed
from queuectl.domain.times import backoff_seconds

HUGEST = 1.7976931348623157e308
bases = st.floats(0, HUGEST, allow_nan=False)
caps = st.floats(0, HUGEST, allow_nan=False)


@pytest.mark.parametrize(
    ("base", "waits"),
    [(2, [2, 4, 8, 16]), (1.5, [1.5, 2.25, 3.375]), (1, [1, 1]), (0, [0, 0]), (0.5, [0.5, 0.25])],
)
def test_the_waits_are_the_powers_of_the_base(base: float, waits: list[float]) -> None:
    assert [backoff_seconds(base, n, 3600) for n in range(1, len(waits) + 1)] == waits


@given(base=bases, attempts=st.integers(0, 10**9), cap=caps)
@example(base=HUGEST, attempts=10**9, cap=HUGEST)
@example(base=1.0000000000000002, attempts=10**9, cap=HUGEST)
@example(base=5e-324, attempts=10**9, cap=1.0)
@example(base=HUGEST, attempts=2, cap=0.0)
@example(base=2.0, attempts=1024, cap=5e-324)
def test_a_delay_is_finite_and_never_more_than_the_cap(
    base: float, attempts: int, cap: float
) -> None:
    wait = backoff_seconds(base, attempts, cap)
    assert math.isfinite(wait)
    assert 0 <= wait <= cap


@given(base=bases, attempts=st.integers(1, 40), cap=caps)
def test_a_delay_is_the_exact_power_or_the_cap(base: float, attempts: int, cap: float) -> None:
    exact = min(Fraction(base) ** attempts, Fraction(cap))
    wait = Fraction(backoff_seconds(base, attempts, cap))
    assert abs(wait - exact) <= exact * Fraction(1, 10**9) + Fraction(5e-324)


@pytest.mark.parametrize(("max_retries", "attempts"), [(0, 1), (1, 1), (2, 2), (10**6, 10**6)])
def test_a_job_has_max_retries_attempts_and_never_fewer_than_one(
    max_retries: int, attempts: int
) -> None:
    assert attempts_allowed(max_retries) == attempts
