"""Schedules: jobs that are enqueued again and again, as a cron expression or an interval says."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Any

import click

from queuectl.cli.completions import SCHEDULE_NAME, ZONE_NAME
from queuectl.cli.enqueue_options import (
    EnqueueCommand,
    after_dashes,
    fields_of,
    schedule_options,
    variables,
)
from queuectl.cli.listing import clock_of, jobs_as_dicts
from queuectl.cli.root import Group, examples, json_option, names_argument
from queuectl.cli.session import (
    Session,
    each_by_itself,
    hint_at_missing_workers,
    pass_session,
    warn_if_missing,
)
from queuectl.domain.errors import InvalidInput
from queuectl.domain.schedule import Schedule, as_dict, refuse_own_field
from queuectl.domain.times import iso
from queuectl.presentation import tables
from queuectl.presentation.console import print_hint, print_line
from queuectl.presentation.named_columns import (
    due_text,
    run_columns,
    schedule_columns,
    schedule_details,
)
from queuectl.queue import Queue
from queuectl.queue.requests import absolute_cwd
from queuectl.system.home import working_directory

_HINT = 'for example: queuectl schedule add nightly "0 3 * * *" "./backup.sh"'
_EVERY_HINT = 'for example: queuectl schedule add sync --every 90m "./sync.sh"'

_MOST = 1000
_SHOWN_RUNS = 10
_SHOWN_COMING = 3


_MAKES_MANY = "array param param-file lines file"


class AddCommand(EnqueueCommand):
    """`schedule add`, which says of each option of `enqueue` why it does not have it."""

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


@click.group(cls=Group, epilog='queuectl schedule add nightly "0 3 * * *" "./backup.sh"')
def schedule() -> None:
    """Jobs that are enqueued again and again, as cron would start them."""


@examples("""
    queuectl schedule add nightly "0 3 * * *" "./backup.sh" --tz Europe/Berlin
    queuectl schedule add report "@hourly" --timeout 600 -- ./report.sh --all
    queuectl schedule add bills "0 9 1 * *" "./bills.sh" --catch-up
    queuectl schedule add sync --every 90m "./sync.sh"
""")
@schedule.command("add", cls=AddCommand)
@click.argument("name", metavar="NAME")
@click.argument("cron", metavar="CRON", required=False)
@click.argument("command", metavar="[COMMAND]", required=False)
@click.option("--every", metavar="TIME", help="Instead of CRON: how long between two, as 90m.")
@click.option("--tz", type=ZONE_NAME, metavar="ZONE", help="The time zone of CRON; this machine's.")
@click.option(
    "--catch-up/--skip-missed",
    help="Runs that were due while no worker was there: enqueue each one later, or drop them.",
)
@click.option("--overlap", is_flag=True, help="Enqueue a run though an earlier one waits or runs.")
@click.option("--replace", is_flag=True, help="Replace a schedule of this name.")
@schedule_options
@click.pass_context
def add(
    ctx: click.Context,
    /,
    name: str,
    cron: str | None,
    command: str | None,
    every: str | None,
    tz: str | None,
    catch_up: bool,
    overlap: bool,
    replace: bool,
    **options: Any,
) -> None:
    """Enqueue a command whenever a cron expression says, or after each interval."""
    from queuectl.system.cron_text import looks_like_cron, unequal_steps

    if every is not None:
        if tz is not None:
            raise InvalidInput(
                "--every goes without --tz, as it is time that passes", hint=_EVERY_HINT
            )
        if cron is not None and (command or after_dashes(ctx) is not None or looks_like_cron(cron)):
            raise InvalidInput("--every goes without CRON", hint=_EVERY_HINT)
        cron, command = None, cron
    elif cron is None:
        raise InvalidInput("a schedule needs CRON, or --every", hint=_HINT)
    fields = _fields(_command(ctx, command), options)
    if every is None and tz is None:
        tz = _local_zone()
    queue = ctx.ensure_object(Session).queue()
    added = queue.schedules.add(
        name,
        cron,
        fields,
        tz=tz,
        every=every,
        catch_up=catch_up,
        overlap=overlap,
        replacing=replace,
    )
    if options["cwd"] is not None:
        warn_if_missing(str(fields["cwd"]), {})
    moment = _moment(clock_of(queue), added, added.next_due)
    print_line(f"Added schedule '{added.name}': next run {moment}")
    if added.cron and (unequal := unequal_steps(added.cron)):
        print_hint(unequal)
    hint_at_missing_workers(queue)


def _local_zone() -> str:
    """Return the name of the local zone, and say how it was found where that is not plain."""
    from queuectl.system.local_zone import local_zone

    zone = local_zone()
    if zone.note:
        print_hint(f"{zone.note} (--tz names another)")
    return zone.name


def _command(ctx: click.Context, command: str | None) -> str | list[str]:
    arguments = after_dashes(ctx)
    if command is not None and arguments is None:
        return command
    if command is None and arguments is not None:
        return arguments
    raise InvalidInput(
        "one command is needed, in quotes or after '--'",
        hint=_HINT,
    )


def _fields(command: str | list[str], options: dict[str, Any]) -> dict[str, object]:
    """Return the fields of each run's job."""
    from queuectl.queue.environments import read_file

    fields = {"command": command, **fields_of(options)}
    if options["env_file"]:
        fields["env"] = {**read_file(options["env_file"]), **variables(options["env"])}
    return absolute_cwd(fields, str(working_directory(options["cwd"])))


