"""Cancelling, retrying, deleting and purging jobs: those that are named, or that fit a filter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import click

from queuectl.cli.filters import (
    confirm,
    filter_of,
    filter_options,
    is_any_named,
    is_to_be_asked,
)
from queuectl.cli.interruption import interrupts_put_off
from queuectl.cli.latest import one_to_change
from queuectl.cli.progress import Progress, progress_line
from queuectl.cli.refusals import Refusals
from queuectl.cli.root import Command, examples, ids_argument, refused_option
from queuectl.cli.session import (
    Session,
    for_each,
    hint_at_missing_workers,
    pass_session,
    remember_jobs,
)
from queuectl.domain.errors import Conflict, ExitCode, InvalidInput
from queuectl.domain.field_checks import check_name
from queuectl.domain.frozen import frozen
from queuectl.domain.job import SETTLED, WAITING, Job, State
from queuectl.domain.query import Filter
from queuectl.domain.text import counted
from queuectl.presentation.console import end_line, on_terminal, print_hint, print_line
from queuectl.queue import Queue
from queuectl.queue.bulk import ChangeResult, Purged

_TOLD_ONE_BY_ONE = 10
_SAY_YES = "add -y, or --dry-run to see which"
_NAME_THEM = "name the jobs, or choose them by --state, --queue, --label, --older-than or --all"
_ACTIVE = WAITING | {State.PROCESSING}


@frozen
class BulkAction:
    """What is done to jobs: to which states it can be done, and to which unless said."""

    verb: str
    done: str
    """What has become of a job then, as a count of jobs says it: `3 cancelled`."""

    possible: frozenset[State]
    unless_said: frozenset[State]
    act: Callable[[Queue, str], Job | None]
    """Does it to one job that is named; returns the job, where there still is one."""

    act_on_all: Callable[[Queue, Filter], Iterator[ChangeResult]]
    line: Callable[[str, Job | None], str]
    """Returns the line that says that it was done to a job, by its id and as it is now."""

    needs_yes: bool = True
    """Whether it is refused for jobs that fit a filter where nobody says yes."""

    frees_room: bool = True
    """Whether it is what a full disk asks for."""

    begins: bool = False
    """Whether jobs begin with it, so that they are this terminal's latest."""

    asks_which: bool = True
    """Whether a person who names no job is asked which one is meant."""

    of_batch: frozenset[State] = frozenset()
    """To which other states it is done too where a batch is named, unless said."""

    unless: str = ""
    """What would let it be done in the other states, as it is said."""


def _cancelled(job_id: str, job: Job | None) -> str:
    is_done = job is None or job.state is State.CANCELLED
    return f"Cancelled job '{job_id}'" if is_done else f"Stopping job '{job_id}'"


# A lambda calls what a queue of the prompt's has in place of the method, too.
CANCEL = BulkAction(
    "cancel",
    "cancelled",
    _ACTIVE,
    _ACTIVE,
    lambda queue, job_id: queue.cancel(job_id),
    lambda queue, chosen: queue.cancel_all(chosen),
    _cancelled,
)
RETRY = BulkAction(
    "retry",
    "pending again",
    SETTLED | {State.FAILED},
    frozenset({State.FAILED, State.DEAD}),
    lambda queue, job_id: queue.retry(job_id),
    lambda queue, chosen: queue.retry_all(chosen),
    lambda job_id, _job: f"Retried job '{job_id}': it is pending again",
    needs_yes=False,
    frees_room=False,
    begins=True,
    of_batch=frozenset({State.CANCELLED}),
)


@examples("""
    queuectl cancel                                     (asks which, at a terminal)
    queuectl cancel job1 job2
    queuectl cancel --queue imports --dry-run
    queuectl cancel --state pending --label nightly --yes
""")
@click.command(cls=Command)
@ids_argument(*_ACTIVE, required=False)
@filter_options()
@refused_option
@pass_session
def cancel(session: Session, /, ids: tuple[str, ...], **options: Any) -> int:
    """Cancel jobs: at once when they wait, else their worker stops them."""
    return _do(session, CANCEL, ids, options)


@examples("""
    queuectl retry @last
    queuectl retry job1
    queuectl retry --state failed --queue imports
""")
@click.command(cls=Command)
@ids_argument(*SETTLED, State.FAILED, required=False)
@filter_options(needs_yes=False)
@refused_option
@pass_session
def retry(session: Session, /, ids: tuple[str, ...], **options: Any) -> int:
    """Start settled or failed jobs afresh, dead or not."""
    code = _do(session, RETRY, ids, options)
    if not options["dry_run"]:
        hint_at_missing_workers(session.reading())
    return code


