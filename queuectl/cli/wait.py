"""`wait`: until jobs have ended."""

from __future__ import annotations

import math
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext

import click

from queuectl.cli.batch_wait import WaitedBatches, batch_ending, wait_for_batch
from queuectl.cli.completions import BATCH_NAME, QUEUE_NAME
from queuectl.cli.latest import or_latest
from queuectl.cli.logs import ending
from queuectl.cli.progress import progress_line
from queuectl.cli.root import Command, examples, ids_argument, json_option
from queuectl.cli.session import Session, pass_session
from queuectl.domain.errors import CannotStart, ExitCode, InvalidInput, NotFound, WaitTimedOut
from queuectl.domain.field_checks import check_name
from queuectl.domain.job import SETTLED, WAITING, Job, State
from queuectl.domain.query import Filter
from queuectl.domain.times import parse_duration
from queuectl.domain.views import DRAINED, NO_WORKER, as_dict, exit_code
from queuectl.presentation import tables
from queuectl.presentation.console import print_error, print_hint, print_line
from queuectl.queue import Queue
from queuectl.queue.batches import BatchStatus
from queuectl.system.polling import ROOTS_SECONDS, Pace

_POLL_SECONDS = (0.01, 0.25)
_REASONS_SECONDS = 1.0
"""How often to look whether there is a worker, and an open queue, for what is waited for."""

_NAME_THEM = "name the jobs, or --queue NAME, or --batch NAME, or --all"
_AT_ONCE = 100
"""How many of the jobs are looked at between two pauses."""


@examples("""
    queuectl wait job1 && echo "job1 is done"
    queuectl wait --queue imports --timeout 600
    queuectl wait --batch sweep1
""")
@click.command(cls=Command)
@ids_argument(required=False)
@click.option("--queue", "-q", "queue_name", type=QUEUE_NAME, metavar="NAME",
              help="Every job of this queue.")  # fmt: skip
@click.option("--batch", type=BATCH_NAME, metavar="NAME",
              help="Every job of this batch; 0 only if all are completed.")  # fmt: skip
@click.option("--all", "-a", "every", is_flag=True, help="Every job that is not settled now.")
@click.option("--timeout", metavar="SECONDS", help="Wait no longer; the exit code is then 124.")
@json_option
@pass_session
def wait(
    session: Session,
    ids: tuple[str, ...],
    queue_name: str | None,
    batch: str | None,
    every: bool,
    timeout: str | None,
    as_json: bool,
) -> int:
    """Wait until jobs are completed, dead or cancelled.

    Ends with the code of the one job; of several with 1 if any did not complete, and with 3 for
    a queue in which no job ever was. One that
    cannot start, as it waits for a job that is dead, cancelled or deleted, is not waited for.
    """
    if bool(ids) + (queue_name is not None) + (batch is not None) + every > 1:
        raise InvalidInput(_NAME_THEM)
    if batch is not None:
        return wait_for_batch(session, batch, timeout, as_json=as_json)
    if queue_name is None and not every:
        ids = or_latest(session, ids, _NAME_THEM)
    seconds = None if timeout is None else parse_duration(timeout, "--timeout")
    queue = session.reading()
    named = [queue.resolve(word) for word in dict.fromkeys(ids)]
    chosen = _known_queue(queue, queue_name) if queue_name is not None else None
    others, batches = ([], []) if named else queue.unsettled(chosen)
    waiting = Waiting(queue, named or others, seconds, forgive=not named, batches=batches)
    array = tables.JsonArray() if as_json else None
    codes: list[int] = []
    for ended, stuck in waiting.ended():
        codes.append(stuck.exit_code if stuck else _code_of(ended))
        if array:
            wait_context = queue.wait_context()
            for job in _jobs_of(queue, ended):
                array.add(as_dict(job, queue.now(), wait_context))
        if stuck:
            print_error(stuck)
        elif not array:
            print_line(ending(ended) if isinstance(ended, Job) else batch_ending(ended))
            sys.stdout.flush()
    if array:
        array.close()
    if len(named) == 1:
        return codes[0]
    return ExitCode.FAILED if any(codes) else ExitCode.OK


def _code_of(ended: Job | BatchStatus) -> int:
    if isinstance(ended, Job):
        return exit_code(ended)
    return ExitCode.OK if ended.is_success else ExitCode.FAILED


def _jobs_of(queue: Queue, ended: Job | BatchStatus) -> Iterable[Job]:
    return (ended,) if isinstance(ended, Job) else queue.find(Filter(batch=ended.name))


def _known_queue(queue: Queue, name: str) -> str:
    """Return the name of a queue. Raises NotFound for one, maybe mistyped, that never had a job."""
    if not queue.has_had_jobs(check_name("queue", name)):
        hint = queue.missing_hint or "queuectl queue list shows the queues there are"
        raise NotFound(f"no job has ever been in queue '{name}'", hint)
    return name


