"""Exponential backoff, and the verdict retry-or-bury."""

from __future__ import annotations

import math


def backoff_seconds(base: float, attempts: int, cap: float) -> float:
    """Return the wait before the next attempt: min(base ** attempts, cap) seconds.

    The formula is exponential backoff without jitter; `attempts` counts those already made,
    so base 2 waits 2, 4, 8 … seconds. Large powers are compared through logarithms and never
    overflow.
    """
    if attempts <= 0 or base <= 0:
        return min(1.0 if attempts <= 0 else 0.0, cap)
    if base > 1 and cap > 0 and attempts * math.log(base) > math.log(cap) + 1:
        return cap
    try:
        return min(float(base) ** attempts, cap)
    except OverflowError:
        return cap


def attempts_allowed(max_retries: int) -> int:
    """Return how many attempts a job has in all: `max_retries`, and never fewer than one."""
    return max(1, max_retries)


def has_attempts_left(attempts: int, max_retries: int) -> bool:
    """Return whether a job that has failed `attempts` times is tried again."""
    return attempts < attempts_allowed(max_retries)
