"""The use cases that change all jobs which fit a filter, many with one write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from queuectl.domain import state_machine
from queuectl.domain.errors import NoLongerFits, NotFound, QueuectlError, StoreError, StoreFull
from queuectl.domain.frozen import frozen
from queuectl.domain.job import Job
from queuectl.domain.state_machine import Transition
from queuectl.queue.change import Changes, Decide, if_it_fits
from queuectl.stores.rules import require_in_use

if TYPE_CHECKING:
    from queuectl.domain.query import Filter

AT_ONCE = 100
"""So many jobs are changed with one write; other writers come between two of these."""

_TIDY_SECONDS = 2.0
"""For how long room is given back after many jobs were deleted; workers go on with it."""


@frozen
class ChangeResult:
    """What became of one of many jobs: as it is now, or as it was before it was deleted.

    With an `error` it was refused, and is as it was.
    """

    job: Job
    error: QueuectlError | None = None


class ManyChanges(Changes):
    """The part of `Queue` that does to many jobs what `Changes` does to one.

    Each job is done or refused by itself, in order of arrival, and only while it fits the
    filter; one that somebody else was faster with is passed over. What the store does not take
    with the others is tried alone, which tells why.
    """

    def cancel_all(self, chosen: Filter) -> Iterator[ChangeResult]:
        """Cancel jobs as `cancel` does."""
        require_in_use(self._store)
        return self._all(chosen, state_machine.cancel, lambda job: self.cancel(job.id, only=chosen))

    def retry_all(self, chosen: Filter) -> Iterator[ChangeResult]:
        """Start jobs afresh as `retry` does."""
        require_in_use(self._store)
        return self._all(chosen, state_machine.retry, lambda job: self.retry(job.id, only=chosen))

    def delete_all(self, chosen: Filter, *, force: bool = False) -> Iterator[ChangeResult]:
        """Forget jobs as `delete` does, with their logs on this machine."""
        from queuectl.system.job_logs import JobLogs

        def alone(job: Job) -> Job:
            self.delete(job.id, force=force, only=chosen)
            return job

        logs = JobLogs(self.home)
        for told in self._all(chosen, lambda job, _now: state_machine.delete(job), alone):
            if told.error is None:
                logs.remove(told.job.id)
            yield told
        self._store.tidy(_TIDY_SECONDS)

    def _all(
        self, chosen: Filter, decide: Decide, alone: Callable[[Job], Job]
    ) -> Iterator[ChangeResult]:
        found = self.find(chosen)
        while jobs := list(islice(found, AT_ONCE)):
            done = self._at_once(jobs, if_it_fits(chosen, decide))
            for job in jobs:
                if job.id in done:
                    yield ChangeResult(done[job.id] or job)
                    continue
                try:
                    yield ChangeResult(alone(job))
                except (NoLongerFits, NotFound):
                    continue  # somebody was faster
                except StoreError:
                    raise
                except QueuectlError as refusal:
                    yield ChangeResult(job, refusal)

    def _at_once(self, jobs: list[Job], decide: Decide) -> dict[str, Job | None]:
        """Change what can be changed together; return what became of it, by id."""
        now, changes = self._store.now(), list[Transition]()
        for job in jobs:
            try:
                changes.append(decide(job, now))
            except QueuectlError:
                continue  # alone it is refused with the reason
        if any(change.after is None for change in changes):
            from queuectl.queue.events import process_all_events  # which no one who enqueues needs

            process_all_events(self._store)  # what they have been through goes with them
        try:
            applied = self._store.commit_all(changes) if changes else ()
        except StoreFull:
            return {}  # for one alone there may be room
        return {
            change.before.id: change.after
            for change, is_applied in zip(changes, applied, strict=True)
            if is_applied
        }
