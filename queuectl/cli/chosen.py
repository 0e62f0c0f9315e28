"""Cancelling, retrying and deleting jobs: those that are named, or all that fit a filter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import click

from queuectl.cli.enqueue import hint_at_missing_workers
from queuectl.cli.filters import filter_of, filter_options, is_any_named, is_to_be_asked
from queuectl.cli.jobs import ids_argument
from queuectl.cli.progress import Progress
from queuectl.cli.session import Session, complain, for_each, note, on_terminal, pass_session, say
from queuectl.cli.tree import Command
from queuectl.domain.errors import (
    Conflict,
    ExitCode,
    InvalidInput,
    NoLongerFits,
    NotFound,
    NothingDone,
    QueuectlError,
)
from queuectl.domain.filters import Filter
from queuectl.domain.job import SETTLED, WAITING, Job, State
from queuectl.queue import Queue

_TOLD_ONE_BY_ONE = 10
_WENT_WRONG = frozenset({State.FAILED, State.DEAD})


@dataclass(frozen=True)
class _Deed:
    """What is done to jobs: to which states it can be done, and to which unless said."""

    verb: str
    possible: frozenset[State]
    unless_said: frozenset[State]
    act: Callable[[Queue, str, Filter | None], str]
    """Does it to one job, only if that fits the filter; returns the line that says so."""


@click.command(
    cls=Command,
    epilog="""
    queuectl cancel job1 job2
    queuectl cancel --queue imports --dry-run
    queuectl cancel --state pending --label nightly --yes
    """,
)
@ids_argument(*WAITING, State.PROCESSING, required=False)
@filter_options()
@pass_session
def cancel(session: Session, /, ids: tuple[str, ...], **options: Any) -> int:
    """Cancel jobs: at once when they wait, else their worker stops them."""
    possible = WAITING | {State.PROCESSING}
    return _do(session, _Deed("cancel", possible, possible, _cancel), ids, options)


def _cancel(queue: Queue, job_id: str, only: Filter | None) -> str:
    job = queue.cancel(job_id, only=only)
    is_done = job.state is State.CANCELLED
    return f"Cancelled job '{job.id}'" if is_done else f"Stopping job '{job.id}'"


@click.command(
    cls=Command,
    epilog="""
    queuectl retry job1
    queuectl retry --state failed --queue imports
    """,
)
@ids_argument(*SETTLED, State.FAILED, required=False)
@filter_options()
@pass_session
def retry(session: Session, /, ids: tuple[str, ...], **options: Any) -> int:
    """Start settled or failed jobs afresh, dead or not."""
    deed = _Deed("retry", SETTLED | {State.FAILED}, _WENT_WRONG, _retry)
    code = _do(session, deed, ids, options)
    if not options["dry_run"]:
        hint_at_missing_workers(session.queue())
    return code


def _retry(queue: Queue, job_id: str, only: Filter | None) -> str:
    return f"Job '{queue.retry(job_id, only=only).id}' is pending again"


@click.command(
    cls=Command,
    epilog="""
    queuectl delete job1 job2
    queuectl jobs delete --force job3
    queuectl delete --state completed --older-than 7d --dry-run
    """,
)
@ids_argument(required=False)
@click.option("--force", is_flag=True, help="Cancel a running job first.")
@filter_options()
@pass_session
def delete(session: Session, /, ids: tuple[str, ...], force: bool, **options: Any) -> int:
    """Delete jobs that do not run, with their logs."""

    def act(queue: Queue, job_id: str, only: Filter | None) -> str:
        queue.delete(job_id, force=force, only=only)
        return f"Job '{job_id}' deleted"

    possible = frozenset(State) - (frozenset() if force else {State.PROCESSING})
    return _do(session, _Deed("delete", possible, possible, act), ids, options)


def _do(session: Session, deed: _Deed, ids: tuple[str, ...], options: dict[str, Any]) -> int:
    """Do it to the jobs that are named, or to those that the options choose."""
    queue = session.queue()
    chosen = _filter(queue, deed, options)
    if bool(ids) == (chosen is not None):
        raise InvalidInput(
            "name the jobs, or choose them by --state, --queue, --label or --older-than"
        )
    if chosen is not None:
        return _do_all(queue, deed, chosen, options)
    if options["dry_run"]:
        return for_each(ids, lambda word: say(_tried(deed, queue.get(word))))
    return for_each(ids, lambda word: say(deed.act(queue, queue.resolve(word), None)))


def _filter(queue: Queue, deed: _Deed, options: dict[str, Any]) -> Filter | None:
    """Return the filter that options ask for, None without any. Raises InvalidInput."""
    if not is_any_named(options):
        return None
    chosen = filter_of(options, queue.now(), deed.unless_said)
    if impossible := chosen.states - deed.possible:
        words = ", ".join(sorted(state.value for state in impossible))
        raise InvalidInput(f"there is no way to {deed.verb} jobs that are {words}")
    return chosen


def _do_all(queue: Queue, deed: _Deed, chosen: Filter, options: dict[str, Any]) -> int:
    """Do it to every job that fits, one after another, each only while it still fits."""
    if options["dry_run"]:
        _tell(_would(deed, job.id) for job in queue.find(chosen))
        return ExitCode.OK
    if is_to_be_asked(options):
        counts = Counter(job.state for job in queue.find(chosen))
        if counts and not click.confirm(_question(deed, counts), err=True):
            raise NothingDone("nothing was changed")
    deeds = _Deeds(queue, deed, chosen)
    _tell(deeds.done())
    return deeds.code


class _Deeds:
    """What is done to all jobs that fit a filter; `code` is that of the first refusal."""

    def __init__(self, queue: Queue, deed: _Deed, chosen: Filter) -> None:
        self._queue = queue
        self._deed = deed
        self._chosen = chosen
        self.code: int = ExitCode.OK

    def done(self) -> Iterator[str]:
        """Yield a line for each job that it was done to."""
        for job in self._queue.find(self._chosen):
            try:
                yield self._deed.act(self._queue, job.id, self._chosen)
            except (NoLongerFits, NotFound):
                continue  # somebody was faster
            except QueuectlError as refusal:
                if refusal.exit_code is ExitCode.STORE:
                    raise
                complain(refusal)
                self.code = self.code or refusal.exit_code


def _tried(deed: _Deed, job: Job) -> str:
    """Return what would be done to a job that is named. Raises Conflict when it cannot be."""
    if job.state not in deed.possible:
        raise Conflict(f"job '{job.id}' is {job.state}: there is no way to {deed.verb} it")
    return _would(deed, job.id)


def _would(deed: _Deed, job_id: str) -> str:
    return f"Would {deed.verb} job '{job_id}'"


def _question(deed: _Deed, counts: Counter[State]) -> str:
    """Return what to ask about so many jobs in these states."""
    parts = ", ".join(f"{counts[state]:,} {state}" for state in State if counts[state])
    return f"{deed.verb.capitalize()} {counts.total():,} job(s) ({parts})?"


def _tell(lines: Iterable[str]) -> None:
    """Write lines as they come; on a terminal the first ones, and how many there were."""
    count, for_person = 0, on_terminal()
    with Progress() as progress:
        for line in lines:
            count += 1
            if not for_person or count <= _TOLD_ONE_BY_ONE:
                progress.clear()
                say(line)
            progress.show(f"{count:,} jobs")
    if not count:
        note("no such jobs: nothing to do")
    elif for_person and count > _TOLD_ONE_BY_ONE:
        say(f"… {count:,} jobs in all")
