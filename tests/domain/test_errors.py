"""Errors carry their exit code and fit on one line."""

from __future__ import annotations

import pytest

from queuectl.domain import errors
from queuectl.domain.errors import QueuectlError, nearest, shown


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.QueuectlError, 1),
        (errors.NothingDone, 1),
        (errors.InvalidInput, 2),
        (errors.NotFound, 3),
        (errors.Conflict, 4),
        (errors.StoreError, 5),
        (errors.StoreUnavailable, 5),
        (errors.StoreRefused, 5),
        (errors.WaitTimedOut, 124),
    ],
)
def test_each_error_has_its_documented_exit_code(kind: type[QueuectlError], code: int) -> None:
    assert kind("x").exit_code == code


def test_the_nearest_word_is_suggested_and_a_far_one_is_not() -> None:
    assert nearest("pendin", ["pending", "dead"]) == " (did you mean 'pending'?)"
    assert nearest("qqq", ["pending", "dead"]) == ""


def test_a_quoted_value_is_short_and_on_one_line() -> None:
    assert shown("a\nb") == "'a\\nb'"
    assert shown("x" * 1000) == "'" + "x" * 56 + "..."
