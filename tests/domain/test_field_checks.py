"""What each field of a job may hold, and what each refusal says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuectl.domain.errors import InvalidInput
from queuectl.domain.field_checks import (
    MAX_ARGUMENT_BYTES,
    MAX_ENV_BYTES,
    MAX_LABELS,
    MAX_PRIORITY,
    fraction,
    is_name,
)
from queuectl.domain.settings import YEAR
from tests.domain.test_request import ask_with, refusal

TWO_LONG = ("x" * 100_000, "y" * MAX_ARGUMENT_BYTES)
"""Two arguments, each within the limit of one."""

GOOD: list[tuple[str, object, str, object]] = [
    ("id", "a", "id", "a"),
    ("id", "A.b_c:d@e-" + "9" * 118, "id", "A.b_c:d@e-" + "9" * 118),
    ("id", 42, "id", "42"),
    ("command", ["echo", "a b", ""], "command", ("echo", "a b", "")),
    ("command", "x" * MAX_ARGUMENT_BYTES, "command", "x" * MAX_ARGUMENT_BYTES),
    ("command", [*TWO_LONG, "z"], "command", (*TWO_LONG, "z")),
    ("queue", "gpu", "queue", "gpu"),
    ("priority", "HIGH", "priority", 10),
    ("priority", " low ", "priority", -10),
    ("priority", "-7", "priority", -7),
    ("priority", MAX_PRIORITY, "priority", MAX_PRIORITY),
    ("priority", -MAX_PRIORITY, "priority", -MAX_PRIORITY),
    ("max_retries", 0, "max_retries", 0),
    ("max_retries", 1_000_000, "max_retries", 1_000_000),
    ("backoff_base", 0, "backoff_base", 0.0),
    ("backoff_base", 1_000_000, "backoff_base", 1e6),
    ("backoff_cap", YEAR, "backoff_cap", float(YEAR)),
    ("timeout", "0.25", "timeout", 0.25),
    ("timeout", YEAR, "timeout", float(YEAR)),
    ("cwd", "/tmp/with\nnewline", "cwd", "/tmp/with\nnewline"),
    ("cwd", "C:\\work", "cwd", "C:\\work"),
    ("env", {"A": "1", "B": 2, "C": ""}, "env", (("A", "1"), ("B", "2"), ("C", ""))),
    ("labels", ["a", "b", "a"], "labels", ("a", "b")),
    ("label", "nightly run", "labels", ("nightly run",)),
    ("labels", ["é" * 128], "labels", ("é" * 128,)),
]


@pytest.mark.parametrize(("field", "value", "attribute", "kept"), GOOD)
def test_a_good_value_is_kept(field: str, value: object, attribute: str, kept: object) -> None:
    assert getattr(ask_with(**{field: value}).spec, attribute) == kept


BAD: list[tuple[str, object, str]] = [
    ("id", "", "id '' is not valid"),
    ("id", "-x", "id '-x' is not valid"),
    ("id", "a/b", "id 'a/b' is not valid"),
    ("id", "a\n", "id 'a\\n' is not valid"),
    ("id", "x" * 129, "id 'xxx"),
    ("id", True, "id True is not valid"),
    ("id", 1.5, "id 1.5 is not valid"),
    ("id", ["a"], "id ['a'] is not valid"),
    ("queue", "a b", "queue 'a b' is not valid"),
    ("command", "", "command is empty"),
    ("command", " \t\n", "command is empty"),
    ("command", [], "command is empty"),
    ("command", ["", "x"], "command is empty"),
    ("command", ["echo", 1], "command must be a string, not 1"),
    ("command", {"a": 1}, "command must be a string"),
    ("command", 5, "command must be a string, not 5"),
    ("command", "a\0b", "command must not contain a NUL byte"),
    ("command", ["a", "\0"], "command must not contain a NUL byte"),
    ("command", "\ud800", "command must be valid UTF-8"),
    ("command", "x" * (MAX_ARGUMENT_BYTES + 1), "command has 131,072 bytes"),
    ("command", "x" * 1_000_000, "command has 1,000,000 bytes; the system takes at most 131,071"),
    ("command", "é" * 65_536, "command has 131,072 bytes"),
    ("command", ["x", "é" * 65_536], "argument 1 of command has 131,072 bytes; the system takes"),
    ("command", ["x" * 100_000] * 70, "command has 7,000,000 bytes in all its arguments"),
    (
        "priority",
        "urgent",
        "priority must be a number within 1,000,000 of 0, or low, normal or high",
    ),
    ("priority", 1.5, "priority must be low, normal, high or a whole number"),
    ("priority", MAX_PRIORITY + 1, "within 1,000,000 of 0, not 1000001"),
    ("priority", True, "or low, normal or high, not True"),
    ("priority", float("inf"), "priority must be a number within 1,000,000 of 0"),
    ("max_retries", -1, "max_retries must be between 0 and 1000000, not -1"),
    ("max_retries", 1.5, "max_retries must be a whole number"),
    ("max_retries", "many", "max_retries must be a number between 0 and 1000000, not 'many'"),
    ("max_retries", 10**400, "max_retries must be a number"),
    ("max_retries", "9\n9" * 100_000, "max_retries must be a number"),
    ("backoff_base", -0.1, "backoff_base must be between 0 and 1000000, not -0.1"),
    ("backoff_base", float("nan"), "backoff_base must be a number between 0 and 1000000, not nan"),
    ("backoff_cap", 1e300, "backoff_cap must be between 0 and"),
    ("timeout", -1, "timeout must be between 0 and"),
    ("timeout", "soon", "timeout must be a number between 0 and 31622400, not 'soon'"),
    ("timeout", YEAR + 1, "timeout must be between 0 and"),
    ("timeout", [], "timeout must be a number between 0 and 31622400, not []"),
    ("slots", "few", "slots must be a number from 1 to 1,000,000, not 'few'"),
    ("slots", 0, "slots must be a whole number from 1 to 1,000,000, not 0"),
    ("cwd", "relative", "cwd must be an absolute path, not 'relative'"),
    ("cwd", "", "cwd must be an absolute path"),
    ("cwd", 7, "cwd must be a string, not 7"),
    ("cwd", "/\0", "cwd must not contain a NUL byte"),
    ("env", [], "env must be an object of names and values, not []"),
    ("env", {"A=B": "x"}, "env: 'A=B' cannot be the name of a variable"),
    ("env", {"": "x"}, "env: '' cannot be the name of a variable"),
    ("env", {"A\0": "x"}, "env: 'A\\x00' cannot be the name"),
    ("env", {"A": None}, "env 'A' must be a string, not None"),
    ("env", {"A": True}, "env 'A' must be a string, not True"),
    ("env", {"A": "\0"}, "env 'A' must not contain a NUL byte"),
    ("env", {"A": "\udcff"}, "env 'A' must be valid UTF-8"),
    ("env", {"A\ud800": "x"}, "env must be valid UTF-8"),
    ("env", {"A": "x" * (MAX_ARGUMENT_BYTES - 1)}, "env 'A' has 131,072 bytes"),
    ("env", {f"A{n}": "x" * 100_000 for n in range(3)}, f"env is larger than {MAX_ENV_BYTES:,}"),
    ("labels", 5, "labels must be an array of strings, not 5"),
    ("labels", [5], "label must be a string, not 5"),
    ("labels", [" "], "label ' ' must be 1 to 128 printable characters"),
    ("labels", ["x" * 129], "must be 1 to 128 printable characters"),
    ("labels", ["a\tb"], "label 'a\\tb' must be 1 to 128 printable characters"),
    ("labels", [f"l{n}" for n in range(65)], f"at most {MAX_LABELS} labels are allowed, not 65"),
]


@pytest.mark.parametrize(("field", "value", "message"), BAD)
def test_a_bad_value_is_refused_in_one_line_that_names_the_field(
    field: str, value: object, message: str
) -> None:
    assert message in refusal(**{field: value})


@pytest.mark.parametrize("value", [0.5, "0.5", 0, 2, " 2.0 "])
def test_a_fraction_within_bounds_is_kept(value: object) -> None:
    assert fraction(0, 2)("share", value) == float(str(value))


@pytest.mark.parametrize("value", [-0.1, 2.1, "many", None, True, float("nan")])
def test_a_fraction_beyond_its_bounds_or_no_number_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput, match=r"share must be (a number )?between 0 and 2, "):
        fraction(0, 2)("share", value)


@given(st.text(max_size=140))
def test_a_name_that_is_accepted_is_safe_as_a_directory(word: str) -> None:
    if is_name(word):
        assert word.isascii()
        assert 0 < len(word) <= 128
        assert word[0].isalnum()
        assert not set(word) & set("/\\\0 \n")
