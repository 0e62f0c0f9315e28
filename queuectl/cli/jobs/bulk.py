"""Cancelling, retrying and deleting jobs: those that are named, or all that fit a filter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import click

from queuectl.cli.filters import filter_of, filter_options, is_any_named, is_to_be_asked
from queuectl.cli.jobs.show import ids_argument
from queuectl.cli.progress import Progress
from queuectl.cli.root import Command
from queuectl.cli.session import (
    Session,
    for_each,
    hint_at_missing_workers,
    on_terminal,
    pass_session,
    print_error,
    print_hint,
    print_line,
)
from queuectl.domain.errors import Conflict, ExitCode, InvalidInput, NothingDone
from queuectl.domain.frozen import frozen
from queuectl.domain.job import SETTLED, WAITING, Job, State
from queuectl.domain.query import Filter
from queuectl.queue import Queue
from queuectl.queue.bulk import ChangeResult

_TOLD_ONE_BY_ONE = 10
_WENT_WRONG = frozenset({State.FAILED, State.DEAD})


@frozen
class BulkAction:
    """What is done to jobs: to which states it can be done, and to which unless said."""

    verb: str
    possible: frozenset[State]
    unless_said: frozenset[State]
    act: Callable[[Queue, str], str]
    """Does it to one job that is named; returns the line that says so."""

    act_on_all: Callable[[Queue, Filter], Iterator[ChangeResult]]
    line: Callable[[Job], str]
    """Returns the line that says that it was done to one of them."""

    frees_room: bool = True
    """Whether it is what a full disk asks for."""

    unless: str = ""
    """What would let it be done in the other states, as it is said."""


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
    action = BulkAction(
        "cancel",
        possible,
        possible,
        lambda queue, job_id: _cancelled(queue.cancel(job_id)),
        lambda queue, chosen: queue.cancel_all(chosen),
        _cancelled,
    )
    return _do(session, action, ids, options)


def _cancelled(job: Job) -> str:
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
    code = _do(session, RETRY, ids, options)
    if not options["dry_run"]:
        hint_at_missing_workers(session.reading())
    return code


def _retried(job: Job) -> str:
    return f"Job '{job.id}' is pending again"


RETRY = BulkAction(
    "retry",
    SETTLED | {State.FAILED},
    _WENT_WRONG,
    lambda queue, job_id: _retried(queue.retry(job_id)),
    lambda queue, chosen: queue.retry_all(chosen),
    _retried,
    frees_room=False,
)


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

    def act(queue: Queue, job_id: str) -> str:
        queue.delete(job_id, force=force)
        return f"Job '{job_id}' deleted"

    possible = frozenset(State) - (frozenset() if force else {State.PROCESSING})
    action = BulkAction(
        "delete",
        possible,
        possible,
        act,
        lambda queue, chosen: queue.delete_all(chosen, force=force),
        lambda job: f"Job '{job.id}' deleted",
        unless="" if force else " without --force",
    )
    return _do(session, action, ids, options)


def _do(session: Session, action: BulkAction, ids: tuple[str, ...], options: dict[str, Any]) -> int:
    """Do it to the jobs that are named, or to those that the options choose."""
    queue = session.reading(frees_room=action.frees_room)
    chosen = _filter(queue, action, options)
    if bool(ids) == (chosen is not None):
        raise InvalidInput(
            "name the jobs, or choose them by --state, --queue, --label or --older-than"
        )
    if chosen is not None:
        return _do_all(queue, action, chosen, options)
    if options["dry_run"]:
        return for_each(ids, lambda word: print_line(_tried(action, queue.get(word))))
    return for_each(ids, lambda word: print_line(action.act(queue, queue.resolve(word))))


def _filter(queue: Queue, action: BulkAction, options: dict[str, Any]) -> Filter | None:
    """Return the filter that options ask for, None without any. Raises InvalidInput."""
    if not is_any_named(options):
        return None
    chosen = filter_of(options, queue.now(), action.unless_said)
    if impossible := chosen.states - action.possible:
        words = ", ".join(sorted(state.value for state in impossible))
        raise InvalidInput(f"there is no way to {action.verb} jobs that are {words}{action.unless}")
    return chosen


def _do_all(queue: Queue, action: BulkAction, chosen: Filter, options: dict[str, Any]) -> int:
    """Do it to every job that fits, each only while it still does."""
    if options["dry_run"]:
        _tell(queue, (_would(action, job.id) for job in queue.find(chosen)))
        return ExitCode.OK
    if is_to_be_asked(options):
        counts = Counter(job.state for job in queue.find(chosen))
        if counts and not click.confirm(_question(action, counts), err=True):
            raise NothingDone("nothing was changed")
    return carry_out(queue, action, chosen)


def carry_out(queue: Queue, action: BulkAction, chosen: Filter) -> int:
    """Do it to every job that fits a filter; return the exit code of the first refusal."""
    code: int = ExitCode.OK

    def lines() -> Iterator[str]:
        nonlocal code
        for told in action.act_on_all(queue, chosen):
            if told.error is None:
                yield action.line(told.job)
            else:
                print_error(told.error)
                code = code or told.error.exit_code

    _tell(queue, lines())
    return code


def _tried(action: BulkAction, job: Job) -> str:
    """Return what would be done to a job that is named. Raises Conflict when it cannot be."""
    if job.state not in action.possible:
        no_way = f"there is no way to {action.verb} it{action.unless}"
        raise Conflict(f"job '{job.id}' is {job.state}: {no_way}")
    return _would(action, job.id)


def _would(action: BulkAction, job_id: str) -> str:
    return f"Would {action.verb} job '{job_id}'"


def _question(action: BulkAction, counts: Counter[State]) -> str:
    """Return what to ask about so many jobs in these states."""
    parts = ", ".join(f"{counts[state]:,} {state}" for state in State if counts[state])
    return f"{action.verb.capitalize()} {counts.total():,} job(s) ({parts})?"


def _tell(queue: Queue, lines: Iterable[str]) -> None:
    """Write lines as they come; on a terminal the first ones, and how many there were."""
    count, for_person = 0, on_terminal()
    with Progress() as progress:
        for line in lines:
            count += 1
            if not for_person or count <= _TOLD_ONE_BY_ONE:
                progress.clear()
                print_line(line)
            progress.show(f"{count:,} jobs")
    if not count and not queue.missing:
        print_hint("no such jobs: nothing to do")
    elif for_person and count > _TOLD_ONE_BY_ONE:
        print_line(f"… {count:,} jobs in all")
