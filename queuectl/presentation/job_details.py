"""Everything about one job, for `show`: names and values, run by run, and its output."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import zip_longest

from queuectl.domain.frozen import frozen
from queuectl.domain.job import SETTLED, Job, Run, State
from queuectl.domain.job_fields import ASKED, Field, Kind, command_text
from queuectl.domain.queue_limits import queue_title
from queuectl.domain.settings import WAIT
from queuectl.domain.sizes import size_text
from queuectl.domain.state_machine import INTERRUPTED, WORKER_LOST
from queuectl.domain.text import printable
from queuectl.domain.times import short_seconds
from queuectl.domain.views import MASK, masked_env, masked_params, suspicion
from queuectl.presentation import tables
from queuectl.presentation.columns import (
    STATE_STYLES,
    seconds_between,
    state_style,
    state_text,
    used_text,
    why,
)
from queuectl.presentation.layout import GAP
from queuectl.presentation.tables import rough

_TIMES = ("created_at", "updated_at", "run_at", "started_at", "finished_at", "failed_at")
_TAIL = 5


def write_details(job: Job, clock: tables.Clock, *, colors: bool) -> None:
    """Write one job: names and values, then its timeline, for a person its output too."""
    lines = [(name, value) for name, value in _details(job, clock) if value]
    if clock.for_person:
        styles = {"state": state_style(job), "id": "bold", "last_error": "red"}
        tables.styled([(*line, styles.get(line[0], "")) for line in lines], colors=colors)
    else:
        tables.pairs(lines)
    if steps := list(timeline(job, clock)):
        sys.stdout.write("\n")
        tables.table(steps, step_columns(steps, clock), colors=colors)
    if clock.for_person:
        _write_tail(job, colors=colors)


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
        text = _TEXTS[name](job) if name in _TEXTS else _asked_text(job, field)
        yield _TITLES.get(name, name), text
    yield "batch_index", str(spec.batch_index or "")
    yield "params", " ".join(f"{name}={value}" for name, value in masked_params(job).items())
    yield "environment", "captured" if spec.environment else "clean" if spec.clean_env else ""
    yield "snapshot", _snapshot_text(spec.snapshot)
    # the words of a signature are its version, the key, when, and the signature itself
    yield "signed_with", " at ".join((spec.signature or "").split(" ")[1:3])
    yield "runs", str(job.runs)
    yield "interruptions", "; ".join(filter(None, (str(job.interruptions or ""), suspicion(job))))
    yield "worker", job.worker or ""
    held = job.claim.holding.units if job.claim and job.claim.holding else ()
    yield "holds", ", ".join(f"{name} {text.strip('[]')}" for name, text in held)
    for name in _TIMES:
        yield name, _instant(getattr(job, name), clock)
    if outcome:
        yield "exit_code", "" if outcome.exit_code is None else str(outcome.exit_code)
        yield "signal", str(outcome.signal or "")
        yield "duration", tables.duration(outcome.duration)
        yield "cpu", tables.cpu_time(outcome.cpu_seconds)
        yield "peak_memory", tables.memory(outcome.peak_memory)
        yield "result", outcome.result or ""
        yield "note", outcome.note or ""


def _snapshot_text(snapshot: str | None) -> str:
    """Return which commit a job runs in, and of which work tree."""
    if snapshot is None:
        return ""
    from queuectl.domain.snapshot import Snapshot  # few jobs have one

    try:
        known = Snapshot.of(snapshot)
    except ValueError:
        return snapshot
    return f"{known.short} of {known.root} on {known.host}"


def _asked_text(job: Job, field: Field) -> str:
    """Return the value of a field in words; nothing for what nobody need be told."""
    value = getattr(job.spec, field.name)
    if value == field.default:
        return ""
    if field.is_secret:
        return MASK
    if field.kind is Kind.WORDS:
        return ", ".join(value)
    if field.kind is Kind.PAIRS:
        return " ".join(f"{key}={text}" for key, text in value)
    return "yes" if value is True else "no" if value is False else str(value)


_TEXTS: Mapping[str, Callable[[Job], str]] = {
    "queue": lambda job: queue_title(job.spec.queue),
    "priority": lambda job: str(job.spec.priority),
    "max_retries": lambda job: f"{job.attempts} of {job.spec.max_retries}",
    "backoff_base": lambda job: (
        f"{job.spec.backoff_base:g} ** attempts, at most {short_seconds(job.spec.backoff_cap)}"
    ),
    "backoff_cap": lambda _job: "",
    "backoff_jitter": lambda job: f"{job.spec.backoff_jitter:g}" if job.spec.backoff_jitter else "",
    "clean_env": lambda _job: "",  # see `environment`
    "memory": lambda job: size_text(job.spec.memory) if job.spec.memory else "",
    "cpus": lambda job: f"{job.spec.cpus:g}" if job.spec.cpus else "",
    "timeout": lambda job: short_seconds(job.spec.timeout) if job.spec.timeout else "none",
    "env": lambda job: " ".join(f"{name}={value}" for name, value in masked_env(job).items()),
    "on_parent_failure": lambda job: (
        job.spec.on_parent_failure if job.spec.after or job.spec.on_parent_failure != WAIT else ""
    ),
}
"""The fields whose values are written otherwise than the rest."""

_TITLES = {"max_retries": "attempts", "backoff_base": "backoff"}


def _instant(instant: datetime | None, clock: tables.Clock) -> str:
    """Return a time; a person reads both when it is and how far off."""
    if instant is None:
        return ""
    if not clock.for_person:
        return clock.at(instant)
    return f"{clock.at(instant)} ({clock.around(instant)})"


@frozen
class Step:
    """One run of a job, in words."""

    run: int
    started_at: datetime
    took: str
    used: str
    worker: str
    result: str
    then: str
    state: State


def timeline(job: Job, clock: tables.Clock) -> Iterator[Step]:
    """Yield the runs of a job from the first that is kept, and the one that is under way."""
    running = _running(job, clock)
    starts = [run.started_at for run in (*job.history, running) if run is not None]
    for run, next_start in zip_longest(job.history, starts[1:]):
        error = run.error or ""
        state = State.FAILED if error else State.COMPLETED
        is_counted = error != INTERRUPTED and not error.startswith(WORKER_LOST)
        if next_start is None:
            then = _at_last(job, run, clock)
        else:
            pause = max(0.0, seconds_between(run.finished_at, next_start))
            then = f"again after {rough(pause)}"
        yield Step(
            run.n,
            run.started_at,
            tables.duration(run.seconds),
            used_text(run),
            run.worker,
            error or state.value,
            ", ".join(filter(None, ["" if is_counted else "not counted", then])),
            state,
        )
    if running is not None:
        yield running


def _running(job: Job, clock: tables.Clock) -> Step | None:
    if job.state is not State.PROCESSING or job.started_at is None:
        return None
    took = tables.duration(max(0.0, seconds_between(job.started_at, clock.now)))
    return Step(
        job.runs, job.started_at, took, "", job.worker or "", state_text(job), "", State.PROCESSING
    )


def _at_last(job: Job, run: Run, clock: tables.Clock) -> str:
    """Return what became of a job after its last run."""
    if job.state in SETTLED:
        return "" if not run.error and job.state is State.COMPLETED else job.state.value
    return why(job, clock)


def step_columns(steps: Sequence[Step], clock: tables.Clock) -> list[tables.Column[Step]]:
    """Return the columns of a timeline; what runs used where that is known of any."""
    used: tables.Column[Step] = tables.Column(
        "USED", lambda step: step.used, optional=True, yields=3
    )
    return [
        tables.Column("RUN", lambda step: str(step.run)),
        tables.Column("STARTED", lambda step: clock.at(step.started_at)),
        tables.Column("TOOK", lambda step: step.took, yields=1),
        *([used] if any(step.used for step in steps) else []),
        tables.Column("WORKER", lambda step: step.worker, yields=2),
        tables.Column(
            "RESULT", lambda step: step.result, style=lambda step: STATE_STYLES[step.state]
        ),
        tables.Column("THEN", lambda step: step.then, optional=True),
    ]  # fmt: skip
