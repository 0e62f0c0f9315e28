"""Changes of one job that is in the store: read, decided, and stored by compare-and-set."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from queuectl.domain import state_machine
from queuectl.domain.dependencies import blockers, parents
from queuectl.domain.errors import (
    Conflict,
    InvalidInput,
    NoLongerFits,
    NotFound,
    QueuectlError,
    WaitTimedOut,
)
from queuectl.domain.frozen import replace
from queuectl.domain.job import Job, State
from queuectl.domain.queue_limits import OPEN
from queuectl.domain.times import iso
from queuectl.queue.dependencies import refuse_circle, with_parents
from queuectl.queue.outpaced import Outpaced, retry_on_conflict
from queuectl.queue.read import Reader, resolve, unmade_job
from queuectl.stores.rules import forget_batches, require_in_use

if TYPE_CHECKING:
    from queuectl.domain.job_fields import Spec
    from queuectl.domain.query import Filter
    from queuectl.domain.settings import Settings
    from queuectl.domain.state_machine import Transition
    from queuectl.queue.signing import Signer
    from queuectl.stores.base import Store

_CANCEL_SECONDS = 5.0
"""How long a worker may take to notice that its job is cancelled, with room to spare."""

Decide = Callable[[Job, datetime], "Transition"]
"""Computes a change from a job as it was read, and the store's time."""


@retry_on_conflict
def change(store: Store, job_id: str, decide: Decide, only: Filter | None = None) -> Transition:
    """Change a job, and return the change. Raises NotFound, NoLongerFits, and as `decide` does."""
    job = store.get(job_id)
    if job is None and unmade_job(store, job_id) is not None:
        from queuectl.queue.lazy import LazyJobs  # of batches that are made while they run

        LazyJobs(store).make_one(job_id)
        job = store.get(job_id)
    if job is None:
        raise NotFound(f"no job '{job_id}'", hint="queuectl list shows the jobs there are")
    require_fit(job, only)
    decided = decide(job, store.now())
    with reopening(store, [decided]):
        if not store.commit(decided):
            raise Outpaced(f"job '{job_id}'")
    return decided


@contextlib.contextmanager
def reopening(store: Store, changes: Sequence[Transition]) -> Iterator[None]:
    """Have batches know that jobs of theirs wait again with the changes that are written in it."""
    names: Collection[str] = ()
    if any(each.before.spec.batch is not None for each in changes):
        from queuectl.queue import batches  # which few jobs are in

        names = batches.reopened_by(changes)
        batches.reopen(store, names)
    yield
    if names:
        batches.reopen(store, names)


def changed(store: Store, job_id: str, decide: Decide, only: Filter | None = None) -> Job:
    """Change a job, and return it as it is then. Raises Conflict in a store that was moved too."""
    require_in_use(store)
    after = change(store, job_id, decide, only).after
    assert after is not None
    return after


def require_fit(job: Job, only: Filter | None) -> None:
    """Raise NoLongerFits for a job that is not what a filter means."""
    if only is not None and not only.fits(job):
        raise NoLongerFits(f"job '{job.id}' has changed meanwhile")


def move(store: Store, job_id: str, *, last: bool) -> Job:
    """Put a waiting job before all others of its queue that are due, or behind them."""
    from queuectl.domain import job_edit

    def beside(job: Job, now: datetime) -> Transition:
        job_edit.require_waiting(job)
        if last:
            return job_edit.move_last(job, store.last_ready(job.spec.queue), now)
        return job_edit.move_first(job, store.first_ready(job.spec.queue), now)

    require_in_use(store)
    store.make_due_claimable()
    return changed(store, job_id, beside)


def switch(store: Store, first_id: str, second_id: str) -> None:
    """Let two jobs of a queue that wait take each other's place.

    Raises NotFound, and Conflict where one does not wait, or is in another queue.
    """
    from queuectl.domain import job_edit

    def read(job_id: str) -> Job:
        job = store.get(job_id)
        if job is None:
            raise NotFound(f"no job '{job_id}'", hint="queuectl list shows the jobs there are")
        job_edit.require_waiting(job)
        return job

    first, second = read(first_id), read(second_id)
    if first.spec.queue != second.spec.queue:
        raise Conflict(
            f"jobs '{first.id}' and '{second.id}' are in two queues: "
            f"'{first.spec.queue}' and '{second.spec.queue}'"
        )
    moved = changed(store, first.id, lambda job, now: job_edit.switch(job, second, now))
    try:
        changed(store, second.id, lambda job, now: job_edit.switch(job, first, now))
    except QueuectlError:  # a worker has just claimed it: the first goes back to its place
        with contextlib.suppress(QueuectlError):
            changed(
                store,
                moved.id,
                lambda job, now: state_machine.edit(job, first.spec, first.run_at, now),
            )
        raise


