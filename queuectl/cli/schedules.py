"""Schedules: jobs that are enqueued again and again, as a cron expression or an interval says."""

from __future__ import annotations

import sys
from typing import Any

import click

from queuectl.cli.completions import SCHEDULE_NAME, ZONE_NAME
from queuectl.cli.enqueue_options import after_dashes, schedule_options
from queuectl.cli.listing import clock_of, jobs_as_dicts
from queuectl.cli.root import Group, Option, examples, json_option, names_argument
from queuectl.cli.schedule_edit import edit
from queuectl.cli.schedule_input import (
    ScheduleCommand,
    command_of,
    job_fields,
    moment,
    moment_of,
)
from queuectl.cli.session import (
    Session,
    each_by_itself,
    hint_at_missing_workers,
    pass_session,
    remember_jobs,
    warn_if_missing,
)
from queuectl.domain.errors import InvalidInput
from queuectl.domain.schedule import as_dict
from queuectl.domain.times import iso
from queuectl.presentation import tables
from queuectl.presentation.console import print_hint, print_line
from queuectl.presentation.named_columns import run_columns, schedule_columns, schedule_details
from queuectl.queue import Queue
from queuectl.queue.requests import absolute_cwd
from queuectl.system.home import working_directory

_HINT = 'for example: queuectl schedule add nightly "0 3 * * *" "./backup.sh"'
_EVERY_HINT = 'for example: queuectl schedule add sync --every 90m "./sync.sh"'

_MOST = 1000
_SHOWN_RUNS = 10
_SHOWN_COMING = 3


@click.group(cls=Group, epilog='queuectl schedule add nightly "0 3 * * *" "./backup.sh"')
def schedule() -> None:
    """Jobs that are enqueued again and again, as cron would start them."""


@examples("""
    queuectl schedule add nightly "0 3 * * *" "./backup.sh" --tz Europe/Berlin
    queuectl schedule add report "@hourly" --timeout 600 -- ./report.sh --all
    queuectl schedule add bills "0 9 1 * *" "./bills.sh" --catch-up
    queuectl schedule add sync --every 90m "./sync.sh"
""")
@schedule.command("add", cls=ScheduleCommand)
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
    fields = {"command": command_of(ctx, command, _HINT), **job_fields(options)}
    fields = absolute_cwd(fields, str(working_directory(options["cwd"])))
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
    print_line(f"Added schedule '{added.name}': next run {moment(clock_of(queue), added)}")
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


def _number(usual: int) -> Option:
    """Give a command the option that says how many runs it shows."""
    text = f"How many; {usual}."
    return click.option(
        "-n", "number", type=click.IntRange(1, _MOST), default=usual, metavar="N", help=text
    )


@examples("""
    queuectl schedule next nightly
    queuectl schedule next nightly -n 20
""")
@schedule.command("next")
@click.argument("name", metavar="NAME", type=SCHEDULE_NAME)
@_number(5)
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
        print_line(moment_of(clock, one, instant))
    if coming and one.cron:
        where = "times are of" if clock.for_person else "times are in UTC, cron is in"
        print_hint(f"{where} {one.tz}")
    if one.paused:
        print_hint(f"it is paused: queuectl schedule resume {name}")
    elif not coming:
        print_hint("it is never due again")


@examples("""
    queuectl schedule history nightly
    queuectl schedule history nightly -n 100 --json
""")
@schedule.command("history")
@click.argument("name", metavar="NAME", type=SCHEDULE_NAME)
@_number(20)
@json_option
@pass_session
def history(session: Session, name: str, number: int, as_json: bool) -> None:
    """List the latest runs of a schedule, the newest first, and how they ended."""
    queue = session.reading()
    one = queue.schedules.get(name)
    runs = list(queue.schedules.runs(name, number))
    if as_json:
        tables.write_json(list(jobs_as_dicts(queue, runs)))
    elif not session.table(runs, run_columns(clock_of(queue))):
        session.hint(f"it has not run yet: the next run is {moment(clock_of(queue), one)}")


_names = names_argument(SCHEDULE_NAME)


@schedule.command("run", epilog="queuectl schedule run nightly")
@_names
@each_by_itself
def run(queue: Queue, name: str) -> str:
    """Enqueue a run at once, beside those that are due."""
    job = queue.schedules.run_now(name)
    remember_jobs(queue, [job.id])
    hint_at_missing_workers(queue)
    return f"Enqueued job '{job.id}'"


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
    return f"Resumed schedule '{name}': next run {moment(clock_of(queue), resumed)}"


@schedule.command("remove", epilog="queuectl schedule remove nightly")
@_names
@each_by_itself
def remove(queue: Queue, name: str) -> str:
    """Forget schedules; the jobs of their runs stay."""
    queue.schedules.remove(name)
    return f"Removed schedule '{name}'"


schedule.add_command(edit)
