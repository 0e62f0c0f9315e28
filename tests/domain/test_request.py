"""What may be asked for, and what each refusal says."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuectl.domain.errors import ExitCode, InvalidInput
from queuectl.domain.field_checks import (
    MAX_ARGUMENT_BYTES,
    MAX_ENV_BYTES,
    MAX_LABELS,
    MAX_PRIORITY,
    is_name,
)
from queuectl.domain.job_fields import Spec
from queuectl.domain.request import RESULT_FIELDS, Request
from queuectl.domain.request_form import build_request
from queuectl.domain.settings import YEAR, Settings
from tests.domain.jobs import NOW, after


def parse_time(kind: str, raw: object) -> datetime:
    """Stand in for the reader of times: it knows one time and one delay."""
    return {("at", "noon"): NOW, ("in", "5m"): after(300)}[kind, str(raw)]


def ask(fields: Mapping[str, object], settings: Settings | None = None) -> Request:
    return build_request(fields, settings or Settings(), parse_time, lambda: "made4you")


def ask_with(**fields: object) -> Request:
    return ask({"command": "true", **fields})


def refusal(**fields: object) -> str:
    with pytest.raises(InvalidInput) as caught:
        ask_with(**fields)
    assert caught.value.exit_code is ExitCode.USAGE
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 300
    return message


def test_a_command_is_all_that_is_required() -> None:
    request = ask({"command": "echo Hello"})
    spec = request.spec
    assert (spec.command, spec.id, spec.generated_id) == ("echo Hello", "made4you", True)
    assert (spec.queue, spec.priority, spec.env, spec.labels, spec.cwd) == (
        ("default", 0, (), (), None)
    )
    assert (request.run_at, request.notes, request.replace) == (None, (), False)


@pytest.mark.parametrize("fields", [{}, {"command": None}, {"id": "job1"}])
def test_a_missing_command_is_named(fields: dict[str, object]) -> None:
    with pytest.raises(InvalidInput, match="field 'command' is missing"):
        ask(fields)


def test_policy_is_copied_from_the_settings_in_force() -> None:
    settings = Settings(max_retries=7, backoff_base=1.5, backoff_cap=60.0, timeout_seconds=9.0)
    spec = ask({"command": "true"}, settings).spec
    assert (spec.max_retries, spec.backoff_base, spec.backoff_cap, spec.timeout) == (7, 1.5, 60, 9)


def test_a_field_of_the_job_comes_before_the_setting() -> None:
    spec = ask_with(max_retries="2", backoff_base=3, backoff_cap=9, timeout=1.5).spec
    assert (spec.max_retries, spec.backoff_base, spec.backoff_cap, spec.timeout) == (2, 3, 9, 1.5)


def test_field_names_are_read_with_hyphens_and_in_capitals() -> None:
    assert ask({"Command": "true", "MAX-RETRIES": 5}).spec.max_retries == 5


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
    ("priority", "urgent", "priority must be a number, not 'urgent'"),
    ("priority", 1.5, "priority must be low, normal, high or a whole number"),
    ("priority", MAX_PRIORITY + 1, "within 1,000,000 of 0, not 1000001"),
    ("priority", True, "priority must be a number, not True"),
    ("priority", float("inf"), "priority must be a finite number"),
    ("max_retries", -1, "max_retries must be between 0 and 1000000, not -1"),
    ("max_retries", 1.5, "max_retries must be a whole number"),
    ("max_retries", "many", "max_retries must be a number"),
    ("max_retries", 10**400, "max_retries must be a number"),
    ("max_retries", "9\n9" * 100_000, "max_retries must be a number"),
    ("backoff_base", -0.1, "backoff_base must be between 0 and 1000000, not -0.1"),
    ("backoff_base", float("nan"), "backoff_base must be a finite number"),
    ("backoff_cap", 1e300, "backoff_cap must be between 0 and"),
    ("timeout", -1, "timeout must be between 0 and"),
    ("timeout", "soon", "timeout must be a number, not 'soon'"),
    ("timeout", YEAR + 1, "timeout must be between 0 and"),
    ("timeout", [], "timeout must be a number, not []"),
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


@pytest.mark.parametrize(
    ("word", "nearest"),
    [
        ("comand", " (did you mean 'command'?)"),
        ("max_retry", " (did you mean 'max_retries'?)"),
        ("prio", " (did you mean 'priority'?)"),
        ("zzzz", ""),
    ],
)
def test_an_unknown_field_is_refused_with_the_nearest_name(word: str, nearest: str) -> None:
    assert refusal(**{word: 1}) == f"unknown field '{word}'{nearest}"


def test_an_unknown_field_with_a_newline_is_told_on_one_line() -> None:
    assert refusal(**{"a\nb" * 1000: 1}).startswith("unknown field 'a\\nba")


@pytest.mark.parametrize("field", sorted(RESULT_FIELDS))
def test_result_fields_are_ignored_with_a_note(field: str) -> None:
    request = ask_with(**{field: "anything"})
    assert request.notes == (f"field '{field}' is a result and was ignored",)
    assert request.spec == ask_with().spec


@pytest.mark.parametrize(
    "field", ["id", "queue", "priority", "max_retries", "timeout", "cwd", "env", "labels", "run_at"]
)
def test_null_means_the_default(field: str) -> None:
    assert ask_with(**{field: None}) == ask_with()


@pytest.mark.parametrize("field", ["run_at", "at"])
def test_the_time_can_be_given(field: str) -> None:
    assert ask_with(**{field: "noon"}).run_at == NOW


@pytest.mark.parametrize("field", ["in", "delay"])
def test_the_time_can_be_given_as_a_delay(field: str) -> None:
    assert ask_with(**{field: "5m"}).run_at == after(300)


def test_two_times_contradict_each_other() -> None:
    assert refusal(run_at="noon", delay="5m") == "field 'delay': the time is given twice"


def test_one_field_under_two_names_is_refused() -> None:
    assert refusal(label="a", labels=["b"]) == "field 'labels' is given twice"


@given(st.text(max_size=140))
def test_a_name_that_is_accepted_is_safe_as_a_directory(word: str) -> None:
    if is_name(word):
        assert word.isascii()
        assert 0 < len(word) <= 128
        assert word[0].isalnum()
        assert not set(word) & set("/\\\0 \n")


anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
field_names = st.sampled_from(
    "id command queue priority max_retries backoff_base backoff_cap timeout cwd env labels".split()
)


@given(st.dictionaries(field_names | st.text(max_size=8), anything, max_size=5))
def test_any_json_object_is_accepted_or_refused_in_one_line(fields: dict[str, Any]) -> None:
    fields = {name: value for name, value in fields.items() if name not in ("at", "in")}
    message, spec = outcome_of(fields)
    if spec is None:
        assert message
        assert "\n" not in message
    else:
        assert is_name(spec.id)
        assert spec.command
        assert spec.max_retries >= 0


def outcome_of(fields: dict[str, Any]) -> tuple[str, Spec | None]:
    """Return the refusal, or the specification."""
    try:
        return "", ask(fields).spec
    except InvalidInput as fault:
        return str(fault), None
