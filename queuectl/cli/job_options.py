"""The options of `enqueue`, `run` and `schedule add`, made from the fields of a job."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from typing import Any

import click

from queuectl.cli.completions import EnqueueWord, JobId, ParentRule, PathName, Priority, QueueName
from queuectl.domain.errors import InvalidInput
from queuectl.domain.job_fields import ASKED, Field, Kind

Option = Callable[[Any], Any]
"""What `click.option` returns: a decorator of the function of a command."""

_COMPLETED: Mapping[str, Callable[[], click.ParamType[Any]]] = {
    "queue": QueueName,
    "priority": Priority,
    "cwd": lambda: PathName("dir"),
    "after": JobId,
    "after_any": JobId,
    "after_fail": JobId,
    "on_parent_failure": ParentRule,
}
"""What may stand for the value of an option, where that is known."""


def _option_of(field: Field) -> Option:
    """Return the option that sets a field."""
    word = f"--{field.option.replace('_', '-')}"
    if field.kind is Kind.FLAG:
        return click.option(word, field.name, is_flag=True, help=field.help)
    return click.option(
        word,
        field.name,
        metavar=field.metavar or "VALUE",
        multiple=field.kind in (Kind.WORDS, Kind.PAIRS),
        type=_COMPLETED[field.name]() if field.name in _COMPLETED else None,
        help=field.help,
    )


_BEFORE = (
    click.option("--id", "job_id", metavar="ID", help="The job's id; made if missing."),
    click.option("--command", metavar="COMMAND", help="The command, a line for /bin/sh."),
    click.option(
        "--file", "-f", type=PathName(), metavar="FILE", help="Jobs as JSON; - is standard input."
    ),
    click.option("--replace", is_flag=True, help="Replace a job of this id unless it runs."),
)
_BEHIND = {
    "priority": (
        click.option(
            "--at",
            "--run-at",
            "at",
            metavar="TIME",
            help="When: 2030-01-31T14:30, 'tomorrow 9:00'.",
        ),
        click.option(
            "--in", "--delay", "delay", metavar="TIME", help="How long from now: 90, 5m, 1h."
        ),
    ),
    "env": (
        click.option(
            "--env-file", type=PathName(), metavar="FILE", help="Variables from a file like .env."
        ),
        click.option(
            "--capture-env", is_flag=True, help="Run it in the environment of this command."
        ),
    ),
}
"""The options that set no field of their own, by the field behind whose option they stand."""

_ENV_FILE_OF_SCHEDULE = click.option(
    "--env-file", type=PathName(), metavar="FILE", help="Variables from a file, as it is now."
)


def _with(options: Iterable[Option], function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command options, shown in their order."""
    return reduce(lambda made, option: option(made), reversed([*options]), function)


def enqueue_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the words and options that say what to enqueue."""
    options = list(_BEFORE)
    for name, field in ASKED.items():
        options += [_option_of(field), *_BEHIND.get(name, ())]
    words = click.argument(
        "words", nargs=-1, metavar="[ID] [COMMAND | JSON | @FILE]", type=EnqueueWord()
    )
    return _with(options, words(function))


def schedule_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say what the jobs of a schedule are like."""
    options: list[Option] = []
    for name, field in ASKED.items():
        if field.of_schedule:
            options.append(_option_of(field))
        if name == "env":
            options.append(_ENV_FILE_OF_SCHEDULE)
    return _with(options, function)


def fields_of(options: Mapping[str, Any]) -> dict[str, object]:
    """Return the fields that parsed options set. Raises InvalidInput for a bad variable."""
    fields: dict[str, object] = {}
    for name, field in ASKED.items():
        value = options.get(name)
        if value is None or value is False or value == ():
            continue
        if field.kind is Kind.PAIRS:
            value = variables(value)
        elif field.splits:
            value = [word for each in value for word in each.split(",")]
        elif field.kind is Kind.WORDS:
            value = list(value)
        fields[name] = value
    return fields


def variables(words: Sequence[str]) -> dict[str, str]:
    """Return environment variables given as NAME=VALUE. Raises InvalidInput."""
    return dict(_pair(word) for word in words)


def _pair(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not equals:
        raise InvalidInput(f"--env '{word}' must be NAME=VALUE")
    return name, value