class Waiting:
    """Jobs that are waited for, at most for some seconds, and how far they have come.

    With `forgive` one that is deleted meanwhile does not count. `batches` are waited for as a
    whole each, as they may have more jobs than there is room for.
    """

    def __init__(
        self,
        queue: Queue,
        ids: Sequence[str],
        seconds: float | None,
        *,
        forgive: bool,
        batches: Sequence[str] = (),
    ) -> None:
        self._queue = queue
        self._batches = WaitedBatches(queue, batches)
        self._left = dict.fromkeys(ids, State.PENDING)
        self._ended: Counter[State] = Counter()
        self._forgive = forgive
        self._waiting_in: set[str] = set()
        self._hinted: set[str] = set()
        self._roots, self._reasons = Pace(ROOTS_SECONDS), Pace(_REASONS_SECONDS)
        self._started = time.monotonic()
        self._deadline = self._started + (math.inf if seconds is None else seconds)

    def ended(self) -> Iterator[tuple[Job | BatchStatus, CannotStart | None]]:
        """Yield each job or batch when it has ended, or cannot start, and why that is.

        Raises NotFound, or WaitTimedOut.
        """
        shortest, longest = _POLL_SECONDS
        pause, at_once = shortest, len(self._left)
        with progress_line() as progress:
            while self._left or self._batches.left:
                is_new = False
                for job, stuck in self._round(list(self._left)[:at_once]):
                    progress.clear()
                    yield job, stuck
                    is_new = True
                for batch, stuck in self._batches.ended():
                    progress.clear()
                    yield batch, stuck
                self._refuse_to_go_on()
                self._warn()
                if progress.is_due():
                    progress.show(self._how_far())
                pause = shortest if is_new else min(pause * 1.5, longest)
                at_once = _AT_ONCE
                if self._left or self._batches.left:
                    time.sleep(max(0.0, min(pause, self._deadline - time.monotonic())))

    def _round(self, ids: Sequence[str]) -> Iterator[tuple[Job, CannotStart | None]]:
        """Look at some jobs once; now and then also whether they can still start."""
        is_due = self._roots.is_due
        with self._roots.look() if is_due else nullcontext():
            cannot_start = self._queue.cannot_start() if is_due else None
            for job_id in ids:
                job = self._look_at(job_id)
                if job is None:
                    continue
                stuck = cannot_start(job) if cannot_start else None
                if stuck or job.state in SETTLED:
                    del self._left[job.id]
                    self._ended[job.state] += 1
                    yield job, stuck
                elif job.state in WAITING:
                    self._waiting_in.add(job.spec.queue)

    def _look_at(self, job_id: str) -> Job | None:
        """Return a job and put it behind the others; None when it may be gone, and is."""
        del self._left[job_id]
        try:
            job = self._queue.get(job_id)
        except NotFound:
            if not self._forgive:
                raise
            return None
        self._left[job_id] = job.state
        return job

    def _warn(self) -> None:
        """Tell, each thing once, when nothing will happen by itself."""
        self._waiting_in |= self._batches.waiting_in
        if not self._waiting_in or not self._reasons.is_due:
            return
        with self._reasons.look():
            for line in _missing(self._queue, sorted(self._waiting_in)):
                if line not in self._hinted:
                    self._hinted.add(line)
                    print_hint(line)
        self._waiting_in.clear()
        self._batches.waiting_in.clear()

    def _refuse_to_go_on(self) -> None:
        if time.monotonic() < self._deadline:
            return
        if not self._left:
            self._batches.refuse_to_go_on()
            return
        (job_id, state), others = next(iter(self._left.items())), len(self._left) - 1
        more = f", and {others:,} more have not ended" if others else ""
        raise WaitTimedOut(f"job '{job_id}' is still {state}{more}")

    def _how_far(self) -> str:
        clock = tables.elapsed(time.monotonic() - self._started)
        of_batches = self._batches.counts()
        done = sum(self._ended.values()) + sum(of_batches[state] for state in SETTLED)
        if not done and len(self._left) == 1 and not self._batches.left:
            job_id, state = next(iter(self._left.items()))
            return f"{clock}  job '{job_id}' is {state}"
        states = self._ended + Counter(self._left.values()) + of_batches
        counts = ", ".join(f"{states[state]:,} {state}" for state in State if states[state])
        return f"{clock}  {done:,} of {states.total():,} done: {counts}"


def _missing(queue: Queue, names: Sequence[str]) -> Iterator[str]:
    """Yield what jobs of some queues lack to be started, each with what to type."""
    wait_context = queue.wait_context()
    for name in names:
        if name in wait_context.queue_limits and wait_context.queue_limits[name].paused:
            yield f"queue '{name}' is paused: queuectl queue resume {name}"
        why = wait_context.unserved(name)
        if why == NO_WORKER and queue.workers():
            continue  # one that takes a single job, this one perhaps
        if why:
            is_drained = why.endswith(DRAINED)
            yield f"{why}: queuectl {'host resume NAME' if is_drained else 'worker start'}"
