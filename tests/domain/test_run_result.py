"""What a job may leave as its result, and what is said of anything else."""

from __future__ import annotations

import pytest

from queuectl.domain.run_result import MAX_RESULT_BYTES, refusal, result_of

LONGEST = '"' + "a" * (MAX_RESULT_BYTES - 2) + '"'


@pytest.mark.parametrize("text", ['{"loss": 0.5}', "[1, 2]", "null", '"é"', "[" * 99 + "]" * 99,
                                  LONGEST])  # fmt: skip
def test_any_json_value_of_64_kib_is_a_result(text: str) -> None:
    assert refusal(text) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is not valid JSON"),
        ("{loss: 0.5}", "it is not valid JSON"),
        ("1 2", "it is not valid JSON"),
        ("NaN", "NaN is no number of JSON"),
        ('"\\ud800"', "it is not valid JSON"),
        ("[" * 101 + "]" * 101, "lie too deep"),
        ("[" * 60_000, "it is not valid JSON"),
        ("9" * 5000, "it is not valid JSON"),
        (LONGEST + " ", "it has 65,537 bytes, and at most 65,536 are kept"),
        ("é" * 40_000, "it has 80,000 bytes"),
    ],
)
def test_all_else_is_refused_with_a_reason(text: str, why: str) -> None:
    assert why in (refusal(text) or "")


def test_a_damaged_result_reads_as_none() -> None:
    assert [result_of(text) for text in (None, "{", '{"a": 1}')] == [None, None, {"a": 1}]
