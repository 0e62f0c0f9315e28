"""Batches as people and programs read them, and what became of the jobs of one."""

from __future__ import annotations

import csv
import io
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from queuectl.domain.job import SETTLED, Job, State
from queuectl.domain.job_fields import command_text
from queuectl.domain.times import iso_or_none
from queuectl.domain.views import masked_params
from queuectl.presentation.columns import STATE_STYLES, state_style
from queuectl.presentation.tables import Clock, Column, duration, memory
from queuectl.queue.batches import BatchStatus

_WINDOW = 120.0
"""The estimate of the end follows from what has ended in so many seconds."""


class Estimate:
    """How long the rest of a batch will take, by what has ended lately."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def note(self, now: float, done: int) -> None:
        """Note how many jobs have ended by now."""
        self._seen.append((now, done))
        while now - self._seen[0][0] > _WINDOW and len(self._seen) > 2:
            self._seen.popleft()

    def seconds(self, left: int) -> float | None:
        """Return how long so many jobs will take, or None while that cannot be said."""
        (began, before), (now, done) = self._seen[0], self._seen[-1]
        if done <= before or now - began < 1:
            return None
        return left * (now - began) / (done - before)


def counts_text(counts: Mapping[State, int]) -> str:
    """Return counts in words: `3 completed, 1 dead`."""
    parts = [f"{counts[state]:,} {state}" for state in State if counts.get(state)]
    return ", ".join(parts) or "no jobs"


def batch_as_dict(status: BatchStatus) -> dict[str, Any]:
    """Return how a batch stands as JSON has it."""
    return {
        "name": status.name,
        "created_at": iso_or_none(status.created_at),
        "counts": {
            **{state.value: status.counts.get(state, 0) for state in State},
            "total": status.total,
        },
        "unmade": status.unmade,
        "done": status.is_over,
        "succeeded": status.is_success,
        "stopped": status.is_stopped,
        "at_once": status.at_once,
        "max_fails": status.max_fails,
        "ended_at": iso_or_none(status.ended_at),
    }


def batch_columns(clock: Clock) -> list[Column[BatchStatus]]:
    """Return the columns of a listing of batches."""
    return [
        Column("NAME", lambda each: each.name),
        Column("JOBS", lambda each: str(each.total)),
        Column("DONE", lambda each: f"{100 * each.done // max(each.total, 1)}%"),
        *[_count_column(state) for state in State],
        Column("AT ONCE", lambda each: str(each.at_once or ""), optional=True, yields=2),
        Column("CREATED", lambda each: clock.around(each.created_at), yields=3),
    ]


def _count_column(state: State) -> Column[BatchStatus]:
    style = STATE_STYLES[state]
    return Column(
        state.value.upper(), lambda each: str(each.counts.get(state, 0)), optional=True,
        style=lambda each: style if each.counts.get(state) else "dim", yields=1, usual="0",
    )  # fmt: skip


def batch_lines(status: BatchStatus, clock: Clock) -> Iterator[tuple[str, str]]:
    """Yield names and values that say how a batch stands."""
    yield "batch", status.name
    if status.created_at is not None:
        yield "created", clock.at(status.created_at)
    if status.ended_at is not None:
        yield "ended", clock.at(status.ended_at)
    if status.at_once:
        yield "at once", str(status.at_once)
    if status.max_fails:
        rest = ", reached: the rest is cancelled" if status.is_stopped else ""
        yield "max fails", f"{status.max_fails}{rest}"
    if status.unmade:
        yield "not made yet", str(status.unmade)
    for state in State:
        yield state.value, str(status.counts.get(state, 0))
    yield "total", str(status.total)


# what became of its jobs

COLUMNS_FROM = 500
"""The parameters of so many jobs give the columns; those of one batch are mostly the same."""


def csv_lines(
    jobs: Iterable[Job],
    columns: Sequence[Column[Job]],
    safe: Callable[[str], str] = str,
    *,
    has_head: bool = True,
) -> Iterator[str]:
    """Yield lines of CSV: the titles of columns, and what became of each job, made `safe`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    heads = [[each.title.lower().replace(" ", "_") for each in columns]] if has_head else []
    for row in chain(heads, ([safe(each.text(job)) for each in columns] for job in jobs)):
        writer.writerow(row)
        yield text.getvalue()
        text.seek(0)
        text.truncate()


