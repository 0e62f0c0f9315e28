"""What may be asked for, and what each refusal says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuectl.domain.alike import AlikeRequests, requests_of_mappings
from queuectl.domain.errors import ExitCode, InvalidInput
from queuectl.domain.field_checks import (
    MAX_ARGUMENT_BYTES,
    is_name,
)
from queuectl.domain.request import (
    RESULT_FIELDS,
    Request,
    RequestForm,
    build_request,
    command_patterns,
    command_refusal,
    require_allowed,
)
from queuectl.domain.settings import Settings
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


def test_policy_is_that_of_the_job_before_that_of_the_settings_in_force() -> None:
    settings = Settings(max_retries=7, backoff_base=1.5, backoff_cap=60.0, timeout_seconds=9.0)
    spec = ask({"command": "true"}, settings).spec
    assert (spec.max_retries, spec.backoff_base, spec.backoff_cap, spec.timeout) == (7, 1.5, 60, 9)
    own = {"max_retries": "2", "backoff_base": 3, "backoff_cap": 9, "timeout": 1.5}
    spec = ask({"command": "true", **own}, settings).spec
    assert (spec.max_retries, spec.backoff_base, spec.backoff_cap, spec.timeout) == (2, 3, 9, 1.5)


def test_field_names_are_read_with_hyphens_and_in_capitals() -> None:
    assert ask({"Command": "true", "MAX-RETRIES": 5}).spec.max_retries == 5


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


@pytest.mark.parametrize(
    ("field", "text", "due", "delayed"),
    [
        ("run_at", "noon", NOW, False),
        ("at", "noon", NOW, False),
        ("in", "5m", after(300), True),
        ("delay", "5m", after(300), True),
    ],
)
def test_the_time_can_be_given_as_an_instant_or_as_a_delay(
    field: str, text: str, due: datetime, delayed: bool
) -> None:
    request = ask_with(**{field: text})
    assert (request.run_at, request.delayed) == (due, delayed)


def test_two_times_contradict_each_other() -> None:
    assert refusal(run_at="noon", delay="5m") == "field 'delay': the time is given twice"


def test_one_field_under_two_names_is_refused() -> None:
    assert refusal(label="a", labels=["b"]) == "field 'labels' is given twice"


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
    try:
        spec = ask(fields).spec
    except InvalidInput as fault:
        message = str(fault)
    else:
        message = "accepted"
        assert is_name(spec.id)
        assert spec.command
        assert spec.max_retries >= 0
    assert message
    assert "\n" not in message


# many at once: those that are looked at together become what each becomes alone

PLAIN = [{"id": "a", "command": "true"}, {"command": "echo b", "id": "b-2"}]

ids = st.one_of(st.text("aZ9._:@- \n", max_size=4), st.just("x" * 129), st.none(), st.integers())
commands = st.one_of(
    st.text("ls \t\0é\udc80", max_size=4), st.just("x" * (MAX_ARGUMENT_BYTES + 1)), st.none()
)
jobs = st.one_of(
    st.fixed_dictionaries({"command": commands}),
    st.fixed_dictionaries({"id": ids, "command": commands}),
    st.fixed_dictionaries({"command": commands}, optional={"id": ids, "priority": st.just(1)}),
)


def form(settings: Settings | None = None) -> RequestForm:
    numbers = count(1)
    return RequestForm(
        settings or Settings(), parse_time, lambda: f"made{next(numbers)}", cwd="/srv"
    )


def one_by_one(many: list[Mapping[str, object]]) -> list[Request] | None:
    """Return what each becomes alone; None when one of them is refused."""
    alone = form()
    try:
        return [alone.fill(wanted) for wanted in many]
    except InvalidInput:
        return None


def looked_at_together(
    form: RequestForm, many: Sequence[Mapping[str, object]]
) -> AlikeRequests | None:
    return requests_of_mappings(form, form.model(), many)


@given(st.lists(jobs, min_size=1, max_size=3))
def test_what_is_looked_at_together_becomes_what_each_becomes_alone(
    many: list[Mapping[str, object]],
) -> None:
    together = looked_at_together(form(), many)
    assert together is None or list(together) == one_by_one(many)


@pytest.mark.parametrize("many", [PLAIN, [{"command": "ls"}, {"command": "ls"}]])
def test_commands_with_or_without_an_id_are_looked_at_together(many: list[Any]) -> None:
    together = looked_at_together(form(), many)
    assert together is not None
    assert list(together) == one_by_one(many)


@pytest.mark.parametrize("reserved", ["nightly@20260131T0200Z", "hook:a"])
def test_an_id_that_may_be_reserved_is_looked_at_alone(reserved: str) -> None:
    many = [*PLAIN, {"id": reserved, "command": "true"}]
    assert looked_at_together(form(), many) is None


def test_where_not_every_command_is_allowed_each_is_looked_at_alone() -> None:
    assert looked_at_together(form(Settings(denied_commands="rm *")), PLAIN) is None


# which commands may run: patterns over the whole command, the denied ones first

ONLY_MAKE = Settings(allowed_commands="make *, ./run.sh")
NO_RM = Settings(denied_commands="rm *\n*; rm *")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        (" , ,", ()),
        ("make *, ./run.sh", ("make *", "./run.sh")),
        ("make *\n\n echo a, b \n", ("make *", "echo a, b")),
    ],
)
def test_patterns_are_parted_by_commas_or_lines(text: str, expected: tuple[str, ...]) -> None:
    assert command_patterns(text) == expected


@pytest.mark.parametrize("command", ["make all", " ./run.sh ", ("make", "-j4"), "make a\nb"])
def test_a_command_that_fits_a_pattern_may_run(command: str | tuple[str, ...]) -> None:
    assert command_refusal(command, ONLY_MAKE) is None


@pytest.mark.parametrize("command", ["MAKE all", "make", "sudo make all", ("./run.sh", "x")])
def test_any_other_may_not_once_some_are_allowed(command: str | tuple[str, ...]) -> None:
    why = command_refusal(command, ONLY_MAKE)
    assert why == "it fits none of allowed_commands: make *, ./run.sh"


@pytest.mark.parametrize("command", ["rm -rf /", "true; rm x", ("rm", "a b")])
def test_a_denied_command_may_not_run_and_the_pattern_is_named(command: object) -> None:
    assert isinstance(command, (str, tuple))
    assert str(command_refusal(command, NO_RM)).startswith("denied_commands has '")


def test_denied_comes_before_allowed() -> None:
    both = Settings(allowed_commands="make *", denied_commands="make clean")
    assert command_refusal("make clean", both) == "denied_commands has 'make clean'"
    assert command_refusal("make all", both) is None


def test_without_the_settings_everything_may_run() -> None:
    assert command_refusal("rm -rf /", Settings()) is None


def test_enqueueing_what_may_not_run_is_refused() -> None:
    with pytest.raises(InvalidInput, match="not allowed here: denied_commands has 'rm "):
        require_allowed("rm x", NO_RM)
