"""Backoff: base ** attempts up to the cap, whatever the numbers."""

from __future__ import annotations

import math
from collections import Counter
from datetime import datetime
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from queuectl.domain.job import Claim, Outcome, attempts_allowed
from queuectl.domain.job_fields import Spec
from queuectl.domain.state_machine import claim, enqueue, finish
from queuectl.domain.times import UTC, backoff_seconds, luck_of

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


@given(base=bases, attempts=st.integers(0, 10**9), cap=caps, jitter=st.floats(0, 1))
def test_jitter_takes_no_more_than_its_share_of_a_delay(
    base: float, attempts: int, cap: float, jitter: float
) -> None:
    whole = backoff_seconds(base, attempts, cap)
    assert backoff_seconds(base, attempts, cap, jitter, 0.0) == whole
    assert backoff_seconds(base, attempts, cap, jitter, 0.5) <= whole
    assert backoff_seconds(base, attempts, cap, jitter, 1.0) == whole * (1 - jitter)


@pytest.mark.parametrize("name", ["job-{}", "{}", "nightly-{}-of-100", "{0:b}"])
def test_jobs_that_fail_together_come_back_spread_over_the_share(name: str) -> None:
    for attempts in (1, 2):
        lucks = [luck_of(name.format(number), attempts) for number in range(100)]
        assert all(0 <= luck < 1 for luck in lucks)
        tenths = Counter(int(luck * 10) for luck in lucks)
        assert len(tenths) == 10
        assert max(tenths.values()) <= 25


def test_a_retry_has_jitter_where_the_job_has_a_share_of_it() -> None:
    now = datetime(2026, 11, 22, 12, tzinfo=UTC)

    def wait(share: float) -> float:
        spec = Spec(id="a", command="false", backoff_base=10.0, backoff_jitter=share)
        claimed = claim(enqueue(spec, None, now), Claim("c", "w", now), now).after
        assert claimed is not None
        failed = finish(claimed, Outcome(exit_code=1, duration=0.0), now).after
        assert failed is not None
        return (failed.run_at - now).total_seconds()

    assert wait(0.0) == 10
    assert wait(0.5) == pytest.approx(10 * (1 - 0.5 * luck_of("a", 1)), abs=0.002)


@pytest.mark.parametrize(("max_retries", "attempts"), [(0, 1), (1, 1), (2, 2), (10**6, 10**6)])
def test_a_job_has_max_retries_attempts_and_never_fewer_than_one(
    max_retries: int, attempts: int
) -> None:
    assert attempts_allowed(max_retries) == attempts
