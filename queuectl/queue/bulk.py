"""Changes of all jobs that fit a filter, many with one write.

Each job is done or refused by itself, in order of arrival, and only while it fits the filter;
one that somebody else was faster with is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING

from queuectl.domain import state_machine
from queuectl.domain.errors import (
    InvalidInput,
    NoLongerFits,
    NotFound,
    QueuectlError,
    StoreError,
    StoreFull,
)
from queuectl.domain.frozen import frozen
from queuectl.domain.job import SETTLED, Job, State
from queuectl.domain.query import Page
from queuectl.queue.change import (
    Decide,
    changed,
    delete,
    let_go_of_snapshots,
    reopening,
    require_fit,
)
from queuectl.stores.rules import forget_batches, require_in_use

if TYPE_CHECKING:
    from queuectl.domain.query import Filter
    from queuectl.domain.state_machine import Transition
    from queuectl.queue.read import Reader
    from queuectl.stores.base import Store

_AT_ONCE = 100
"""So many jobs are changed with one write; other writers come between two of these."""

_PURGED_AT_ONCE = 200
_BREATH_SECONDS = 0.002
_TIDY_SECONDS = 2.0
"""For how long room is given back after many jobs were deleted; workers go on with it."""


@frozen
class ChangeResult:
    """What became of one of many jobs: as it is now, or as it was before it was deleted.

    With an `error` it was refused, and is as it was. `ends_write` says that whatever has been
    written so far has been told of with this one: whoever stops here knows of every change. A
    `number` of more than one stands for so many jobs of its batch that are not made yet.
    """

    job: Job
    error: QueuectlError | None = None
    ends_write: bool = True
    number: int = 1


@frozen
class Purged:
    """How far a purge has come: jobs deleted, and jobs that are still needed and kept."""

    deleted: int = 0
    kept: int = 0


def change_all(
    reader: Reader, chosen: Filter, decide: Decide, rest: State | None = None
) -> Iterator[ChangeResult]:
    """Change all jobs of a filter; yield what became of each. Raises Conflict in a moved store.

    Those that are not made yet come first, and are in the state `rest` then, if one is named.
    """
    require_in_use(reader.store)
    changes = _change_all(
        reader, chosen, decide, lambda job: changed(reader.store, job.id, decide, chosen)
    )
    if rest is None or not reader.store.has_unmade():
        return changes
    from queuectl.queue.lazy import turn_rest  # of batches that are made while they run

    turned = turn_rest(reader.store, chosen.of_jobs(), rest)
    return chain((ChangeResult(job, number=number) for job, number in turned), changes)


def delete_all(reader: Reader, chosen: Filter, *, force: bool) -> Iterator[ChangeResult]:
    """Delete all jobs of a filter, with their logs on this machine; yield what became of each."""
    from queuectl.system.job_logs import JobLogs

    def decide(job: Job, _now: object) -> Transition:
        return state_machine.delete(job)

    def delete_alone(job: Job) -> Job:
        delete(reader, job.id, force=force, only=chosen)
        return job

    logs = JobLogs(reader.home)
    names = set[str | None]()
    gone: list[str] = []
    unmade: Iterator[ChangeResult] = iter(())
    if reader.store.has_unmade():
        from queuectl.queue.lazy import drop_rest  # of batches that are made while they run

        dropped = drop_rest(reader.store, chosen.of_jobs())
        unmade = (ChangeResult(job, number=number) for job, number in dropped)
    for result in chain(unmade, _change_all(reader, chosen, decide, delete_alone)):
        if result.error is None:
            logs.remove(result.job.id)
            gone.append(result.job.id)
            names.add(result.job.spec.batch)
        if len(gone) >= _PURGED_AT_ONCE:
            reader.remove_kept_logs(gone)
            gone = []
        yield result
    reader.remove_kept_logs(gone)
    let_go_of_snapshots(reader)
    forget_batches(reader.store, names)
    reader.store.tidy(_TIDY_SECONDS)


def _change_all(
    reader: Reader, chosen: Filter, decide: Decide, change_alone: Callable[[Job], Job]
) -> Iterator[ChangeResult]:
    """Change jobs together; what the store does not take with the others is tried alone."""
    jobs = reader.store.find(chosen.of_jobs(), Page())
    while batch := list(islice(jobs, _AT_ONCE)):
        now = reader.store.now()
        changes: list[Transition] = []
        for job in batch:
            try:
                require_fit(job, chosen)
                changes.append(decide(job, now))
            except QueuectlError:
                continue  # alone it is refused with the reason
        done = _commit_all(reader.store, changes)
        untold = len(done)
        for job in batch:
            if job.id in done:
                untold -= 1
                yield ChangeResult(done[job.id] or job, ends_write=not untold)
                continue
            try:
                yield ChangeResult(change_alone(job), ends_write=not untold)
            except (NoLongerFits, NotFound):
                continue  # somebody was faster
            except StoreError:
                raise
            except QueuectlError as refusal:
                yield ChangeResult(job, refusal, ends_write=not untold)


def _commit_all(store: Store, changes: list[Transition]) -> dict[str, Job | None]:
    """Commit what can be committed together; return what became of these jobs, by id."""
    try:
        with reopening(store, changes):
            applied = store.commit_all(changes) if changes else ()
    except StoreFull:
        return {}  # for one alone there may be room
    return {
        change.before.id: change.after
        for change, is_applied in zip(changes, applied, strict=True)
        if is_applied
    }


def purge(reader: Reader, chosen: Filter) -> Iterator[Purged]:
    """Delete the settled jobs that a filter selects, with their logs on this machine.

    Yields how far it has come, and lets others write in between. Raises InvalidInput for a state
    that is not settled.
    """
    import time

    from queuectl.queue.lazy import drop_rest
    from queuectl.stores.rules import remove_unspared
    from queuectl.system.job_logs import JobLogs

    if not chosen.states or not chosen.states <= SETTLED:
        raise InvalidInput("only completed, cancelled and dead jobs can be purged")
    store, logs = reader.store, JobLogs(reader.home)
    store.counts()  # which logs what is in no state that can be chosen
    chosen = chosen.of_jobs()
    rest = drop_rest(store, chosen) if store.has_unmade() else ()
    done, after = Purged(sum(number for _, number in rest)), 0
    if done.deleted:
        yield done
    while page := list(store.find(chosen, Page(limit=_PURGED_AT_ONCE, after_seq=after))):
        gone = remove_unspared(store, page)
        for job_id in gone:
            logs.remove(job_id)
        reader.remove_kept_logs(gone)
        done = Purged(done.deleted + len(gone), done.kept + len(page) - len(gone))
        after = page[-1].seq
        yield done
        time.sleep(_BREATH_SECONDS)
    let_go_of_snapshots(reader)
    store.tidy(_TIDY_SECONDS)
