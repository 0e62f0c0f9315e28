"""Schedules as people read them: the columns of a listing, and all about one of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from queuectl.domain.job import Job
from queuectl.domain.job_fields import command_text
from queuectl.domain.schedule import Schedule, as_dict, parse_run_id
from queuectl.presentation import tables
from queuectl.presentation.columns import state_style, state_text


def schedule_columns(
    clock: tables.Clock, latest: Mapping[str, Job | None]
) -> list[tables.Column[Schedule]]:
    """Return the columns of a listing of schedules; `latest` are the jobs of their last runs."""

    def latest_text(each: Schedule) -> str:
        job = latest[each.name]
        if job is not None:
            return state_text(job)
        return (each.skipped_why or "") if each.last_due else ""

    return [
        tables.Column("NAME", lambda each: each.name),
        tables.Column("CRON", lambda each: each.cron),
        tables.Column("ZONE", lambda each: each.tz, yields=3),
        tables.Column("NEXT RUN", lambda each: _next_run(each, clock)),
        tables.Column("LATEST DUE", lambda each: clock.around(each.last_due), optional=True,
                      yields=2),
        tables.Column("RESULT", latest_text, optional=True, yields=1),
        tables.Column("COMMAND", command_of),
    ]  # fmt: skip


def _next_run(schedule: Schedule, clock: tables.Clock) -> str:
    return "paused" if schedule.paused else clock.around(schedule.next_due) or "never"


def command_of(schedule: Schedule) -> str:
    """Return the command of a schedule on one line."""
    command = schedule.fields["command"]
    return command_text(command if isinstance(command, str) else tuple(command))


def schedule_details(
    found: Schedule, coming: Sequence[datetime], clock: tables.Clock
) -> Iterator[tuple[str, str]]:
    """Yield names and values; an empty value is not shown."""
    yield "name", found.name
    yield "state", "paused" if found.paused else "on"
    yield "cron", found.cron
    yield "tz", found.tz
    yield "command", command_of(found)
    for key, value in as_dict(found)["job"].items():
        if key == "env":
            yield key, " ".join(f"{name}={text}" for name, text in value.items())
        elif key == "labels":
            yield key, ", ".join(value)
        elif key == "clean_env":
            yield "environment", "clean"
        elif key != "command":
            yield key, str(value)
    yield "missed_runs", "are enqueued later" if found.catch_up else "are dropped"
    yield "overlap", "yes" if found.overlap else "no"
    yield "next", ", ".join(clock.at(instant) for instant in coming) or "never"
    if found.skipped_at is not None:
        yield "skipped", f"{clock.at(found.skipped_at)} ({found.skipped_why})"
    yield "created_at", clock.at(found.created_at)


def run_columns(clock: tables.Clock) -> list[tables.Column[Job]]:
    """Return the columns of a listing of a schedule's runs."""

    def due(job: Job) -> str:
        parts = parse_run_id(job.id)
        return clock.at(parts[1]) if parts else ""

    return [
        tables.Column("DUE", due),
        tables.Column("STATE", state_text, style=state_style),
        tables.Column("STARTED", lambda job: clock.at(job.started_at) if job.started_at else "",
                      optional=True, yields=1),
        tables.Column("TOOK", lambda job: tables.duration(job.outcome.duration)
                      if job.outcome else "", optional=True, yields=2),
        tables.Column("ID", lambda job: job.id),
    ]  # fmt: skip
