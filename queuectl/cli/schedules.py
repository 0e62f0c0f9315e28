"""Schedules: jobs that are enqueued again and again, as a cron expression says."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import reduce
from typing import Any

import click

from queuectl.cli import render
from queuectl.cli.asked import EnqueueCommand, absolute_cwd, after_dashes, variables
from queuectl.cli.columns import state_style, state_text
from queuectl.cli.enqueue import hint_at_missing_workers
from queuectl.cli.jobs import clock_of, json_option
from queuectl.cli.params import PathName, Priority, QueueName, ScheduleName, ZoneName
from queuectl.cli.session import Session, for_each, note, pass_session, say
from queuectl.cli.tree import Group
from queuectl.domain.errors import InvalidInput
from queuectl.domain.job import Job, command_text
from queuectl.domain.schedule import Schedule, as_dict, parse_run_id
from queuectl.domain.view import as_dict as job_as_dict
from queuectl.home import working_directory
from queuectl.queue import Queue

_MOST = 1000
_SHOWN_RUNS = 10
_SHOWN_COMING = 3

_JOB_OPTIONS = (
    click.option(
        "--queue", type=QueueName(), metavar="NAME", help="The queue; `default` unless said."
    ),
    click.option(
        "--priority", type=Priority(), metavar="N", help="Higher first; or low, normal, high."
    ),
    click.option("--timeout", metavar="SECONDS", help="How long one run may take; 0: no limit."),
    click.option("--max-retries", metavar="N", help="Attempts in all before the DLQ."),
    click.option("--backoff-base", metavar="N", help="A retry waits base ** attempts seconds."),
    click.option("--backoff-cap", metavar="SECONDS", help="The longest wait before a retry."),
    click.option("--slots", metavar="N", help="How much of its queue's limit a run takes."),
    click.option(
        "--cwd", type=PathName("dir"), metavar="DIR", help="Where it runs; here unless said."
    ),
    click.option("--env", metavar="K=V", multiple=True, help="An environment variable (repeat)."),
    click.option("--label", metavar="LABEL", multiple=True, help="A label of each run (repeat)."),
)
_FIELDS = "queue priority timeout max_retries backoff_base backoff_cap slots".split()


def _job_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say what each run is like."""
    return reduce(lambda made, option: option(made), reversed(_JOB_OPTIONS), function)


@click.group(cls=Group, epilog='queuectl schedule add nightly "0 3 * * *" "./backup.sh"')
def schedule() -> None:
    """Jobs that are enqueued again and again, as cron would start them."""


@schedule.command(
    "add",
    cls=EnqueueCommand,
    epilog="""
    queuectl schedule add nightly "0 3 * * *" "./backup.sh" --tz Europe/Berlin
    queuectl schedule add report "@hourly" --timeout 600 -- ./report.sh --all
    queuectl schedule add bills "0 9 1 * *" "./bills.sh" --catch-up
    """,
)
@click.argument("name", metavar="NAME")
@click.argument("cron", metavar="CRON")
@click.argument("command", metavar="[COMMAND]", required=False)
@click.option(
    "--tz", type=ZoneName(), metavar="ZONE", help="The time zone of CRON; this machine's."
)
@click.option(
    "--catch-up/--skip-missed",
    help="Runs that were due while no worker was there: enqueue each one later, or drop them.",
)
@click.option("--overlap", is_flag=True, help="Enqueue a run though an earlier one waits or runs.")
@click.option("--replace", is_flag=True, help="Replace a schedule of this name.")
@_job_options
@click.pass_context
def add(
    ctx: click.Context,
    /,
    name: str,
    cron: str,
    command: str | None,
    tz: str | None,
    catch_up: bool,
    overlap: bool,
    replace: bool,
    **options: Any,
) -> None:
    """Enqueue a command whenever a cron expression says."""
    queue = ctx.ensure_object(Session).queue()
    fields = _fields(_command(ctx, command), options)
    added = queue.schedules.add(
        name, cron, fields, tz=tz, catch_up=catch_up, overlap=overlap, replacing=replace
    )
    say(f"Added schedule '{added.name}': next run {_moment(queue, added)}")
    hint_at_missing_workers(queue)


