"""Many mappings at once: those that are looked at together become what each becomes alone."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuectl.domain.errors import InvalidInput
from queuectl.domain.field_checks import MAX_ARGUMENT_BYTES
from queuectl.domain.request import Request
from queuectl.domain.request_form import RequestForm
from queuectl.domain.settings import Settings
from tests.domain.test_request import parse_time

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


@given(st.lists(jobs, min_size=1, max_size=3))
def test_what_is_looked_at_together_becomes_what_each_becomes_alone(
    many: list[Mapping[str, object]],
) -> None:
    together = form().fill_plain(many)
    assert together is None or together == one_by_one(many)


@pytest.mark.parametrize("many", [PLAIN, [{"command": "ls"}, {"command": "ls"}]])
def test_commands_with_or_without_an_id_are_looked_at_together(many: list[Any]) -> None:
    together = form().fill_plain(many)
    assert together is not None
    assert together == one_by_one(many)


@pytest.mark.parametrize("reserved", ["nightly@20260131T0200Z", "hook:a"])
def test_an_id_that_may_be_reserved_is_looked_at_alone(reserved: str) -> None:
    assert form().fill_plain([*PLAIN, {"id": reserved, "command": "true"}]) is None


def test_where_not_every_command_is_allowed_each_is_looked_at_alone() -> None:
    assert form(Settings(denied_commands="rm *")).fill_plain(PLAIN) is None
