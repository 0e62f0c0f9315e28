"""Everything about one job, for `show`: as names and values, with its attempts and its output."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

from queuectl.domain.job import Job
from queuectl.domain.job_fields import ASKED, Field, Kind, Spec, command_text
from queuectl.domain.queue_limits import queue_title
from queuectl.domain.settings import WAIT
from queuectl.domain.text import printable
from queuectl.domain.times import short_seconds
from queuectl.domain.views import masked_env
from queuectl.presentation import tables
from queuectl.presentation.columns import state_style, state_text, why
from queuectl.presentation.layout import GAP
from queuectl.presentation.timeline import step_columns, timeline

_TIMES = ("created_at", "updated_at", "run_at", "started_at", "finished_at", "failed_at")
_TAIL = 5


def write_details(job: Job, clock: tables.Clock, *, colors: bool) -> None:
    """Write one job: names and values, then its timeline, for a person its output too."""
    shown = [(name, value) for name, value in _details(job, clock) if value]
    if clock.for_person:
        _write_for_person(job, shown, colors=colors)
    else:
        tables.pairs(shown)
    if steps := list(timeline(job, clock)):
        sys.stdout.write("\n")
        tables.table(steps, step_columns(clock), colors=colors)
    if clock.for_person:
        _write_tail(job, colors=colors)


def _write_for_person(job: Job, shown: list[tuple[str, str]], *, colors: bool) -> None:
    styles = {"state": state_style(job), "id": "bold", "last_error": "red"}
    tables.styled(((name, value, styles.get(name, "")) for name, value in shown), colors=colors)


def _write_tail(job: Job, *, colors: bool) -> None:
    """Write the last lines of what the latest run wrote."""
    from rich.text import Text

    terminal = tables.console(colors=colors)
    for stream in ("stdout", "stderr"):
        lines = getattr(job.outcome, stream, "").splitlines()
        if not lines:
            continue
        cut = f", the last {_TAIL} of {len(lines):,} lines" if len(lines) > _TAIL else ""
        terminal.print()
        terminal.print(Text(f"{stream}{cut}", "dim"))
        for line in lines[-_TAIL:]:
            terminal.print(Text(GAP + printable(line)), soft_wrap=True)


def _details(job: Job, clock: tables.Clock) -> Iterator[tuple[str, str]]:
    """Yield names and values; an empty value is not shown."""
    spec, outcome = job.spec, job.outcome
    yield "id", spec.id
    yield "command", command_text(spec.command)
    yield "state", state_text(job)
    error = job.last_error or ""
    reason = why(job, clock)
    yield "reason", reason if reason != error else ""
    yield "last_error", error
    for name, field in ASKED.items():
        told = _TOLD[name](job) if name in _TOLD else _asked_text(job, field)
        yield _TITLES.get(name, name), told
    yield "environment", "captured" if spec.environment else "clean" if spec.clean_env else ""
    yield "runs", str(job.runs)
    yield "interruptions", str(job.interruptions or "")
    yield "worker", job.worker or ""
    for name in _TIMES:
        yield name, _instant(getattr(job, name), clock)
    if outcome:
        yield "exit_code", "" if outcome.exit_code is None else str(outcome.exit_code)
        yield "signal", str(outcome.signal or "")
        yield "duration", tables.duration(outcome.duration)


def _asked_text(job: Job, field: Field) -> str:
    """Return the value of a field in words; nothing for what nobody need be told."""
    value = getattr(job.spec, field.name)
    if value == field.default:
        return ""
    if field.kind is Kind.WORDS:
        return ", ".join(value)
    return "yes" if value is True else "no" if value is False else str(value)


_TOLD: Mapping[str, Callable[[Job], str]] = {
    "queue": lambda job: queue_title(job.spec.queue),
    "priority": lambda job: str(job.spec.priority),
    "max_retries": lambda job: f"{job.attempts} of {job.spec.max_retries}",
    "backoff_base": lambda job: (
        f"{job.spec.backoff_base:g} ** attempts, at most {short_seconds(job.spec.backoff_cap)}"
    ),
    "backoff_cap": lambda _job: "",
    "clean_env": lambda _job: "",  # see `environment`
    "timeout": lambda job: short_seconds(job.spec.timeout) if job.spec.timeout else "none",
    "env": lambda job: " ".join(f"{name}={value}" for name, value in masked_env(job).items()),
    "on_parent_failure": lambda job: _parent_rule(job.spec),
}
"""The fields whose values are told otherwise than the rest."""

_TITLES = {"max_retries": "attempts", "backoff_base": "backoff"}


def _parent_rule(spec: Spec) -> str:
    rule = spec.on_parent_failure
    return rule if spec.after or rule != WAIT else ""


def _instant(instant: datetime | None, clock: tables.Clock) -> str:
    """Return a time; a person reads both when it is and how far off."""
    if instant is None:
        return ""
    if not clock.for_person:
        return clock.at(instant)
    return f"{clock.at(instant)} ({clock.around(instant)})"
