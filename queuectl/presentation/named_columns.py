"""Hooks and schedules as people read them: columns of listings, and all about one of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from queuectl.domain import hooks, schedule
from queuectl.domain.hooks import Hook
from queuectl.domain.interval import interval_text
from queuectl.domain.job import WAITING, Job
from queuectl.domain.job_fields import command_text
from queuectl.domain.schedule import Schedule
from queuectl.domain.sizes import size_text
from queuectl.domain.times import iso, iso_or_none
from queuectl.presentation.columns import attempts_text, state_style, state_text
from queuectl.presentation.tables import Clock, Column, duration
from queuectl.system.zones import zone_of


def hook_columns(clock: Clock) -> list[Column[Hook]]:
    """Return the columns of a listing of hooks."""
    return [
        Column("NAME", lambda each: each.name),
        Column("TELLS", _told_of),
        Column("QUEUE", lambda each: each.queue or "", optional=True),
        Column("LABELS", lambda each: ", ".join(each.labels), optional=True, yields=2),
        Column("STATE", _hook_state, optional=True,
               style=lambda each: "yellow" if each.paused else "red"),
        Column("SINCE", lambda each: clock.around(each.changed_at), optional=True,
                      yields=3),
        Column("BY", lambda each: each.target.value, yields=1),
        Column("TO", hooks.shown_address),
    ]  # fmt: skip


def _told_of(hook: Hook) -> str:
    events = hook.when or ", ".join(hook.events)
    return f"{events}, each {_digest_text(hook)}" if hook.digest else events


def _digest_text(hook: Hook) -> str:
    seconds = int(hook.digest)
    return interval_text(seconds) if seconds == hook.digest else f"{hook.digest:g}s"


def _hook_state(hook: Hook) -> str:
    if hook.paused:
        return "paused"
    return "crossed" if hook.is_crossed else ""


def hook_details(hook: Hook, clock: Clock) -> Iterator[tuple[str, str]]:
    """Yield names and values; an empty value is not shown."""
    fields = hooks.as_dict(hook)
    yield "name", hook.name
    yield "state", _hook_state(hook) or "on"
    yield "on", ", ".join(hook.events)
    for key in ("when", "queue"):
        yield key, fields[key] or ""
    yield "labels", ", ".join(hook.labels)
    yield "digest", _digest_text(hook) if hook.digest else ""
    yield hook.target.value, fields["address"]
    for key in ("format", "cwd", "smtp", "from"):
        yield key, fields[key] or ""
    yield "secret", "is kept, and not shown" if hook.secret is not None else ""
    yield "changed_at", clock.at(hook.changed_at) if hook.changed_at else ""
    yield "value", f"{hook.value:g}" if hook.value is not None else ""
    yield "created_at", clock.at(hook.created_at)


def delivery_columns(clock: Clock) -> list[Column[Job]]:
    """Return the columns of a listing of a hook's deliveries."""
    return [
        Column("CREATED", lambda job: clock.at(job.created_at)),
        Column("STATE", state_text, style=state_style),
        Column("ATTEMPTS", attempts_text, yields=2),
        Column("EVENT", delivered_text, yields=1),
        Column("ERROR", lambda job: job.last_error or "", optional=True),
        Column("ID", lambda job: job.id, yields=3),
    ]  # fmt: skip


def sent_columns(clock: Clock) -> list[Column[Job]]:
    """Return the columns of a listing of deliveries that were read with their output."""
    return [
        Column("CREATED", lambda job: clock.at(job.created_at)),
        Column("SENT", lambda job: clock.at(job.finished_at) if job.finished_at else "",
               optional=True, yields=3),
        Column("STATE", state_text, style=state_style),
        Column("ATTEMPTS", attempts_text, yields=2),
        Column("NEXT TRY", lambda job: clock.around(job.run_at) if job.state in WAITING else "",
               optional=True, yields=2),
        Column("EVENT", delivered_text, yields=1),
        Column("ANSWER", answer_text, optional=True),
        Column("ID", lambda job: job.id, yields=4),
    ]  # fmt: skip


def answer_text(job: Job) -> str:
    """Return what came of the latest attempt at a delivery; empty where there was none."""
    if job.outcome is None:
        return ""
    lines = job.outcome.stdout.strip().splitlines()
    return job.outcome.error or (lines[-1] if lines else "")


