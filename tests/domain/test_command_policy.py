"""Which commands may run: patterns over the whole command, the denied ones first."""

from __future__ import annotations

import pytest

from queuectl.domain.command_policy import patterns, refusal, require_allowed
from queuectl.domain.errors import InvalidInput
from queuectl.domain.settings import Settings

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
    assert patterns(text) == expected


@pytest.mark.parametrize("command", ["make all", " ./run.sh ", ("make", "-j4"), "make a\nb"])
def test_a_command_that_fits_a_pattern_may_run(command: str | tuple[str, ...]) -> None:
    assert refusal(command, ONLY_MAKE) is None


@pytest.mark.parametrize("command", ["MAKE all", "make", "sudo make all", ("./run.sh", "x")])
def test_any_other_may_not_once_some_are_allowed(command: str | tuple[str, ...]) -> None:
    why = refusal(command, ONLY_MAKE)
    assert why == "it fits none of allowed_commands: make *, ./run.sh"


@pytest.mark.parametrize("command", ["rm -rf /", "true; rm x", ("rm", "a b")])
def test_a_denied_command_may_not_run_and_the_pattern_is_named(command: object) -> None:
    assert isinstance(command, (str, tuple))
    assert str(refusal(command, NO_RM)).startswith("denied_commands has '")


def test_denied_comes_before_allowed() -> None:
    both = Settings(allowed_commands="make *", denied_commands="make clean")
    assert refusal("make clean", both) == "denied_commands has 'make clean'"
    assert refusal("make all", both) is None


def test_without_the_settings_everything_may_run() -> None:
    assert refusal("rm -rf /", Settings()) is None


def test_enqueueing_what_may_not_run_is_refused() -> None:
    with pytest.raises(InvalidInput, match="not allowed here: denied_commands has 'rm "):
        require_allowed("rm x", NO_RM)