def _command(ctx: click.Context, command: str | None) -> str | list[str]:
    arguments = after_dashes(ctx)
    if (command is None) == (arguments is None):
        raise InvalidInput(
            "one command is needed, in quotes or after '--'",
            hint='for example: queuectl schedule add nightly "0 3 * * *" "./backup.sh"',
        )
    return command if command is not None else list(arguments or ())


def _fields(command: str | list[str], options: dict[str, Any]) -> dict[str, object]:
    """Return the fields of each run's job."""
    fields: dict[str, object] = {"command": command}
    fields |= {name: options[name] for name in _FIELDS if options[name] is not None}
    if options["cwd"] is not None:
        fields["cwd"] = options["cwd"]
    if options["env"]:
        fields["env"] = variables(options["env"])
    if options["label"]:
        fields["labels"] = list(options["label"])
    return absolute_cwd(fields, str(working_directory()))


def _moment(queue: Queue, schedule: Schedule) -> str:
    """Return when a schedule is due next, as one reads it in a sentence."""
    if schedule.next_due is None:
        return "never"
    clock = clock_of(queue)
    at = clock.at(schedule.next_due)
    return f"{at} ({clock.around(schedule.next_due)})" if clock.for_person else at


@schedule.command("list", epilog="queuectl schedule list --json")
@json_option
@pass_session
def list_schedules(session: Session, as_json: bool) -> None:
    """List the schedules with their next and latest runs."""
    queue = session.queue()
    found = queue.schedules.all()
    if as_json:
        render.write_json([as_dict(each) for each in found])
        return
    latest = {each.name: queue.schedules.latest_run(each) for each in found}
    if not render.table(found, _columns(clock_of(queue), latest), colors=session.colors):
        note('no schedules yet: queuectl schedule add nightly "0 3 * * *" "./backup.sh"')


def _columns(clock: render.Clock, latest: dict[str, Job | None]) -> list[render.Column[Schedule]]:
    def latest_text(each: Schedule) -> str:
        job = latest[each.name]
        if job is not None:
            return state_text(job)
        return (each.skipped_why or "") if each.last_due else ""

    return [
        render.Column("NAME", lambda each: each.name),
        render.Column("CRON", lambda each: each.cron),
        render.Column("ZONE", lambda each: each.tz, yields=3),
        render.Column("NEXT RUN", lambda each: _next_run(each, clock)),
        render.Column("LATEST DUE", lambda each: clock.around(each.last_due), optional=True,
                      yields=2),
        render.Column("RESULT", latest_text, optional=True, yields=1),
        render.Column("COMMAND", _command_of),
    ]  # fmt: skip


def _next_run(schedule: Schedule, clock: render.Clock) -> str:
    return "paused" if schedule.paused else clock.around(schedule.next_due) or "never"


def _command_of(schedule: Schedule) -> str:
    command = schedule.fields["command"]
    return command_text(command if isinstance(command, str) else tuple(command))


@schedule.command("show", epilog="queuectl schedule show nightly")
@click.argument("name", metavar="NAME", type=ScheduleName())
@json_option
@pass_session
def show(session: Session, name: str, as_json: bool) -> None:
    """Show one schedule, when it is due, and the jobs of its latest runs."""
    queue = session.queue()
    found = queue.schedules.get(name)
    coming = queue.schedules.coming(found, _SHOWN_COMING)
    runs = list(queue.schedules.runs(name, _SHOWN_RUNS))
    if as_json:
        jobs = [job_as_dict(job, queue.now()) for job in runs]
        render.write_json({**as_dict(found), "next": _as_json(coming), "jobs": jobs})
        return
    clock = clock_of(queue)
    render.pairs(pair for pair in _details(found, coming, clock) if pair[1])
    if runs:
        sys.stdout.write("\n")
        render.table(runs, _run_columns(clock), colors=session.colors)