def _moment(clock: tables.Clock, one: Schedule, instant: datetime | None) -> str:
    """Return when a schedule is due next, as one reads it in a sentence."""
    if instant is None:
        return "never"
    text = due_text(one, instant, clock)
    return f"{text} ({clock.around(instant)})" if clock.for_person else text


@schedule.command("list", epilog="queuectl schedule list --json")
@json_option
@pass_session
def list_schedules(session: Session, as_json: bool) -> None:
    """List the schedules with their next and latest runs."""
    queue = session.reading()
    rows = queue.schedules.all()
    if as_json:
        tables.write_json([as_dict(each) for each in rows])
        return
    latest = {each.name: queue.schedules.latest_run(each) for each in rows}
    if not session.table(rows, schedule_columns(clock_of(queue), latest)):
        session.hint('no schedules yet: queuectl schedule add nightly "0 3 * * *" "./backup.sh"')


@schedule.command("show", epilog="queuectl schedule show nightly")
@click.argument("name", metavar="NAME", type=SCHEDULE_NAME)
@json_option
@pass_session
def show(session: Session, name: str, as_json: bool) -> None:
    """Show one schedule, when it is due, and the jobs of its latest runs."""
    queue = session.reading()
    one = queue.schedules.get(name)
    coming = queue.schedules.coming(one, _SHOWN_COMING)
    runs = list(queue.schedules.runs(name, _SHOWN_RUNS))
    if as_json:
        parts = {"next": [*map(iso, coming)], "jobs": list(jobs_as_dicts(queue, runs))}
        tables.write_json({**as_dict(one), **parts})
        return
    clock = clock_of(queue)
    tables.pairs(pair for pair in schedule_details(one, coming, clock) if pair[1])
    if runs:
        sys.stdout.write("\n")
        tables.table(runs, run_columns(clock), colors=session.colors)


@examples("""
    queuectl schedule next nightly
    queuectl schedule next nightly -n 20
""")
@schedule.command("next")
@click.argument("name", metavar="NAME", type=SCHEDULE_NAME)
@click.option(
    "-n", "number", type=click.IntRange(1, _MOST), default=5, metavar="N", help="How many; 5."
)
@json_option
@pass_session
def next_runs(session: Session, name: str, number: int, as_json: bool) -> None:
    """Show when a schedule is due next."""
    queue = session.reading()
    one = queue.schedules.get(name)
    coming = queue.schedules.coming(one, number)
    if as_json:
        tables.write_json([*map(iso, coming)])
        return
    clock = clock_of(queue)
    for instant in coming:
        print_line(_moment(clock, one, instant))
    if coming and one.cron:
        where = "times are of" if clock.for_person else "times are in UTC, cron is in"
        print_hint(f"{where} {one.tz}")
    if one.paused:
        print_hint(f"it is paused: queuectl schedule resume {name}")
    elif not coming:
        print_hint("it is never due again")


_names = names_argument(SCHEDULE_NAME)


@schedule.command("pause", epilog="queuectl schedule pause nightly")
@_names
@each_by_itself
def pause(queue: Queue, name: str) -> str:
    """Enqueue no more runs until the schedule is resumed."""
    return f"Paused schedule '{queue.schedules.pause(name).name}'"


@schedule.command("resume", epilog="queuectl schedule resume nightly")
@_names
@each_by_itself
def resume(queue: Queue, name: str) -> str:
    """Go on with the next run; those that were due meanwhile are dropped."""
    resumed = queue.schedules.resume(name)
    moment = _moment(clock_of(queue), resumed, resumed.next_due)
    return f"Resumed schedule '{name}': next run {moment}"


@schedule.command("remove", epilog="queuectl schedule remove nightly")
@_names
@each_by_itself
def remove(queue: Queue, name: str) -> str:
    """Forget schedules; the jobs of their runs stay."""
    queue.schedules.remove(name)
    return f"Removed schedule '{name}'"
