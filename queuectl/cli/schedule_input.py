"""What a person says of a schedule: the command of its jobs, their fields, and its time zone."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from queuectl.cli.enqueue_options import EnqueueCommand, after_dashes, fields_of, variables
from queuectl.domain.errors import InvalidInput
from queuectl.domain.schedule import Schedule, refuse_own_field
from queuectl.presentation import tables
from queuectl.presentation.named_columns import due_text

_MAKES_MANY = "array param param-file lines file"


class ScheduleCommand(EnqueueCommand):
    """A command about a schedule, which says of each option of `enqueue` why it is not there."""

    def without_unknown(
        self, ctx: click.Context, args: list[str], fault: click.NoSuchOption
    ) -> list[str]:
        """Return arguments with our own option for one that is unknown.

        Raises InvalidInput, with what to do instead, for an option of `enqueue`.
        """
        name = fault.option_name.removeprefix("--")
        if name in _MAKES_MANY.split():
            raise InvalidInput(
                f"--{name} does not go with a schedule: each of its runs is one job",
                hint=f'its command can be one that enqueues: "queuectl enqueue --{name} …"',
            )
        refuse_own_field(name.removeprefix("no-"), f"--{name}")
        return super().without_unknown(ctx, args, fault)


def command_of(ctx: click.Context, command: str | None, hint: str) -> str | list[str]:
    """Return the one command, in quotes or behind `--`. Raises InvalidInput with `hint`."""
    arguments = after_dashes(ctx)
    if command is not None and arguments is None:
        return command
    if command is None and arguments is not None:
        return arguments
    raise InvalidInput("one command is needed, in quotes or after '--'", hint=hint)


def job_fields(options: dict[str, Any]) -> dict[str, object]:
    """Return the fields of each run's job that options set. Raises InvalidInput."""
    fields = fields_of(options)
    if options["env_file"]:
        from queuectl.queue.environments import read_file

        fields["env"] = {**read_file(options["env_file"]), **variables(options["env"])}
    return fields


def moment(clock: tables.Clock, one: Schedule) -> str:
    """Return when a schedule is due next, as one reads it in a sentence."""
    return moment_of(clock, one, one.next_due) if one.next_due else "never"


def moment_of(clock: tables.Clock, one: Schedule, instant: datetime) -> str:
    """Return a point in time at which a schedule is due, as one reads it in a sentence."""
    text = due_text(one, instant, clock)
    return f"{text} ({clock.around(instant)})" if clock.for_person else text
