"""What became of the jobs of an `enqueue`, for people and for programs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from queuectl.domain.errors import ExitCode, JobExists, QueuectlError
from queuectl.domain.times import iso
from queuectl.presentation.console import on_terminal, print_hint, print_line
from queuectl.queue.enqueue import AllNew, EnqueueResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from queuectl.cli.enqueue_words import InputJob
    from queuectl.cli.refusals import Refusals
    from queuectl.domain.job_fields import Spec

    Told = Sequence[EnqueueResult] | list[EnqueueResult | tuple[QueuectlError, str]]
    """What became of some jobs in their order: all are stored, or some were refused at a place."""

_TOLD_ONE_BY_ONE = 10
MOST_LATEST = 100


class Report:
    """What became of jobs so far, told on standard output: a line or an id for each.

    With `skips` a job whose id exists already is passed over and not refused. `last` is the place
    of the last job that something became of, `latest` are the ids of the last that are stored.
    With `is_dry` nothing is stored, and all is what would become of them. `limited` is one of them
    that has limits which a worker has to hold.
    """

    def __init__(
        self, *, skips: bool = False, print_id: bool = False, is_dry: bool = False
    ) -> None:
        self.stored = 0
        self.existed = 0
        self.last = ""
        self.latest: list[str] = []
        self.skips = skips
        self.is_dry = is_dry
        self.refusals: Refusals | None = None
        self.limited: Spec | None = None
        self._print_id = print_id

    @property
    def refused(self) -> int:
        """How many were refused."""
        return self.refusals.count if self.refusals else 0

    @property
    def dealt(self) -> int:
        """Of how many jobs it is known what became of them."""
        return self.stored + self.existed + self.refused

    @property
    def code(self) -> int:
        """The exit code: that of the first refusal."""
        return self.refusals.code if self.refusals else ExitCode.OK

    @property
    def _done(self) -> str:
        return "would be enqueued" if self.is_dry else "enqueued"

    @property
    def summary(self) -> str:
        """How many jobs came to which end, as one says it."""
        parts = [f"{self.stored:,} {self._done}"]
        parts += [f"{self.existed:,} left as they were"] if self.existed else []
        parts += [f"{self.refused:,} refused"] if self.refused else []
        return ", ".join(parts)

    def count(self, chunk: Sequence[InputJob], results: Sequence[EnqueueResult]) -> Told:
        """Count jobs by what became of them; return that, for `tell`."""
        self.last = chunk[-1].where
        are_new = isinstance(results, AllNew) or not any(each.error for each in results)
        if are_new and len(results) == len(chunk):
            self.stored += len(results)
            self.latest = [each.job_id for each in results[-MOST_LATEST:]]
            return results
        told: list[EnqueueResult | tuple[QueuectlError, str]] = []
        stored = iter(results)
        for job in chunk:
            result = None if isinstance(job.result, QueuectlError) else next(stored)
            fault = job.result if isinstance(job.result, QueuectlError) else None
            if result is not None:
                fault = result.error
            if result is not None and (fault is None or self._passes_over(fault)):
                self.stored += fault is None
                self.existed += fault is not None
                self.latest = [*self.latest[1 - MOST_LATEST :], result.job_id]
                told.append(result)
            elif fault is not None:
                self._refusals().add(fault, job.where)
                told.append((fault, job.where))
        return told

    def _passes_over(self, fault: QueuectlError) -> bool:
        return self.skips and isinstance(fault, JobExists)

    def _refusals(self) -> Refusals:
        if self.refusals is None:
            from queuectl.cli.refusals import Refusals

            self.refusals = Refusals()
        return self.refusals

    def tell(self, told: Told) -> None:
        """Tell of jobs that were counted, in their order."""
        if not isinstance(told, list):
            self.write(told)
            return
        for each in told:
            if isinstance(each, tuple):
                self._refusals().tell(*each)
            else:
                self.write([each])

    def write(self, results: Sequence[EnqueueResult]) -> None:
        """Write what there is to say of some jobs that are in the store."""
        if not self._print_id:  # in one piece, as ids hold nothing to be escaped
            sys.stdout.write(_lines(results, is_dry=self.is_dry))
            return
        for result in results:
            if result.is_other_job or result.error:
                print_hint(_line(result, is_dry=self.is_dry))
            print_line(result.job_id)

    def clear(self) -> None:
        """Take away what shows how far it has come."""

    def close(self) -> None:
        """End the report: say how many there were, unless all are stored."""
        self.clear()
        if self.refusals is not None:
            self.refusals.close()
        if self.dealt > max(1, self.stored):
            print_hint(self.summary)


def _line(result: EnqueueResult, *, is_dry: bool) -> str:
    if result.is_other_job:
        return f"Job '{result.job_id}' with this unique key waits or runs already"
    if result.error:
        return f"Job '{result.job_id}' exists already"
    if is_dry:
        done = f"Would {'replace' if result.replaced else 'enqueue'} job '{result.job_id}'"
    else:
        done = f"{'Replaced' if result.replaced else 'Enqueued'} job '{result.job_id}'"
    if result.run_at is None:
        return done
    from queuectl.presentation.due import due_text  # which few jobs need

    return done + due_text(result.run_at)


def _lines(results: Sequence[EnqueueResult], *, is_dry: bool) -> str:
    if isinstance(results, AllNew) and results:
        between = "'\nEnqueued job '"
        return f"Enqueued job '{between.join(results.ids)}'\n"
    return "".join([f"{_line(result, is_dry=is_dry)}\n" for result in results])


class BatchReport(Report):
    """Tells a person of the first jobs one by one, and of the others by their number.

    Where standard output is no terminal every job is told of there, and how many on the screen.
    """

    def __init__(self, *, skips: bool, is_dry: bool) -> None:
        super().__init__(skips=skips, is_dry=is_dry)
        from queuectl.cli.progress import Progress

        self._progress = Progress()
        self._written = 0

    def write(self, results: Sequence[EnqueueResult]) -> None:
        """Write the first lines, and the number."""
        room = max(0, _TOLD_ONE_BY_ONE - self._written)
        self._written += len(results)
        some = results[:room] if on_terminal() else results
        if some:
            self.clear()
            super().write(some)
        self._progress.show(f"{self.stored:,} jobs {self._done}")

    def clear(self) -> None:
        """Take the number away."""
        self._progress.clear()

    def close(self) -> None:
        """Tell how many there were."""
        self.clear()
        if on_terminal() and self._written > _TOLD_ONE_BY_ONE and self.stored:
            print_line(f"… {self.stored:,} jobs {self._done}")
        super().close()


class JsonReport(Report):
    """Tells it as JSON: an array, or one object where only one job was meant."""

    def __init__(self, *, skips: bool, single: bool, is_dry: bool) -> None:
        super().__init__(skips=skips, is_dry=is_dry)
        from queuectl.presentation import tables

        self._write_one = tables.write_json
        self._array = None if single else tables.JsonArray()

    def write(self, results: Sequence[EnqueueResult]) -> None:
        """Write an object for each job."""
        add = self._array.add if self._array else self._write_one
        for result in results:
            outcome = "replaced" if result.replaced else "enqueued"
            if self.is_dry:
                outcome = f"would {outcome.removesuffix('d')}"
            exists = result.is_other_job or result.error is not None
            add(
                {
                    "id": result.job_id,
                    "result": "exists" if exists else outcome,
                    **({"run_at": iso(result.run_at)} if result.run_at else {}),
                }
            )

    def close(self) -> None:
        """End the array."""
        if self._array:
            self._array.close()
        super().close()
