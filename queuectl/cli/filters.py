"""Options that choose jobs by what they have in common, and the question before many change."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from typing import Any

import click

from queuectl.cli.completions import BATCH_NAME, QUEUE_NAME, STATES
from queuectl.cli.root import HabitOption, Option, with_options
from queuectl.domain.errors import InvalidInput, NothingDone
from queuectl.domain.field_checks import check_name, check_text
from queuectl.domain.job import State
from queuectl.domain.query import Filter, parse_states
from queuectl.domain.times import parse_duration
from queuectl.queue import Queue

yes_option = click.option("--yes", "-y", is_flag=True, help="Ask no question.")
_NEEDED_YES = click.option("--yes", "-y", is_flag=True,
                           help="Ask no question; needed where nobody can be asked.")  # fmt: skip


def is_asked() -> bool:
    """Whether there is a person who can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def is_to_be_asked(options: dict[str, Any], *, needs_yes: bool = True) -> bool:
    """Whether yes is still to be said; without `needs_yes` only where a person can be asked."""
    return not options["yes"] and (needs_yes or is_asked())


def confirm(question: str, *, yes: bool, otherwise: str, hint: str) -> None:
    """Ask a person, unless `yes` was said already; `hint` is how to say it on the command line.

    Raises NothingDone, in the words of `otherwise`, when the answer is no, InvalidInput where
    nobody can be asked.
    """
    if yes:
        return
    if not is_asked():
        raise InvalidInput(f"{question} Nobody can be asked here, and --yes was not said", hint)
    if not click.confirm(question, err=True):
        raise NothingDone(otherwise)


_NAMES = (
    "state",
    "queue_name",
    "batch",
    "label",
    "text",
    "exit_code",
    "since",
    "until",
    "older_than",
)
_FILTER = (
    click.option("--queue", "-q", "queue_name", cls=HabitOption, habits=["--group"],
                 type=QUEUE_NAME, metavar="NAME", help="Only jobs of this queue."),
    click.option("--batch", type=BATCH_NAME, metavar="NAME", help="Only jobs of this batch."),
    click.option("--label", multiple=True, metavar="LABEL",
                 help="Only jobs with this label (repeat for more)."),
    click.option("--text", multiple=True, metavar="TEXT",
                 help="Only jobs with this in id, command or last error (repeat for more)."),
    click.option("--exit-code", type=click.IntRange(0, 255), metavar="N",
                 help="Only jobs whose last run ended so; 137 is also signal 9, 124 a time-out."),
    click.option("--since", metavar="TIME",
                 help="Only jobs that changed since: 2h (ago), 9:00, yesterday, 2030-01-31."),
    click.option("--until", metavar="TIME", help="Only jobs that last changed before such a time."),
    click.option("--older-than", metavar="TIME",
                 help="Only jobs unchanged for so long: 12h, 7d, 2 weeks."),
)  # fmt: skip
_DELIVERIES = click.option(
    "--deliveries", is_flag=True, help="Deliveries of hooks instead of jobs."
)
_ALL = click.option("--all", "-a", "every", is_flag=True, help="All to which it can be done.")
_DRY_RUN = click.option("--dry-run", is_flag=True, help="Do nothing, and say what would be done.")


def filter_options(
    states: str | None = "In these states.",
    *,
    careful: bool = True,
    deliveries: bool = True,
    needs_yes: bool = True,
) -> Option:
    """Give a command the options that choose jobs; `states` is the help of `--state`, if any.

    With `careful` there are `--all`, `--dry-run` and `--yes` too, as for all that changes many
    jobs, and `needs_yes` says that it is not done unasked. Without `deliveries` it is for jobs
    alone.
    """
    chosen = [*_FILTER]
    if deliveries:
        chosen.append(_DELIVERIES)
    if careful:
        chosen += [_ALL, _DRY_RUN, _NEEDED_YES if needs_yes else yes_option]
    if states is not None:
        chosen.insert(
            0,
            click.option(
                "--state",
                "-s",
                cls=HabitOption,
                habits=["--status"],
                type=STATES,
                metavar="STATE,...",
                help=states,
            ),
        )
    return with_options(*chosen)


def is_any_named(options: dict[str, Any]) -> bool:
    """Whether any of these options was given."""
    return bool(options.get("deliveries") or options.get("every")) or any(
        options.get(name) not in (None, ()) for name in _NAMES
    )


def filter_of(
    options: dict[str, Any], queue: Queue, unless_said: frozenset[State] = frozenset()
) -> Filter:
    """Return the filter that the options mean; its states are `unless_said` without `--state`.

    Raises InvalidInput, and NotFound for a batch, mistyped maybe, that is not there.
    """
    now = queue.now()
    state, name, batch = options.get("state"), options["queue_name"], options["batch"]
    if "" in options["text"]:
        raise InvalidInput("--text must not be empty")
    if batch is not None:
        queue.require_batch(check_name("batch", batch))
    return Filter(
        states=parse_states(state) if state is not None else unless_said,
        queue=check_name("queue", name) if name is not None else None,
        labels=tuple(check_text("--label", label) for label in options["label"]),
        unchanged_since=_end(options["until"], options["older_than"], now),
        changed_since=_past(options["since"], now),
        texts=tuple(check_text("--text", text) for text in options["text"]),
        exit_code=options["exit_code"],
        deliveries=True if options.get("deliveries") else None,
        batch=batch,
    )


def _end(until: str | None, older_than: str | None, now: datetime) -> datetime | None:
    """Return the instant before which a job must have changed last."""
    end = _past(until, now)
    if older_than is None:
        return end
    if older_than.strip().isdecimal() and int(older_than):  # seven seconds, or days?
        raise InvalidInput(f"--older-than {older_than} has no unit", hint=f"write {older_than}d")
    age = now - timedelta(seconds=parse_duration(older_than, "--older-than"))
    return min(end or age, age)


def _past(typed: str | None, now: datetime) -> datetime | None:
    if typed is None:
        return None
    from queuectl.system.time_parser import parse_past

    return parse_past(typed, now)
