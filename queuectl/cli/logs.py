"""The output of jobs: of runs that are over, or as it comes, over retries, until they settle."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence

import click

from queuectl.cli.latest import or_latest
from queuectl.cli.listing import clock_of
from queuectl.cli.log_headings import not_begun, nothing_written
from queuectl.cli.root import Command, examples, ids_argument
from queuectl.cli.run_output import Choice, RunPrinter, prefixes, print_run
from queuectl.cli.session import Session, for_each, pass_session
from queuectl.domain.errors import CannotStart, InvalidInput, NotFound, QueuectlError
from queuectl.domain.frozen import replace
from queuectl.domain.job import SETTLED, WAITING, Job
from queuectl.domain.views import NO_WORKER, exit_code, reason
from queuectl.presentation import tables
from queuectl.presentation.console import print_error, print_hint
from queuectl.queue import Queue
from queuectl.queue.live_logs import RemoteRun
from queuectl.system.polling import ROOTS_SECONDS, Pace
from queuectl.system.run_reader import STREAMS, RunReader

_POLL_SECONDS = (0.01, 0.2)
_NAME_THEM = "name the jobs; at a terminal none is needed: it is the latest one then"


@examples("""
    queuectl logs                                       (the latest job of this terminal)
    queuectl logs job1
    queuectl logs job1 --attempt 2 --stderr
    queuectl logs -f job1 job2