@examples("""
    queuectl delete job1 job2
    queuectl jobs delete --force job3
    queuectl delete --state completed --older-than 7d --dry-run
    queuectl delete --state completed --older-than 7d --yes
""")
@click.command(cls=Command)
@ids_argument(required=False)
@click.option("--force", is_flag=True, help="Cancel a running job first.")
@filter_options()
@refused_option
@pass_session
def delete(session: Session, /, ids: tuple[str, ...], force: bool, **options: Any) -> int:
    """Delete jobs that do not run, with their logs."""
    possible = frozenset(State) - (frozenset() if force else {State.PROCESSING})
    action = BulkAction(
        "delete",
        "deleted",
        possible,
        possible,
        lambda queue, job_id: queue.delete(job_id, force=force),
        lambda queue, chosen: queue.delete_all(chosen, force=force),
        lambda job_id, _job: f"Deleted job '{job_id}'; its logs here are deleted too",
        asks_which=False,
        unless="" if force else " without --force",
    )
    return _do(session, action, ids, options)


def _do(session: Session, action: BulkAction, ids: tuple[str, ...], options: dict[str, Any]) -> int:
    """Do it to the jobs that are named, or to those that the options choose."""
    queue = session.reading(frees_room=action.frees_room)
    chosen = _filter(queue, action, options)
    if not ids and chosen is None and action.asks_which:
        ids = (one_to_change(session, action.verb, action.unless_said, _NAME_THEM),)
    if bool(ids) == (chosen is not None):
        raise InvalidInput(_NAME_THEM)
    if chosen is not None:
        return _do_all(queue, action, chosen, options)
    if options["dry_run"]:
        return for_each(ids, lambda word: print_line(_tried(action, queue.get(word))))
    return for_each(ids, lambda word: do_one(queue, action, word))


def act_on_batch(session: Session, action: BulkAction, name: str, *, yes: bool) -> int:
    """Do it to all jobs of a batch to which it can be done; return the exit code."""
    queue = session.reading(frees_room=action.frees_room)
    queue.batch(check_name("batch", name))
    states = action.unless_said | action.of_batch
    options = {"dry_run": False, "yes": yes, "refused_file": None}
    return _do_all(queue, action, Filter(states, batch=name), options, needs_yes=False)


def do_one(queue: Queue, action: BulkAction, word: str) -> None:
    """Do it to one job that is named, and say so. Raises QueuectlError."""
    job_id = queue.resolve(word)
    print_line(action.line(job_id, action.act(queue, job_id)))
    if action.begins:
        remember_jobs(queue, [job_id])


def _filter(queue: Queue, action: BulkAction, options: dict[str, Any]) -> Filter | None:
    """Return the filter that options ask for, None without any. Raises InvalidInput."""
    if not is_any_named(options):
        return None
    of_batch = action.of_batch if options["batch"] is not None else frozenset()
    chosen = filter_of(options, queue, action.unless_said | of_batch)
    if impossible := chosen.states - action.possible:
        words = ", ".join(sorted(state.value for state in impossible))
        raise InvalidInput(f"there is no way to {action.verb} jobs that are {words}{action.unless}")
    return chosen


def _do_all(
    queue: Queue,
    action: BulkAction,
    chosen: Filter,
    options: dict[str, Any],
    *,
    needs_yes: bool | None = None,
) -> int:
    """Do it to every job that fits, each only while it still does."""
    if options["dry_run"]:
        lines = _FewLines()
        for job in queue.find(chosen):
            lines.add(_would(action, job.id))
        lines.close(queue)
        return ExitCode.OK
    if is_to_be_asked(options, needs_yes=action.needs_yes if needs_yes is None else needs_yes):
        counts = queue.count_by_state(chosen)
        parts = ", ".join(f"{counts[state]:,} {state}" for state in State if counts.get(state))
        total = sum(counts.values())
        question = f"{action.verb.capitalize()} {counted(total, 'job')} ({parts})?"
        if total:
            confirm(question, yes=False, otherwise="nothing was changed", hint=_SAY_YES)
    return carry_out(queue, action, chosen, options["refused_file"])


def carry_out(
    queue: Queue, action: BulkAction, chosen: Filter, refused_file: str | None = None
) -> int:
    """Do it to every job that fits a filter; return the exit code of the first refusal.

    All refusals go to the file, if one is named. Whoever interrupts it is told how far it came.
    """
    lines, refusals = _FewLines(), Refusals(refused_file)
    writes = _writes(action.act_on_all(queue, chosen))
    done = 0
    try:
        while True:
            with interrupts_put_off():
                results = next(writes, [])
                changed = [each.job.id for each in results if each.error is None]
                done += sum(each.number for each in results if each.error is None)
                if action.begins:
                    remember_jobs(queue, changed)
                for each in results:
                    if each.error:
                        refusals.add(each.error, _place(each))
            if not results:
                break
            for each in results:
                if each.error:
                    lines.clear()
                    refusals.tell(each.error, _place(each))
                else:
                    lines.add(_line(action, each), each.number)
    except KeyboardInterrupt:
        lines.clear()
        end_line()
        refused = f", {refusals.count:,} refused" if refusals.count else ""
        what = f"{done:,} {action.done}{refused}; the same command goes on with the others"
        print_hint(f"interrupted: {what}")
        return ExitCode.INTERRUPTED
    lines.close(queue, none_fits=not refusals.count)
    refusals.close()
    return refusals.code


