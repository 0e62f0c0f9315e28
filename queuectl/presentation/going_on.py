"""What a person wants to know first: what runs, what runs next and why not yet, what went wrong."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from queuectl.domain.frozen import replace
from queuectl.domain.job import WAITING, Job, State
from queuectl.domain.job_fields import DEFAULT_QUEUE, command_text
from queuectl.domain.query import Filter, Order, Page
from queuectl.domain.queue_limits import queue_title
from queuectl.presentation import tables
from queuectl.presentation.columns import seconds_between, state_style, state_text, why
from queuectl.presentation.run_log import last_line
from queuectl.presentation.tables import Clock, Column, elapsed
from queuectl.queue import Queue

_MOST_RUNNING, _MOST_NEXT, _MOST_FAILED = 10, 5, 5
_LATELY = timedelta(days=1)


def write_going_on(queue: Queue, name: str | None, clock: Clock, *, colors: bool) -> None:
    """Write what runs, what is next and what failed lately, in all queues or in one."""
    chosen, counts = Filter(queue=name), queue.counts()

    def first(states: frozenset[State], page: Page) -> list[Job]:
        return list(queue.find(replace(chosen, states=states), page))

    def write(title: str, jobs: Sequence[Job], total: int, columns: list[Column[Job]]) -> None:
        if jobs:
            some = f"{len(jobs)} of {total:,}" if total > len(jobs) else str(len(jobs))
            sys.stdout.write("\n")
            tables.pairs([(title, some)])
            tables.table(jobs, columns, colors=colors)

    def total(states: frozenset[State]) -> int:
        return counts.matching(replace(chosen, states=states)) or 0

    running = frozenset({State.PROCESSING})
    jobs = first(running, Page(_MOST_RUNNING, order=Order.STARTED))
    lines = {job.id: last_line(queue, job) for job in jobs}
    write("running", jobs, total(running), _running_columns(clock, lines))
    jobs = first(WAITING, Page(_MOST_NEXT, order=Order.TURN))
    write("next", jobs, total(WAITING), _next_columns(clock))
    latest = first(frozenset({State.DEAD}), Page(_MOST_FAILED, 0, True, order=Order.ENDED))
    latest += first(frozenset({State.FAILED}), Page(_MOST_FAILED, 0, True, order=Order.CHANGED))
    latest = [job for job in latest if clock.now - _ended(job, clock) < _LATELY]
    latest.sort(key=lambda job: _ended(job, clock), reverse=True)
    write("failed lately", latest[:_MOST_FAILED], 0, _failed_columns(clock))


def _ended(job: Job, clock: Clock) -> datetime:
    return job.finished_at or clock.now


def _queue_column() -> Column[Job]:
    return Column(
        "QUEUE", lambda job: queue_title(job.spec.queue), optional=True, usual=DEFAULT_QUEUE,
        yields=3,
    )  # fmt: skip


def _command_column() -> Column[Job]:
    return Column("COMMAND", lambda job: command_text(job.spec.command), yields=1)


def _running_columns(clock: Clock, lines: Mapping[str, str]) -> list[Column[Job]]:
    """Return the columns of the jobs that run; `lines` are what each wrote last, by its id."""

    def runtime(job: Job) -> str:
        return elapsed(seconds_between(job.started_at or clock.now, clock.now))

    return [
        Column("ID", lambda job: job.id),
        Column("FOR", runtime, style=state_style),
        _queue_column(),
        Column("LAST LINE", lambda job: lines[job.id], optional=True),
        _command_column(),
    ]


def _next_columns(clock: Clock) -> list[Column[Job]]:
    return [
        Column("ID", lambda job: job.id),
        Column("STATE", state_text, style=state_style, yields=2),
        _queue_column(),
        Column("REASON", lambda job: why(job, clock)),
        _command_column(),
    ]


def _failed_columns(clock: Clock) -> list[Column[Job]]:
    return [
        Column("ID", lambda job: job.id),
        Column("STATE", state_text, style=state_style, yields=2),
        Column("WHEN", lambda job: clock.around(job.finished_at)),
        _queue_column(),
        Column("ERROR", lambda job: job.last_error or "", style=state_style),
        _command_column(),
    ]