def _details(
    found: Schedule, coming: Sequence[datetime], clock: render.Clock
) -> Iterator[tuple[str, str]]:
    yield "name", found.name
    yield "state", "paused" if found.paused else "on"
    yield "cron", found.cron
    yield "tz", found.tz
    yield "command", _command_of(found)
    for key, value in as_dict(found)["job"].items():
        if key == "env":
            yield key, " ".join(f"{name}={text}" for name, text in value.items())
        elif key == "labels":
            yield key, ", ".join(value)
        elif key != "command":
            yield key, str(value)
    yield "missed_runs", "are enqueued later" if found.catch_up else "are dropped"
    yield "overlap", "yes" if found.overlap else "no"
    yield "next", ", ".join(clock.at(instant) for instant in coming) or "never"
    if found.skipped_at is not None:
        yield "skipped", f"{clock.at(found.skipped_at)} ({found.skipped_why})"
    yield "created_at", clock.at(found.created_at)


def _run_columns(clock: render.Clock) -> list[render.Column[Job]]:
    def due(job: Job) -> str:
        parts = parse_run_id(job.id)
        return clock.at(parts[1]) if parts else ""

    return [
        render.Column("DUE", due),
        render.Column("STATE", state_text, style=state_style),
        render.Column("STARTED", lambda job: clock.at(job.started_at) if job.started_at else "",
                      optional=True, yields=1),
        render.Column("TOOK", lambda job: render.duration(job.outcome.duration)
                      if job.outcome else "", optional=True, yields=2),
        render.Column("ID", lambda job: job.id),
    ]  # fmt: skip


def _as_json(instants: Sequence[datetime]) -> list[str]:
    from queuectl.domain.times import iso

    return [iso(instant) for instant in instants]


@schedule.command(
    "next",
    epilog="""
    queuectl schedule next nightly
    queuectl schedule next nightly -n 20
    """,
)
@click.argument("name", metavar="NAME", type=ScheduleName())
@click.option(
    "-n", "number", type=click.IntRange(1, _MOST), default=5, metavar="N", help="How many; 5."
)
@json_option
@pass_session
def next_runs(session: Session, name: str, number: int, as_json: bool) -> None:
    """Show when a schedule is due next."""
    queue = session.queue()
    found = queue.schedules.get(name)
    coming = queue.schedules.coming(found, number)
    if as_json:
        render.write_json(_as_json(coming))
        return
    clock = clock_of(queue)
    for instant in coming:
        say(f"{clock.at(instant)} ({clock.around(instant)})" if clock.for_person
            else clock.at(instant))  # fmt: skip
    if found.paused:
        note(f"it is paused: queuectl schedule resume {name}")
    elif not coming:
        note("it is never due again")


_names = click.argument("names", nargs=-1, required=True, metavar="NAME...", type=ScheduleName())


@schedule.command("pause", epilog="queuectl schedule pause nightly")
@_names
@pass_session
def pause(session: Session, names: tuple[str, ...]) -> int:
    """Enqueue no more runs until the schedule is resumed."""
    schedules = session.queue().schedules
    return for_each(names, lambda name: say(f"Paused schedule '{schedules.pause(name).name}'"))


@schedule.command("resume", epilog="queuectl schedule resume nightly")
@_names
@pass_session
def resume(session: Session, names: tuple[str, ...]) -> int:
    """Go on with the next run; those that were due meanwhile are dropped."""
    queue = session.queue()

    def act(name: str) -> None:
        resumed = queue.schedules.resume(name)
        say(f"Resumed schedule '{name}': next run {_moment(queue, resumed)}")

    return for_each(names, act)


@schedule.command("remove", epilog="queuectl schedule remove nightly")
@_names
@pass_session
def remove(session: Session, names: tuple[str, ...]) -> int:
    """Forget schedules; the jobs of their runs stay."""
    schedules = session.queue().schedules

    def act(name: str) -> None:
        schedules.remove(name)
        say(f"Removed schedule '{name}'")

    return for_each(names, act)