def _line(action: BulkAction, result: ChangeResult) -> str:
    """Return the line that says what was done, to a job or to all of a batch that is not made."""
    if result.number == 1:
        return action.line(result.job.id, result.job)
    what = f"{result.number:,} jobs of batch '{result.job.spec.batch}' that were not made yet"
    return f"{action.verb.capitalize()}: {what} are {action.done}"


def _place(result: ChangeResult) -> str:
    """Return which job was refused, where the reason alone does not say so."""
    return "" if f"'{result.job.id}'" in str(result.error) else f"job '{result.job.id}'"


def _writes(results: Iterator[ChangeResult]) -> Iterator[list[ChangeResult]]:
    """Yield results together that belong to one write."""
    some: list[ChangeResult] = []
    for result in results:
        some.append(result)
        if result.ends_write:
            yield some
            some = []
    if some:
        yield some


def _tried(action: BulkAction, job: Job) -> str:
    """Return what would be done to a job that is named. Raises Conflict when it cannot be."""
    if job.state not in action.possible:
        no_way = f"there is no way to {action.verb} it{action.unless}"
        raise Conflict(f"job '{job.id}' is {job.state}: {no_way}")
    return _would(action, job.id)


def _would(action: BulkAction, job_id: str) -> str:
    return f"Would {action.verb} job '{job_id}'"


class _FewLines:
    """Writes lines as they come; on a terminal the first ones, and how many there were."""

    def __init__(self) -> None:
        self._count = 0
        self._for_person = on_terminal()
        self._progress = Progress()

    def add(self, line: str, number: int = 1) -> None:
        """Write one line, which is of so many jobs, or count it."""
        self._count += number
        if not self._for_person or self._count <= _TOLD_ONE_BY_ONE:
            self.clear()
            print_line(line)
        self._progress.show(f"{self._count:,} jobs")

    def clear(self) -> None:
        """Take away what shows how many there are."""
        self._progress.clear()

    def close(self, queue: Queue, *, none_fits: bool = True) -> None:
        """Say how many there were; of none that, if there were no refusals either (`none_fits`)."""
        self.clear()
        if not self._count and none_fits and not queue.missing:
            print_hint("no such jobs: nothing to do")
        elif self._for_person and self._count > _TOLD_ONE_BY_ONE:
            print_line(f"… {self._count:,} jobs in all")


@examples("""
    queuectl purge --older-than 7d --yes
    queuectl purge --state completed --queue imports --dry-run
""")
@click.command(cls=Command)
@filter_options("In these states; completed,cancelled unless said.")
@pass_session
def purge(session: Session, /, **options: Any) -> int:
    """Delete settled jobs that nobody needs any more, with their logs."""
    # the DLQ is there to be looked at
    return purge_all(session, frozenset({State.COMPLETED, State.CANCELLED}), options)


def purge_all(session: Session, unless_said: frozenset[State], options: dict[str, Any]) -> int:
    """Delete the settled jobs that options choose, in the states `unless_said` without `--state`.

    Raises InvalidInput for states that are not settled, and where nobody says yes; NothingDone
    where a person says no.
    """
    queue = session.reading(frees_room=True)
    chosen = filter_of(options, queue, unless_said)
    if unsettled := sorted(chosen.states - SETTLED):
        raise InvalidInput(
            f"{unsettled[0]} jobs cannot be purged",
            hint="queuectl cancel stops jobs, and purge deletes completed, cancelled, dead ones",
        )
    is_dry = options["dry_run"]
    if is_dry or is_to_be_asked(options):
        count = queue.count(chosen)
        words = " or ".join(state.value for state in State if state in chosen.states)
        what = counted(count, f"{words} job")
        if is_dry:
            print_line(f"Would delete {what}")
            return ExitCode.OK
        if count:
            question = f"Delete {what} with their logs?"
            confirm(question, yes=False, otherwise="nothing was deleted", hint=_SAY_YES)
    done = Purged()
    steps = queue.purge(chosen)
    try:
        with progress_line() as progress:
            while True:
                with interrupts_put_off():
                    step = next(steps, None)
                    done = step or done
                if step is None:
                    break
                progress.show(f"{done.deleted:,} jobs deleted")
    except KeyboardInterrupt:
        end_line()
        print_hint(
            f"interrupted: {done.deleted:,} deleted; the same command goes on with the others"
        )
        return ExitCode.INTERRUPTED
    print_line(f"Deleted {counted(done.deleted, 'job')}")
    if done.kept:
        print_hint(
            f"{done.kept:,} kept: jobs or schedules still need them, or they have just changed"
        )
    return ExitCode.OK
