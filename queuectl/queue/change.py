"""The use cases that change a job which is in the store; `Queue` has them all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from queuectl.domain import state_machine
from queuectl.domain.dependencies import blockers, parents
from queuectl.domain.errors import Conflict, NoLongerFits, NotFound, StoreUnavailable, WaitTimedOut
from queuectl.domain.job import Job, State
from queuectl.domain.job_fields import Spec
from queuectl.domain.queue_limits import OPEN
from queuectl.domain.settings import Settings
from queuectl.domain.state_machine import Transition
from queuectl.domain.times import iso
from queuectl.queue.dependencies import refuse_circle, with_parents
from queuectl.queue.read import Reading
from queuectl.stores.rules import require_in_use

if TYPE_CHECKING:
    from queuectl.domain.query import Filter

_MAX_TRIES = 50
_CANCEL_SECONDS = 5.0
"""How long a worker may take to notice that its job is cancelled, with room to spare."""

Decide = Callable[[Job, datetime], Transition]
"""Computes a change from a job as it was read, and the store's time."""


class Changes(Reading):
    """The part of `Queue` that changes jobs, each by compare-and-set.

    All but deleting raises Conflict in a store that was moved: its jobs are in another one.
    """

    def cancel(self, job_id: str, *, only: Filter | None = None) -> Job:
        """Cancel a waiting job, or ask the worker of a running one to stop it.

        Raises NoLongerFits for one that is not what the filter `only` means.
        """
        return self._changed(job_id, if_it_fits(only, state_machine.cancel))

    def pause(self, job_id: str) -> Job:
        """Hold a waiting job back, or have the worker of a running one stop it in its place."""
        return self._changed(job_id, state_machine.pause)

    def resume(self, job_id: str) -> Job:
        """Let a paused job go on."""
        return self._changed(job_id, state_machine.resume)

    def move(self, job_id: str, *, last: bool = False) -> Job:
        """Put a waiting job before all others of its queue that are due, or behind them."""
        from queuectl.domain import job_edit

        require_in_use(self._store)
        decide = job_edit.move_last if last else job_edit.move_first
        ready = self._store.last_ready if last else self._store.first_ready
        self._store.make_due_claimable()

        def beside(job: Job, now: datetime) -> Transition:
            job_edit.require_waiting(job)
            return decide(job, ready(job.spec.queue), now)

        return self._changed(job_id, beside)

    def edit(self, job_id: str, wanted: Mapping[str, object], *, rev: int | None = None) -> Job:
        """Give fields of a waiting job other values; all of them, or none on an error.

        None is what a new job would have. With `rev` the job must still be as it was read.
        Raises InvalidInput, Conflict, or NotFound.
        """
        settings = self.settings()

        def decide(job: Job, now: datetime) -> Transition:
            if rev is not None and job.rev != rev:
                raise Conflict(f"job '{job.id}' has changed meanwhile")
            return self._edited(job, wanted, settings, now)

        return self._changed(job_id, decide)

    def check_edit(self, job: Job, wanted: Mapping[str, object]) -> bool:
        """Return whether an edit would change a job. Raises what `edit` would raise."""
        from queuectl.domain import job_edit

        change = self._edited(job, wanted, self.settings(), self._store.now())
        return not job_edit.changes_nothing(change)

    def _edited(
        self, job: Job, wanted: Mapping[str, object], settings: Settings, now: datetime
    ) -> Transition:
        from queuectl.domain import job_edit
        from queuectl.system.time_parser import parse_time

        change = job_edit.edit(
            job, wanted, settings, lambda kind, raw: parse_time(kind, raw, now), now
        )
        if change.after is None or change.after.spec == job.spec:
            return change
        spec = self._looked_up(change.after.spec, known=job.spec)
        after = change.after
        return state_machine.edit(job, spec, after.run_at, now, delayed=after.delayed)

    def _looked_up(self, spec: Spec, known: Spec) -> Spec:
        """Return a changed specification with its parents found; `known` is what it was.

        Raises NotFound for a parent, InvalidInput for a circle or for too many slots.
        """
        if spec.slots > 1:
            self._store.queue_limits().get(spec.queue, OPEN).require(spec)
        if blockers(spec) == blockers(known):
            return spec
        accepted = frozenset(parents(known))  # which may have been deleted since
        found = with_parents(spec, lambda word: word if word in accepted else self.resolve(word))
        refuse_circle(found, self._store.get)
        return found

    def retry(self, job_id: str, *, only: Filter | None = None) -> Job:
        """Start a settled or failed job afresh, due now.

        Raises NoLongerFits for one that is not what the filter `only` means.
        """
        return self._changed(job_id, if_it_fits(only, state_machine.retry))

    def retry_dead(self, job_id: str) -> Job:
        """Start a job of the DLQ afresh. Raises Conflict for one that is not dead."""

        def decide(job: Job, now: datetime) -> Transition:
            if job.state is not State.DEAD:
                raise Conflict(f"job '{job.id}' is {job.state}, not dead")
            return state_machine.retry(job, now)

        return self._changed(job_id, decide)

    def delete(self, job_id: str, *, force: bool = False, only: Filter | None = None) -> None:
        """Forget a job that does not run, and its logs on this machine.

        With `force` a running one is cancelled first. Raises Conflict when it does not end
        before its lease would, or does not fit the filter `only`.
        """
        from queuectl.system.job_logs import JobLogs

        if force and self._make_it_end(job_id, only):
            only = None  # it did fit, and has changed because we made it end
        self._change(job_id, if_it_fits(only, self._deleted))
        JobLogs(self.home).remove(job_id)

    def _deleted(self, job: Job, _now: datetime) -> Transition:
        """Return the deletion of a job, once what it has been through is told."""
        from queuectl.queue.events import tell_of

        change = state_machine.delete(job)
        tell_of(self._store, job)
        return change

    def _make_it_end(self, job_id: str, only: Filter | None) -> bool:
        """Cancel a running job and wait for it; end the claim of a worker that is gone.

        Returns whether there was a run to end.
        """
        job = self.get(job_id)
        if job.state is not State.PROCESSING:
            return False
        settings = self.settings()
        self._change(job_id, if_it_fits(only, state_machine.cancel))
        try:
            next(self.wait([job_id], settings.kill_grace_seconds + _CANCEL_SECONDS))
        except WaitTimedOut:
            self._change(job_id, _expire_if_overdue)
        return True

    def _changed(self, job_id: str, decide: Decide) -> Job:
        require_in_use(self._store)
        after = self._change(job_id, decide).after
        assert after is not None
        return after

    def _change(self, job_id: str, decide: Decide) -> Transition:
        """Read, decide, compare-and-set; again from the start when somebody was faster."""
        for _ in range(_MAX_TRIES):
            job = self._store.get(job_id)
            if job is None:
                raise NotFound(f"no job '{job_id}'", hint="queuectl list shows the jobs there are")
            change = decide(job, self._store.now())
            if self._store.commit(change):
                return change
        raise StoreUnavailable(f"job '{job_id}' changes too fast; try again")


def if_it_fits(only: Filter | None, decide: Decide) -> Decide:
    """Return a decision that refuses a job which does not fit a filter."""
    if only is None:
        return decide

    def checked(job: Job, now: datetime) -> Transition:
        if not only.fits(job):
            raise NoLongerFits(f"job '{job.id}' has changed meanwhile")
        return decide(job, now)

    return checked


def _expire_if_overdue(job: Job, now: datetime) -> Transition:
    """End the claim of a worker that has let its lease run out."""
    if job.claim is not None and job.claim.lease_until > now:
        raise Conflict(
            f"job '{job.id}' is processing and its worker does not answer",
            hint=f"its claim ends at {iso(job.claim.lease_until)}; try again then",
        )
    return state_machine.expire(job, now, max_interruptions=1)
