"""`schedule edit`: another time, another command or other fields for a schedule that is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from queuectl.cli.completions import SCHEDULE_NAME, ZONE_NAME
from queuectl.cli.enqueue_options import after_dashes, schedule_options
from queuectl.cli.listing import clock_of
from queuectl.cli.root import examples
from queuectl.cli.schedule_input import ScheduleCommand, command_of, job_fields, moment
from queuectl.cli.session import Session, warn_if_missing
from queuectl.domain.errors import InvalidInput
from queuectl.domain.job_fields import ASKED
from queuectl.presentation.console import print_line
from queuectl.queue.requests import absolute_cwd
from queuectl.system.home import working_directory

Fields = dict[str, object]

_HINT = 'for example: queuectl schedule edit nightly --cron "30 3 * * *"'


@examples("""
    queuectl schedule edit nightly --cron "30 3 * * *"
    queuectl schedule edit sync --every 2h --max-retries 5
    queuectl schedule edit report --without timeout -- ./report.sh --all
""")
@click.command("edit", cls=ScheduleCommand)
@click.argument("name", metavar="NAME", type=SCHEDULE_NAME)
@click.argument("command", metavar="[COMMAND]", required=False)
@click.option("--cron", metavar="LINE", help="When it is due from now on.")
@click.option("--every", metavar="TIME", help="Instead of --cron: how long between two, as 90m.")
@click.option("--tz", type=ZONE_NAME, metavar="ZONE", help="The time zone of its cron line.")
@click.option(
    "--catch-up/--skip-missed",
    default=None,
    help="Enqueue runs later that were due while no worker was there, or drop them.",
)
@click.option(
    "--overlap/--no-overlap",
    default=None,
    help="Enqueue a run though an earlier one waits or runs, or not.",
)
@click.option(
    "--without",
    multiple=True,
    type=click.Choice([name for name, field in ASKED.items() if field.of_schedule]),
    metavar="FIELD",
    help="Let a field of its jobs be what it is by default; may be repeated.",
)
@schedule_options
@click.pass_context
def edit(
    ctx: click.Context, /, name: str, command: str | None, without: tuple[str, ...], **options: Any
) -> None:
    """Change when a schedule is due, its command, or fields of its jobs; the rest stays."""
    own = {word: options.pop(word) for word in ("cron", "every", "tz", "catch_up", "overlap")}
    changes: dict[str, object] = {word: value for word, value in own.items() if value is not None}
    if command is not None or after_dashes(ctx) is not None:
        changes["command"] = command_of(ctx, command, _HINT)
    fields = job_fields(options)
    if "cwd" in fields:
        fields = absolute_cwd(fields, str(working_directory(options["cwd"])))
    changes |= fields
    if both := fields.keys() & set(without):
        raise InvalidInput(f"--without {both.pop()} goes without a value for it", hint=_HINT)
    changes |= dict.fromkeys(without)
    if not changes:
        raise InvalidInput("nothing is to be changed", hint=_HINT)
    queue = ctx.ensure_object(Session).queue()
    before = queue.schedules.get(name).fields
    after = queue.schedules.edit(name, {**changes, **_with_pairs_of(before, fields)})
    if "cwd" in fields:
        warn_if_missing(str(fields["cwd"]), {})
    print_line(f"Changed schedule '{name}': next run {moment(clock_of(queue), after)}")


def _with_pairs_of(before: Mapping[str, object], fields: Fields) -> Fields:
    """Return the pairs among fields, such as `env`, with those that were there before."""
    kept = {name: value for name, value in before.items() if isinstance(value, dict)}
    return {
        name: {**kept.get(name, {}), **value}
        for name, value in fields.items()
        if isinstance(value, dict)
    }