""")
@click.command(cls=Command)
@ids_argument(required=False)
@click.option(
    "--attempt",
    type=click.IntRange(min=1),
    metavar="N",
    help="Show run number N instead of the latest.",
)
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(min=0),
    metavar="LINES",
    help="Show only so many of the last lines.",
)
@click.option(
    "-f", "--follow", "live", is_flag=True, help="Go on until the job has ended for good."
)
@click.option(
    "-t", "--timestamps", "times", is_flag=True, help="Begin each line with when it was written."
)
@click.option("--stderr", "only", flag_value="stderr", help="Show standard error alone.")
@click.option("--stdout", "only", flag_value="stdout", help="Show standard output alone.")
@pass_session
def logs(
    session: Session,
    ids: tuple[str, ...],
    attempt: int | None,
    lines: int | None,
    live: bool,
    times: bool,
    only: str | None,
) -> int:
    """Show the output of jobs; of several, each line begins with its job's id.

    Both streams are shown in the order in which they came: to some 10 ms, as that is sampled while
    a job runs, and exactly of one that was enqueued with --merge-output. Away from a terminal each
    goes to a stream of its own, byte for byte. Times are true to a tenth of a second, of what was
    written within the first one to a second.

    With -f of one job the exit code is the job's own: 128+N where signal N ended it, 124 where it
    took too long, 143 where it was cancelled.
    """
    if live and attempt is not None:
        raise InvalidInput("--attempt is over and cannot be followed", hint="leave out -f")
    queue = session.reading()
    ids = or_latest(session, ids, _NAME_THEM)
    ids = tuple(queue.resolve(word) if word.startswith("@") else word for word in ids)
    choice = Choice((only,) if only else STREAMS, lines, times=times)
    if live:
        return _follow_each(session, ids, choice)

    def act(word: str) -> None:
        job = queue.get(word)
        if not job.runs:
            print_hint(not_begun(queue, job))
            return
        if attempt is not None and attempt > job.runs:
            raise NotFound(f"job '{job.id}' has no run {attempt}: there are {job.runs}")
        run = attempt or job.runs
        if not print_run(queue, job, run, choice):
            print_hint(nothing_written(queue, job, run, choice))

    if len(ids) > 1:
        choice = replace(choice, prefixes=prefixes(ids, colors=session.colors))
    return for_each(ids, act)


def _follow_each(session: Session, ids: Sequence[str], choice: Choice) -> int:
    """Follow jobs; return the exit code of the first that cannot be followed to its end.

    Without such, that of the job where there is one alone, else 0.
    """
    queue, resolved = session.reading(), list[str]()
    code = for_each(ids, lambda word: resolved.append(queue.resolve(word)))
    named = list(dict.fromkeys(resolved))
    is_alone = len(named) == 1 and not code
    if not is_alone:
        choice = replace(choice, prefixes=prefixes(named, colors=session.colors))
    for end in follow(queue, named, choice):
        if isinstance(end, QueuectlError):
            print_error(end)
            code = code or end.exit_code
        else:
            print_hint(ending(end))
            if is_alone:
                code = exit_code(end)
    return code


def follow(
    queue: Queue, ids: Sequence[str], choice: Choice
) -> Iterator[Job | NotFound | CannotStart]:
    """Write the output of jobs as it comes; yield each when it is settled, until all are.

    For one that is deleted or cannot start its NotFound or CannotStart is yielded.
    """
    active = [Follower(queue, job_id, choice) for job_id in ids]
    try:
        yield from _until_all_end(active)
    finally:
        for follower in active:
            follower.close()


def _until_all_end(active: list[Follower]) -> Iterator[Job | NotFound | CannotStart]:
    """Let each take its steps; yield how it ends and take it off the list, until none is left."""
    shortest, longest = _POLL_SECONDS
    pause = shortest
    while active:
        is_new = False
        for follower in list(active):
            end: Job | NotFound | CannotStart | None
            try:
                is_new = follower.step() or is_new
                end = follower.settled
            except (NotFound, CannotStart) as gone:
                end = gone
            if end is not None:
                active.remove(follower)
                follower.close()
                yield end
        if active:
            pause = shortest if is_new else min(pause * 1.5, longest)
            time.sleep(pause)


class Follower:
    """Follows one job: writes what is new, announces retries, notices the end."""

    def __init__(self, queue: Queue, job_id: str, choice: Choice) -> None:
        self._queue = queue
        self._job_id = job_id
        self._choice = choice
        self._run = 0
        self._announced = 0  # the latest run that was told of
        self._has_begun = False
        self._put_back: str | None = None  # why it was put back, as was told last
        self._roots = Pace(ROOTS_SECONDS)
        self._reader: RunReader | None = None
        self._remote: RemoteRun | None = None
        self._printer = RunPrinter(job_id, choice)
        self.settled: Job | None = None

    def step(self) -> bool:
        """Write what there is; return whether anything was new.

        Raises CannotStart for a job that waits for what will not come by itself, or NotFound.
        """
        job = self._queue.get(self._job_id)  # before the files, so that none is left out
        self._printer.had_terminal = job.spec.pty
        is_first, self._has_begun = not self._has_begun, True
        if is_first and not self._choice.from_first:
            self._announced = max((run.n for run in job.history if run.n < job.runs), default=0)
        is_new = False
        latest = 1 if self._choice.from_first else max(1, job.runs)
        for run in range(self._run or latest, job.runs + 1):
            if run != self._run:
                is_new = self._pump(ended=True) or is_new
                self._turn_to(job, run, is_first=not any(each.n < run for each in job.history))
            is_over = run < job.runs or job.finished_at is not None
            is_new = self._pump(ended=is_over) or is_new
            if is_over:
                self._announce(job)
        if job.state in SETTLED:
            self._finish(job)
        elif job.blocked_by and self._roots.is_due:
            with self._roots.look():
                stuck = self._queue.cannot_start()(job)
            if stuck:
                raise stuck
        if is_first and job.state in WAITING:
            self._tell_of_waiting(job)
        self._tell_of_put_back(job)
        return is_new

    def _tell_of_put_back(self, job: Job) -> None:
        """Tell, each reason once, why a job was claimed and not begun."""
        if job.state not in WAITING or job.put_back in (None, self._put_back):
            return
        self._put_back = job.put_back
        print_hint(f"job '{job.id}' waits: {job.put_back}")

    def _tell_of_waiting(self, job: Job) -> None:
        """Tell what a job that does not run yet waits for; a script of workers alone."""
        clock = clock_of(self._queue)
        if sys.stderr.isatty():
            why = reason(job, clock.now, clock.at, clock.wait_context) or ""
        else:
            why = clock.wait_context.unserved(job.spec.queue) or ""
        if not why or job.put_back or self._queue.get(job.id).state not in WAITING:
            return  # the worker that ran it meanwhile may have left
        if why == NO_WORKER and not self._choice.has_worker:
            print_hint(f"job '{job.id}' is {job.state}, and {why}: queuectl worker start")
        elif why != NO_WORKER and not why.endswith("due"):
            print_hint(f"job '{job.id}' is {job.state}: {why}")

    def _turn_to(self, job: Job, run: int, *, is_first: bool) -> None:
        if not is_first:
            print_hint(f"job '{self._job_id}': run {run}")
        last = self._choice.lines if self._run == 0 else None
        self.close()
        self._remote = self._queue.remote_run(job, run)
        logs = self._remote.logs if self._remote is not None else self._queue.logs_of(job, run)
        self._reader = RunReader(logs, self._job_id, run, self._choice.streams, last)
        self._run = run

    def close(self) -> None:
        """Let go of the files."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if self._remote is not None:
            self._remote.close()
            self._remote = None

    def _pump(self, *, ended: bool) -> bool:
        is_new = False
        if self._remote is not None:
            if not ended:
                self._remote.poll()
            elif not self._remote.finish():
                print_hint(f"job '{self._job_id}': its host does not send the rest of the output")
        if self._reader is not None:
            is_new = self._printer.take(self._reader, is_over=ended) or self._reader.is_waiting
        if ended or not is_new:
            self._printer.rest(is_over=ended)
        return is_new

    def _announce(self, job: Job) -> None:
        """Tell of every run that ended and is not the last."""
        for entry in job.history:
            if entry.n <= self._announced:
                continue
            self._announced = entry.n
            if entry.n < job.runs or job.state in WAITING:
                why = reason(job, self._queue.now(), clock_of(self._queue).at)
                what = why if entry.n == job.runs else "tried again"
                print_hint(f"job '{job.id}': {entry.error or 'completed'} (run {entry.n}); {what}")

    def _finish(self, job: Job) -> None:
        """Write the output from where it is kept, where no file here has it; the job is settled."""
        has_read = self._reader is not None and self._reader.has_files
        if job.runs and job.outcome and not has_read:
            print_run(self._queue, job, job.runs, self._choice)
        self.settled = job


def ending(job: Job) -> str:
    """Return how a settled job ended, as a line: `job 'a' completed in 5.0 s`."""
    took = f" in {tables.duration(job.outcome.duration)}" if job.outcome and job.runs else ""
    error = f": {job.last_error}" if job.last_error and exit_code(job) else ""
    return f"job '{job.id}' {job.state}{took}{error}"
