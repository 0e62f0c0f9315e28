"""Options that choose jobs by what they have in common, and the question before many change."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import reduce
from typing import Any, TypeVar

import click

from queuectl.cli.params import QueueName, States
from queuectl.domain.durations import parse_duration
from queuectl.domain.filters import Filter, parse_states
from queuectl.domain.job import State
from queuectl.domain.request import check_name

_F = TypeVar("_F", bound=Callable[..., Any])
_NAMES = ("state", "queue_name", "label", "older_than")

_FILTER = (
    click.option("--queue", "queue_name", type=QueueName(), metavar="NAME", help="Of this queue."),
    click.option("--label", multiple=True, metavar="LABEL", help="With this label (repeat)."),
    click.option("--older-than", metavar="TIME", help="Unchanged for so long: 12h, 7d, 2 weeks."),
)
_CARE = (
    click.option("--dry-run", is_flag=True, help="Only say what would be done."),
    click.option("--yes", "-y", is_flag=True, help="Ask no question."),
)


def filter_options(
    states: str | None = "In these states.", *, careful: bool = True
) -> Callable[[_F], _F]:
    """Give a command the options that choose jobs; `states` is the help of `--state`, if any.

    With `careful` there are `--dry-run` and `--yes` too, as for all that changes many jobs.
    """
    options = (*_FILTER, *_CARE) if careful else _FILTER
    if states is not None:
        state = click.option("--state", type=States(), metavar="STATE,...", help=states)
        options = (state, *options)
    return lambda function: reduce(lambda made, option: option(made), reversed(options), function)


def is_any_named(options: dict[str, Any]) -> bool:
    """Whether any of these options was given."""
    return any(options.get(name) not in (None, ()) for name in _NAMES)


def filter_of(
    options: dict[str, Any], now: datetime, unless_said: frozenset[State] = frozenset()
) -> Filter:
    """Return the filter that the options mean; its states are `unless_said` without `--state`.

    Raises InvalidInput.
    """
    state, name, age = options.get("state"), options["queue_name"], options["older_than"]
    seconds = parse_duration(age, "--older-than") if age is not None else None
    return Filter(
        states=parse_states(state) if state is not None else unless_said,
        queue=check_name("queue", name) if name is not None else None,
        labels=options["label"],
        unchanged_since=now - timedelta(seconds=seconds) if seconds is not None else None,
    )


def is_to_be_asked(options: dict[str, Any]) -> bool:
    """Whether a person is there to be asked first, and has not said yes already."""
    return not options["yes"] and sys.stdin.isatty() and sys.stderr.isatty()
