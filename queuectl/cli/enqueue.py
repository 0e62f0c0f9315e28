"""`enqueue`: from words, options, JSON and files to jobs in the store."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import islice
from typing import Any

import click

from queuectl.cli.enqueue_options import EnqueueCommand, InputJob, options_from, requests_of
from queuectl.cli.job_options import enqueue_options
from queuectl.cli.session import (
    Session,
    hint_at_missing_workers,
    on_terminal,
    print_error,
    print_hint,
    print_line,
)
from queuectl.domain.errors import ExitCode, NothingDone, QueuectlError
from queuectl.domain.request import Request
from queuectl.queue import EnqueueResult, Queue
from queuectl.stores.base import BATCH

_TOLD_ONE_BY_ONE = 10


class EnqueueCounts:
    """What became of a batch so far."""

    def __init__(self) -> None:
        self.stored = 0
        self.refused = 0
        self.code: int = ExitCode.OK

    def refuse(self, fault: QueuectlError, where: str) -> None:
        """Tell of one refusal; the exit code is that of the first."""
        print_error(fault, where)
        self.refused += 1
        self.code = self.code or fault.exit_code


@click.command(
    cls=EnqueueCommand,
    epilog="""
    queuectl enqueue nightly "./backup.sh"
    queuectl enqueue '{"id": "job1", "command": "echo Hello", "max_retries": 2}'
    queuectl enqueue build -- make -j4 "all tests"
    queuectl enqueue --file jobs.jsonl --queue imports --atomic
    queuectl enqueue report "./report.sh" --at "tomorrow 9:00" --timeout 600
    """,
)
@enqueue_options
@click.option("--print-id", "-p", is_flag=True, help="Print the id alone.")
@click.option("--atomic", is_flag=True, help="All jobs of a batch or none.")
@click.option("--json", "as_json", is_flag=True, help="Print what became of each job as JSON.")
@click.pass_context
def enqueue(
    ctx: click.Context, /, print_id: bool, atomic: bool, as_json: bool, **options: Any
) -> int:
    """Store jobs: a command, JSON, or a file of jobs."""
    session = ctx.ensure_object(Session)
    asked = options_from(ctx, options)
    items = asked.items()  # before a store is made
    queue = session.queue()
    if as_json:
        report: Report = JsonReport(single=asked.is_single)
    else:
        report = _report_for_person() if asked.is_batch and not print_id else Report(print_id)
    counts = EnqueueCounts()
    entries = asked.entries(items, queue)
    if atomic:
        _enqueue_atomically(queue, list(entries), counts, report)
    else:
        while chunk := list(islice(entries, BATCH)):
            _enqueue_chunk(queue, chunk, counts, report)
    report.close()
    if counts.refused and counts.stored + counts.refused > 1:
        print_hint(f"{counts.stored:,} enqueued, {counts.refused:,} refused")
    if not counts.stored + counts.refused:
        raise NothingDone("there are no jobs in it")
    if counts.stored:
        hint_at_missing_workers(queue)
    return counts.code


class Report:
    """Tells on standard output what was stored: a line or an id for each job."""

    def __init__(self, print_id: bool = False) -> None:
        self._print_id = print_id

    def add(self, result: EnqueueResult) -> None:
        """Tell of one job that is stored."""
        if self._print_id and result.is_other_job:
            print_hint(existing(result))
        print_line(self._line(result))

    def add_all(self, results: Sequence[EnqueueResult]) -> None:
        """Tell of many jobs that are stored."""
        for result in results:
            self.add(result)

    def _line(self, result: EnqueueResult) -> str:
        if self._print_id:
            return result.job_id
        if result.is_other_job:
            return existing(result)
        return f"{'Replaced' if result.replaced else 'Enqueued'} job '{result.job_id}'"

    def close(self) -> None:
        """End the report."""


def existing(result: EnqueueResult) -> str:
    """Return what to say where another job has the unique key, and nothing was enqueued."""
    return f"Job '{result.job_id}' with this unique key waits or runs already"


class LinesReport(Report):
    """Tells of a batch where nobody watches: in one piece, as ids hold nothing to be escaped."""

    def add_all(self, results: Sequence[EnqueueResult]) -> None:
        """Tell of many jobs that are stored."""
        sys.stdout.write("".join([f"{self._line(result)}\n" for result in results]))


class BatchReport(Report):
    """Tells of the first jobs one by one on a terminal, and of the others by their number.

    Where standard output is no terminal every job is told of there, and how many on the screen.
    """

    def __init__(self) -> None:
        super().__init__()
        from queuectl.cli.progress import Progress

        self._count = 0
        self._progress = Progress()

    def add(self, result: EnqueueResult) -> None:
        """Tell of one job that is stored."""
        self._count += 1
        if not on_terminal() or self._count <= _TOLD_ONE_BY_ONE:
            super().add(result)
        self._progress.show(f"{self._count:,} jobs enqueued")

    def close(self) -> None:
        """Tell how many there were."""
        self._progress.clear()
        if on_terminal() and self._count > _TOLD_ONE_BY_ONE:
            print_line(f"… {self._count:,} jobs enqueued")


def _report_for_person() -> Report:
    """Return a report that does not fill a terminal with the lines of a long batch."""
    if not sys.stderr.isatty():
        return LinesReport()
    return BatchReport()


class JsonReport(Report):
    """Tells it as JSON: an array, or one object where only one job was meant."""

    def __init__(self, *, single: bool) -> None:
        super().__init__()
        from queuectl.presentation import tables

        self._write = tables.write_json
        self._array = None if single else tables.JsonArray()

    def add(self, result: EnqueueResult) -> None:
        """Tell of one job that is stored."""
        value = {"id": result.job_id, "result": _outcome(result)}
        if self._array:
            self._array.add(value)
        else:
            self._write(value)

    def close(self) -> None:
        """End the array."""
        if self._array:
            self._array.close()


def _outcome(result: EnqueueResult) -> str:
    if result.is_other_job:
        return "exists"
    return "replaced" if result.replaced else "enqueued"


def _enqueue_chunk(
    queue: Queue, chunk: Sequence[InputJob], counts: EnqueueCounts, report: Report
) -> None:
    """Store what can be stored, and tell of all in the order in which it was written."""
    stored_or_not = queue.enqueue_requests(requests_of(chunk))
    if len(stored_or_not) == len(chunk) and not any(each.error for each in stored_or_not):
        counts.stored += len(chunk)
        report.add_all(stored_or_not)
        return
    results = iter(stored_or_not)
    for entry in chunk:
        if isinstance(entry.result, QueuectlError):
            counts.refuse(entry.result, entry.where)
            continue
        stored = next(results)
        if stored.error:
            counts.refuse(stored.error, entry.where)
        else:
            counts.stored += 1
            report.add(stored)


def _enqueue_atomically(
    queue: Queue, entries: Sequence[InputJob], counts: EnqueueCounts, report: Report
) -> None:
    for entry in entries:
        if isinstance(entry.result, QueuectlError):
            counts.refuse(entry.result, entry.where)
    if not counts.refused:
        _enqueue_all(queue, requests_of(entries), counts, report)


def _enqueue_all(
    queue: Queue, requests: Sequence[Request], counts: EnqueueCounts, report: Report
) -> None:
    for result in queue.enqueue_requests(requests, atomic=True):
        counts.stored += 1
        report.add(result)