def _params(job: Job) -> dict[str, str]:
    return masked_params(job)


def _peak(job: Job) -> int | None:
    """Return the most memory that the latest run of a job had, in bytes."""
    return job.outcome.peak_memory if job.outcome else None


def _result(job: Job) -> Any:
    """Return the JSON that a job wrote as its result, or None."""
    text = job.outcome.result if job.outcome else None
    return None if text is None else json.loads(text)


def last_line(job: Job) -> str:
    """Return the last line that a job wrote which is not empty."""
    outcome = job.outcome
    for text in (outcome.stdout, outcome.stderr) if outcome else ():
        lines = text.rstrip().rsplit("\n", 1)
        if lines[-1]:
            return lines[-1].strip()
    return ""


def result_as_dict(job: Job) -> dict[str, Any]:
    """Return what became of one job as JSON has it."""
    outcome = job.outcome
    return {
        "id": job.id,
        "index": job.spec.batch_index or None,
        "params": _params(job),
        "command": command_text(job.spec.command),
        "state": job.state.value,
        "exit_code": outcome.exit_code if outcome else None,
        "signal": outcome.signal if outcome else None,
        "duration": outcome.duration if outcome else None,
        "peak_memory": _peak(job),
        "last_error": job.last_error,
        "last_line": last_line(job),
        "result": _result(job),
    }


def result_columns(jobs: Sequence[Job], *, plain: bool = False) -> list[Column[Job]]:
    """Return the columns of what became of jobs: one for each parameter, and of the members of
    their results where these are objects.

    With `plain` durations are seconds and memory is bytes, as programs want them.
    """
    names = dict.fromkeys(name for job in jobs for name in _params(job))
    results = [_result(job) for job in jobs]
    members = dict.fromkeys(
        name for result in results if isinstance(result, dict) for name in result
    )
    is_whole = any(result is not None and not isinstance(result, dict) for result in results)
    return [
        Column("ID", lambda job: job.id),
        *[_param_column(name) for name in names],
        Column("STATE", lambda job: job.state.value, style=state_style),
        Column("EXIT CODE", _exit_text),
        Column("DURATION", _seconds_text if plain else _duration_text),
        Column("PEAK MEMORY", _bytes_text if plain else _peak_text, optional=True),
        *[_member_column(name) for name in members if name not in names],
        *([Column("RESULT", _result_text)] if is_whole else []),
        Column("LAST LINE", _last_text, optional=True, yields=1),
    ]


def _param_column(name: str) -> Column[Job]:
    return Column(name, lambda job: _params(job).get(name, ""))


def _member_column(name: str) -> Column[Job]:
    def text(job: Job) -> str:
        result = _result(job)
        value = result.get(name) if isinstance(result, dict) else None
        return "" if value is None else value if isinstance(value, str) else json.dumps(value)

    return Column(name, text)


def _exit_text(job: Job) -> str:
    outcome = job.outcome
    if outcome is None or job.state not in SETTLED:
        return ""
    if outcome.exit_code is not None:
        return str(outcome.exit_code)
    return f"signal {outcome.signal}" if outcome.signal else ""


def _duration_text(job: Job) -> str:
    has_run = job.outcome is not None and job.runs > 0
    return duration(job.outcome.duration) if has_run and job.outcome else ""


def _seconds_text(job: Job) -> str:
    return str(job.outcome.duration) if job.outcome and job.runs > 0 else ""


def _bytes_text(job: Job) -> str:
    peak = _peak(job)
    return "" if peak is None else str(peak)


def _peak_text(job: Job) -> str:
    return memory(_peak(job))


def _result_text(job: Job) -> str:
    result = _result(job)
    return "" if result is None else json.dumps(result)


def _last_text(job: Job) -> str:
    return last_line(job) or (job.last_error or "")
