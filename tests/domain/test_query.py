"""What to list, and counting it."""

from __future__ import annotations

import pytest

from queuectl.domain.errors import InvalidInput
from queuectl.domain.job import State
from queuectl.domain.query import Counts, Filter, parse_states
from tests.domain.jobs import NOW

COUNTS = Counts(
    {
        "default": {State.PENDING: 3, State.DEAD: 1},
        "gpu": {State.PENDING: 2, State.COMPLETED: 5},
    }
)


def test_counts_add_up_over_queues() -> None:
    assert COUNTS.of(State.PENDING) == 5
    assert COUNTS.of(State.FAILED) == 0
    assert COUNTS.total == 11


def test_an_empty_store_counts_nothing() -> None:
    assert Counts().total == 0


@pytest.mark.parametrize(
    ("chosen", "count"),
    [
        (Filter(), 11),
        (Filter(states=frozenset({State.PENDING})), 5),
        (Filter(states=frozenset({State.PENDING, State.DEAD})), 6),
        (Filter(queue="gpu"), 7),
        (Filter(queue="gpu", states=frozenset({State.DEAD})), 0),
        (Filter(queue="nowhere"), 0),
        (Filter(labels=("a",)), None),
        (Filter(unchanged_since=NOW), None),
        (Filter(changed_since=NOW), None),
        (Filter(texts=("a",)), None),
        (Filter(exit_code=0), None),
    ],
)
def test_a_filter_of_states_and_queue_is_counted_and_others_are_not(
    chosen: Filter, count: int | None
) -> None:
    assert COUNTS.matching(chosen) == count


def test_states_are_read_with_commas_blanks_and_capitals() -> None:
    assert parse_states("pending, FAILED") == {State.PENDING, State.FAILED}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("pendin", "unknown state 'pendin' (did you mean 'pending'?)"),
        ("", "unknown state ''"),
        ("pending,", "unknown state ''"),
        ("completed,zzz", "unknown state 'zzz'"),
    ],
)
def test_an_unknown_state_is_refused_with_the_nearest(words: str, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_states(words)
    assert str(caught.value) == message
    assert caught.value.hint == ("states: pending, processing, completed, failed, dead, cancelled")
