"""The rows of the panes: what each says of a worker or a job, and where it is cut. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from queuectl.domain.job import SETTLED, WAITING, Job, State
from queuectl.domain.job_fields import command_text
from queuectl.domain.views import reason
from queuectl.domain.worker_record import LiveWorker
from queuectl.presentation.columns import (
    attempts_text,
    in_hand_text,
    seconds_between,
    slots_text,
    state_text,
)
from queuectl.presentation.layout import GAP, arrange, fit
from queuectl.presentation.snapshot import Snapshot
from queuectl.presentation.tables import Clock, Column, cells, duration, elapsed, rough, used
from queuectl.watch.view import Pane

Fragment = tuple[str, str]
Line = list[Fragment]
"""Pieces of one line, each with a style of the application."""

Row = TypeVar("Row")


def lines_of(snapshot: Snapshot, pane: Pane, columns: int, at: int, room: int) -> list[Line]:
    """Return the rows of a pane that fit around row `at`, which is drawn as the chosen one.

    With `at` below 0 none is chosen, and the first rows are returned.
    """
    if pane is Pane.WORKERS:
        return _lines(snapshot.workers, _worker_columns(snapshot), columns, at, room)
    if pane is Pane.JOBS:
        return _lines(snapshot.jobs, _job_columns(snapshot), columns, at, room)
    return _lines(snapshot.dead, _dead_columns(snapshot), columns, at, room)


def _lines(
    items: Sequence[Row], columns: Sequence[Column[Row]], room_across: int, at: int, room: int
) -> list[Line]:
    first = max(0, min(at - room // 2, len(items) - room))
    window = items[first : first + room]
    if not window:
        return []
    texts = cells(window, columns)
    kept = used(columns, texts)
    texts = [[line[each] for each in kept] for line in texts]
    widths = arrange(texts, [columns[each].yields for each in kept], room_across - 1)
    lines: list[Line] = []
    for number, (item, line) in enumerate(zip(window, texts, strict=True), first):
        parts: Line = []
        for each, wide in widths.items():
            gap = GAP if parts else " "
            parts.append((columns[kept[each]].style(item), gap + fit(line[each], wide)))
        if number == at:
            parts = [("class:chosen", fit("".join(text for _, text in parts), room_across))]
        lines.append(parts)
    return lines


def _worker_columns(snapshot: Snapshot) -> list[Column[LiveWorker]]:
    def job_of(worker: LiveWorker) -> Job | None:
        return snapshot.running.get(worker.job_id or "")

    def command(worker: LiveWorker) -> str:
        job = job_of(worker)
        return command_text(job.spec.command) if job else ""

    return [
        Column("PID", lambda worker: str(worker.record.process.pid)),
        Column("STATE", lambda worker: worker.state, style=lambda worker: f"class:{worker.state}"),
        Column("HOST", lambda worker: _host(worker, snapshot), optional=True, yields=1),
        Column("SLOTS", slots_text, optional=True, yields=1),
        Column("JOB", in_hand_text),
        Column("FOR", lambda worker: _runtime(job_of(worker), snapshot)),
        Column("COMMAND", command),
    ]


def _host(worker: LiveWorker, snapshot: Snapshot) -> str:
    """Return the host where there are several."""
    hosts = {each.record.host for each in snapshot.workers}
    return worker.record.host if len(hosts) > 1 else ""


def _runtime(job: Job | None, snapshot: Snapshot) -> str:
    if job is None or job.started_at is None:
        return ""
    return elapsed(seconds_between(job.started_at, snapshot.now))


def _job_columns(snapshot: Snapshot) -> list[Column[Job]]:
    return [
        Column("ID", lambda job: job.id),
        Column("STATE", state_text, style=lambda job: f"class:{job.state}"),
        Column("ATTEMPTS", attempts_text, yields=4),
        Column("WHEN", lambda job: _when(job, snapshot), yields=3),
        Column("WHY", lambda job: _note(job, snapshot), optional=True),
        Column("COMMAND", lambda job: command_text(job.spec.command), yields=2),
    ]


def _when(job: Job, snapshot: Snapshot) -> str:
    """Return how long a job has run, when it runs next, or how long ago it ended."""
    if job.state is State.PROCESSING:
        return _runtime(job, snapshot)
    if job.state in WAITING:
        seconds = seconds_between(snapshot.now, job.run_at)
        return f"in {rough(seconds)}" if seconds > 0 else "due"
    ended = job.finished_at if job.state in SETTLED and job.finished_at else job.updated_at
    return f"{rough(max(0.0, seconds_between(ended, snapshot.now)))} ago"


def _note(job: Job, snapshot: Snapshot) -> str:
    """Return why a job waits or failed, or how long it took."""
    if job.state in WAITING or job.paused:
        show = Clock(snapshot.now, for_person=True).at
        waits = reason(job, snapshot.now, show, snapshot.wait_context) or ""
        return waits if waits != "due" else ""
    if job.state is State.COMPLETED and job.outcome:
        return f"took {duration(job.outcome.duration)}"
    return job.last_error or ""


def _dead_columns(snapshot: Snapshot) -> list[Column[Job]]:
    return [
        Column("ID", lambda job: job.id),
        Column("ATTEMPTS", attempts_text, yields=4),
        Column("WHEN", lambda job: _when(job, snapshot), yields=3),
        Column("ERROR", lambda job: job.last_error or "", style=lambda _job: "class:dead"),
        Column("COMMAND", lambda job: command_text(job.spec.command), yields=2),
    ]