def delivery_as_dict(job: Job) -> dict[str, Any]:
    """Return a delivery as programs see it; it is shown with all there is by `show` and its id."""
    return {
        "id": job.id,
        "state": job.state.value,
        "attempts": job.attempts,
        "max_retries": job.spec.max_retries,
        "created_at": iso(job.created_at),
        "sent_at": iso_or_none(job.finished_at),
        "next_try": iso(job.run_at) if job.state in WAITING else None,
        "event": delivered_text(job),
        "answer": answer_text(job) or None,
    }


def delivered_text(job: Job) -> str:
    """Return what a delivery reports, in a sentence."""
    from queuectl.domain.hook_messages import sentence
    from queuectl.queue.hook_deliveries import facts_of

    try:
        return sentence(facts_of(job))
    except (ValueError, KeyError):
        return "cannot be read"


def schedule_columns(clock: Clock, latest: Mapping[str, Job | None]) -> list[Column[Schedule]]:
    """Return the columns of a listing of schedules; `latest` are the jobs of their last runs."""

    def latest_text(each: Schedule) -> str:
        job = latest[each.name]
        if job is not None:
            return state_text(job)
        return (each.skipped_why or "") if each.last_due else ""

    def next_run(each: Schedule) -> str:
        return "paused" if each.paused else clock.around(each.next_due) or "never"

    return [
        Column("NAME", lambda each: each.name),
        Column("CRON", lambda each: each.when),
        Column("ZONE", lambda each: each.tz if each.cron else "", yields=3),
        Column("NEXT RUN", next_run),
        Column("LATEST DUE", lambda each: clock.around(each.last_due), optional=True,
                      yields=2),
        Column("RESULT", latest_text, optional=True),
        Column("COMMAND", command_of, yields=1),
    ]  # fmt: skip


def command_of(each: Schedule) -> str:
    """Return the command of a schedule on one line."""
    command = each.fields["command"]
    return command_text(command if isinstance(command, str) else tuple(command))


def wall_time(each: Schedule, instant: datetime) -> str:
    """Return when a schedule is due as clocks show it in its zone: `Mon 2026-11-23 03:00 CET`.

    One with an interval has none; the local zone stands in.
    """
    zone = zone_of(each.tz) if each.cron else None
    return instant.astimezone(zone).strftime("%a %Y-%m-%d %H:%M %Z")


def due_text(each: Schedule, instant: datetime, clock: Clock) -> str:
    """Return when a schedule is due: for a person by its zone, else as in JSON."""
    return wall_time(each, instant) if clock.for_person else clock.at(instant)


def schedule_details(
    each: Schedule, coming: Sequence[datetime], clock: Clock
) -> Iterator[tuple[str, str]]:
    """Yield names and values; an empty value is not shown."""
    yield "name", each.name
    yield "state", "paused" if each.paused else "on"
    yield "cron", each.cron or ""
    yield "tz", each.tz if each.cron else ""
    yield "every", interval_text(each.every) if each.every else ""
    yield "anchor", clock.at(each.anchor) if each.anchor else ""
    yield "command", command_of(each)
    for key, value in schedule.as_dict(each)["job"].items():
        if isinstance(value, dict):
            yield key, " ".join(f"{name}={text}" for name, text in value.items())
        elif key == "memory":
            yield key, size_text(value)
        elif isinstance(value, list):
            yield key, ", ".join(value)
        elif key == "clean_env":
            yield "environment", "clean"
        elif key != "command":
            yield key, "yes" if value is True else str(value)
    yield "missed_runs", "are enqueued later" if each.catch_up else "are dropped"
    yield "overlap", "yes" if each.overlap else "no"
    yield "next", ", ".join(due_text(each, instant, clock) for instant in coming) or "never"
    if each.skipped_at is not None:
        yield "skipped", f"{clock.at(each.skipped_at)} ({each.skipped_why})"
    yield "tz_version", each.tz_version or ""
    yield "created_at", clock.at(each.created_at)


def run_columns(clock: Clock) -> list[Column[Job]]:
    """Return the columns of a listing of a schedule's runs."""

    def due(job: Job) -> str:
        parts = schedule.parse_run_id(job.id)
        return clock.at(parts[1]) if parts else ""

    return [
        Column("DUE", due),
        Column("STATE", state_text, style=state_style),
        Column("STARTED", lambda job: clock.at(job.started_at) if job.started_at else "",
                      optional=True, yields=1),
        Column("TOOK", lambda job: duration(job.outcome.duration)
                      if job.outcome else "", optional=True, yields=2),
        Column("ID", lambda job: job.id),
    ]  # fmt: skip
