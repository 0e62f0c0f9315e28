"""`enqueue`: from words, options, JSON and files to jobs in the store."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import chain
from typing import Any

import click

from queuectl.cli.enqueue_options import (
    EnqueueCommand,
    enqueue_options,
    hold_option,
    options_from,
    requests_of,
)
from queuectl.cli.enqueue_words import InputJob
from queuectl.cli.root import examples
from queuectl.cli.session import Session, hint_at_missing_workers
from queuectl.domain.errors import ExitCode, NothingDone, QueuectlError
from queuectl.presentation.console import on_terminal, print_error, print_hint, print_line
from queuectl.queue import Queue
from queuectl.queue.enqueue import AllNew, EnqueueResult

_TOLD_ONE_BY_ONE = 10


@examples("""
    queuectl enqueue nightly "./backup.sh"
    queuectl enqueue '{"id": "job1", "command": "echo Hello", "max_retries": 2}'
    queuectl enqueue build -- make -j4 "all tests"
    queuectl enqueue --file jobs.jsonl --queue imports --atomic
    queuectl enqueue report "./report.sh" --at "tomorrow 9:00" --timeout 600
""")
@click.command(cls=EnqueueCommand)
@enqueue_options
@hold_option
@click.option("--print-id", "-p", is_flag=True, help="Print the id alone.")
@click.option("--atomic", is_flag=True, help="All jobs of a batch or none.")
@click.option("--json", "as_json", is_flag=True, help="Print what became of each job as JSON.")
@click.pass_context
def enqueue(
    ctx: click.Context, /, print_id: bool, atomic: bool, as_json: bool, **options: Any
) -> int:
    """Store jobs: a command, JSON, or a file of jobs."""
    session = ctx.ensure_object(Session)
    requested = options_from(ctx, options)
    items = requested.items()  # before a store is made
    queue = session.queue()
    report: Report
    if as_json:
        report = JsonReport(single=requested.is_single)
    elif requested.source.file is not None and not print_id and sys.stderr.isatty():
        report = BatchReport()
    else:
        report = Report(print_id=print_id)
    jobs = requested.jobs(items, queue)
    if atomic:
        _enqueue_atomically(queue, [*chain.from_iterable(jobs)], report)
    else:
        for chunk in jobs:
            _enqueue_chunk(queue, chunk, report)
    report.close()
    if report.refused and report.stored + report.refused > 1:
        print_hint(f"{report.stored:,} enqueued, {report.refused:,} refused")
    if not report.stored + report.refused:
        raise NothingDone("there are no jobs in it")
    if report.stored and options["hold"]:
        print_hint("held: queuectl resume ID lets it go")
    elif report.stored:
        hint_at_missing_workers(queue)
    return report.code


def _enqueue_chunk(queue: Queue, chunk: Sequence[InputJob], report: Report) -> None:
    """Store what can be stored, and tell of all in the order in which it was written."""
    results = queue.enqueue_requests(requests_of(chunk))
    is_done = isinstance(results, AllNew) or not any(each.error for each in results)
    if is_done and len(results) == len(chunk):
        report.add(results)
        return
    stored = iter(results)
    for job in chunk:
        if isinstance(job.result, QueuectlError):
            report.refuse(job.result, job.where)
            continue
        result = next(stored)
        if result.error:
            report.refuse(result.error, job.where)
        else:
            report.add([result])


def _enqueue_atomically(queue: Queue, jobs: Sequence[InputJob], report: Report) -> None:
    for job in jobs:
        if isinstance(job.result, QueuectlError):
            report.refuse(job.result, job.where)
    if not report.refused:
        report.add(queue.enqueue_requests(requests_of(jobs), atomic=True))


class Report:
    """What became of jobs so far, told on standard output: a line or an id for each."""

    def __init__(self, *, print_id: bool = False) -> None:
        self.stored = 0
        self.refused = 0
        self.code: int = ExitCode.OK
        self._print_id = print_id

    def refuse(self, fault: QueuectlError, where: str) -> None:
        """Tell of one refusal; the exit code is that of the first."""
        print_error(fault, where)
        self.refused += 1
        self.code = self.code or fault.exit_code

    def add(self, results: Sequence[EnqueueResult]) -> None:
        """Tell of jobs that are stored."""
        self.stored += len(results)
        self.write(results)

    def write(self, results: Sequence[EnqueueResult]) -> None:
        """Write what there is to say of some jobs."""
        if not self._print_id:  # in one piece, as ids hold nothing to be escaped
            sys.stdout.write(_lines(results))
            return
        for result in results:
            if result.is_other_job:
                print_hint(_line(result))
            print_line(result.job_id)

    def close(self) -> None:
        """End the report."""


def _line(result: EnqueueResult) -> str:
    if result.is_other_job:
        return f"Job '{result.job_id}' with this unique key waits or runs already"
    return f"{'Replaced' if result.replaced else 'Enqueued'} job '{result.job_id}'"


def _lines(results: Sequence[EnqueueResult]) -> str:
    if isinstance(results, AllNew) and results:
        between = "'\nEnqueued job '"
        return f"Enqueued job '{between.join(results.ids)}'\n"
    return "".join([f"{_line(result)}\n" for result in results])


class BatchReport(Report):
    """Tells a person of the first jobs one by one, and of the others by their number.

    Where standard output is no terminal every job is told of there, and how many on the screen.
    """

    def __init__(self) -> None:
        super().__init__()
        from queuectl.cli.progress import Progress

        self._progress = Progress()

    def write(self, results: Sequence[EnqueueResult]) -> None:
        """Write the first lines, and the number."""
        before = self.stored - len(results)
        super().write(results[: max(0, _TOLD_ONE_BY_ONE - before)] if on_terminal() else results)
        self._progress.show(f"{self.stored:,} jobs enqueued")

    def close(self) -> None:
        """Tell how many there were."""
        self._progress.clear()
        if on_terminal() and self.stored > _TOLD_ONE_BY_ONE:
            print_line(f"… {self.stored:,} jobs enqueued")


class JsonReport(Report):
    """Tells it as JSON: an array, or one object where only one job was meant."""

    def __init__(self, *, single: bool) -> None:
        super().__init__()
        from queuectl.presentation import tables

        self._write_one = tables.write_json
        self._array = None if single else tables.JsonArray()

    def write(self, results: Sequence[EnqueueResult]) -> None:
        """Write an object for each job."""
        add = self._array.add if self._array else self._write_one
        for result in results:
            outcome = "replaced" if result.replaced else "enqueued"
            add({"id": result.job_id, "result": "exists" if result.is_other_job else outcome})

    def close(self) -> None:
        """End the array."""
        if self._array:
            self._array.close()