class Edit:
    """Other values for fields of a waiting job, each as people write it; None is the default.

    With `rev` the job must still be as it was read.
    """

    def __init__(
        self,
        store: Store,
        values: Mapping[str, object],
        settings: Settings,
        rev: int | None = None,
        signer: Signer | None = None,
    ) -> None:
        self._store = store
        self._signer = signer
        self._values = values
        self._settings = settings
        self._rev = rev

    def decide(self, job: Job, now: datetime) -> Transition:
        """Return the change. Raises InvalidInput, Conflict, or NotFound for a parent."""
        from queuectl.domain import job_edit
        from queuectl.domain.settings import month_first
        from queuectl.system.time_parser import parse_time

        if self._rev not in (None, job.rev):
            raise Conflict(f"job '{job.id}' has changed meanwhile")
        order = month_first(self._settings)
        edited = job_edit.edit(
            job,
            self._values,
            self._settings,
            lambda kind, raw: parse_time(kind, raw, now, month_first=order),
            now,
        )
        after = edited.after
        if after is None or after.spec == job.spec:
            return edited
        spec, run_at = self._checked(after.spec, job.spec), after.run_at
        if job.spec.signature is not None:
            spec = self._signed(job.spec, spec)
        if run_at == job.run_at:
            run_at = _due_anew(job, spec, now)
        return state_machine.edit(job, spec, run_at, now, delayed=after.delayed)

    def _signed(self, before: Spec, spec: Spec) -> Spec:
        """Return a changed specification with a signature that holds. Raises InvalidInput."""
        from queuectl.domain.signed_text import signed_text

        if signed_text(before, "", "") == signed_text(spec, "", ""):
            return spec
        if self._signer is None:
            raise InvalidInput(
                f"job '{spec.id}' is signed, and there is no key here to sign the change",
                hint="change it where its key is, or name that in QUEUECTL_SIGNING_KEY",
            )
        return self._signer.sign_again(before, spec)

    def _checked(self, spec: Spec, before: Spec) -> Spec:
        """Return a changed specification with its parents found.

        Raises NotFound for a parent, InvalidInput for a circle or for too many slots.
        """
        if spec.between is not None and spec.between != before.between:
            from queuectl.system.hours import with_zone

            spec = replace(spec, between=with_zone("between", spec.between))
        if spec.slots > 1:
            self._store.queue_limits().get(spec.queue, OPEN).require(spec)
        if blockers(spec) == blockers(before):
            return spec
        accepted = frozenset(parents(before))  # which may have been deleted since
        spec = with_parents(
            spec,
            lambda word: word if word in accepted else resolve(self._store, word),
            has_batch=lambda name: self._store.batches.get(name) is not None,
        )
        refuse_circle(self._store, spec)
        return spec


def _due_anew(job: Job, spec: Spec, now: datetime) -> datetime:
    """Return when a job is due whose specification is changed to `spec`, and its time is not.

    One that waited for what it no longer names need not wait for the next time it would be asked,
    and one that waited for its hours does so for those that it has now.
    """
    before = job.spec
    if _asked(before) == _asked(spec):
        return job.run_at
    due = now if job.put_back else job.run_at
    if before.between == spec.between:
        return due
    from queuectl.system.hours import next_opening  # few jobs name hours

    if before.between and due > now and due == next_opening(before.between, job.created_at):
        due = now  # which is why it was not due before
    return next_opening(spec.between, max(due, now)) if spec.between else due


def _asked(spec: Spec) -> tuple[object, ...]:
    """Return what a worker asks before it starts a job."""
    return spec.between, spec.load_below, spec.preflight


def retry_dead(job: Job, now: datetime) -> Transition:
    """Decide to start a job of the DLQ afresh. Raises Conflict for one that is not dead."""
    if job.state is not State.DEAD:
        raise Conflict(f"job '{job.id}' is {job.state}, not dead")
    return state_machine.retry(job, now)


def delete(reader: Reader, job_id: str, *, force: bool, only: Filter | None) -> None:
    """Forget a job, and its logs on this machine; with `force` a running one is cancelled first.

    Raises NotFound, NoLongerFits, or Conflict for a run that goes on.
    """
    from queuectl.system.job_logs import JobLogs

    if force and _end_run(reader, job_id, only):
        only = None  # it did fit, and has changed because we made it end
    deleted = change(reader.store, job_id, lambda job, _now: state_machine.delete(job), only)
    JobLogs(reader.home).remove(job_id)
    reader.remove_kept_logs([job_id])
    let_go_of_snapshots(reader)
    forget_batches(reader.store, (deleted.before.spec.batch,))


def let_go_of_snapshots(reader: Reader) -> None:
    """Let go of the snapshots of work trees that no job of this home needs any more."""
    if reader.home.snapshots.exists():
        from queuectl.queue.snapshots import sweep  # few homes have any

        sweep(reader.store, reader.home)


def _end_run(reader: Reader, job_id: str, only: Filter | None) -> bool:
    """Cancel a running job and wait for it; end the claim of a worker that is gone.

    Returns whether there was a run to end.
    """
    if reader.get(job_id).state is not State.PROCESSING:
        return False
    patience = reader.settings().kill_grace_seconds + _CANCEL_SECONDS
    change(reader.store, job_id, state_machine.cancel, only)
    try:
        next(reader.wait([job_id], patience))
    except WaitTimedOut:
        change(reader.store, job_id, _expire_if_overdue)
    return True


def _expire_if_overdue(job: Job, now: datetime) -> Transition:
    """Decide to end the claim of a worker that has let its lease run out. Raises Conflict."""
    if job.claim is not None and job.claim.lease_until > now:
        raise Conflict(
            f"job '{job.id}' is processing and its worker does not answer",
            hint=f"its claim ends at {iso(job.claim.lease_until)}; try again then",
        )
    return state_machine.expire(job, now, max_interruptions=1)
